"""Read a source of labelled texts, clean it, record a reason for every rejected row, and split it."""
