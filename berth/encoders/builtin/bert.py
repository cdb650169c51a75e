"""BERT in the format of a TF-Hub text encoder and its preprocessor: two SavedModels that hub.KerasLayer loads.

The encoder is Devlin et al. 2018 (post-layer-norm, learned positions); the format is TF-Hub's "common
SavedModel APIs for text tasks". All weights are float32, named as in Hugging Face's BertModel.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text

from berth.encoders.adapter import Outputs
from berth.encoders.builtin import bert_ops as ops
from berth.encoders.builtin.shape import BertConfig, weight_shapes
from berth.encoders.builtin.tokenisation import read_vocabulary


def save_encoder(config: BertConfig, weights: Mapping[str, np.ndarray], folder: str | Path) -> None:
    """Write the encoder SavedModel to `folder`.

    It maps {input_word_ids, input_mask, input_type_ids}, int32 [batch, length], to pooled_output [batch, hidden] where
    it has a pooler, sequence_output [batch, length, hidden] and encoder_outputs, one sequence_output per layer; all
    float32.
    """
    write(encoder_root(config, weights), folder)


def write(root: tf.train.Checkpoint, folder: str | Path) -> None:
    """Write what `encoder_root` returned to `folder`, the gradients written by hand included."""
    tf.saved_model.save(root, str(folder), options=tf.saved_model.SaveOptions(experimental_custom_gradients=True))


def encoder_root(config: BertConfig, weights: Mapping[str, np.ndarray]) -> tf.train.Checkpoint:
    """Return the encoder, to be called and saved.

    Args:
        config: Its shape.
        weights: float32, by the names and in the shapes of `weight_shapes`.
    """
    variables = {
        name: tf.Variable(weight, name=name.replace(".", "/")) for name, weight in _as_used(config, weights).items()
    }

    def encode(inputs: dict[str, tf.Tensor], training: bool = False) -> Outputs:
        return _encode(config, variables, inputs, training)

    names = ("input_word_ids", "input_mask", "input_type_ids")
    specification = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in names}
    root = reusable(list(variables.values()))
    root.__call__ = tf.function(encode, autograph=False)
    for training in (False, True):
        root.__call__.get_concrete_function(specification, training=training)
    return root


def save_preprocessor(vocabulary: str | Path, folder: str | Path, cased: bool = False) -> None:
    """Write the preprocessor SavedModel for the WordPiece `vocabulary`, one token a line, to `folder`.

    Unless `cased`, texts are turned to lower case and lose their accents, by the tables of TensorFlow Text.
    """
    tokens = read_vocabulary(Path(vocabulary).read_bytes().decode("utf-8"))
    tokenizer = tf_text.FastBertTokenizer(
        list(tokens), token_out_type=tf.int32, lower_case_nfd_strip_accents=not cased, no_pretokenization=False
    )
    write_preprocessor(tokenizer, tokenizer.tokenize, tokens, vocabulary, folder)


def write_preprocessor(
    tokenizer: tf.Module,
    tokenize: Callable[[tf.Tensor], tf.RaggedTensor],
    tokens: Sequence[str],
    vocabulary: str | Path,
    folder: str | Path,
    length: int = 128,
) -> None:
    """Write the preprocessor SavedModel that calls `tokenize`, which uses `tokenizer`, to `folder`.

    Called on strings [batch] it returns the encoder's inputs, `length` tokens long. Its `tokenize` returns what
    `tokenize` does; its `bert_pack_inputs` packs a list of such segments into any `seq_length`.

    Args:
        tokenizer: What has to be saved with it.
        tokenize: Returns the token ids of strings [batch], ragged int32.
        tokens: The WordPieces by their ids.
        vocabulary: File of these, one a line, which becomes an asset.
        folder: Where to.
        length: Tokens of a row.
    """
    start, end = tokens.index("[CLS]"), tokens.index("[SEP]")

    def pack(inputs: list[tf.RaggedTensor], seq_length: tf.Tensor | int) -> dict[str, tf.Tensor]:
        segments = [segment.merge_dims(1, -1) if segment.ragged_rank > 1 else segment for segment in inputs]
        trimmer = tf_text.RoundRobinTrimmer(seq_length - len(segments) - 1)
        ids, types = tf_text.combine_segments(trimmer.trim(segments), start, end)
        word_ids, mask = tf_text.pad_model_inputs(ids, seq_length)
        type_ids, _ = tf_text.pad_model_inputs(types, seq_length)
        return {"input_word_ids": word_ids, "input_mask": tf.cast(mask, tf.int32), "input_type_ids": type_ids}

    def preprocess(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return pack([tokenize(inputs)], length)

    sentences = tf.TensorSpec([None], tf.string, name="inputs")
    ragged = tf.RaggedTensorSpec([None, None, None], tf.int32, ragged_rank=2)
    flat = tf.RaggedTensorSpec([None, None], tf.int32, ragged_rank=1)
    any_length = tf.TensorSpec([], tf.int32, name="seq_length")
    root = reusable()
    root.vocabulary = tf.saved_model.Asset(str(vocabulary))
    root.tokenizer = tokenizer
    root.__call__ = tf.function(preprocess, input_signature=[sentences], autograph=False)
    root.tokenize = reusable()
    root.tokenize.__call__ = tf.function(lambda inputs: tokenize(inputs), input_signature=[sentences], autograph=False)
    root.bert_pack_inputs = reusable()
    root.bert_pack_inputs.__call__ = tf.function(pack, autograph=False)
    for segments in ([ragged], [flat], [ragged, ragged], [flat, flat]):
        root.bert_pack_inputs.__call__.get_concrete_function(segments, seq_length=any_length)
    tf.saved_model.save(root, str(folder))


def reusable(variables: list[tf.Variable] | None = None) -> tf.train.Checkpoint:
    """Return an object whose attributes can form TF-Hub's reusable SavedModel interface.

    A Checkpoint accepts attributes with the interface's names; a tf.Module computes its own.
    """
    root = tf.train.Checkpoint()
    root.variables = root.trainable_variables = variables or []
    root.regularization_losses = []
    return root


def _as_used(config: BertConfig, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights in the layout that the graph uses, by the names of their variables.

    A dense kernel is [in, out]; query, key and value are one kernel, [hidden, 3 * hidden], and one bias.
    """
    used: dict[str, np.ndarray] = {}
    for name in weight_shapes(config):
        is_kernel = weights[name].ndim == 2 and not name.startswith("embeddings.")
        used[name] = weights[name].T if is_kernel else weights[name]
    for index in range(config.layers):
        layer = f"encoder.layer.{index}.attention.self"
        for kind in ("weight", "bias"):
            parts = [used.pop(f"{layer}.{part}.{kind}") for part in ("query", "key", "value")]
            used[f"{layer}.query_key_value.{kind}"] = np.concatenate(parts, axis=-1)
    return used


