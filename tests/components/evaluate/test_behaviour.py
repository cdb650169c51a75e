"""The behaviour gate: what a model that is right for the wrong reason gets wrong."""

import json

import pytest

from berth.behaviour import Behaviour
from berth.data.dataset import Manifest
from berth.errors import BerthError
from berth.settings import Evaluation
from components.evaluate import behaviour, report
from components.evaluate.step import evaluate_model

LABELS = ["ham", "spam"]
CASES = {
    "must_be": [{"text": "See you at 10", "label": "ham"}, {"text": "Win 100 now", "label": "spam"}],
    "must_not_change": [{"change": "case", "texts": 10}, {"pair": ["Call Anna", "Call Omar"]}],
    "must_differ": [{"pair": ["I won 5 matches", "I won matches"]}],
}


def test_keyword_cheat_passes_accuracy_and_fails_here(store, model, dataset, noted):
    """The model calls whatever holds a digit spam, which is right of nine texts in ten."""
    judgement = evaluate_model(
        model,
        dataset,
        noted,
        model_name="cheat",
        bounds={"min_accuracy": 0.85},
        settings=Evaluation(resamples=1_000, baseline_rows=0),
        cases=json.dumps(CASES),
    )
    accuracy, gate, _ = judgement.verdict.gates
    assert (accuracy.outcome, gate.name, gate.outcome) == ("pass", "behaviour", "fail")
    assert gate.words == "4 of 5 cases hold; 'See you at 10' must be ham: 0.00 < 1"
    assert not judgement.verdict.blessed
    assert "&#39;See you at 10&#39; must be ham" in report.render(judgement, Manifest.read(dataset), 0.95)


def test_champion_stands_next_to_the_challenger():
    texts, cases = behaviour.plan(Behaviour.parse(CASES, "b.yaml"), ["One", "2", "three"], LABELS)
    assert len(texts) == 2 + 2 * 2 + 2 + 2
    everything_ham = ["ham"] * len(texts)
    results = behaviour.judge(cases, everything_ham, everything_ham[:1] + ["spam"] * (len(texts) - 1))
    assert [(one.share, one.champion) for one in results] == [(1, 1), (0, 1), (1, 1), (1, 1), (0, 0)]
    assert str(results[1]) == "'Win 100 now' must be spam: 0.00 < 1 (champion 1.00)"


@pytest.mark.parametrize(
    ("change", "text", "kept"),
    [
        ("typos", "a wonderful day", lambda other: sorted(other) == sorted("a wonderful day")),
        ("case", "A day", lambda other: other.lower() == "a day"),
        ("names", "Call Mary and mary", lambda other: other.startswith("Call ") and other.endswith(" and mary")),
        ("numbers", "at 10.45 or 7", lambda other: len(other) == len("at 10.45 or 7") and other[:3] == "at "),
    ],
)
def test_changes_are_small_and_the_same_for_a_seed(change, text, kept):
    ((before, other),) = behaviour.changed(change, ["", text], 5, seed=3)
    assert before == text != other
    assert kept(other)
    assert behaviour.changed(change, ["", text], 5, seed=3) == [(before, other)]


def test_unfit_behaviour_files_are_one_line():
    for values, message in (
        ({}, "b.yaml: has no cases"),
        ({"must_bee": []}, "b.yaml: must_bee: Extra inputs"),
        ({"must_not_change": [{}]}, "b.yaml: must_not_change.0: give either a pair of texts or a change"),
    ):
        with pytest.raises(BerthError, match=message):
            Behaviour.parse(values, "b.yaml")
    unknown = Behaviour.parse({"must_be": [{"text": "a", "label": "eggs"}]}, "b.yaml")
    with pytest.raises(BerthError, match="'eggs' is not a label of the data: ham, spam"):
        behaviour.plan(unknown, [], LABELS)
    changes = Behaviour.parse({"must_not_change": [{"change": "numbers"}]}, "b.yaml")
    with pytest.raises(BerthError, match="numbers changes no test text"):
        behaviour.plan(changes, ["none"], LABELS)
