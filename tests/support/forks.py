"""Processes forked from one that has imported the packages that Berth stands on, which takes seconds each time."""

import atexit
import io
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

from berth.images import TRAIN
from tests.support.train_forks import VARIABLE

os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # as mlflow_store does before it imports MLflow
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        *("kfp.compiler", "kfp.kubernetes", "kfp.local", "kfp_server_api", "mlflow.pyfunc", "pandas", "rich.table"),
        *("mlflow.store.model_registry.sqlalchemy_store", "typer.rich_utils", "tests.support.pushing"),
    ]
)
_IMPORTED_AGAIN = {"pipeline", "components", "berth"}


def berth(cwd: Path, *arguments: str, stdin: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call `berth` in `cwd` as `calling.berth` does; only the interpreter and other people's packages are not new."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_TRACKING")}
    variables |= {"COLUMNS": "80"} | environment
    with tempfile.TemporaryDirectory() as scratch:
        streams = [Path(scratch, name) for name in ("stdin", "stdout", "stderr")]
        for path in streams:
            path.write_text(stdin or "" if path.name == "stdin" else "", encoding="utf-8")
        process = CONTEXT.Process(target=_main, args=(cwd, arguments, variables, streams))
        process.start()
        process.join(560)
        if process.exitcode is None:
            process.kill()
            process.join()
        out, err = (path.read_bytes().decode() for path in streams[1:])
    return subprocess.CompletedProcess(["berth", *arguments], process.exitcode, out, err)


def _main(cwd: Path, arguments: tuple[str, ...], variables: Mapping[str, str], streams: list[Path]) -> None:
    for number, path in enumerate(streams):
        os.dup2(os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_APPEND), number)
    sys.stdin = io.TextIOWrapper(io.FileIO(0), encoding="utf-8")
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), encoding="utf-8")
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"), encoding="utf-8", line_buffering=True)
    os.environ.clear()
    os.environ.update(variables)
    time.tzset()
    os.chdir(cwd)
    for module in [name for name in sys.modules if name.partition(".")[0] in _IMPORTED_AGAIN]:
        del sys.modules[module]
    program = str(Path(sys.executable).with_name("berth"))
    sys.argv = [program, *arguments]
    code: object = 0
    try:
        from pipeline import checkout
        from pipeline.cli.app import main

        if train := variables.get(VARIABLE):
            others = checkout.environment_bin
            checkout.environment_bin = lambda image: Path(train) if image == TRAIN else others(image)
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else bool(code))
