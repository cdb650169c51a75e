"""Judge a pre-trained encoder on held-out documents, next to the encoder before."""
