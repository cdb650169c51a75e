"""One way to call all encoders of the TF-Hub text API, whose variants have different inputs and outputs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import tensorflow as tf

from berth.errors import BerthError

LoadedModel: TypeAlias = Any
"""What hub.load and tf.saved_model.load return: an object whose attributes are those of the SavedModel."""
Outputs: TypeAlias = dict[str, tf.Tensor]
"""An encoder's outputs by name; `encoder_outputs`, which Berth does not use, is a list of tensors."""
_Specs: TypeAlias = dict[str, tf.TensorSpec] | list[tf.TensorSpec] | tuple[tf.TensorSpec, ...]

INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
_ALIASES = {
    "input_ids": "input_word_ids",
    "attention_mask": "input_mask",
    "segment_ids": "input_type_ids",
    "token_type_ids": "input_type_ids",
}
"""Names that other exporters give the three inputs."""
_OUTPUT_ALIASES = {"last_hidden_state": "sequence_output", "pooler_output": "pooled_output"}

_POSITIONS = re.compile(r"^(?!.*relative).*position_?embedding", re.IGNORECASE)


@dataclass(frozen=True)
class EncoderAdapter:
    """The way to call an encoder: with a dict of inputs, or with a list of them in the order of INPUTS.

    Example:
        >>> encoder = load("encoder", folder, "minilm")
        >>> inputs = preprocessor(tf.constant(["free entry", "see you"]))
        >>> vectors = of_encoder(encoder, "minilm").call(encoder, inputs, training=False)["pooled_output"]  # [2, 384]
    """

    names: tuple[str, ...]
    """The encoder's own names of its inputs, in the order of INPUTS."""
    as_list: bool
    dtypes: tuple[tf.DType, ...]
    """Of the inputs, int32 or int64."""
    takes_training: bool
    """Whether dropout can be switched on."""

    def call(self, encoder: LoadedModel, inputs: Mapping[str, tf.Tensor], training: bool) -> Outputs:
        """Return the outputs: pooled_output, [batch, hidden]; sequence_output, [batch, length, hidden]; float32.

        Args:
            encoder: The loaded SavedModel.
            inputs: By the names of INPUTS, integers [batch, length]; inputs that the encoder does not have are ignored.
            training: Whether dropout is on; ignored where the encoder cannot switch it.
        """
        own = [tf.cast(inputs[standard(name)], dtype) for name, dtype in zip(self.names, self.dtypes, strict=True)]
        mode = {"training": training} if self.takes_training else {}
        return outputs_by_name(encoder(own if self.as_list else dict(zip(self.names, own, strict=True)), **mode))

    def outputs(self, loaded: LoadedModel) -> Outputs:
        """Return the outputs of the encoder `loaded` for one text without words, only [CLS] and [SEP]."""
        return self.call(loaded, {name: tf.ones([1, 2], tf.int32) for name in INPUTS}, training=False)


@dataclass(frozen=True)
class TextAdapter(EncoderAdapter):
    """The way to call a module that takes texts, such as NNLM: their bytes are put together again."""

    def call(self, encoder: LoadedModel, inputs: Mapping[str, tf.Tensor], training: bool) -> Outputs:
        """Return the vectors as pooled_output, float32 [batch, hidden]; inputs: berth.encoders.text_to_vector.Bytes."""
        lengths = tf.reduce_sum(inputs["input_mask"], 1)
        codes = tf.RaggedTensor.from_tensor(inputs["input_word_ids"], lengths)
        texts = tf.strings.reduce_join(tf.gather(tf.constant([bytes([code]) for code in range(256)]), codes), -1)
        given = outputs_by_name(encoder(texts, **({"training": training} if self.takes_training else {})))
        return {"pooled_output": next(value for value in given.values() if _is_vector(value))}


def takes_texts(loaded: LoadedModel) -> bool:
    """Return whether `loaded` is a module that takes texts and gives a vector for each, and not a preprocessor."""
    if not callable(loaded) or hasattr(loaded, "tokenize") or hasattr(loaded, "bert_pack_inputs"):
        return False
    return any(map(_text_to_vector, getattr(loaded.__call__, "concrete_functions", [])))


def standard(name: str) -> str:
    """Return the TF-Hub text API's name of an input.

    Example:
        >>> standard("attention_mask"), standard("input_mask")
        ('input_mask', 'input_mask')
    """
    return _ALIASES.get(name, name)


