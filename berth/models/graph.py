"""Check of a SavedModel's graph, without TensorFlow: only ops that stay inside the process are allowed.

MLflow ships this file with the model, so it imports nothing of the project but the errors and the list of ops.
"""

import functools
import json
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from berth.errors import BerthError
from berth.models.allowed_ops import ALLOWED

_Messages: TypeAlias = Mapping[str, message.Message]
"""Messages of _FIELDS by their names: functions, or nodes."""
_SAVE = {"Save", "SaveSlices", "SaveV2", "MergeV2Checkpoints", "ShardedFilename", "ShardedFilespec"}
_RESTORE = {"Restore", "RestoreSlice", "RestoreV2"}
"""Ops of the part of a graph that saves and restores variables, which no signature and no function may reach."""
_TABLE_FILES = {"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"}
"""Ops that read a vocabulary: an asset, which they get from outside of their function."""
_PASSED = {"Placeholder", "PlaceholderWithDefault", "Identity"}

_FIELDS = {
    "SavedModel": "*MetaGraph meta_graphs 2",
    "MetaGraph": "Graph graph 2, Saver saver 3, *Collection collections 4, *Signature signatures 5, *Asset assets 6, "
    "ObjectGraph objects 7",
    "Graph": "*Node nodes 1, Library library 2",
    "Node": "string name 1, string op 2, *string inputs 3, *Attribute attributes 5",
    "Attribute": "string key 1, Value value 2",
    "Value": "Values list 1, bytes s 2, string placeholder 9, Function func 10",
    "Values": "*bytes s 2, *Function func 9",
    "Function": "string name 1, *Attribute attributes 2",
    "Library": "*Body functions 1, *Gradient gradients 2, *Gradient registered 3",
    "Body": "Declaration declaration 1, *Node nodes 3, *Attribute attributes 5",
    "Declaration": "string name 1, *Argument arguments 2",
    "Argument": "string name 1",
    "Gradient": "string first 1, string second 2",
    "Saver": "string filename 1, string save 2, string restore 3",
    "Collection": "string key 1, Collected value 2",
    "Collected": "Texts nodes 1",
    "Texts": "*string value 1",
    "Signature": "string key 1, SignatureBody value 2",
    "SignatureBody": "*NamedTensor inputs 1, *NamedTensor outputs 2, *NamedTensor defaults 4",
    "NamedTensor": "string key 1, Tensor value 2",
    "Tensor": "string name 1, Sparse sparse 4, Composite composite 5",
    "Sparse": "string values 1, string indices 2, string shape 3",
    "Composite": "*Tensor components 2",
    "Asset": "Tensor tensor 1, string filename 2",
    "ObjectGraph": "*Object nodes 1, *Concrete concrete 2",
    "Object": "User user 4, Names function 6, Bare bare 8",
    "User": "string metadata 3",
    "Names": "*string names 1",
    "Bare": "string name 1",
    "Concrete": "string key 1",
    "KerasMetadata": "*KerasNode nodes 1",
    "KerasNode": "string metadata 5",
}
"""The fields of TensorFlow's saved_model.proto, and of Keras' saved_metadata.proto, that this file reads.

Maps and oneofs are read as plain fields: what a later entry would replace is still seen.
"""


def check(folder: str | Path) -> None:
    """Raise BerthError where the SavedModel in `folder` could read or write files or run other code; the reason alone.

    Every node of the graph and of its functions counts, whether something calls it or not. Only the part that saves and
    restores variables may have its ops, where nothing else reaches it.
    """
    folder = Path(folder)
    for name in ("saved_model.cpb", "saved_model.pbtxt"):
        if (folder / name).exists():
            raise BerthError(f"{name} is a second graph, which a loader may prefer to saved_model.pb")
    if (folder / "saved_model.pb").is_file():
        for meta_graph in _parsed("SavedModel", folder / "saved_model.pb").meta_graphs:
            _check_meta_graph(meta_graph)


