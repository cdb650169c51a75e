"""A copy of an exported classifier that answers with logits: of a sure model's probabilities no gradient is left."""

from pathlib import Path
from typing import TYPE_CHECKING

from berth.errors import BerthError

if TYPE_CHECKING:
    import tensorflow as tf
    from tensorflow.core.framework.function_pb2 import FunctionDef

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_PASSED = ("Identity", "Cast")
_SQUASHES = {"Sigmoid": "y", "Softmax": "softmax"}
"""The last ops of classifiers, and the names of their outputs."""


def with_logits(model: str | Path, scratch: str | Path, signature: str, output: str) -> str:
    """Write a copy of the SavedModel `model` to `scratch`, whose `output` of `signature` is logits; return its folder.

    The last op of the graph, a sigmoid or a softmax, becomes the identity. What train exports for two classes, [1 - p,
    p], is then [1 - logit, logit]. The copy links to the variables and assets of `model`, and has the same signatures.

    Raises:
        BerthError: the output is not made by a sigmoid or a softmax.
    """
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    source, folder = Path(model).absolute(), Path(scratch) / "logits"
    saved = SavedModel()
    saved.ParseFromString((source / "saved_model.pb").read_bytes())
    meta = saved.meta_graphs[0]
    if not _unsquash(meta.graph_def, meta.signature_def[signature].outputs[output].name):
        raise BerthError(f"{model}: its {output} do not come from a sigmoid or a softmax, so it cannot be explained.")
    folder.mkdir()
    for path in source.iterdir():
        if path.name not in ("saved_model.pb", "fingerprint.pb"):  # the fingerprint is of saved_model.pb, which changes
            (folder / path.name).symlink_to(path)
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    return str(folder)


def _unsquash(graph: "tf.compat.v1.GraphDef", tensor: str) -> bool:
    """Make the sigmoid or softmax that `tensor` of `graph` comes from the identity; return whether there is one."""
    functions = {function.signature.name: function for function in graph.library.function}
    body, nodes = None, {node.name: node for node in graph.node}
    while True:
        name, *place = tensor.split(":")
        node = nodes.get(name)
        if node is None:
            return False
        if node.op in _SQUASHES and body is not None:
            _make_identity(body, node)
            return True
        if node.op in _CALLS and node.attr["f"].func.name in functions:
            body = functions[node.attr["f"].func.name]
            nodes = {own.name: own for own in body.node_def}
            tensor = body.ret[body.signature.output_arg[int(place[-1]) if place else 0].name]
        elif node.op in _PASSED:
            tensor = node.input[0]
        elif node.op == "ConcatV2" and len(node.input) == 3:  # [1 - p, p] and the axis
            tensor = node.input[1]
        else:
            return False


def _make_identity(body: "FunctionDef", node: "tf.compat.v1.NodeDef") -> None:
    """Make `node` of a function an identity, whose output has another name than that of a sigmoid or a softmax."""
    old, new = f"{node.name}:{_SQUASHES[node.op]}:0", f"{node.name}:output:0"
    node.op = "Identity"
    for other in body.node_def:
        for place, tensor in enumerate(other.input):
            if tensor == old:
                other.input[place] = new
    for name, tensor in body.ret.items():
        if tensor == old:
            body.ret[name] = new
