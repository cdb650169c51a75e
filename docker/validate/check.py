"""Run while the image is built: the packages that its step needs have to work, or there is no image."""
# ruff: noqa: F401  to be imported is the check

import kfp.dsl.executor_main
import kubernetes
import matplotlib.pyplot
import mlflow.store.tracking.sqlalchemy_store
import pandas as pd
import tensorflow_data_validation as tfdv
import tokenizers

statistics = tfdv.generate_statistics_from_dataframe(pd.DataFrame({"text": ["one", "two", "two"]}))
assert statistics.datasets[0].features[0].string_stats.unique == 2
print(f"tensorflow-data-validation {tfdv.__version__}, mlflow {mlflow.__version__}")
