"""The gradient of a variable: a tensor, the rows of a table that have one, or none."""

from typing import TypeAlias

import tensorflow as tf

Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices | None
