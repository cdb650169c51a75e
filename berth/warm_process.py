"""A process that imports what a step needs before it is told which step: `python -m berth.warm_process`.

    python -m berth.warm_process single|forking MODULE...

Its stdin is one end of a socket pair. A request is a line of JSON: `arguments` (of kfp's executor), `program` (the
component's source) and `environment`. The answer is a line with the step's process id. With `single` the process
becomes the step. With `forking` a child of it does, for each request: a descriptor for the child's output comes with
the request, and a second line has its exit code. When the socket closes, or the parent dies, the process ends.

A step runs as `kfp.dsl.executor_main` would run it: with these variables, /dev/null as stdin and a process group of
its own. Fork only where importing starts no thread: MLflow, pandas and kfp start none, TensorFlow and Beam do.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

_MOST_BYTES = 64 * 1024
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Import the modules of the command line, wait for a request and run it; see the module's docstring."""
    mode, *modules = sys.argv[1:]
    _die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # without a traceback in the step's log
    control = socket.socket(fileno=os.dup(0))
    _import(modules)
    received = _receive_forking(control) if mode == "forking" else _receive(control)
    if received is None:
        return
    if mode == "single":
        control.sendall(f"{os.getpid()}\n".encode())
    control.close()
    _run(*received)


def _die_with_parent(signal_number: int) -> None:
    """Have Linux send `signal_number` to this process when its parent dies; 0: nothing."""
    with contextlib.suppress(AttributeError, OSError):  # another system: it ends when its imports are done
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal_number)


def _import(modules: list[str]) -> None:
    """Import `modules`, and call the function `prepare` of those that have one."""
    gc.disable()
    for name in modules:
        with contextlib.suppress(Exception):  # the step meets it again, if it needs the module
            module = importlib.import_module(name)
            getattr(module, "prepare", lambda: None)()
    gc.freeze()
    gc.enable()


def _receive_forking(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Receive requests, and fork for each: return it in the child; in the parent, None when the socket closes."""
    while (received := _receive(control)) is not None:
        child = os.fork()
        if not child:
            return received
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.setpgid(child, child)
        for descriptor in received[1]:
            os.close(descriptor)
        control.sendall(f"{child}\n".encode())
        _, status = os.waitpid(child, 0)
        control.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    return None


def _receive(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return the next request and the descriptors that came with it; None: the socket is closed."""
    line, output = b"", []
    while not line.endswith(b"\n"):
        part, descriptors, _, _ = socket.recv_fds(control, _MOST_BYTES, 1)
        if not part:
            return None
        output += descriptors
        line += part
    return json.loads(line), output


def _run(request: dict[str, Any], output: list[int]) -> None:
    """Become the step."""
    _die_with_parent(0)
    with contextlib.suppress(PermissionError):  # it leads its group already
        os.setpgid(0, 0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    for descriptor in output:
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None  # an import may have asked for it, with another TMPDIR
    signal.signal(signal.SIGINT, signal.default_int_handler)
    program = Path(tempfile.mkdtemp()) / "ephemeral_component.py"
    program.write_text(request["program"], encoding="utf-8")
    sys.argv = ["executor_main", "--component_module_path", str(program), *request["arguments"]]
    importlib.import_module("kfp.dsl.executor_main").executor_main()


if __name__ == "__main__":
    main()
