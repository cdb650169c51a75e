"""A model that the code before the three floors registered: it still answers, and can be rolled back to."""

import json
import os
import subprocess

import pytest

from berth.models import integrity
from berth.registry import promotion, versions
from berth.registry.fetch import fetch
from tests.support import old_model
from tests.support.calling import ROOT, berth
from tests.support.digits_model import TRAIN_PYTHON

PREDICTIONS = old_model.predictions()
TEXTS = [prediction["text"] for prediction in PREDICTIONS]
LABELS = [prediction["label"] for prediction in PREDICTIONS]
SPAM = [prediction["probabilities"]["spam"] for prediction in PREDICTIONS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder whose registry has two versions of the old model; this process uses that registry."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", "")
        patched.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        made = tmp_path_factory.mktemp("old")
        old_model.restore(made)
        yield made


_LOADS = """
import importlib, importlib.util, json, sys, mlflow
path, answers = list(sys.path), {}

def program(*added):
    # As a new one: the model's code and Berth's were never imported.
    sys.path[:] = [*added, *path]
    for name in [name for name in sys.modules if name.partition(".")[0] in ("berth", "components")]:
        del sys.modules[name]
    importlib.invalidate_caches()

def with_mlflow():
    return mlflow.pyfunc.load_model("models:/sms-spam@champion").predict(texts).to_dict("list")

root, *texts = json.loads(sys.argv[1])
assert not importlib.util.find_spec("berth")
program()
answers["alone"] = with_mlflow()
program(root)
answers["berth importable"] = with_mlflow()
program(root)
import components
try:
    with_mlflow()
except ModuleNotFoundError as error:
    answers["refused"] = str(error)
from berth.models.pyfunc import PyFunc
from berth.models.saved_model import load
from berth.registry.fetch import fetch
answers["berth"] = PyFunc(load(fetch("sms-spam").folder)).predict(texts).to_dict("list")
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(folder, tmp_path_factory) -> dict:
    """What the model answers to three programs of the train environment.

    They are one process of 11 s: TensorFlow is imported once, and the model loaded three times.
    """
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(TRAIN_PYTHON), "-c", _LOADS, json.dumps([str(ROOT), *TEXTS])],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env=variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_berth_predict_answers_as_the_old_code_did(folder):  # 7 s: the command and TensorFlow are started
    done = berth(folder, "predict", "--json", old_model.NAME, *TEXTS)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["label"] for answer in answers] == LABELS, done.stderr
    assert [answer["probabilities"]["spam"] for answer in answers] == pytest.approx(SPAM, abs=1e-5)


@pytest.mark.parametrize("program", ["alone", "berth importable"])
def test_mlflow_loads_it_with_and_without_todays_berth(answers, program):
    """Its own code, in its package `components`, comes before today's package of that name."""
    assert answers[program]["label"] == LABELS
    assert answers[program]["p(spam)"] == pytest.approx(SPAM, abs=1e-5)


def test_where_components_is_imported_already_berth_loads_it(answers):
    """MLflow cannot import the model's code under a name that is taken; Berth's own loader needs none of that code."""
    assert answers["refused"] == "No module named 'components.common'"
    assert answers["berth"]["label"] == LABELS
    assert answers["berth"]["p(spam)"] == pytest.approx(SPAM, abs=1e-5)


def test_it_is_rolled_back_to(folder):
    done = promotion.rollback(old_model.NAME, None, "the newer one is worse")
    assert (done.old, done.new, done.blessed) == (2, 1, True)
    assert versions.aliases(old_model.NAME) == {"champion": 1, "previous": 2}
    served = folder / ".berth/serving" / old_model.NAME / "1"
    assert integrity.verify(served) == fetch(old_model.NAME).digest
