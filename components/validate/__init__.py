"""Statistics, schema and anomalies of a dataset, with TensorFlow Data Validation."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # said before TensorFlow is imported: errors only
