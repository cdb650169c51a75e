"""A checkpoint of Hugging Face with the heads of pre-training, of random weights. Does not need TensorFlow."""

import json
from pathlib import Path

import numpy as np

from berth.encoders.builtin.shape import BertConfig, head_shapes, weight_shapes
from tests.support.tiny_bert import vocabulary


def write(folder: Path, hidden: int = 16, positions: int = 32) -> Path:
    """Write the checkpoint, of one layer, to `folder`, as transformers saves one."""
    pieces = vocabulary()
    folder.mkdir()
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    own = {"vocab_size": len(pieces), "hidden_size": hidden, "intermediate_size": 2 * hidden}
    own |= {"num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": positions}
    config = {"model_type": "bert", "architectures": ["BertForPreTraining"], "hidden_act": "gelu", **own}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    shape = BertConfig(len(pieces), hidden, 1, 2, 2 * hidden, positions)
    shapes = {f"bert.{name}": one for name, one in weight_shapes(shape).items()} | head_shapes(shape, pairs=True)
    rng = np.random.default_rng(0)
    _save({name: _weight(name, one, rng) for name, one in shapes.items()}, folder / "model.safetensors")
    return folder


def _weight(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if name.endswith("LayerNorm.weight"):
        return np.ones(shape, np.float32)
    return (rng.standard_normal(shape) * (0.0 if name.endswith("bias") else 0.05)).astype(np.float32)


def _save(weights: dict[str, np.ndarray], file: Path) -> None:
    """Write `weights` in the format of safetensors: a header in JSON with each tensor's place, then the numbers."""
    header, end = {}, 0
    for name, value in weights.items():
        header[name] = {"dtype": "F32", "shape": value.shape, "data_offsets": [end, end := end + value.nbytes]}
    told = json.dumps(header).encode()
    numbers = b"".join(value.astype("<f4").tobytes() for value in weights.values())
    file.write_bytes(len(told).to_bytes(8, "little") + told + numbers)
