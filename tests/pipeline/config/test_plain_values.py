"""Values of a configuration file as they are written: YAML 1.2, by the fields' types."""

import re
from pathlib import Path

import pytest

from berth.errors import BerthError

ROOT = Path(__file__).parents[3]


def test_labels_to_map_are_texts_as_they_are_written(load):
    config = load("name: a\nsource: b\nlabel_map: {1: positive, no: null, 2.5: 3, true: , 'x': \"\"}\n")
    assert config.label_map == {"1": "positive", "no": "", "2.5": "3", "true": "", "x": ""}


@pytest.mark.parametrize(
    "written", ["no", "yes", "on", "off", "Off", "y", "01", "0x1F", "1_000", "12:30", "2024-12-31", "1.10", "null", "~"]
)
def test_a_plain_text_stays_as_it_is_written(load, written):
    """YAML 1.1 would make booleans, numbers, times and nothing of these, and no label would match."""
    config = load(f"name: a\nsource: b\nlabel_map: {{{written}: new, other: '{written}'}}\nlabel_column: '{written}'\n")
    assert config.label_map == {written: "new", "other": written}
    assert config.label_column == written
    if written not in ("null", "~"):
        assert load(f"name: a\nsource: b\nlabel_map: {{x: {written}}}\n").label_map == {"x": written}


def test_numbers_and_switches_are_read_by_their_fields(load):
    config = load(
        "name: a\nsource: b\nlearning_rate: 3e-5\nepochs: 2\nstratified: no\nrequire_gpu: true\n"
        "gates: {min_accuracy: 0.9, min_mcc: null}\nsplit: {seed: 7}\n"
        "cluster: {tolerations: [{key: gpu, value: true, tolerationSeconds: 60}], node_selector: {gpu: true}}\n"
    )
    assert (config.learning_rate, config.epochs, config.stratified, config.require_gpu) == (3e-5, 2, False, True)
    assert (config.gates.min_accuracy, config.gates.min_mcc, config.split.seed) == (0.9, None, 7)
    assert config.cluster.tolerations == [{"key": "gpu", "value": "true", "tolerationSeconds": 60}]
    assert config.cluster.node_selector == {"gpu": "true"}


@pytest.mark.parametrize("seconds", ["3.7", "soon", "[]", "null", "inf"])
def test_seconds_of_a_toleration_are_a_whole_number(load, seconds):
    text = f"name: a\nsource: b\ncluster: {{tolerations: [{{key: gpu, tolerationSeconds: {seconds}}}]}}\n"
    with pytest.raises(BerthError, match=r"^[^\n]*tolerationSeconds is a whole number, not [^\n]*$"):
        load(text)


def test_notifications_need_no_quotes_around_on(load):
    """docs/kubeflow.md writes this line; YAML 1.1 reads the key `on` as true."""
    (line,) = re.findall(r"^    (notify: .*)$", (ROOT / "docs/kubeflow.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert load(f"name: a\nsource: b\n{line}\n").notify.on == "always"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gates: {min_accuracy: 0.9}\nepochs: 1\ngates: {max_ece: 0.1}", "line 5: the key 'gates' is there already"),
        ("gates:\n  max_ece: 0.1\n  max_ece: 0.2", "line 5: the key 'max_ece' is there already, in line 4"),
        ("label_map: {no: a, 'no': b}", "line 3: the key 'no' is there already, in line 3"),
        ("cluster: {tolerations: [{key: a, key: b}]}", "line 3: the key 'key' is there already"),
        ("? [a, b]\n: c", "line 3: a list or a mapping where a key is expected"),
    ],
)
def test_a_key_given_twice_is_an_error_with_its_line(load, text, message):
    """The last one used to replace the first: a second `gates:` dropped the bounds of the first."""
    with pytest.raises(BerthError) as caught:
        load(f"name: a\nsource: b\n{text}\n")
    assert f"config.yaml: {message}" in str(caught.value)


def test_a_merged_section_may_be_changed(load):
    merged = load("name: a\nsource: b\nsplit: &s {seed: 1, train: 0.8}\nlabel_map: {<<: *s, seed: two}\n")
    assert merged.label_map == {"seed": "two", "train": "0.8"}
