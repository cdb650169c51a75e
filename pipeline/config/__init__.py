"""The run configuration."""
