"""Datasets between steps: layout, token ids, predictions."""
