"""The library that the steps share; a pushed model carries the part of it that loads models."""

import os

# tensorflow-hub's KerasLayer is a Keras 2 layer: set before TensorFlow is imported, or tf.keras is Keras 3.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