def check_layers(folder: str | Path) -> None:
    """Raise BerthError where Keras would find a Lambda layer, which is code, in the SavedModel in `folder`.

    TensorFlow's own loader, which loads an encoder, never runs one, and TF-Hub's first BERTs have them.
    """
    folder = Path(folder)
    if (folder / "saved_model.pb").is_file():
        for meta_graph in _parsed("SavedModel", folder / "saved_model.pb").meta_graphs:
            for node in meta_graph.objects.nodes:
                _check_layer(node.user.metadata)
    if (folder / "keras_metadata.pb").is_file():
        for node in _parsed("KerasMetadata", folder / "keras_metadata.pb").nodes:
            _check_layer(node.metadata)


def _parsed(kind: str, path: Path) -> message.Message:
    parsed = _messages()[kind]()
    try:
        parsed.ParseFromString(path.read_bytes())
    except message.DecodeError:
        raise BerthError(f"{path.name} is damaged") from None
    return parsed


@functools.cache
def _messages() -> Mapping[str, type[message.Message]]:
    """Return the classes of the messages in _FIELDS."""
    file = descriptor_pb2.FileDescriptorProto(name="berth_saved_model.proto", package="berth", syntax="proto3")
    kinds = {"string": 9, "bytes": 12}
    for name, fields in _FIELDS.items():
        made = file.message_type.add(name=name)
        for text in fields.split(", "):
            kind, field, number = text.lstrip("*").split()
            label = 3 if text.startswith("*") else 1
            own = made.field.add(name=field, number=int(number), label=label, type=kinds.get(kind, 11))
            if kind not in kinds:
                own.type_name = f".berth.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"berth.{name}")) for name in _FIELDS}


def _check_meta_graph(meta: message.Message) -> None:
    for asset in meta.assets:
        path = PurePosixPath(asset.filename)
        if path.is_absolute() or ".." in path.parts or ":" in asset.filename or "\\" in asset.filename:
            raise BerthError(f"the graph names the asset {asset.filename!r}, which is not in its folder")
    bodies = {body.declaration.name: body for body in meta.graph.library.functions}
    if len(bodies) != len(meta.graph.library.functions):
        raise BerthError("the graph has two functions of one name")
    for name, body in bodies.items():
        # TensorFlow names its own with an underscore; a call looks like an op, so a name may not be one.
        if any(node.op == name and "_" not in name[1:] for node in body.nodes):
            raise BerthError(f"the graph calls a function {name}, which has the name of an op")
    savers = _saving(meta, bodies)
    _check_functions(meta, bodies, savers)
    _check_nodes(meta, bodies, savers)


def _saving(meta: message.Message, bodies: _Messages) -> dict[str, set[str]]:
    """Return the functions that save or restore variables, or call one that does, and the ops that they have for it."""
    found = {
        name: own for name, body in bodies.items() if (own := {node.op for node in body.nodes} & (_SAVE | _RESTORE))
    }
    mentioned = {name: {*_mentioned(body.nodes, bodies), *_texts(body.attributes)} for name, body in bodies.items()}
    while True:
        callers = {
            name: own
            for name, names in mentioned.items()
            if (own := set().union(*(found.get(called, ()) for called in names)) - found.get(name, set()))
        }
        if not callers:
            return found
        for name, own in callers.items():
            found[name] = found.get(name, set()) | own


def _mentioned(nodes: Iterable[message.Message], names: Container[str]) -> Iterator[str]:
    """Yield the functions among `names` that `nodes` call, as an op or by any attribute."""
    for node in nodes:
        if node.op in names:
            yield node.op
        for text in _texts(node.attributes):
            if text in names:
                yield text


def _texts(attributes: Iterable[message.Message]) -> Iterator[str]:
    """Yield the names of functions, and the texts that could be one, in attributes."""
    for attribute in attributes:
        value = attribute.value
        functions = []
        if value.HasField("func"):
            functions.append(value.func)
        if value.HasField("list"):
            functions.extend(value.list.func)
            yield from (text.decode(errors="replace") for text in value.list.s)
        if value.s:
            yield value.s.decode(errors="replace")
        for function in functions:
            yield function.name
            yield from _texts(function.attributes)


