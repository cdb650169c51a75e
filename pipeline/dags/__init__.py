"""The DAGs and their compilation."""
