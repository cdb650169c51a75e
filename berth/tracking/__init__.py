"""MLflow: a run for each pipeline run, with a nested run for each step."""
