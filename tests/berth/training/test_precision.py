"""Mixed precision: on in training alone, and a loss scale that survives infinities."""

import numpy as np
import pytest
import tensorflow as tf

from berth.errors import BerthError
from berth.training import precision
from berth.training.precision import LossScale

CPU_ONLY = pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="a GPU is here")


@CPU_ONLY
def test_float16_without_a_gpu_is_refused_in_one_line():
    with pytest.raises(BerthError, match=r"^precision: float16 needs a GPU and none is visible. Use auto, "):
        precision.choose("float16")


def test_bfloat16_on_a_gpu_is_refused_not_silently_float32(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    with pytest.raises(BerthError, match=r"^precision: bfloat16 is for CPUs, and a GPU is visible. Use auto, "):
        precision.choose("bfloat16")


@CPU_ONLY
@pytest.mark.parametrize(
    ("flags", "chosen"), [("fpu avx2", "float32"), ("fpu avx512_bf16", "bfloat16"), ("fpu amx_bf16", "bfloat16")]
)
def test_auto_is_bfloat16_where_the_cpu_has_instructions_for_it(monkeypatch, tmp_path, flags, chosen):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: {flags}\n")
    monkeypatch.setattr(precision, "_CPU_INFO", tmp_path / "cpuinfo")
    assert precision.choose("auto") == chosen
    assert precision.choose("float32") == "float32"


def test_a_cpu_that_says_nothing_trains_in_float32(monkeypatch, tmp_path):
    monkeypatch.setattr(precision, "_CPU_INFO", tmp_path / "none")
    assert precision.choose("auto" if not tf.config.list_physical_devices("GPU") else "float32") == "float32"


@pytest.mark.skipif(precision.choose("auto") != "bfloat16", reason="the CPU has no bfloat16 instructions")
def test_compiled_function_is_bfloat16_inside_float32_outside():
    """The same compiled function has both precisions."""
    rng = np.random.default_rng(0)
    weights = tf.Variable(rng.standard_normal((256, 256)).astype(np.float32))

    @tf.function
    def product(x):
        return tf.nn.gelu(tf.matmul(tf.nn.gelu(tf.matmul(x, weights)), weights))

    x = tf.constant(rng.standard_normal((64, 256)).astype(np.float32))
    before = product(x).numpy()
    with precision.training("bfloat16"):
        inside = product(x).numpy()
    with precision.training("float32"):
        assert np.array_equal(product(x), before)
    assert np.array_equal(product(x), before)
    assert 1e-4 < np.abs(inside - before).mean() / np.abs(before).mean() < 1e-2
    assert inside.dtype == np.float32


def test_a_scaled_loss_gives_the_gradients_of_the_loss_itself():
    scale, variable, table = LossScale(), tf.Variable([2.0, 3.0]), tf.Variable(tf.ones([4, 2]))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(variable**2) + tf.reduce_sum(tf.gather(table, [1]))
        scaled = scale.scale(loss)
    (dense, rows, nothing), finite = scale.unscale([*tape.gradient(scaled, [variable, table]), None])
    assert float(scaled) == float(loss) * 2**15
    assert bool(finite)
    assert dense.numpy().tolist() == [4.0, 6.0]
    assert rows.values.numpy().tolist() == [[1.0, 1.0]]
    assert nothing is None


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_non_finite_gradient_is_reported_and_halves_the_scale(bad):
    scale = LossScale()
    for gradients in (
        [tf.constant([1.0, bad])],
        [tf.constant([1.0]), tf.IndexedSlices(tf.constant([[bad]]), tf.constant([0]))],
    ):
        before = float(scale.scale(1.0))
        _, finite = scale.unscale(gradients)
        scale.update(finite)
        assert not bool(finite)
        assert float(scale.scale(1.0)) == before / 2


def test_the_scale_doubles_after_as_many_good_steps_in_a_row(monkeypatch):
    monkeypatch.setattr(precision, "_GROWTH_STEPS", 3)
    scale = LossScale()
    update = tf.function(scale.update)
    said = []
    for finite in (True, True, False, True, True, True, True):
        update(tf.constant(finite))
        said.append(float(scale.scale(1.0)) / 2**15)
    assert said == [1, 1, 0.5, 0.5, 0.5, 1, 1]
    for _ in range(40):
        update(tf.constant(False))
    assert float(scale.scale(1.0)) == 1.0
    assert [variable.dtype for variable in scale.state] == [tf.float32, tf.int64]
