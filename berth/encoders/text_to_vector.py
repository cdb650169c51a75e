"""Modules that take texts themselves and give a vector for each, such as NNLM and the Universal Sentence Encoder.

Berth passes token ids to encoders. Of such a module they are the bytes of the text, which are put together again where
it is called (berth.encoders.adapter.TextAdapter), so that batches, export and serving are those of a BERT.
"""

from collections.abc import Sequence

import tensorflow as tf

from berth.errors import BerthError

LONGEST = 1 << 20
"""Bytes of a text that such a module gets; what is beyond is cut off, as in a text too long for a BERT."""


class Bytes(tf.Module):
    """What stands in for a preprocessor: the ids of a text are its bytes, 0 to 255.

    Example:
        >>> Bytes().tokenize(tf.constant(["ab", ""])).to_list()
        [[97, 98], []]
    """

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Return ragged int32 [batch, (bytes)]; `texts` are strings [batch]."""
        characters = tf.strings.bytes_split(texts)
        codes = tf.io.decode_raw(characters.values, tf.uint8)
        return characters.with_values(tf.reshape(tf.cast(codes, tf.int32), [-1]))

    def bert_pack_inputs(
        self, segments: Sequence[tf.RaggedTensor], seq_length: int | tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Return the inputs that TextAdapter takes, int32 [batch, seq_length].

        Raises:
            BerthError: there are two segments.
        """
        if len(segments) != 1:
            raise BerthError("encoder: it takes one text at a time, and text_pair_column needs two. Name a BERT.")
        ids = segments[0][:, :seq_length].to_tensor()
        ids = tf.pad(ids, [[0, 0], [0, seq_length - tf.shape(ids)[1]]])
        lengths = tf.minimum(tf.cast(segments[0].row_lengths(), tf.int32), seq_length)
        mask = tf.cast(tf.sequence_mask(lengths, seq_length), tf.int32)
        return {"input_word_ids": ids, "input_mask": mask, "input_type_ids": tf.zeros_like(ids)}
