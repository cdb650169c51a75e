"""Fine-tune a TF-Hub text encoder into a classifier and export it as one SavedModel."""

import os

# tensorflow-hub's KerasLayer is a Keras 2 layer: said before TensorFlow is imported, or tf.keras is Keras 3.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
