"""Number formats of training: float32, or matmuls in bfloat16 or float16 (Micikevicius et al. 2018).

Variables, the optimizer and the loss stay float32 in all of them; grappler casts the ops that become faster. Only code
that runs inside `training` is affected: the validation loss that selects the epoch and the exported model are float32.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf

from berth.errors import BerthError
from berth.training.gradient import Gradient

_REWRITES: dict[str, dict[str, bool]] = {
    "float32": {},
    # remapping would fuse each bfloat16 product with its bias, in a kernel that takes twice as long as a product alone.
    "bfloat16": {"auto_mixed_precision_onednn_bfloat16": True, "remapping": False},
    "float16": {"auto_mixed_precision": True},
}
"""Each setting is the opposite of TensorFlow's own, which it does not tell from one that nobody has set."""
_CPU_INFO = Path("/proc/cpuinfo")
_FIRST_SCALE, _GROWTH_STEPS = 2.0**15, 2000


def choose(precision: str) -> str:
    """Return `float32`, `bfloat16` or `float16` for a RunConfig's `precision`, which may also be `auto`.

    `auto` is float16 on a GPU, bfloat16 on a CPU with instructions for it (avx512_bf16 or amx_bf16), else float32.

    Raises:
        BerthError: float16 without a GPU, or bfloat16 with one: TensorFlow rewrites a graph to it on CPUs only.

    Example:
        >>> choose("float32")
        'float32'
    """
    gpu = bool(tf.config.list_physical_devices("GPU"))
    if precision == "float16" and not gpu:
        raise BerthError("precision: float16 needs a GPU and none is visible. Use auto, bfloat16 or float32.")
    if precision == "bfloat16" and gpu:
        raise BerthError("precision: bfloat16 is for CPUs, and a GPU is visible. Use auto, float16 or float32.")
    if precision != "auto":
        return precision
    if gpu:
        return "float16"
    return "bfloat16" if {"avx512_bf16", "amx_bf16"} & _cpu_flags() else "float32"


@contextlib.contextmanager
def training(precision: str) -> Iterator[None]:
    """Run compiled functions that are called inside in `precision`, which `choose` returned.

    Example:
        >>> with training(choose("auto")):
        ...     loss = step(batch)
    """
    rewrites = _REWRITES[precision]
    tf.config.optimizer.set_experimental_options(rewrites)
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({name: not value for name, value in rewrites.items()})


class LossScale:
    """The factor that keeps small float16 gradients from becoming 0, adapted during training.

    It doubles after 2,000 steps in a row whose gradients are finite, and halves in each other step, whose update must
    be skipped.

    Example:
        >>> scale = LossScale()
        >>> gradients, finite = scale.unscale([scale.scale(tf.constant(0.5))])
        >>> float(gradients[0]), bool(finite)
        (0.5, True)
    """

    def __init__(self) -> None:
        self._scale = tf.Variable(_FIRST_SCALE, trainable=False, name="loss_scale")
        self._good_steps = tf.Variable(0, dtype=tf.int64, trainable=False, name="good_steps")

    @property
    def state(self) -> list[tf.Variable]:
        """The variables that a checkpoint must hold, always in this order."""
        return [self._scale, self._good_steps]

    def scale(self, loss: tf.Tensor) -> tf.Tensor:
        """Return the loss to differentiate for `loss`, a float32 scalar."""
        return loss * self._scale

    def unscale(self, gradients: Sequence[Gradient]) -> tuple[list[Gradient], tf.Tensor]:
        """Return the gradients of the loss itself, and whether all of them are finite, a bool scalar.

        Gradients must be summed over replicas before this call, so that all replicas decide the same.
        """
        inverse = 1.0 / self._scale
        given = [gradient for gradient in gradients if gradient is not None]
        # The sum of a tensor's squares is finite if its values are, unless they are so large that it does not matter.
        finite = tf.math.is_finite(tf.linalg.global_norm(given))
        return [_times(gradient, inverse) for gradient in gradients], finite

    def update(self, finite: tf.Tensor) -> None:
        """Set the scale for the next step; `finite`, a bool scalar, is what `unscale` returned for this one."""
        good = tf.where(finite, self._good_steps + 1, 0)
        grows = good >= _GROWTH_STEPS
        factor = tf.where(finite, tf.where(grows, 2.0, 1.0), 0.5)
        # On handles, as in AdamW: in a replica, that of the replica's own copy.
        for variable, value in (
            (self._scale, tf.maximum(self._scale * factor, 1.0)),
            (self._good_steps, tf.where(grows, tf.zeros_like(good), good)),
        ):
            tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)


def _times(gradient: Gradient, factor: tf.Tensor) -> Gradient:
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values * factor, gradient.indices, gradient.dense_shape)
    return None if gradient is None else gradient * factor


def _cpu_flags() -> set[str]:
    """Return the CPU's features by Linux's names; empty on other systems."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return next((set(line.split(":", 1)[1].split()) for line in lines if line.startswith("flags")), set())
