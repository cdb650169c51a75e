"""Dropout whose masks depend only on the run's seed, the step and the place, so that a resumed run draws the same ones.

The random ops of a TF-Hub encoder keep a counter in their kernels, which starts at zero in each process, and most are
exported without a seed, so no two runs are the same. `with_seeded_dropout` replaces them, before TF-Hub loads the
encoder, with stateless ops that read a variable, which `Seeds.set` assigns before each step. The variable is found by
its name, because a function of a SavedModel has a fixed signature.
"""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework.function_pb2 import FunctionDef, FunctionDefLibrary
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.core.protobuf.saved_object_graph_pb2 import SavedObjectGraph

from berth.encoders.adapter import LoadedModel

_VARIABLE = "berth/dropout_seed"
_DEVICE = "/device:CPU:0"
"""Stateless ops read their seed from host memory, on a GPU too."""
_STATELESS = {
    "RandomUniform": "StatelessRandomUniform",
    "RandomStandardNormal": "StatelessRandomNormal",
    "TruncatedNormal": "StatelessTruncatedNormal",
}
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_PLACE = 32
"""The first bit, in the seed's first number, of the place: a random op, or the head (place 0)."""
_WORKER, _STEP = 16, 32
"""The first bits, in the seed's second number, of the process and the step; the lowest bits are the step's part."""


class Seeds:
    """The seed that all dropout of an encoder and its head draws from.

    Args:
        encoder: The loaded SavedModel that `with_seeded_dropout` wrote.
        seed: The seed of the run.

    Example:
        >>> encoder = load("encoder", with_seeded_dropout(folder, scratch), "minilm")
        >>> Seeds(encoder, seed=0).set(step=17, part=0)  # the masks of step 17, in any process
    """

    def __init__(self, encoder: LoadedModel, seed: int) -> None:
        self._seed = seed % 2**_PLACE
        with tf.device(_DEVICE):
            self._handle = tf.raw_ops.VarHandleOp(dtype=tf.int64, shape=[2], shared_name=_variable_of(encoder))
        self.set(0, 0)

    def set(self, step: int, part: int, worker: int = 0) -> None:
        """Set the seed for the next gradients: those of the `part` of `step`, in the process `worker` of the run.

        The replicas of one process draw the same masks, each for its own texts.
        """
        with tf.device(_DEVICE):
            value = tf.constant([self._seed, (step << _STEP) + (worker << _WORKER) + part], tf.int64)
            tf.raw_ops.AssignVariableOp(resource=self._handle, value=value)

    def dropout(self, x: tf.Tensor, rate: float) -> tf.Tensor:
        """Return `x`, float of any shape, with dropout: each value is 0 with the probability `rate`.

        A model may use this once, in addition to its encoder's dropouts.
        """
        with tf.device(_DEVICE):
            seed = tf.raw_ops.ReadVariableOp(resource=self._handle, dtype=tf.int64)
        return tf.nn.experimental.stateless_dropout(x, rate, seed)

    def shuffled(self, x: tf.Tensor) -> tf.Tensor:
        """Return the rows of `x`, a tensor of any type and shape, in a random order."""
        with tf.device(_DEVICE):
            seed = tf.raw_ops.ReadVariableOp(resource=self._handle, dtype=tf.int64)
            return tf.random.experimental.stateless_shuffle(x, seed)


def _variable_of(encoder: LoadedModel) -> str:
    """Return the name of the seed variable of `encoder`: TensorFlow makes it unique when it loads the encoder."""
    for function in getattr(encoder.__call__, "concrete_functions", ()):
        graph = function.graph.as_graph_def()
        for nodes in (graph.node, *(own.node_def for own in graph.library.function)):
            for node in nodes:
                if node.op == "VarHandleOp" and node.attr["shared_name"].s.startswith(_VARIABLE.encode()):
                    return str(node.attr["shared_name"].s.decode())
    return f"{_VARIABLE}_{id(encoder)}"  # an encoder without dropout


