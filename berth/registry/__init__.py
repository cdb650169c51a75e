"""The model registry and the serving folder."""
