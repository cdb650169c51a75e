"""The shape of a BERT, and of its weights. Does not need TensorFlow."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BertConfig:
    """The shape of a BERT."""

    vocabulary_size: int
    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int
    positions: int = 512
    token_types: int = 2
    """0: as in DistilBERT, tokens have no types."""
    dropout: float = 0.1
    attention_dropout: float | None = None
    """Of the attention's weights; None: as `dropout`."""
    activation: str = "gelu"
    """A name of berth.encoders.builtin.bert_ops.ACTIVATIONS."""
    norm_epsilon: float = 1e-12
    pooler: bool = True
    """Whether there is a pooled_output."""


def weight_shapes(config: BertConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight by name; a dense kernel is [out, in], as in PyTorch.

    Example:
        >>> config = BertConfig(vocabulary_size=100, hidden_size=8, layers=1, heads=2, intermediate_size=32)
        >>> weight_shapes(config)["encoder.layer.0.intermediate.dense.weight"]
        (32, 8)
    """
    hidden, inner = config.hidden_size, config.intermediate_size

    def dense(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}

    def norm(name: str) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (hidden,), f"{name}.bias": (hidden,)}

    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config.vocabulary_size, hidden),
        "embeddings.position_embeddings.weight": (config.positions, hidden),
    }
    if config.token_types:
        shapes["embeddings.token_type_embeddings.weight"] = (config.token_types, hidden)
    shapes |= norm("embeddings.LayerNorm")
    if config.pooler:
        shapes |= dense("pooler.dense", hidden, hidden)
    for index in range(config.layers):
        layer = f"encoder.layer.{index}"
        for part in ("query", "key", "value"):
            shapes |= dense(f"{layer}.attention.self.{part}", hidden, hidden)
        shapes |= dense(f"{layer}.attention.output.dense", hidden, hidden)
        shapes |= norm(f"{layer}.attention.output.LayerNorm")
        shapes |= dense(f"{layer}.intermediate.dense", hidden, inner)
        shapes |= dense(f"{layer}.output.dense", inner, hidden)
        shapes |= norm(f"{layer}.output.LayerNorm")
    return shapes


def head_shapes(config: BertConfig, pairs: bool) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight of the heads of pre-training by name, as `weight_shapes` does.

    Example:
        >>> config = BertConfig(vocabulary_size=100, hidden_size=8, layers=1, heads=2, intermediate_size=32)
        >>> head_shapes(config, pairs=True)["cls.seq_relationship.weight"]
        (2, 8)
    """
    hidden = config.hidden_size
    shapes: dict[str, tuple[int, ...]] = {
        "cls.predictions.transform.dense.weight": (hidden, hidden),
        "cls.predictions.transform.dense.bias": (hidden,),
        "cls.predictions.transform.LayerNorm.weight": (hidden,),
        "cls.predictions.transform.LayerNorm.bias": (hidden,),
        "cls.predictions.bias": (config.vocabulary_size,),
    }
    if pairs:
        shapes |= {"cls.seq_relationship.weight": (2, hidden), "cls.seq_relationship.bias": (2,)}
    return shapes
