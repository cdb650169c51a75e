"""Backend 2: the DAG on a Kubeflow cluster."""
