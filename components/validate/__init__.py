"""Statistics, schema and anomalies of a dataset, with TensorFlow Data Validation."""

import os

# Said before TensorFlow is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only
# TFDV has no use for Keras, a third of the import's time: told so, TensorFlow does not look for Keras 3.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
