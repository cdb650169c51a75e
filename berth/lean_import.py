"""TensorFlow for a process that only runs SavedModels, which takes no Keras."""

import contextlib
import os

from berth.hidden_packages import without


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
