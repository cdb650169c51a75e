"""Graphs that could reach outside of their process are refused before TensorFlow loads them; on real SavedModels."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import tensorflow as tf
import tensorflow_text as text
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from berth.encoders import loading, resolve
from berth.errors import BerthError
from berth.models import graph
from berth.models.allowed_ops import ALLOWED
from tests.support import allowed_ops

IDS = tf.TensorSpec([None], tf.string)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A module with a variable, a nested function and a signature."""
    module = tf.Module()
    module.weight = tf.Variable(2.0)
    inner = tf.function(lambda x: x * module.weight)
    module.__call__ = tf.function(lambda x: inner(x) + 1.0, input_signature=[tf.TensorSpec([None])])
    folder = tmp_path_factory.mktemp("plain")
    tf.saved_model.save(module, str(folder), signatures=module.__call__)
    return folder


@pytest.fixture
def model(plain, tmp_path) -> SimpleNamespace:
    """A copy of `plain` to spoil: its proto, and `refused`, which writes it and asserts the reason."""
    folder = Path(shutil.copytree(plain, tmp_path / "model"))
    proto = SavedModel.FromString((folder / "saved_model.pb").read_bytes())

    def refused(*words: str, data: bytes | None = None) -> None:
        (folder / "saved_model.pb").write_bytes(proto.SerializeToString() if data is None else data)
        with pytest.raises(BerthError) as caught:
            loading.load("encoder", str(folder), "hub/bert")
        assert all(word in str(caught.value) for word in ("encoder: 'hub/bert' cannot be loaded (", *words))

    meta = proto.meta_graphs[0]
    functions = meta.graph_def.library.function
    call = next(own for own in functions if "call" in own.signature.name or "lambda" in own.signature.name)
    saver = next(own for own in functions if "traced_save" in own.signature.name)
    return SimpleNamespace(folder=folder, proto=proto, meta=meta, call=call, saver=saver, refused=refused)


@pytest.mark.parametrize("when", ["called", "loaded"])
def test_an_encoder_that_writes_a_file_is_not_loaded(tmp_path, when):
    """Neither from a folder, nor where a table's initializer would do it while the encoder is loaded."""
    written = tmp_path / "written"

    class Writes(tf.Module):
        @tf.function(input_signature=[IDS])
        def __call__(self, texts):
            tf.io.write_file(str(written), "x")
            return texts

    class Resource(tf.saved_model.experimental.TrackableResource):
        def _create_resource(self):
            return tf.raw_ops.AnonymousHashTable(key_dtype=tf.string, value_dtype=tf.int64)

        def _initialize(self):
            tf.io.write_file(str(written), "x")

    module = Writes() if when == "called" else tf.Module()
    module.resource = Resource() if when == "loaded" else None
    tf.saved_model.save(module, str(tmp_path / "m"))
    written.unlink(missing_ok=True)
    for use in (
        lambda: resolve.resolve(str(tmp_path / "m"), ""),
        lambda: loading.load("encoder", str(tmp_path / "m"), "m"),
    ):
        with pytest.raises(BerthError, match=r"cannot be loaded \(the graph holds a WriteFile, which a model must not"):
            use()
    assert not written.exists()


@pytest.mark.parametrize(
    "op",
    [
        *("ImmutableConst", "DebugIdentity", "DebugIdentityV2", "DebugIdentityV3", "DecodeProtoV2", "EncodeProto"),
        *("LMDBReader", "DataServiceDatasetV4", "LoadAndRemapMatrix", "PyFuncStateless", "XlaCustomCallV2", "ReadFile"),
        *(
            "Copy",
            "CopyHost",
            "GenerateVocabRemapping",
            "PrintV2",
            "FixedUnigramCandidateSampler",
            "Skipgram",
            "NoSuchOp",
        ),
        *("SaveV2", "MergeV2Checkpoints", "ShardedFilename", "RestoreV2"),
    ],
)
def test_an_op_that_reaches_outside_is_refused(model, op):
    model.call.node_def.add(name="more", op=op)
    model.refused(f"the graph holds a {op}, which a model must not bring")


