"""Checkpoints of a training run: the state it needs to continue after a crash, in a folder or a bucket.

A checkpoint is one safetensors file, so that it is complete or absent, both on a disk (which renames it) and in an
object store (which shows it when the upload ends). Its name is its number and the SHA-256 of its bytes; its header
holds the position and the identity of the run as JSON.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from berth.errors import BerthError
from berth.models.integrity import sha256_of
from berth.training.checkpoint_storage import CheckpointFolder, at

if TYPE_CHECKING:
    import numpy as np


Restored: TypeAlias = "tuple[dict[str, np.ndarray], dict[str, Any]]"
"""The arrays of a checkpoint by name, and the position of the training, as JSON has it."""
_KEPT = 2
_POSITION = "position"
_NAME = re.compile(r"^(\d{6,})-([0-9a-f]{64})\.safetensors$")


@dataclass(frozen=True)
class _Found:
    number: int
    digest: str
    name: str


class Checkpoints:
    """The checkpoints of one training run, in a folder that several runs may share.

    Args:
        folder: A local folder, `s3://BUCKET/...` or `gs://BUCKET/...`. The run's own checkpoints are in a subfolder
            named by a digest of `identity`, so that runs do not mix.
        identity: The facts that must be the same to continue from a checkpoint: data, settings, encoder, seed, code.

    Raises:
        BerthError: `folder` is not an address that can hold checkpoints.

    Example:
        >>> checkpoints = Checkpoints("s3://checkpoints/sms-spam", {"seed": "0"})
        >>> checkpoints.save({"state/step": np.array(17)}, {"epoch": 1})
        >>> arrays, position = checkpoints.restore()
    """

    def __init__(self, folder: str, identity: Mapping[str, str]) -> None:
        self.identity = dict(identity)
        digest = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:16]
        self._given = at(folder)
        folder = folder.rstrip("/")
        self._own = self._given if folder.rpartition("/")[2] == digest else at(f"{folder}/{digest}")

    @property
    def address(self) -> str:
        """The address of the run's own checkpoints."""
        return self._own.address

    def save(self, arrays: "Mapping[str, np.ndarray]", position: Mapping[str, object]) -> None:
        """Write a checkpoint, and remove all but the last two.

        `arrays` are of any type and shape, by name; `position` is a dict of what JSON can hold.

        If it cannot be written, a message is printed, training continues, and the checkpoint before stays. Nothing is
        written if a number is not finite: a step with a finite loss may leave such weights, and the next step fails.
        """
        import numpy as np
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        if not all(np.isfinite(array).all() for array in arrays.values()):
            return
        header = {"position": json.dumps(position), "identity": json.dumps(self.identity, sort_keys=True)}
        # safetensors writes an array's bytes in memory order
        own = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        try:
            there = self._found()
            number = there[-1].number + 1 if there else 1
            with self._own.scratch() as file:
                save_file(own, file, header)
                self._own.write(f"{number:06}-{sha256_of(file)}.safetensors", file)
            for old in there[: 1 - _KEPT]:
                self._own.remove(old.name)
        except (BerthError, OSError, SafetensorError) as error:
            print(f"no checkpoint saved: {error}. Training continues.".replace("..", "."), flush=True)

    def restore(self) -> "Restored | None":
        """Return the arrays and the position of the newest intact checkpoint; None: there is none.

        A damaged one is reported in a printed line and removed.

        Raises:
            BerthError: the folder cannot be written, or it directly holds checkpoints of another run.
        """
        if self._own is not self._given:
            for newest in _checkpoints(self._given)[-1:]:
                self._read(self._given, newest)
        self._own.prepare()
        there = self._found()
        while there:
            newest = there.pop()
            if restored := self._read(self._own, newest):
                return restored
            going_on = "going on from the one before" if there else "starting from the beginning"
            print(f"checkpoint {self.address}/{newest.name} is damaged: {going_on}", flush=True)
            self._own.remove(newest.name)
        return None

    def clear(self) -> None:
        """Remove the run's checkpoints, after it has succeeded."""
        for found in self._found():
            self._own.remove(found.name)
        self._own.remove_empty()

    def _found(self) -> list[_Found]:
        return _checkpoints(self._own)

    def _read(self, folder: CheckpointFolder, found: _Found) -> "Restored | None":
        """Return the contents of `found`, None if it is damaged; raise BerthError if it belongs to another run."""
        from safetensors import safe_open

        with folder.read(found.name) as file:
            try:
                if sha256_of(file) != found.digest:
                    return None
            except OSError:  # a disk that cannot read it back
                return None
            with safe_open(file, "numpy") as stored:
                header = stored.metadata()
                self._check_identity(folder, json.loads(header["identity"]))
                return {name: stored.get_tensor(name) for name in stored.keys()}, json.loads(header["position"])  # noqa: SIM118

    def _check_identity(self, folder: CheckpointFolder, identity: Mapping[str, str]) -> None:
        names = self.identity.keys() | identity.keys()
        if differ := sorted(name for name in names if self.identity.get(name) != identity.get(name)):
            raise BerthError(
                f"checkpoints: {folder.address} holds a checkpoint of another run ({', '.join(differ)} differ). "
                "Name another folder, or remove that checkpoint."
            )


def packed(restored: "Restored | None") -> bytes:
    """Return the result of Checkpoints.restore as bytes, for other processes of the run.

    Example:
        >>> packed(None)  # no checkpoint was there
        b''
    """
    import numpy as np
    from safetensors.numpy import save

    if restored is None:
        return b""
    arrays, position = restored
    text = np.frombuffer(json.dumps(position).encode(), np.uint8)
    return bytes(save({**arrays, _POSITION: text}))


def unpacked(content: bytes) -> "Restored | None":
    """Return the value that `packed` was called with.

    Example:
        >>> import numpy as np
        >>> arrays, position = unpacked(packed(({"state/step": np.array(17)}, {"epoch": 1})))
        >>> int(arrays["state/step"]), position
        (17, {'epoch': 1})
    """
    from safetensors.numpy import load

    if not content:
        return None
    arrays = load(content)
    return arrays, json.loads(arrays.pop(_POSITION).tobytes())


def _checkpoints(folder: CheckpointFolder) -> list[_Found]:
    """Return the checkpoints in `folder`, oldest first."""
    matches = (_NAME.match(name) for name in folder.names())
    return sorted((_Found(int(match[1]), match[2], match[0]) for match in matches if match), key=lambda one: one.number)
