"""Which words a model used in a text."""
