"""HTML reports and Markdown descriptions."""