@pytest.mark.parametrize("way", ["attribute", "list", "op", "swapped", "gradient", "root"])
def test_a_function_that_saves_is_refused_where_it_can_be_called(model, way):
    """By an attribute, as an op, as what grappler puts in another's place, as a gradient, or by TensorFlow's loader."""
    saver = model.saver.signature.name
    graph.check(model.folder)
    if way == "attribute":
        model.call.node_def.add(name="more", op="PartitionedCall").attr["f"].func.name = saver
    elif way == "list":
        model.call.node_def.add(name="more", op="Case").attr["branches"].list.func.add(name=saver)
    elif way == "op":
        model.call.node_def.add(name="more", op=saver)
    elif way == "swapped":
        model.saver.attr["api_implements"].s = b"x"
    elif way == "gradient":
        model.meta.graph_def.library.gradient.add(function_name="f", gradient_func=saver)
    else:
        model.meta.object_graph_def.nodes.add().function.concrete_functions.append(saver)
    model.refused("the graph holds a MergeV2Checkpoints")


def test_a_signature_that_saves_or_restores_is_refused(model):
    own, saver = model.meta.signature_def["serving_default"].outputs["output_0"], model.meta.saver_def
    for tensor, op in ((saver.save_tensor_name, "MergeV2Checkpoints"), (saver.restore_op_name, "RestoreV2")):
        own.name = tensor
        model.refused(op)
    own.name = ""
    saver.restore_op_name = saver.save_tensor_name
    model.refused("MergeV2Checkpoints")


def field(number: int, *parts: bytes, overlong: bool = True) -> bytes:
    """Return a field of a message, its length as a varint of one byte more than it needs."""
    content = b"".join(parts)
    low, high = len(content) & 127, len(content) >> 7
    return bytes([number << 3 | 2, low | 128, high | 128, 0] if overlong else [number << 3 | 2, len(content)]) + content


@pytest.mark.parametrize("overlong", [False, True])
def test_an_op_is_found_however_it_is_written(model, overlong):
    """In a second graph, in a message that comes in two parts, and with lengths that are longer than need be."""
    node = field(1, field(1, b"m", overlong=overlong), field(2, b"WriteFile", overlong=overlong), overlong=overlong)
    assert SavedModel.FromString(field(2, field(2, node))).meta_graphs[0].graph_def.node[0].op == "WriteFile"
    model.refused("WriteFile", data=model.proto.SerializeToString() + field(2, field(2, node)))
    in_parts = field(2, field(2), field(2, node), field(2), overlong=overlong)
    model.refused("WriteFile", data=in_parts + model.proto.SerializeToString())


def test_files_and_graphs_of_a_models_own_choice_are_refused(model):
    model.meta.asset_file_def.add(filename="../../etc/passwd")
    model.refused("'../../etc/passwd', which is not in its folder")
    model.meta.asset_file_def[-1].filename = "/etc/passwd"
    model.refused("not in its folder")
    del model.meta.asset_file_def[-1]
    model.call.node_def.add(name="path", op="Const")
    model.call.node_def.add(name="table", op="InitializeTableFromTextFileV2", input=["x", "path:output:0"])
    model.refused("reads a file that is not one of its assets (InitializeTableFromTextFileV2)")
    (model.folder / "saved_model.cpb").touch()
    model.refused("saved_model.cpb is a second graph")


def test_allowed_ops_are_those_derived_from_tensorflow():
    """Where TensorFlow changes: `python -m tests.support.allowed_ops > berth/models/allowed_ops.py`; read the diff."""
    derived = allowed_ops.derived()
    assert sorted(derived ^ ALLOWED) == []
    assert allowed_ops.source(derived) == Path(graph.__file__).with_name("allowed_ops.py").read_text()


