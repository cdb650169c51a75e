"""Modules of the train environment as forks of one process that has imported TensorFlow, which takes seconds.

    python tests/support/train_forks.py SOCKET          in the environment of the train image

serves: a request is an object in JSON with `arguments` (-m, a module, its own), `environment` and `folder`, and comes
with stdin, stdout and stderr; the answer is the exit code. The name of the socket is an abstract one.
"""

import io
import json
import os
import runpy
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

VARIABLE = "BERTH_TESTS_TRAIN_BIN"
"""The variable by which a `berth` that tests fork knows the folder of the python3 to take for the train image."""
ROOT = Path(__file__).parents[2]
_PYTHON = """#!{python} -IS
import json, os, socket, sys
request = {{"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": os.getcwd()}}
with socket.socket(socket.AF_UNIX) as server:
    server.connect({name!r})
    socket.send_fds(server, [json.dumps(request).encode()], [0, 1, 2])
    server.shutdown(socket.SHUT_WR)
    code = int(server.recv(16))
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@pytest.fixture(scope="session")
def _train_bin(tmp_path_factory) -> Iterator[Path]:
    """The folder of a python3 that stands for the train environment's."""
    folder, name = tmp_path_factory.mktemp("train"), f"\0berth-tests-{os.getpid()}"
    program = folder / "python3"
    program.write_text(_PYTHON.format(python=sys.executable, name=name))
    program.chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [str(ROOT / ".venv/train/bin/python"), __file__, name.removeprefix("\0")]
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield folder
        process.kill()


@pytest.fixture
def train_forks(_train_bin, monkeypatch) -> None:
    """What `tests.support.forks.berth` starts in the train environment is a fork."""
    monkeypatch.setenv(VARIABLE, str(_train_bin))


def main(name: str) -> None:
    import tensorflow  # noqa: F401  # starts in each fork, not here
    import tensorflow_text  # noqa: F401

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()
        print("ready", flush=True)
        while True:
            connection, _ = server.accept()
            with connection:
                request, streams = _receive(connection)
                child = os.fork()
                if not child:
                    _run(streams=streams, **json.loads(request))
                for stream in streams:
                    os.close(stream)
                _, status = os.waitpid(child, 0)
                connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def _receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    request, streams = b"", []
    while True:
        part, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 3)
        if not part:
            return request, streams
        request, streams = request + part, streams + list(descriptors)


def _run(streams: list[int], arguments: list[str], environment: dict[str, str], folder: str) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    opened = (io.TextIOWrapper(io.FileIO(number, mode), encoding="utf-8") for number, mode in enumerate("rww"))
    sys.stdin, sys.stdout, sys.stderr = opened
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    option, module, *own = arguments
    assert option == "-m"
    sys.argv = [module, *own]
    code: object = 0
    try:
        runpy.run_module(module, run_name="__main__")
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else bool(code))


if __name__ == "__main__":
    main(sys.argv[1])
