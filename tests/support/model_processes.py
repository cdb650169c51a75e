"""Processes that load a model for evaluate, forked from one that has imported TensorFlow, which takes seconds."""

import json
import multiprocessing
import os
import tempfile
from pathlib import Path

# The server that forks the processes imports these once; TensorFlow starts in each of them.
import tensorflow as tf  # noqa: F401
import tensorflow_text  # noqa: F401

from berth.lean_import import import_tensorflow_for_serving
from components.evaluate import model_process

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])


class ModelProcess:
    """What components.evaluate.serving_check starts: as much of a Popen as it needs."""

    returncode: int

    def __enter__(self) -> "ModelProcess":
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing: `communicate` waits for the process."""

    def communicate(self, request: str) -> tuple[None, str]:
        """Run components.evaluate.model_process on `request`; return nothing, and what was written to stderr."""
        with tempfile.TemporaryDirectory() as scratch:
            errors = Path(scratch, "stderr")
            process = CONTEXT.Process(target=_main, args=(request, errors, dict(os.environ)))
            process.start()
            process.join(300)
            if process.exitcode is None:
                process.kill()
                process.join()
            assert process.exitcode is not None
            self.returncode = process.exitcode
            return None, errors.read_text(encoding="utf-8", errors="replace")


def _main(request: str, errors: Path, environment: dict[str, str]) -> None:
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    os.environ.clear()
    os.environ.update(environment)
    import_tensorflow_for_serving()
    model_process.main(**json.loads(request))
