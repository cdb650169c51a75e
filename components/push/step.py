"""The push step: a blessed model becomes the champion, in MLflow's registry and in the serving folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.push import registry, serving


@dataclass(frozen=True)
class Pushed:
    """The version that users now get, and the folder that TensorFlow Serving reads, if one is configured."""

    name: str
    version: str
    folder: Path | None

    def __str__(self) -> str:
        return f"{self.name} version {self.version} is {registry.CHAMPION}"


def push_model(
    saved_model: str | Path,
    name: str,
    push_to: str,
    labels: Sequence[str],
    requirements: Sequence[str],
    tags: Mapping[str, Any],
) -> Pushed:
    """Log, register and publish the model under the active MLflow run; the alias that users follow moves last.

    Whatever fails before that leaves the champion and its serving folder as they were. An empty `push_to` means the
    registry alone.

    Raises:
        BerthError: the serving folder cannot be written.
    """
    folder = serving.prepare(push_to, name) if push_to else None
    version = registry.register(registry.log_model(saved_model, labels, requirements), name, tags)
    target = None
    if folder:
        try:
            target = serving.publish(saved_model, folder, version)
        except BaseException:
            registry.withdraw(name, version)
            raise
    registry.make_champion(name, version)
    return Pushed(name, version, target)
