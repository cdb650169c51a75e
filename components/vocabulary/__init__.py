"""The vocabulary of a new encoder, learned from the corpus."""
