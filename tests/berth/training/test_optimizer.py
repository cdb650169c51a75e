"""AdamW with lazy embedding rows, against a dense reference written from the paper."""

import numpy as np
import pytest
import tensorflow as tf

from berth.errors import BerthError
from berth.training.optimizer import CLIP_NORM, AdamW, rate_factors

RATE, DECAY = 0.01, 0.1


def reference(weights, gradients_by_step, decays):
    """AdamW in NumPy (Loshchilov and Hutter 2019, algorithm 2, bias correction in the rate as BERT's and PyTorch's)."""
    weights = [weight.astype(np.float64) for weight in weights]
    m, v = ([np.zeros_like(weight) for weight in weights] for _ in range(2))
    for step, gradients in enumerate(gradients_by_step, 1):
        norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
        scale = CLIP_NORM / max(norm, CLIP_NORM)
        for i, gradient in enumerate(gradients):
            m[i] = 0.9 * m[i] + 0.1 * gradient * scale
            v[i] = 0.999 * v[i] + 0.001 * (gradient * scale) ** 2
            correction = np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            weights[i] -= RATE * correction * m[i] / (np.sqrt(v[i]) + 1e-6) + RATE * decays[i] * weights[i]
    return weights


@pytest.fixture
def variables():
    rng = np.random.default_rng(0)
    return [tf.Variable(rng.standard_normal(shape).astype(np.float32)) for shape in ((6, 3), (3, 2), (2,))]


def gradients(step):
    rng = np.random.default_rng(step)
    return [rng.standard_normal(shape).astype(np.float32) for shape in ((6, 3), (3, 2), (2,))]


def test_dense_updates_match_the_paper_and_skip_1d_decay(variables):
    """Variables with one dimension are spared from weight decay."""
    start = [variable.numpy() for variable in variables]
    optimizer = AdamW(variables, DECAY)
    steps = [gradients(step) for step in range(5)]
    for step in steps:
        optimizer.apply([tf.constant(gradient) for gradient in step], variables, RATE)
    for variable, expected in zip(variables, reference(start, steps, [DECAY, DECAY, 0.0]), strict=True):
        assert variable.numpy() == pytest.approx(expected, abs=1e-5)


def test_sparse_updates_of_every_row_are_the_dense_ones(variables):
    start = [variable.numpy() for variable in variables]
    optimizer = AdamW(variables, DECAY)
    steps = [gradients(step) for step in range(5)]
    for table, *rest in steps:
        # Each row comes twice, its gradient in two parts, and out of order.
        rows = np.array([5, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5])
        parts = np.concatenate([table[rows[:6]] * 0.25, table[rows[6:]] * 0.75])
        sparse = tf.IndexedSlices(tf.constant(parts), tf.constant(rows), tf.constant([6, 3]))
        optimizer.apply([sparse, *map(tf.constant, rest)], variables, RATE)
    for variable, expected in zip(variables, reference(start, steps, [DECAY, DECAY, 0.0]), strict=True):
        assert variable.numpy() == pytest.approx(expected, abs=1e-5)


def test_rows_that_no_text_holds_stay_as_they_are(variables):
    start = variables[0].numpy()
    optimizer = AdamW(variables, DECAY)
    sparse = tf.IndexedSlices(tf.ones([1, 3]), tf.constant([2]), tf.constant([6, 3]))
    norm = optimizer.apply([sparse, None, None], variables, RATE)
    assert float(norm) == pytest.approx(3**0.5)
    changed = (variables[0].numpy() != start).any(axis=1)
    assert changed.tolist() == [False, False, True, False, False, False]


def test_a_row_s_moments_decay_only_in_steps_that_touch_it(variables):
    """The documented laziness: row 0, touched in steps 1 and 3 of 3, is as after 2 steps, but for Adam's correction."""
    table, start = variables[0], variables[0].numpy()
    optimizer = AdamW([table], 0.0)
    m, v, expected = np.zeros(3), np.zeros(3), start[0].astype(np.float64)
    for step in (1, 2, 3):
        row = 0 if step != 2 else 1
        gradient = np.full((1, 3), 0.1 * step, np.float32)
        optimizer.apply([tf.IndexedSlices(tf.constant(gradient), tf.constant([row]))], [table], RATE)
        if row == 0:
            m, v = 0.9 * m + 0.1 * gradient[0], 0.999 * v + 0.001 * gradient[0] ** 2
            expected -= RATE * np.sqrt(1 - 0.999**step) / (1 - 0.9**step) * m / (np.sqrt(v) + 1e-6)
    assert table.numpy()[0] == pytest.approx(expected, abs=1e-6)
    assert np.array_equal(table.numpy()[2:], start[2:])


def test_weight_decay_skips_biases_and_layer_norms_by_name():
    """Their shape does not matter."""
    names = ("dense/kernel", "self_attention/query/bias", "layer_norm/gamma", "output/LayerNorm/weight", "embeddings")
    variables = [tf.Variable(tf.ones([2, 2]), name=name) for name in names]
    optimizer = AdamW(variables, DECAY)
    optimizer.apply([tf.zeros([2, 2])] * 5, variables, RATE)
    decayed = [bool((variable.numpy() < 1).all()) for variable in variables]
    assert decayed == [True, False, False, False, True]


