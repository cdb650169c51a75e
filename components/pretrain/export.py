"""Export of a pre-trained encoder: a SavedModel as TF-Hub's BERT encoders are, with an `mlm` part and its preprocessor.

<folder>/saved_model.pb, variables/, assets/   the encoder; hub.KerasLayer(<folder>) loads it
<folder>/preprocessor/                         the preprocessor's SavedModel
<folder>/encoder.json                          what it was made of
<folder>/SHA256SUMS
"""

import functools
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import tensorflow as tf

from berth.data.corpus import CorpusManifest
from berth.encoders.adapter import of_encoder, trainable_variables
from berth.encoders.builtin import mlm
from berth.encoders.loading import load
from berth.encoders.pooling import trained_pooling
from berth.models import integrity
from berth.pretraining.settings import NewEncoder, Pretraining
from berth.pretraining.special_tokens import SpecialTokens
from components.pretrain.model import PretrainingModel
from components.pretrain.origin import Origin

PREPROCESSOR = "preprocessor"
_PACKAGES = ("tensorflow", "tensorflow-text", "tf-keras", "tensorflow-hub", "numpy")
_SAVED_MODEL = ("saved_model.pb", "variables", "assets")


def export(
    model: PretrainingModel, encoder: str, preprocessor: str, facts: Mapping[str, object], folder: str | Path
) -> None:
    """Write the trained `model` to `folder`, which appears only when it is complete.

    Args:
        model: The trained model.
        encoder: Folder of the SavedModel that it was made from, whose graph is exported with the new weights.
        preprocessor: Folder of the preprocessor's SavedModel.
        facts: For encoder.json.
        folder: Where to.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        made = scratch / "model"
        # Loaded again: the model's own graph draws dropout from the run's seed.
        loaded = load("encoder", encoder, model.handle)
        trained = trainable_variables(model.encoder.resolved_object)
        for own, value in zip(trainable_variables(loaded), trained, strict=True):
            own.assign(value)
        trained_heads = {one.name.split(":")[0]: one.numpy() for one in model.heads.variables}
        heads = mlm.Heads(trained_heads, model.heads.transform)
        interface = of_encoder(loaded, model.handle)
        loaded.mlm = mlm.part(loaded, functools.partial(interface.call, loaded), heads)
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
        tf.saved_model.save(loaded, str(made), options=options)
        for name in _SAVED_MODEL:
            _copy(Path(preprocessor) / name, made / PREPROCESSOR / name)
        (made / integrity.ENCODER_FACTS).write_text(json.dumps(dict(facts), indent=2) + "\n", encoding="utf-8")
        integrity.seal(made)
        made.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def facts(
    origin: Origin,
    new_encoder: NewEncoder | None,
    settings: Pretraining,
    tokens: SpecialTokens,
    corpus: CorpusManifest,
    tokens_seen: int,
) -> dict[str, object]:
    """Return what encoder.json says: what the encoder was made of."""
    pieces = "".join(f"{piece}\n" for piece in tokens.pieces).encode()
    found: dict[str, object] = {
        "base": {"name": origin.name, "sha256": origin.sha256},
        "preprocessor": origin.preprocessor_name,
        "pooling": trained_pooling(origin.encoder),
        "vocabulary": {"size": len(tokens.pieces), "sha256": hashlib.sha256(pieces).hexdigest()},
        "tokens_seen": tokens_seen,
        "corpus": {"digest": corpus.digest, "documents": corpus.documents, "characters": corpus.characters},
        "settings": settings.model_dump(),
        "versions": {name: version(name) for name in _PACKAGES},
    }
    if new_encoder is not None:
        names = ("layers", "hidden", "heads", "intermediate")
        found["architecture"] = dict(zip(names, new_encoder.shape, strict=True)) | {"cased": new_encoder.cased}
    return found


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a folder; links, which a cache may have, become files."""
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
