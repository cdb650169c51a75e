"""Changes that Kubeflow Pipelines makes to the outputs of a step before the next step has them.

After kubeflow/pipelines, backend/src/v2: the launcher reads the executor's output as protobuf JSON and stores
artifacts in ML Metadata (component/launcher_v2.go, metadata/converter.go: StructValueToMLMDValue); the driver reads
them back (toRuntimeArtifact) and passes everything to the next launcher as one argument (driver/container.go).
"""

import json
import math
from typing import Any

from google.protobuf import json_format, struct_pb2

LONGEST_ARGUMENT = 128 * 1024
"""Bytes of one argument of a process, of Linux: MAX_ARG_STRLEN."""


def round_trip(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return what the next step finds in an artifact's metadata; ValueError where the step would fail."""
    text = json.dumps(metadata, allow_nan=False)  # protojson knows no NaN
    message = json_format.Parse(text, struct_pb2.Struct())
    stored = {key: _stored(value) for key, value in message.fields.items() if key != "_kfp_workspace"}
    return {key: _plain(value) for key, value in stored.items()}


def check_argument(executor_input: str) -> None:
    """Raise ValueError for an input that is too long for a launcher's argument."""
    if (size := len(executor_input.encode())) >= LONGEST_ARGUMENT:
        raise ValueError(f"exec: argument list too long: {size:,} bytes of executor input")


def _stored(value: struct_pb2.Value) -> struct_pb2.Value:
    match value.WhichOneof("kind"):
        case "string_value" | "number_value":
            return value
        case "bool_value":
            return struct_pb2.Value(number_value=int(value.bool_value))
        case "list_value":
            return _wrapped("list", value)
        case "struct_value":
            return _wrapped("struct", value)
    raise ValueError("unknown/unsupported value type *structpb.Value_NullValue")


def _wrapped(name: str, value: struct_pb2.Value) -> struct_pb2.Value:
    return struct_pb2.Value(struct_value=struct_pb2.Struct(fields={name: value}))


def _plain(value: struct_pb2.Value) -> Any:
    """Return `value` as a JSON reader has it: Go writes a number that is whole without a point."""
    found = json_format.MessageToDict(value)
    return int(found) if isinstance(found, float) and math.isfinite(found) and found.is_integer() else found
