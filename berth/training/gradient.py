"""The gradient of a variable: a tensor, the rows of a table that have one, or none."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

import tensorflow as tf

Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices | None


def reached(outputs: Callable[[], tf.Tensor], variables: Iterable[tf.Variable]) -> list[tf.Variable]:
    """Return those of `variables` that have a gradient of what `outputs` returns, in their order.

    A function is traced for that and not run: the gradient of a loaded encoder is built once, and used by the step.

    Example:
        >>> used, unused = tf.Variable(1.0, name="used"), tf.Variable(1.0, name="unused")
        >>> [variable.name for variable in reached(lambda: used * 2, [used, unused])]
        ['used:0']
    """
    found: list[tf.Variable] = []

    def call() -> None:
        own = list(variables)
        with tf.GradientTape() as tape:
            answers = outputs()
        gradients = tape.gradient(answers, own)
        found[:] = [variable for variable, gradient in zip(own, gradients, strict=True) if gradient is not None]

    strategy = tf.distribute.get_strategy()  # a model loaded in a strategy's scope runs only in a replica
    tf.function(lambda: strategy.run(call), autograph=False).get_concrete_function()
    return found
