"""Backend 1: the DAG on one machine."""
