"""Texts in which a BERT tokenizer finds nothing."""

TOKEN = r"[^\p{C}\p{Z}\p{Mn}\s\x{1734}\x{FFFD}]"
"""RE2 for a character that gives a token. The others are removed: control and format characters (soft hyphens, marks
of direction), private ones, white space, and combining marks, which a tokenizer of lower-case pieces strips."""
