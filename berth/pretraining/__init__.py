"""Pre-training: settings, sentence pairs, masking, and filling in masked words."""
