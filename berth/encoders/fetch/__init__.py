"""Handles, downloads and the cache of encoders; nothing here needs TensorFlow."""
