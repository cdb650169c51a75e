"""A corpus for pre-training: documents instead of labelled rows."""
