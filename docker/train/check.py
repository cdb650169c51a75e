"""Run while the image is built: the packages that its steps need have to work, or there is no image."""
# ruff: noqa: F401  to be imported is the check

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import kfp.dsl.executor_main
import kubernetes
import matplotlib.pyplot
import mlflow.pyfunc
import mlflow.store.tracking.sqlalchemy_store
import sklearn.linear_model
import tensorflow as tf
import tensorflow_hub
import tensorflow_text
import tf_keras

# An op of the native library: a tensorflow_text that does not fit this TensorFlow fails to load it.
assert tensorflow_text.WhitespaceTokenizer().tokenize(["two words"]).to_list() == [[b"two", b"words"]]
print(f"tensorflow {tf.__version__}, tensorflow-text {tensorflow_text.__version__}, mlflow {mlflow.__version__}")
