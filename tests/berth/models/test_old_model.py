"""A model that the code before the three floors registered: it still answers, and can be rolled back to."""

import json
import os
import subprocess
from pathlib import Path

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


def in_train_environment(code: str, cwd: Path, **environment: str) -> dict:
    """Run `code` in a fresh process of the train environment and return the JSON of its last line."""
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | environment
    done = subprocess.run(
        [str(TRAIN_PYTHON), "-c", code, json.dumps(TEXTS)], cwd=cwd, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_berth_predict_answers_as_the_old_code_did(folder):
    done = berth(folder, "predict", "--json", old_model.NAME, *TEXTS)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["label"] for answer in answers] == LABELS, done.stderr
    assert [answer["probabilities"]["spam"] for answer in answers] == pytest.approx(SPAM, abs=1e-5)


_WITH_MLFLOW = """
import json, sys, mlflow
answer = mlflow.pyfunc.load_model("models:/sms-spam@champion").predict(json.loads(sys.argv[1]))
print(json.dumps(answer.to_dict("list")))
"""


@pytest.mark.parametrize("path", ["", str(ROOT)], ids=["alone", "berth importable"])
def test_mlflow_loads_it_with_and_without_todays_berth(folder, tmp_path, path):
    """Its own code, in its package `components`, comes before today's package of that name."""
    answer = in_train_environment(_WITH_MLFLOW, tmp_path, **({"PYTHONPATH": path} if path else {}))
    assert answer["label"] == LABELS
    assert answer["p(spam)"] == pytest.approx(SPAM, abs=1e-5)


_COMPONENTS_IMPORTED = """
import json, sys, components, mlflow
try:
    mlflow.pyfunc.load_model("models:/sms-spam@champion")
except ModuleNotFoundError as error:
    refused = str(error)
from berth.models.pyfunc import PyFunc
from berth.models.saved_model import load
from berth.registry.fetch import fetch
answer = PyFunc(load(fetch("sms-spam").folder)).predict(json.loads(sys.argv[1]))
print(json.dumps({"refused": refused} | answer.to_dict("list")))
"""


def test_where_components_is_imported_already_berth_loads_it(folder, tmp_path):
    """MLflow cannot import the model's code under a name that is taken; Berth's own loader needs none of that code."""
    answer = in_train_environment(_COMPONENTS_IMPORTED, tmp_path, PYTHONPATH=str(ROOT))
    assert answer["refused"] == "No module named 'components.common'"
    assert answer["label"] == LABELS
    assert answer["p(spam)"] == pytest.approx(SPAM, abs=1e-5)


def test_it_is_rolled_back_to(folder):
    done = promotion.rollback(old_model.NAME, None, "the newer one is worse")
    assert (done.old, done.new, done.blessed) == (2, 1, True)
    assert versions.aliases(old_model.NAME) == {"champion": 1, "previous": 2}
    served = folder / ".berth/serving" / old_model.NAME / "1"
    assert integrity.verify(served) == fetch(old_model.NAME).digest
