"""A task without an encoder: a number for each text, whose gradient is what the text counts."""

import numpy as np
import tensorflow as tf

WIDTHS = np.concatenate([np.random.default_rng(0).integers(4, 20, 460), np.arange(40, 240, 5)])


class Summing:
    """Adds up the gradients that it gets."""

    state: tuple = ()

    def apply(self, gradients, variables, learning_rate, weight=1.0):
        variables[0].assign_add(gradients[0])


class Counting:
    """A task with a number for each text: a text's loss is its number, so its gradient is what the text counts."""

    batch_signature = (tf.TensorSpec([None], tf.int32),)
    widths = WIDTHS
    window = 0

    def __init__(self, padded_width=0):
        self.padded_width = padded_width
        self.sizes = []
        self.variables = [tf.Variable(tf.zeros(len(WIDTHS)), name="numbers")]
        self.tied = []

    def begin_epoch(self, epoch):
        pass

    def rows_of(self, epochs):
        return len(WIDTHS) * epochs

    def parts(self, rows):
        return [rows]

    def batch(self, rows):
        self.sizes.append(len(rows))
        return (rows.astype(np.int32),)

    def loss(self, batch):
        return tf.reduce_sum(tf.one_hot(batch[0], len(WIDTHS)) * self.variables[0], -1)

    def evaluate(self):
        return {"val_loss": 0.0}

    def begin(self):
        return {}

    def weights(self):
        return [self.variables[0].numpy()]

    def seed(self, *_):
        pass

    score = margin = check = end = restore = lambda self, *_: 0.0
