"""The weights of a checkpoint of Hugging Face, by the names of its BertModel, whatever they are called in the file."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf  # noqa: F401  lets NumPy know bfloat16
from safetensors import SafetensorError, safe_open

from berth.encoders.builtin.checkpoint import INDEX, WEIGHTS, read_json
from berth.encoders.builtin.shape import BertConfig, head_shapes, weight_shapes
from berth.errors import BerthError, first_line

Weights = dict[str, np.ndarray]
_IGNORED = re.compile(r"(embeddings\.(position|token_type)_ids|(pre_)?classifier\..+|qa_outputs\..+)")
"""Buffers, and heads of other tasks than pre-training."""
_RENAMED = {
    "bert": ((r"^bert\.", ""), (r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias")),
    "distilbert": (
        (r"^distilbert\.", ""),
        (r"^transformer\.layer\.", "encoder.layer."),
        (r"\.attention\.q_lin\.", ".attention.self.query."),
        (r"\.attention\.k_lin\.", ".attention.self.key."),
        (r"\.attention\.v_lin\.", ".attention.self.value."),
        (r"\.attention\.out_lin\.", ".attention.output.dense."),
        (r"\.sa_layer_norm\.", ".attention.output.LayerNorm."),
        (r"\.ffn\.lin1\.", ".intermediate.dense."),
        (r"\.ffn\.lin2\.", ".output.dense."),
        (r"\.output_layer_norm\.", ".output.LayerNorm."),
        (r"^vocab_transform\.", "cls.predictions.transform.dense."),
        (r"^vocab_layer_norm\.", "cls.predictions.transform.LayerNorm."),
        (r"^vocab_projector\.bias$", "cls.predictions.bias"),
        (r"^vocab_projector\.weight$", "cls.predictions.decoder.weight"),
    ),
}
"""Patterns and replacements, by model_type, that give the names of BertForPreTraining without its prefix."""
_WORDS = "embeddings.word_embeddings.weight"
_DECODER, _DECODER_BIAS = "cls.predictions.decoder.weight", "cls.predictions.decoder.bias"
_BIAS = "cls.predictions.bias"
_SHOWN = 3


@dataclass(frozen=True)
class Loaded:
    """The weights of a checkpoint, float32."""

    shape: BertConfig
    weights: Weights
    """By the names of `weight_shapes`."""
    heads: Weights
    """By the names of `head_shapes`; empty: it has none of pre-training, or its words have a table of their own."""


def load(folder: Path, kind: str, shape: BertConfig) -> Loaded:
    """Return the weights of the checkpoint in `folder`, whose config.json states the model_type `kind` and `shape`.

    Raises:
        BerthError: they are not complete, or not those of such a model; the message is only the reason.
    """
    found: Weights = {}
    for theirs, value in _tensors(folder):
        name = theirs
        for pattern, replacement in _RENAMED[kind]:
            name = re.sub(pattern, replacement, name)
        if name in found:
            raise BerthError(f"it has the tensor {name} twice, with and without a prefix")
        if not _IGNORED.fullmatch(name):
            found[name] = value
    shape = replace(shape, pooler="pooler.dense.weight" in found)
    needed = weight_shapes(shape)
    _check_has_all(found, needed)
    heads = _heads(found, shape)
    rest = [name for name in found if name not in needed and not name.startswith("cls.")]
    if rest:
        raise BerthError(f"it has tensors that its config.json does not account for: {_some(rest)}")
    return Loaded(shape, {name: found[name] for name in needed}, heads)


def _heads(found: Weights, shape: BertConfig) -> Weights:
    """Return the heads of pre-training among `found`; nothing where they have another word table than the encoder."""
    if _BIAS not in found and _DECODER_BIAS in found:
        found[_BIAS] = found[_DECODER_BIAS]
    pairs = shape.pooler and "cls.seq_relationship.weight" in found
    needed = head_shapes(shape, pairs)
    if not any(name.startswith("cls.predictions.") for name in found):
        return {}
    _check_has_all(found, needed)
    if _DECODER in found and not np.array_equal(found[_DECODER], found[_WORDS]):
        print("the masked words' layer has a table of its own, so its heads are left out", flush=True)
        return {}
    return {name: found[name] for name in needed}


def _check_has_all(found: Weights, needed: dict[str, tuple[int, ...]]) -> None:
    missing = [name for name in needed if name not in found]
    if missing:
        raise BerthError(f"it lacks tensors that its config.json asks for: {_some(missing)}")
    for name, shape in needed.items():
        if found[name].shape != shape:
            raise BerthError(f"its tensor {name} is of shape {list(found[name].shape)}, not {list(shape)}")
        if not np.isfinite(found[name]).all():
            raise BerthError(f"its tensor {name} has values that are not finite")


def _tensors(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the names and values, float32, of all tensors in `folder`, one at a time."""
    for file, names in _files(folder).items():
        if not (folder / file).is_file():
            raise BerthError(f"it lacks {file}, which its {INDEX} names")
        try:
            with safe_open(folder / file, "numpy") as stream:
                own = set(stream.keys())
                if names and not names <= own:
                    raise BerthError(f"its {file} lacks tensors that its {INDEX} names: {_some(sorted(names - own))}")
                for name in sorted(own):
                    value = stream.get_tensor(name)
                    yield name, value if name.endswith("_ids") else _float32(name, value)
        except (SafetensorError, OSError) as error:
            raise BerthError(f"its {file} is damaged or cut short: {first_line(error)}") from None
        except TypeError as error:
            raise BerthError(f"its {file} has a type of numbers that cannot be read: {first_line(error)}") from None


def _float32(name: str, value: np.ndarray) -> np.ndarray:
    if value.dtype.name not in ("float16", "bfloat16", "float32", "float64"):
        raise BerthError(
            f"its tensor {name} holds {value.dtype.name}, and only weights that are not quantised are read"
        )
    return value.astype(np.float32)


def _files(folder: Path) -> dict[str, set[str]]:
    """Return the names of the files with weights, and of the tensors that each must hold; empty: whichever it has."""
    if (folder / WEIGHTS).is_file():
        return {WEIGHTS: set()}
    places = read_json(folder, INDEX).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(place, str) for place in places.values()):
        raise BerthError(f"its {INDEX} has no weight_map")
    files: dict[str, set[str]] = {}
    for name, place in places.items():
        if Path(place).name != place:
            raise BerthError(f"its {INDEX} names {place!r}, which is not a file of the folder")
        files.setdefault(place, set()).add(name)
    return files


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
