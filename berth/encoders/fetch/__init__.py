"""Handles, downloads and the cache of encoders; this package does not need TensorFlow."""
