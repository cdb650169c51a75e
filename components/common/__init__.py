"""The contract between steps: errors, dataset layout, MLflow tracking, progress, images. Small on purpose."""
