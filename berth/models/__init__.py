"""Exported models: load, verify and package them."""
