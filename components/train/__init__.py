"""Fine-tune a TF-Hub text encoder into a classifier and export it as one SavedModel."""