def with_seeded_dropout(encoder: str, scratch: str | Path) -> str:
    """Write a copy of the SavedModel `encoder` with its random training ops replaced to `scratch`; return its folder.

    The copy links to the variables and assets of `encoder`. If there is nothing to replace, `encoder` is returned. A
    random op inside a loop is not replaced.
    """
    source = Path(encoder).absolute()
    model = SavedModel()
    try:
        model.ParseFromString((source / "saved_model.pb").read_bytes())
    except (OSError, DecodeError):  # loading it will report the problem
        return encoder
    graph = model.meta_graphs[0]
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    roots = [root for root in _called_functions(graph.object_graph_def) if _is_random(functions, root)]
    if not roots:
        return encoder
    copies = itertools.count()
    for root in roots:
        _replace(functions, graph.graph_def.library, functions[root], itertools.count(1), copies)
    folder = Path(tempfile.mkdtemp(prefix="encoder-", dir=scratch))
    for path in source.iterdir():
        if path.name not in ("saved_model.pb", "fingerprint.pb"):  # the fingerprint is of saved_model.pb, which changes
            (folder / path.name).symlink_to(path)
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    return str(folder)


def _called_functions(objects: SavedObjectGraph) -> list[str]:
    """Return the names of the concrete functions behind the root object's __call__, which is what TF-Hub calls."""
    for child in objects.nodes[0].children if objects.nodes else ():
        if child.local_name == "__call__":
            return list(objects.nodes[child.node_id].function.concrete_functions)
    return []


def _is_random(functions: dict[str, FunctionDef], name: str) -> bool:
    return any(
        node.op in _STATELESS or (node.op in _CALLS and _is_random(functions, node.attr["f"].func.name))
        for node in functions[name].node_def
    )


def _replace(
    functions: dict[str, FunctionDef],
    library: FunctionDefLibrary,
    function: FunctionDef,
    places: Iterator[int],
    copies: Iterator[int],
) -> None:
    """Replace the random ops of `function` and its callees, with one copy per call: else masks would repeat."""
    for node in list(function.node_def):
        if node.op in _CALLS and _is_random(functions, called := node.attr["f"].func.name):
            copy = library.function.add()
            copy.CopyFrom(functions[called])
            copy.signature.name = node.attr["f"].func.name = f"{called}_dropout_{next(copies)}"
            _replace(functions, library, copy, places, copies)
        elif node.op in _STATELESS:
            _make_stateless(function, node, next(places))


def _make_stateless(function: FunctionDef, node: tf.compat.v1.NodeDef, place: int) -> None:
    def add(suffix: str, op: str, inputs: list[str], **attributes: tf.compat.v1.AttrValue) -> None:
        made = function.node_def.add(name=f"{node.name}/{suffix}", op=op, input=inputs, device=_DEVICE)
        for key, value in attributes.items():
            made.attr[key].CopyFrom(value)

    integer = tf.compat.v1.AttrValue(type=tf.int64.as_datatype_enum)
    shape = tf.compat.v1.AttrValue(shape=tf.TensorShape([2]).as_proto())
    offset = tf.compat.v1.AttrValue(tensor=tf.make_tensor_proto([place << _PLACE, 0], tf.int64))
    name = tf.compat.v1.AttrValue(s=_VARIABLE.encode())
    add("seed_handle", "VarHandleOp", [], dtype=integer, shape=shape, shared_name=name)
    add("seed_of_step", "ReadVariableOp", [f"{node.name}/seed_handle:resource:0"], dtype=integer)
    add("seed_of_place", "Const", [], dtype=integer, value=offset)
    parts = [f"{node.name}/seed_of_step:value:0", f"{node.name}/seed_of_place:output:0"]
    add("seed", "AddV2", parts, T=integer)
    node.op = _STATELESS[node.op]
    node.input.insert(1, f"{node.name}/seed:z:0")
    for key in ("seed", "seed2"):
        node.attr.pop(key, None)
    node.attr["Tseed"].CopyFrom(integer)
