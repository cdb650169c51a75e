"""The exit handler: whatever happened to the run, MLflow says so."""