def _encode(
    config: BertConfig, variables: Mapping[str, tf.Variable], inputs: Mapping[str, tf.Tensor], training: bool
) -> Outputs:
    hidden, heads, size = config.hidden_size, config.heads, config.hidden_size // config.heads
    word_ids, mask = inputs["input_word_ids"], inputs["input_mask"]
    batch, length = tf.unstack(tf.shape(word_ids))

    def dense(name: str, x: tf.Tensor) -> tf.Tensor:
        return add_bias(tf.matmul(x, variables[f"{name}.weight"]), variables[f"{name}.bias"])

    def norm(name: str, x: tf.Tensor) -> tf.Tensor:
        return ops.layer_norm(x, variables[f"{name}.weight"], variables[f"{name}.bias"], config.norm_epsilon)

    add_bias = ops.add_bias if training else tf.nn.bias_add
    dropout = ops.Dropout(config.dropout) if training else tf.identity
    of_attention = config.attention_dropout
    drop_attention = ops.Dropout(of_attention, seed=2) if training and of_attention is not None else dropout
    activation = ops.ACTIVATIONS[config.activation]

    # The rows of all texts in one matrix, [batch * length, hidden]: only attention needs to know where texts end.
    x = tf.gather(variables["embeddings.word_embeddings.weight"], word_ids)
    x += tf.gather(variables["embeddings.position_embeddings.weight"], tf.range(length))
    if config.token_types:
        x += tf.gather(variables["embeddings.token_type_embeddings.weight"], inputs["input_type_ids"])
    x = dropout(norm("embeddings.LayerNorm", tf.reshape(x, [-1, hidden])))
    bias = (1.0 - tf.cast(mask[:, None, None, :], tf.float32)) * -1e9

    outputs = []
    for index in range(config.layers):
        layer = f"encoder.layer.{index}"
        qkv = tf.reshape(dense(f"{layer}.attention.self.query_key_value", x), [batch, length, 3, heads, size])
        query, key, value = tf.unstack(tf.transpose(qkv, [2, 0, 3, 1, 4]))
        scores = tf.matmul(query * (size**-0.5), key, transpose_b=True) + bias
        context = tf.matmul(drop_attention(tf.nn.softmax(scores)), value)
        context = tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [-1, hidden])
        attended = dropout(dense(f"{layer}.attention.output.dense", context))
        x = norm(f"{layer}.attention.output.LayerNorm", x + attended)
        inner = activation(dense(f"{layer}.intermediate.dense", x))
        x = norm(f"{layer}.output.LayerNorm", x + dropout(dense(f"{layer}.output.dense", inner)))
        outputs.append(tf.reshape(x, [batch, length, hidden]))
    sequence = outputs[-1]
    per_token = {"sequence_output": sequence, "encoder_outputs": outputs}
    if not config.pooler:
        return per_token
    pooled = tf.tanh(dense("pooler.dense", sequence[:, 0]))
    return {"pooled_output": pooled, **per_token, "default": pooled}
