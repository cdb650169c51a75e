"""TF-Hub text encoders and their preprocessors: resolve, load, call."""