def test_models_as_hubs_have_them_pass(tiny, tmp_path):
    """BERT and its preprocessor, TensorFlow Text's tokenisers, a table of words with sparse embeddings as NNLM has."""
    for folder in (tiny.encoder, tiny.preprocessor):
        graph.check(folder)
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\nhello\nworld\n##s\n")
    words = tf.lookup.TextFileInitializer(
        str(tmp_path / "vocab.txt"),
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )

    class Nnlm(tf.Module):
        def __init__(self):
            self.table = tf.lookup.StaticVocabularyTable(words, 3)
            self.bert = text.BertTokenizer(self.table, token_out_type=tf.int64)
            self.fast = text.FastWordpieceTokenizer(["[UNK]", "a", "##b"], support_detokenization=True)
            self.embeddings = tf.Variable(tf.ones([9, 4]))

        @tf.function(input_signature=[IDS])
        def __call__(self, texts):
            cleaned = tf.strings.regex_replace(text.normalize_utf8(text.case_fold_utf8(texts), "NFKC"), r"\pP", "")
            ids = self.table.lookup(tf.strings.split(cleaned)).to_sparse()
            tf.debugging.assert_less(tf.size(ids), 1000)
            own = tf.nn.embedding_lookup_sparse(self.embeddings, ids, None, combiner="sqrtn")
            others = (
                self.bert.tokenize(texts).merge_dims(-2, -1).row_lengths() + self.fast.tokenize(texts).row_lengths()
            )
            return own + tf.cast(others[:, None], tf.float32)

    tf.saved_model.save(Nnlm(), str(tmp_path / "nnlm"))
    assert loading.load("encoder", str(tmp_path / "nnlm"), "nnlm")(tf.constant(["hello worlds"])).shape == [1, 4]


def test_ops_of_keras_layers_are_allowed():
    """Recurrent layers bring a function for GPUs, which grappler swaps in; exports may have an optimizer's ops."""
    assert {"CudnnRNNV3", "DeviceIndex", "While", "TensorListStack", "ResourceApplyAdam", "SentencepieceOp"} <= ALLOWED


_BAD = ["WriteFile", "PrintV2", "EagerPyFunc", "ImmutableConst"]


@pytest.fixture(scope="module")
def spoiled(plain) -> bytes:
    """A model with ops that must not be in the graph, in a function and in an attribute's function."""
    proto = SavedModel.FromString((plain / "saved_model.pb").read_bytes())
    del proto.meta_graphs[0].object_graph_def.nodes[:]
    library = proto.meta_graphs[0].graph_def.library.function
    library[0].node_def.add(name="more", op=_BAD[0])
    proto.meta_graphs[0].graph_def.node.add(name="more", op=_BAD[1])
    proto.meta_graphs[0].graph_def.library.function.add().node_def.add(name="m", op=_BAD[2])
    proto.meta_graphs.add().graph_def.node.add(name="more", op=_BAD[3])
    return proto.SerializeToString()


MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "repeat", "move"]),
        st.integers(0),
        st.integers(0, 63),
        st.binary(max_size=4),
    ),
    min_size=1,
    max_size=6,
)


def mutated(data: bytes, changes) -> bytes:
    """Return `data` with each change made at a place near one of its ops, or anywhere."""
    for kind, where, size, new in changes:
        place = where % (len(data) + 1)
        if where % 3:
            near = data.find(_BAD[where % len(_BAD)].encode())
            place = min(len(data), max(0, near + where % 24 - 12))
        before, piece, after = data[:place], data[place : place + size % 16 + 1], data[place + size % 16 + 1 :]
        data = {
            "flip": before + bytes(byte ^ (1 << size % 8) for byte in piece[:1]) + piece[1:] + after,
            "cut": before + after,
            "insert": before + new + piece + after,
            "repeat": before + piece + piece + after,
            "move": piece + before + after,
        }[kind]
    return data


def reaches_outside(data: bytes) -> bool:
    """Return whether TensorFlow's own parser finds an op that is not allowed, anywhere but in what saves variables."""
    try:
        metas = SavedModel.FromString(data).meta_graphs
    except Exception:
        return False
    for meta in metas:
        functions = {own.signature.name for own in meta.graph_def.library.function}
        bodies = [meta.graph_def.node, *(own.node_def for own in meta.graph_def.library.function)]
        ops = {node.op for body in bodies for node in body}
        known = ALLOWED | functions | graph._SAVE | graph._RESTORE | graph._TABLE_FILES
        if ops - known:
            return True
    return False


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@example(changes=[("insert", 0, 0, b"")])
@given(changes=MUTATIONS)
def test_no_mutation_hides_an_op_from_the_check(spoiled, tmp_path_factory, changes):
    """What TensorFlow would read from the mutated bytes decides, not what Berth makes of them."""
    data = mutated(spoiled, changes)
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    folder.mkdir(exist_ok=True)
    (folder / "saved_model.pb").write_bytes(data)
    try:
        graph.check(folder)
    except BerthError:
        return
    assert not reaches_outside(data)
