"""Texts that every served model gets one day. Train records its predictions for them; evaluate checks the export."""

EDGE_CASES = {
    "the empty text": "",
    "white space": " \t\n",
    "10,000 words": "word " * 9_999 + "word",
    "one word of 10,000 letters": "x" * 10_000,
    "emoji": "\U0001f600\U0001f468‍\U0001f469‍\U0001f467 \U0001f1e9\U0001f1ea",
    "text from right to left": "שלום עולם مرحبا بالعالم",
    "combining accents": "é̈ ãb̧",
    "a NUL character": "before\0after",
    "HTML entities": "fish &amp; chips &lt;3 &#8364;5 &amp;hellip; &nosuch;",
    "control characters": "be\x08fore\x7f af\x9fter",
}
"""Texts by description. A model for pairs gets the text twice."""
