"""Processes in the images' environments: what is on their path, and how their errors come back."""

import pytest

from berth import images
from berth.errors import BerthError
from pipeline import checkout
from pipeline.local.environment_process import environment_variables, module_process, run_module
from tests.support.calling import berth, set_trap


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A function that makes the module `fails` of the given code, in place of the checkout."""
    monkeypatch.setattr(
        "pipeline.local.environment_process.environment_variables",
        lambda image: environment_variables(image) | {"PYTHONPATH": f"{tmp_path}:{checkout.CHECKOUT}"},
    )
    return lambda code: (tmp_path / "fails.py").write_text(code)


def test_predict_ignores_modules_in_the_working_folder(tmp_path):
    """So do runs and the schema's commands in tests/e2e/test_data.py."""
    set_trap(tmp_path)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "saved_model.pb").write_bytes(b"")
    done = berth(tmp_path, "predict", "m", "hello")
    assert done.stderr.startswith("error: m: not a model that Berth exported"), done.stderr


def test_processes_never_look_for_a_display(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    assert environment_variables(images.TRAIN)["MPLBACKEND"] == "Agg"


def test_a_process_prints_what_it_makes_of_its_stdin(module):
    module("import sys; print(sys.stdin.read().upper())")
    assert run_module(images.CORE, "fails", stdin="a") == "A\n"


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (
            "from berth.errors import BerthError\nraise BerthError('no file.\\nName one.')",
            BerthError,
            "no file. Name one.",
        ),
        ("import os\nos.kill(os.getpid(), 9)", BerthError, "fails failed: the process died of signal 9"),
        ("raise ValueError('ours')", RuntimeError, "fails failed:\nTraceback (.|\n)*ValueError: ours$"),
        ("import sys; sys.exit(3)", RuntimeError, "fails failed:\nexit code 3 without an error message$"),
    ],
)
def test_the_error_of_a_process_is_raised_here(module, code, kind, message):
    module(code)
    with pytest.raises(kind, match=f"^{message}"):
        run_module(images.CORE, "fails")


def test_a_process_that_writes_much_to_stderr_is_not_stuck(module):
    module("import sys\nsys.stderr.write('x' * 1_000_000)\nprint('done')")
    with module_process(images.CORE, "fails") as process:
        assert process.stdout.read() == "done\n"
