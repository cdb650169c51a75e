"""Statistics, schema and anomalies of a dataset, with TensorFlow Data Validation."""

import os

# Set before TensorFlow is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only
# TFDV does not use Keras, which takes a third of the import's time: with this TensorFlow does not import Keras 3.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
