"""Read a source of labelled texts, clean it with a reason for every row that goes, and split it."""
