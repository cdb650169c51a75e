"""Sources of rows: files, stores, databases, queries."""