def standard_inputs(packed: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Return the output of a preprocessor, integers [batch, length] each, under the names of INPUTS.

    Example:
        >>> packed = {"input_ids": tf.constant([[101, 102]]), "attention_mask": tf.constant([[1, 1]])}
        >>> list(standard_inputs(packed))
        ['input_word_ids', 'input_mask']
    """
    return {standard(name): value for name, value in packed.items()}


def outputs_by_name(given: Outputs | list[tf.Tensor] | tuple[tf.Tensor, ...] | tf.Tensor) -> Outputs:
    """Return an encoder's outputs as a dict: the first TF2 encoders return a pair, others a single tensor.

    Example:
        >>> sorted(outputs_by_name((tf.zeros([2, 8]), tf.zeros([2, 5, 8]))))
        ['pooled_output', 'sequence_output']
    """
    if isinstance(given, Mapping):
        return {_OUTPUT_ALIASES.get(str(name), str(name)): value for name, value in given.items()}
    several = list(given) if isinstance(given, list | tuple) else [given]
    by_rank = {2: "pooled_output", 3: "sequence_output"}
    return {by_rank[one.shape.rank]: one for one in several if one.shape.rank in by_rank}


def of_encoder(loaded: LoadedModel, handle: str) -> EncoderAdapter:
    """Return the adapter for the encoder `loaded`, found from its traces; `handle` is the user's name for it.

    Raises:
        BerthError: it is not a text encoder of token ids that can be fine-tuned.
    """
    functions = loaded.__call__.concrete_functions if callable(loaded) else []
    if not functions:
        is_old = getattr(loaded, "_is_hub_module_v1", False) or getattr(loaded, "signatures", None)
        what = "has signatures alone, as TF1 Hub modules have" if is_old else "cannot be called"
        raise BerthError(f"encoder: {handle!r} {what}, so it cannot be fine-tuned. Name a TF2 text encoder of TF-Hub.")
    takes_training = any(_training(function) for function in functions)
    if takes_texts(loaded):
        return TextAdapter(("texts",), False, (tf.string,), takes_training)
    found = [own for function in functions if (own := _inputs(function)) is not None]
    if not found:
        raise BerthError(
            f"encoder: {handle!r} takes {_shown(functions[0])}, not input_word_ids, input_mask and input_type_ids. "
            "Name a TF-Hub text encoder; a preprocessor goes into preprocessor."
        )
    named = [own for own in found if isinstance(own, dict)]
    specs = max(named or found, key=len)
    names = sorted(specs, key=lambda name: INPUTS.index(standard(name))) if named else INPUTS[: len(specs)]
    own_specs = [specs[name] for name in names] if isinstance(specs, dict) else list(specs)
    fixed = next((spec.shape[1] for spec in own_specs if spec.shape.rank == 2 and spec.shape[1] is not None), None)
    if fixed:
        raise BerthError(
            f"encoder: {handle!r} takes texts of exactly {fixed} tokens; Berth pads a batch to its own longest. "
            "Name an encoder that takes [batch, length] of any size."
        )
    return EncoderAdapter(tuple(names), not named, tuple(spec.dtype for spec in own_specs), takes_training)


def variables(loaded: LoadedModel) -> list[tf.Variable]:
    """Return the variables of the encoder `loaded`: those that it lists, or without a list those that its traces use.

    TF-Hub's and Keras' SavedModels list them; a plain `tf.Module`'s does not.
    """
    if hasattr(loaded, "variables"):
        return list(loaded.variables)
    used = (variable for function in loaded.__call__.concrete_functions for variable in function.graph.variables)
    return list({id(variable): variable for variable in used}.values())


def trainable_variables(loaded: LoadedModel) -> list[tf.Variable]:
    """Return the variables of the encoder `loaded` that training may change, found as `variables` finds them."""
    if hasattr(loaded, "trainable_variables"):
        return list(loaded.trainable_variables)
    return [variable for variable in variables(loaded) if variable.trainable]


def positions(loaded: LoadedModel) -> int | None:
    """Return how many tokens the encoder's table of absolute positions has room for; None: it has none by that name.

    Example:
        >>> from types import SimpleNamespace
        >>> table = tf.Variable(tf.zeros([512, 8]), name="position_embedding/embeddings")
        >>> positions(SimpleNamespace(variables=[table]))
        512
    """
    tables = [own for own in variables(loaded) if _POSITIONS.search(own.name) and own.shape.rank >= 2]
    return max((max(own.shape[:-1]) for own in tables), default=None)


def _inputs(function: tf.types.experimental.ConcreteFunction) -> _Specs | None:
    """Return the specifications of a trace's inputs, by name or in order; None where they are not token ids."""
    positional, _ = function.structured_input_signature
    first = positional[0] if positional else None
    if isinstance(first, dict):
        own = {standard(name) for name in first}
        return first if {"input_word_ids", "input_mask"} <= own <= set(INPUTS) and len(own) == len(first) else None
    if isinstance(first, list | tuple) and len(first) in (2, 3):
        return first if all(isinstance(one, tf.TensorSpec) and one.dtype.is_integer for one in first) else None
    return None


def _text_to_vector(function: tf.types.experimental.ConcreteFunction) -> bool:
    """Return whether a trace takes strings [batch] and gives a vector for each."""
    positional, _ = function.structured_input_signature
    first = positional[0] if positional else None
    takes = isinstance(first, tf.TensorSpec) and first.dtype == tf.string and first.shape.rank in (None, 1)
    return takes and any(map(_is_vector, outputs_by_name(function.structured_outputs).values()))


def _is_vector(output: tf.TensorSpec | tf.Tensor) -> bool:
    return bool(output.dtype.is_floating and output.shape.rank == 2)


def _training(function: tf.types.experimental.ConcreteFunction) -> bool:
    """Return whether a trace is for training."""
    positional, named = function.structured_input_signature
    return named.get("training") is True or any(one is True for one in positional)


def _shown(function: tf.types.experimental.ConcreteFunction) -> str:
    positional, _ = function.structured_input_signature
    first = positional[0] if positional else None
    if isinstance(first, dict):
        return ", ".join(sorted(first))
    return f"{getattr(first, 'dtype', first)!r}".removeprefix("tf.") if first is not None else "nothing"