def _check_functions(meta: message.Message, bodies: _Messages, savers: Mapping[str, set[str]]) -> None:
    """Raise BerthError for an op that is not allowed, and for a saving function that a caller or a swap can reach."""
    roots = {concrete.key for concrete in meta.objects.concrete}
    for node in meta.objects.nodes:
        roots.update((*node.function.names, node.bare.name))
    for gradient in (*meta.graph.library.gradients, *meta.graph.library.registered):
        roots.update((gradient.first, gradient.second))
    for name, body in bodies.items():
        _check_ops(body.nodes, bodies, from_outside={own.name for own in body.declaration.arguments})
        # Grappler swaps a call for another function that implements the same: then nothing in the graph names it.
        swappable = any(attribute.key.startswith("api_") for attribute in body.attributes)
        if name in savers and (name in roots or swappable):
            raise _refused(min(savers[name]))


def _check_nodes(meta: message.Message, bodies: _Messages, savers: Mapping[str, set[str]]) -> None:
    """Raise BerthError for an op that is not allowed, and for a signature that saves or restores."""
    nodes = {node.name: node for node in meta.graph.nodes}
    if len(nodes) != len(meta.graph.nodes):
        raise BerthError("the graph has two nodes of one name")
    _check_ops(meta.graph.nodes, bodies, from_outside={_node_of(asset.tensor.name) for asset in meta.assets})
    saving = {name: {node.op} for name, node in nodes.items() if node.op in _SAVE | _RESTORE}
    for name, node in nodes.items() if savers else ():
        for function in _mentioned([node], savers):
            saving[name] = saving.get(name, set()) | savers[function]
    for start, refused in ((_roots(meta), _SAVE | _RESTORE), ([meta.saver.restore], _SAVE)):
        for name in _ancestors(nodes, start) & saving.keys():
            if own := saving[name] & refused:
                raise _refused(min(own))


def _roots(meta: message.Message) -> list[str]:
    """Return the tensors that a signature or a collection names."""
    roots = [name for own in meta.collections for name in own.value.nodes.value]
    for signature in meta.signatures:
        for own in (*signature.value.inputs, *signature.value.outputs, *signature.value.defaults):
            roots.extend(_tensor_names(own.value))
    return roots


def _check_ops(nodes: Iterable[message.Message], bodies: _Messages, from_outside: set[str]) -> None:
    """Raise BerthError for a node whose op is neither allowed nor a function, or that reads a file of its own choice.

    `from_outside` are the names of a function's arguments or of the graph's assets.
    """
    nodes = list(nodes)
    for node in nodes:
        if node.op in ALLOWED or node.op in _SAVE or node.op in _RESTORE or node.op in bodies:
            continue
        if node.op not in _TABLE_FILES:
            raise _refused(node.op)
        by_name = {own.name: own for own in nodes}
        source = _node_of(node.inputs[1]) if len(node.inputs) > 1 else ""
        while source in by_name and by_name[source].op in _PASSED and by_name[source].inputs:
            source = _node_of(by_name[source].inputs[0])
        if source not in from_outside and getattr(by_name.get(source), "op", "") not in _PASSED:
            raise BerthError(f"the graph reads a file that is not one of its assets ({node.op})")


def _ancestors(nodes: _Messages, names: Iterable[str]) -> set[str]:
    """Return the names of the nodes in `names` and of all that they take, values and control, directly or not."""
    found: set[str] = set()
    left = [_node_of(name) for name in names]
    while left:
        name = left.pop()
        if name in nodes and name not in found:
            found.add(name)
            left.extend(_node_of(own) for own in nodes[name].inputs)
    return found


def _tensor_names(tensor: message.Message) -> Iterator[str]:
    yield from (tensor.name, tensor.sparse.values, tensor.sparse.indices, tensor.sparse.shape)
    for component in tensor.composite.components:
        yield from _tensor_names(component)


def _node_of(tensor: str) -> str:
    """Return the name of the node in the name of a tensor ("a/b:0", in functions "a/b:output:0") or control input."""
    return tensor.removeprefix("^").partition(":")[0]


def _check_layer(metadata: str) -> None:
    """Raise BerthError where the JSON `metadata` of an object describes a Lambda layer, which is code."""
    try:
        found = json.loads(metadata) if metadata else None
    except ValueError:
        found = None
    left = [found]
    while left:
        own = left.pop()
        if isinstance(own, dict):
            if own.get("class_name") == "Lambda":
                raise _refused("Lambda layer")
            left.extend(own.values())
        elif isinstance(own, list):
            left.extend(own)


def _refused(op: str) -> BerthError:
    return BerthError(f"the graph holds a {op}, which a model must not bring")
