"""Explanations: which words a model used in a text."""
