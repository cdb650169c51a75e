"""The DAG, the run configuration, the backends and the command line. Never imports TensorFlow."""
