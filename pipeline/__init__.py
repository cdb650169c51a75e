"""What runs and where: the DAG, the run configuration, the backends, the command line. Never imports TensorFlow."""
