"""The devices that training runs on: one, all GPUs of a machine, or those of several machines.

The rows of a batch are assigned to the replicas, each computes the gradients of its share, and their sum updates every
replica's copy of the weights in the same way. The variable TF_CONFIG lists several machines (Kubeflow's Training
Operator sets it); each process runs the same step on the same data, and only the chief writes.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np
import tensorflow as tf

from berth.errors import BerthError, first_line
from berth.lean_import import allow_memory_growth
from berth.training.gradient import Gradient
from berth.training.preemption import Preempted

T = TypeVar("T")
_GPU_MULTIPLE = 16
"""Tensor cores work on tiles of 8 or 16, and few lengths are few shapes."""
_CHUNK = 2**24
"""Numbers of four bytes per transfer."""


class Devices:
    """Replicas of the model, `here` in this process and `replicas` in all; `find` makes it.

    Args:
        strategy: TensorFlow's way to keep the replicas alike.
        worker: The place of this process among those of the run.
        chief: Whether it is the one that writes.
        gpu: Whether the replicas are on GPUs.

    Example:
        >>> devices = Devices(tf.distribute.get_strategy(), worker=0, chief=True)
        >>> devices.alone, [rows.tolist() for rows in devices.share(np.array([4, 2]), np.arange(9))]
        (True, [[4, 2]])
    """

    def __init__(self, strategy: tf.distribute.Strategy, worker: int, chief: bool, gpu: bool = False) -> None:
        self.strategy = strategy
        self.worker = worker
        self.chief = chief
        """Whether this process is the one that writes."""
        self.multiple = _GPU_MULTIPLE if gpu else 1
        """What the lengths of batches are rounded up to."""
        self.replicas: int = strategy.num_replicas_in_sync
        self.here: int = self.replicas if self.replicas == 1 else len(strategy.extended.worker_devices)

    @property
    def alone(self) -> bool:
        """Whether this is the only process of the run."""
        return self.replicas == self.here

    def scope(self) -> AbstractContextManager[object]:
        """Return the context in which the variables of the model and the optimizer must be made."""
        return self.strategy.scope()

    def share(self, rows: np.ndarray, widths: np.ndarray) -> list[np.ndarray]:
        """Return the rows of a batch that each replica here gets, row numbers [rows] each.

        `widths` are the tokens of every row of the split, int64 [rows of the split].
        """
        own = assign(rows, widths[rows], self.replicas) if self.replicas > 1 else [rows]
        return own[self.worker * self.here : (self.worker + 1) * self.here]

    def run(self, replica: Callable[[int], T]) -> T:
        """Run `replica(index)` in each replica here, inside a compiled function; return what the first one returns."""
        if self.replicas == 1:
            return replica(0)

        @tf.autograph.experimental.do_not_convert
        def call() -> T:
            number = tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group)
            return replica(int(number) % self.here)

        results = self.strategy.run(call)
        return tf.nest.map_structure(lambda value: self.strategy.experimental_local_results(value)[0], results)

    def sum(self, values: Sequence[Gradient]) -> list[Gradient]:
        """Return each of `values` summed over all replicas; called in `run`. None stays None, IndexedSlices sparse."""
        if self.replicas == 1:
            return list(values)
        # identity: a tensor from outside the replica has no device yet, and all_reduce needs one.
        given = [tf.identity(value) if isinstance(value, tf.Tensor) else value for value in values if value is not None]
        summed = iter(tf.distribute.get_replica_context().all_reduce("SUM", given))
        return [None if value is None else next(summed) for value in values]

    def from_chief(self, content: bytes) -> bytes:
        """Return the chief's `content`; every process has to call this."""
        if self.alone:
            return content
        padded = np.frombuffer(content + b"\0" * (-len(content) % 4), np.int32)
        length = int(self._sent(np.array([len(content) if self.chief else 0], np.int32))[0])
        count = -(-length // 4)
        parts = []
        for start in range(0, count, _CHUNK):
            end = min(start + _CHUNK, count)
            parts.append(self._sent(padded[start:end] if self.chief else np.zeros(end - start, np.int32)))
        return b"".join(part.tobytes() for part in parts)[:length]

    def as_chief(self, work: Callable[[], T]) -> T:
        """Return what `work` returns on the chief, a JSON value, or raise its BerthError; every process calls this.

        The work is done in every process, and may come out a last digit differently, or fail in one alone: if each
        decided for itself, one would stop and the others wait for it.
        """
        if self.alone:
            return work()
        try:
            answer: dict[str, Any] = {"value": work()}
        except BerthError as error:
            answer = {"error": str(error)}
        answer = json.loads(self.from_chief(json.dumps(answer).encode()))
        if "error" in answer:
            raise BerthError(answer["error"])
        return cast(T, answer["value"])

    def any(self, flag: bool) -> bool:
        """Return whether `flag` is true in any process; every process has to call this."""
        if self.alone:
            return flag
        return bool(self._sent(np.array([flag], np.int32))[0])

    def wait(self) -> None:
        """Wait until every process has called this."""
        self.from_chief(b"")

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Explain the failure of an operation that several processes make together.

        Raises:
            Preempted: another process is gone. This one exits so that it is started again.
        """
        gone = tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.InternalError
        try:
            yield
        except (*gone, tf.errors.DeadlineExceededError) as error:
            if self.alone:
                raise
            raise Preempted(
                f"another process of the run has ended ({first_line(error)[:100]}): its log says why. Started again, "
                "all go on from the last checkpoint."
            ) from error

    def _sent(self, numbers: np.ndarray) -> np.ndarray:
        with self.together():
            return self._sum_of_first(numbers).numpy()

    @cached_property
    def _sum_of_first(self) -> tf.types.experimental.PolymorphicFunction:
        """Return a compiled function: int32 [any] -> its sum over processes; all but the chief pass zeros."""

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)], autograph=False)
        def summed(numbers: tf.Tensor) -> tf.Tensor:
            return self.run(lambda index: self.sum([numbers if index == 0 else tf.zeros_like(numbers)])[0])

        return summed


def find(require_gpu: bool = False) -> Devices:
    """Return the devices of this process, and of the others that TF_CONFIG names; call it before TensorFlow starts.

    Raises:
        BerthError: there is no GPU and `require_gpu` asks for one, or TF_CONFIG is not valid.

    Example:
        >>> devices = find()
        >>> with devices.scope():
        ...     weight = tf.Variable(0.0)
    """
    gpus = allow_memory_growth()
    if require_gpu and not gpus:
        raise BerthError(
            "require_gpu: no GPU is visible to TensorFlow. Run where there is one (cluster.gpu_count, the driver, "
            "CUDA_VISIBLE_DEVICES), or leave require_gpu out."
        )
    cluster, task, index = _cluster()
    if sum(len(cluster.get(kind, ())) for kind in ("chief", "worker")) > 1:
        worker = index + (len(cluster.get("chief", ())) if task == "worker" else 0)
        return Devices(tf.distribute.MultiWorkerMirroredStrategy(), worker, worker == 0, bool(gpus))
    kind = "GPU" if gpus else "CPU"
    names = [f"{kind}:{number}" for number in range(len(tf.config.list_logical_devices(kind)))]
    strategy = tf.distribute.MirroredStrategy(names) if len(names) > 1 else tf.distribute.get_strategy()
    return Devices(strategy, 0, True, bool(gpus))


def assign(rows: np.ndarray, widths: np.ndarray, replicas: int) -> list[np.ndarray]:
    """Return `rows`, of `widths` tokens each, in `replicas` parts with about equal rows, tokens and padding.

    The rows, longest first, go to the replicas in order, then in reverse order, and so on.

    Example:
        >>> import numpy as np
        >>> [part.tolist() for part in assign(np.arange(4), np.array([9, 1, 8, 2]), 2)]
        [[0, 1], [2, 3]]
    """
    order = np.argsort(-widths, kind="stable")
    places = np.arange(len(rows)) % (2 * replicas)
    owner = np.minimum(places, 2 * replicas - 1 - places)
    return [rows[order[owner == replica]] for replica in range(replicas)]


def _cluster() -> tuple[dict[str, list[str]], str, int]:
    """Return the contents of TF_CONFIG: the addresses by type of task, and the type and index of this process."""
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return {}, "", 0
    try:
        config = json.loads(text)
        cluster, task = config.get("cluster", {}), config.get("task", {})
        kind, index = task.get("type", ""), int(task.get("index", 0))
        if cluster and index >= len(cluster.get(kind, ())):
            raise ValueError
    except (ValueError, AttributeError, TypeError):
        raise BerthError(
            'TF_CONFIG must be {"cluster": {"worker": [ADDRESS, ...]}, "task": {"type": "worker", "index": N}}, '
            "with a task that is in the cluster. Fix it, or unset it."
        ) from None
    if kind not in ("chief", "worker") and cluster:
        raise BerthError(f"TF_CONFIG: a task of the type {kind!r} does not train. Start only chief and workers.")
    return cluster, kind, index
