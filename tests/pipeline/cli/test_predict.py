"""berth predict: on real models, and on a real registry's."""

import json
import shutil
from pathlib import Path

import pytest

from berth.errors import BerthError
from berth.explaining import worker
from berth.models import integrity
from pipeline.cli.models import explanation_line, prediction_line
from pipeline.local import predict
from tests.support.model_commands import berth


def test_predict_handles_labels_and_pairs_and_checks_the_model(train_forks, store, models, tmp_path):
    """It answers for several labels and for pairs, and refuses a model that was changed."""
    done = berth("predict", str(models / "multi"), "--json", "hello", "win 100", cwd=tmp_path)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["label"] for answer in answers] == [["ham"], ["ham", "spam"]], done.stderr
    assert [prediction_line(answer) for answer in answers] == [
        "ham\t0.7000\thello",
        "ham, spam\t0.7000, 0.9000\twin 100",
    ]
    assert prediction_line({"label": [], "probabilities": {"ham": 0.1}, "text": "?"}) == "-\t-\t?"
    done = berth("predict", str(models / "pairs"), cwd=tmp_path, stdin="hello\tyou\nhello\t2\n")
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["ham", "spam"]
    with pytest.raises(BerthError, match=r"^'alone': the model takes pairs of texts\. Put a tab between the two\.$"):
        worker._inputs(["a\tb", "alone"], pairs=True)
    shutil.copytree(models / "single", tmp_path / "changed")
    (tmp_path / "changed/assets/labels.txt").write_text("spam\nham\n")
    done = berth("predict", "changed", "hello", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "error: changed: assets/labels.txt is not as it was exported (SHA-256). Fetch or push the model again.\n"
    )


def test_a_prediction_is_explained_by_its_heaviest_words(train_forks, store, models, tmp_path):
    words = [{"word": f"w\x1b{number}", "weight": 3.0 - number} for number in range(10)]
    line = explanation_line({"label": "spam", "complete": True, "words": words})
    assert line == "  spam: " + "  ".join(rf"w\x1b{number} {3 - number:+}.00" for number in range(8))
    shown = explanation_line({"label": "spam", "complete": False, "words": []})
    assert shown == "  spam: - (the words' weights do not sum to what they did together)"
    assert explanation_line(None) == "  no words: the model's tokens are not those of the text's words"
    done = berth("predict", str(models / "single"), "--explain", "win 100", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "do not come from a sigmoid or a softmax, so it cannot be explained" in done.stderr


def test_texts_may_begin_with_a_dash(call, monkeypatch):
    """A model that calls everything ham stands for the real one."""

    def answered(model, texts, explain):
        return ({"text": text, "label": "ham", "probabilities": {"ham": 1.0}} for text in texts)

    monkeypatch.setattr(predict, "predict", answered)
    texts = ["-1 star", "- not good", "-5%", "--json is a format", "-"]
    called = call("predict", "sms-spam", "--json", *texts)
    assert [json.loads(line)["text"] for line in called.out.splitlines()] == texts, called.err
    called = call("predict", "sms-spam", "--", "--json", "-x")
    assert [line.split("\t")[2] for line in called.out.splitlines()] == ["--json", "-x"], called.err


def test_a_word_that_looks_like_an_option_gets_a_hint(store, tmp_path):
    done = berth("predict", "sms-spam", "--jsonn", cwd=tmp_path)
    assert done.returncode == 2
    shown = " ".join(done.stderr.replace("│", " ").split())
    assert "no such option: --jsonn. Did you mean '--json'? Put -- before texts that begin with a dash." in shown


def test_predict_refuses_a_stored_model_that_was_sealed_again(store, push, name):
    push()
    for model in (name, f"{name}/1", f"models:/{name}@champion"):
        assert predict.saved_model_dir(model).joinpath("SHA256SUMS").is_file()
    stored = Path(store.client.get_model_version_download_uri(name, "1").removeprefix("file://"))
    (labels,) = stored.rglob("labels.txt")
    labels.write_text("spam\nham\n")
    integrity.seal(labels.parents[1])
    for model in (name, f"{name}/1", f"models:/{name}@champion"):
        with pytest.raises(BerthError, match=r"SHA256SUMS is not as it was pushed\. Choose another version"):
            predict.saved_model_dir(model)
    with pytest.raises(BerthError, match=rf"{name} has no version 7\. Its versions: 1\."):
        predict.saved_model_dir(f"{name}/7")
    with pytest.raises(BerthError, match=f"no version is previous. 'berth models {name}' lists its versions"):
        predict.saved_model_dir(f"{name}@previous")
    with pytest.raises(BerthError, match=f"no model 'x{name}' is registered. Did you mean '{name}'"):
        predict.saved_model_dir(f"x{name}")
