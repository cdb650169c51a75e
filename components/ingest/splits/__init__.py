"""Assigning rows to splits, and writing the dataset."""
