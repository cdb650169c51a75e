"""Reading and cleaning rows, in SQL."""
