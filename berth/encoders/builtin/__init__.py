"""BERTs that Berth converts to TF-Hub's format: checkpoints of Hugging Face, of which the built-in `minilm` is one."""
