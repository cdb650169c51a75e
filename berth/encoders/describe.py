"""Description of a SavedModel of the TF-Hub text API: encoder or preprocessor, its size, inputs and outputs."""

from berth.encoders import adapter, vocabulary
from berth.encoders.fetch.cache import TextModel
from berth.encoders.loading import load
from berth.encoders.pooling import method, resolve_auto
from berth.errors import BerthError


def examine(field: str, folder: str, handle: str) -> TextModel:
    """Load the SavedModel in `folder` and describe it; `handle` is the user's name for it.

    Raises:
        BerthError: it cannot be loaded, or is neither an encoder nor a preprocessor that Berth can use.
    """
    loaded = load(field, folder, handle)
    if hasattr(loaded, "tokenize"):
        if not hasattr(loaded, "bert_pack_inputs"):
            raise BerthError(
                f"{field}: {handle!r} has tokenize but not bert_pack_inputs. Name a TF-Hub preprocessor that packs."
            )
        known = vocabulary.size(loaded, folder)
        tokens = f"{known:,} tokens" if known else "a vocabulary of unknown size"
        return TextModel(kind="preprocessor", tokens=known, words=[f"preprocessor of {tokens}"])
    own = adapter.of_encoder(loaded, handle)
    outputs = own.outputs(loaded)
    table = vocabulary.rows(loaded, own, 0)
    words = [
        f"encoder of {table:,} tokens" if table else "encoder",
        f"takes {', '.join(own.names)}{' as a list' if own.as_list else ''}",
        f"gives {', '.join(sorted(outputs))}; pooling auto takes {method(outputs, resolve_auto('auto', folder))}",
    ]
    if callable(getattr(loaded, "mlm", None)):
        words.append("has the heads of pre-training (part mlm)")
    if not own.takes_training:
        words.append("has no dropout that training could switch on")
    return TextModel(kind="encoder", tokens=table, words=words)
