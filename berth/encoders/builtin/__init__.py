"""The built-in encoder, `minilm`, converted to TF-Hub's format."""
