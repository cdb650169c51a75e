"""A folder as Hugging Face's `save_pretrained` writes it: whether it is a BERT, and of which shape.

Does not need TensorFlow.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from berth.encoders.builtin.shape import BertConfig
from berth.encoders.fetch import cache
from berth.errors import BerthError
from berth.models.integrity import sha256_of

FORMAT = 5
"""Increase it when a conversion changes, so that an older one of a local folder is not used."""
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_POOLING = "*_Pooling/config.json"
"""Where sentence-transformers writes how it pools: 1_Pooling, as its modules are numbered."""
_READ = (CONFIG, "vocab.txt", "tokenizer.json", "tokenizer_config.json", "*.safetensors", INDEX, _POOLING)
"""The files that an encoder is made of; whatever else is there changes nothing."""
_OTHER_WEIGHTS = ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack")
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
"""Names in transformers, and those of berth.encoders.builtin.bert_ops."""
_BERT = {
    "vocabulary_size": "vocab_size",
    "hidden_size": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "positions": "max_position_embeddings",
    "token_types": "type_vocab_size",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "activation": "hidden_act",
    "norm_epsilon": "layer_norm_eps",
}
_DISTILBERT = {
    "vocabulary_size": "vocab_size",
    "hidden_size": "dim",
    "layers": "n_layers",
    "heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "positions": "max_position_embeddings",
    "dropout": "dropout",
    "attention_dropout": "attention_dropout",
    "activation": "activation",
}
_POOLINGS = {"cls", "cls_token", "mean", "max", "mean_sqrt_len", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"}
"""Modes of sentence-transformers (sentence_transformers/models/Pooling.py), by its older names and its newer ones."""
KEYS = {"bert": _BERT, "distilbert": _DISTILBERT}
"""The fields of BertConfig by the keys of config.json, by model_type."""
_DEFAULTS: dict[str, int | float] = {"token_types": 2, "dropout": 0.1, "attention_dropout": 0.1, "norm_epsilon": 1e-12}
"""What transformers takes where an old config.json leaves it out."""


def is_checkpoint(folder: str | Path) -> bool:
    """Return whether `folder` is a checkpoint of Hugging Face, and not a SavedModel."""
    folder = Path(folder)
    return (folder / CONFIG).is_file() and not (folder / "saved_model.pb").is_file()


def digest(folder: str | Path) -> str:
    """Return the SHA-256 of the output of `sha256sum` for the files of a checkpoint that an encoder is made of."""
    found = sorted({path for pattern in _READ for path in Path(folder).glob(pattern) if path.is_file()})
    lines = "".join(f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in found)
    return hashlib.sha256(lines.encode()).hexdigest()


def name_in_cache(folder: str | Path, label: str = "") -> str:
    """Return the name under which the cache holds, or will hold, the conversion of the checkpoint in `folder`.

    It is the `label`, by default the folder's name, with a digest of the content. One that was converted under another
    label is found, too.
    """
    end = f"-{digest(folder)[:12]}-{FORMAT}"
    for entry in cache.entries():
        if entry.name.endswith(end):
            return entry.name
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", label or Path(folder).resolve().name).strip("-._")
    return f"{words or 'checkpoint'}{end}"


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """Return the object in the JSON file `name` of `folder`; raise BerthError, the reason alone, if it holds none.

    Example:
        >>> read_json(Path("/nowhere"), "config.json")
        Traceback (most recent call last):
            ...
        berth.errors.BerthError: its config.json cannot be read: No such file or directory
    """
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except OSError as error:
        raise BerthError(f"its {name} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise BerthError(f"its {name} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise BerthError(f"its {name} holds no JSON object")
    return found


def shape_of(folder: Path) -> tuple[str, BertConfig]:
    """Return the model_type and the shape that config.json states; `pooler` is what the weights decide.

    Raises:
        BerthError: it is not a BERT that Berth can convert; the message is only the reason.
    """
    config = read_json(folder, CONFIG)
    kind = config.get("model_type")
    if kind not in KEYS:
        raise BerthError(f"its model_type is {kind!r}, and only {' and '.join(KEYS)} can be converted")
    for name, plain in (("position_embedding_type", "absolute"), ("is_decoder", False), ("add_cross_attention", False)):
        if config.get(name, plain) != plain:
            raise BerthError(f"its config.json has {name}: {config[name]}, and only {plain} can be converted")
    _check_weights_are_there(folder)
    keys = KEYS[kind]
    values: dict[str, Any] = {"token_types": 0}
    values |= {own: config.get(key, _DEFAULTS.get(own)) for own, key in keys.items()}
    for own, key in keys.items():
        if own != "activation":
            _check_number(key, values[own], is_share=own in ("dropout", "attention_dropout", "norm_epsilon"))
    if values["activation"] not in _ACTIVATIONS:
        raise BerthError(
            f"its config.json has {keys['activation']}: {values['activation']}, which is not one of "
            f"{', '.join(_ACTIVATIONS)}"
        )
    values["activation"] = _ACTIVATIONS[values["activation"]]
    if values["attention_dropout"] == values["dropout"]:
        values["attention_dropout"] = None
    shape = BertConfig(**values)
    if shape.hidden_size % shape.heads:
        raise BerthError(f"its config.json has a hidden size of {shape.hidden_size} for {shape.heads} heads")
    return kind, shape


def pooling_of(folder: Path) -> str:
    """Return how sentence-transformers pools the checkpoint: cls or mean; empty: it is not one of its own.

    Its other modes work on the tokens' outputs too, and count as mean: nobody trained the pooler there.

    Raises:
        BerthError: its file about pooling does not say how; the message is only the reason.
    """
    found = sorted(folder.glob(_POOLING))
    if not found:
        return ""
    name = found[0].relative_to(folder).as_posix()
    config = read_json(folder, name)
    named = config.get("pooling_mode", [])
    modes = [named] if isinstance(named, str) else list(named) if isinstance(named, list | tuple) else []
    modes += [key.removeprefix("pooling_mode_").removesuffix("_tokens") for key, on in config.items() if on is True]
    known = [mode for mode in modes if mode in _POOLINGS]
    if not known:
        raise BerthError(f"its {name} names none of the poolings {', '.join(sorted(_POOLINGS))}")
    return "cls" if known in (["cls"], ["cls_token"]) else "mean"


def _check_weights_are_there(folder: Path) -> None:
    if (folder / WEIGHTS).is_file() or (folder / INDEX).is_file():
        return
    other = next((name for name in _OTHER_WEIGHTS if (folder / name).exists()), None)
    if other is None:
        raise BerthError(f"it has no {WEIGHTS}")
    raise BerthError(
        f"it has its weights in {other} alone. Save it as {WEIGHTS}: AutoModel.from_pretrained(FOLDER)"
        ".save_pretrained(FOLDER), with transformers"
    )


def _check_number(key: str, value: object, is_share: bool) -> None:
    """Raise BerthError unless `value` is a whole number above 0, or a share: a number from 0 to below 1."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if is_share and 0 <= value < 1:
            return
        if not is_share and isinstance(value, int) and value > 0:
            return
    raise BerthError(f"its config.json has {key}: {value}, which cannot be")