def test_a_variable_s_factor_scales_its_rate_and_its_decay(variables):
    others = [tf.Variable(variable) for variable in variables]
    steps = [[tf.constant(gradient) for gradient in gradients(step)] for step in range(3)]
    halved, reference_optimizer = AdamW(variables, DECAY, [0.5] * 3), AdamW(others, DECAY)
    for step in steps:
        halved.apply(step, variables, RATE)
        reference_optimizer.apply(step, others, RATE / 2)
    for variable, other in zip(variables, others, strict=True):
        assert np.allclose(variable, other, atol=1e-7)


def test_training_goes_on_from_a_saved_state(variables):
    steps = [[tf.constant(gradient) for gradient in gradients(step)] for step in range(4)]
    optimizer = AdamW(variables, DECAY)
    for step in steps[:2]:
        optimizer.apply(step, variables, RATE)
    others = [tf.Variable(variable) for variable in variables]
    resumed = AdamW(others, DECAY)
    for ours, saved in zip(resumed.state, optimizer.state, strict=True):
        ours.assign(saved)
    for step in steps[2:]:
        optimizer.apply(step, variables, RATE)
        resumed.apply(step, others, RATE)
    for variable, other in zip(variables, others, strict=True):
        assert np.array_equal(variable, other)


TF_HUB = ["word_embeddings/embeddings:0", "embeddings/layer_norm/gamma:0", "transformer/layer_0/output/kernel:0"]
TF_HUB += ["transformer/layer_1/self_attention/query/kernel:0", "pooler_transform/kernel:0", "head/kernel:0"]
BUILT_IN = ["embeddings/word_embeddings/weight:0", "embeddings/LayerNorm/weight:0", "encoder/layer/0/dense/bias:0"]
BUILT_IN += ["encoder/layer/1/attention/self/query/weight:0", "pooler/dense/weight:0", "head/kernel:0"]
OLD_TF_HUB = ["bert/embeddings/word_embeddings:0", "bert/embeddings/LayerNorm/gamma:0", "bert/encoder/layer_._0/a:0"]
OLD_TF_HUB += ["bert/encoder/layer_._1/a:0", "bert/pooler/dense/kernel:0", "head/kernel:0"]


@pytest.mark.parametrize("names", [TF_HUB, BUILT_IN, OLD_TF_HUB])
def test_rates_fall_with_the_distance_from_the_head(names):
    assert rate_factors(names, 0.5, False, 0) == [0.125, 0.125, 0.25, 0.5, 1.0, 1.0]
    assert rate_factors(names, 1.0, True, 1) == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    assert rate_factors(names, 0.5, True, 2) == [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]


def test_unclear_variable_names_matter_only_if_settings_use_them():
    """Layer decay and freezing fail with an error, and the default settings work."""
    names = ["Variable:0", "Variable_1:0"]
    assert rate_factors(names, 1.0, False, 0) == [1.0, 1.0]
    for options, setting in (((0.9, False, 0), "layer_decay"), ((1.0, False, 1), "freeze_layers")):
        with pytest.raises(BerthError, match=f"^{setting}: the encoder's variables have no layers"):
            rate_factors(names, *options)
    with pytest.raises(BerthError, match=r"^freeze_embeddings: none of the encoder's variables has embeddings"):
        rate_factors(names, 1.0, True, 0)
    with pytest.raises(BerthError, match=r"^freeze_layers: 3 is more than the encoder has \(2\)"):
        rate_factors(TF_HUB, 1.0, False, 3)


def test_replica_update_equals_the_single_device_update(variables):
    """The replica belongs to a distribution strategy."""
    steps = [gradients(step) for step in range(3)]
    one = [tf.Variable(variable) for variable in variables]
    alone = AdamW(one, DECAY)
    for step in steps:
        alone.apply([tf.constant(gradient) for gradient in step], one, RATE)
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        mirrored = [tf.Variable(variable.numpy()) for variable in variables]
        optimizer = AdamW(mirrored, DECAY)

    @tf.function
    def apply(step):
        strategy.run(lambda own: optimizer.apply(own, mirrored, RATE), [step])

    for step in steps:
        apply([tf.constant(gradient) for gradient in step])
    for variable, other in zip(mirrored, one, strict=True):
        assert np.allclose(variable.numpy(), other.numpy(), atol=1e-7)


def test_a_larger_step_is_clipped_to_a_larger_norm():
    """Clipping it to the norm of a usual step would make its texts count less than others."""
    norms = []
    for weight in (0.5, 1.0, 4.0):
        variable = tf.Variable([0.0, 0.0])
        optimizer = AdamW([variable], 0.0)
        optimizer.apply([tf.constant([6.0, 8.0])], [variable], 0.0, tf.constant(weight))
        norms.append(float(tf.norm(optimizer.state[0]) / 0.1))
    assert norms == pytest.approx([1.0, 1.0, 4.0], rel=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "bert_backbone/transformer_layer_{}/_self_attention_layer/query/kernel:0",
        "mobile_bert_encoder/transformer_layer_{}/bottleneck_input/kernel:0",
        "encoder/layers.{}.attention.weight:0",
        "transformer/h_{}/mlp/kernel:0",
        "block_{}/dense/kernel:0",
    ],
)
@pytest.mark.parametrize("first", [0, 1])
def test_layers_are_found_by_the_names_of_other_libraries(name, first):
    names = ["token_embedding/embeddings:0", *(name.format(first + layer) for layer in range(3)), "head/kernel:0"]
    assert rate_factors(names, 0.5, False, 1) == [0.5**4, 0.0, 0.25, 0.5, 1.0]
