"""Imports without the optional packages that a library would load: TensorFlow runs a SavedModel without Keras.

Only for processes that are Berth's own: hidden packages would be missing in a user's program. TensorFlow and MLflow
work where the packages named here are not installed; where they are, importing them takes half of the start-up.
"""

import contextlib
import gc
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def hidden(*packages: str) -> Iterator[None]:
    """Hide `packages` from imports in the block.

    A package that is imported already stays visible; after the block all can be imported again.
    """
    names = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None: "not found"
    try:
        yield
    finally:
        for name in names:
            if sys.modules.get(name, name) is None:
                del sys.modules[name]


@contextlib.contextmanager
def without(*packages: str) -> Iterator[None]:
    """Hide `packages` as `hidden` does, and pause the garbage collector, which would find nothing in the block."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        with hidden(*packages):
            yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def import_tensorflow_for_serving() -> None:
    """Import TensorFlow into a process that runs SavedModels and builds no model, in full float32.

    TensorFlow allows TF32 on GPUs that have it, unless it is told not to: products then have 10 bits of mantissa.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with without("keras", "tf_keras", "pandas", "scipy"):
        import tensorflow as tf
    tf.config.experimental.enable_tensor_float_32_execution(False)
    allow_memory_growth()


def allow_memory_growth() -> int:
    """Let this process take the memory of GPUs as it needs it, not all at once; return how many GPUs there are.

    A second process on the same GPU would find none left. Call it before TensorFlow starts a GPU.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):  # it has started
            tf.config.experimental.set_memory_growth(gpu, True)
    return len(gpus)
