"""Pre-training that goes on from a checkpoint of Hugging Face: the steps pretrain and evaluate_encoder."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from berth.data import corpus
from berth.errors import BerthError
from berth.pretraining.fill import MaskFiller
from berth.pretraining.settings import EncoderGates, Pretraining, Probe
from components.evaluate_encoder.step import evaluate_encoder
from components.pretrain.step import pretrain_encoder
from tests.support.pretraining import SETTINGS, no_vocabulary

CHECKPOINT = str(Path(__file__).parents[2] / "berth" / "encoders" / "fixtures" / "checkpoints" / "pretraining")
"""A BertForPreTraining of random weights, with 20 positions and the word pieces a to m and ##a to ##l."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Documents whose words are in the order of the alphabet, and their labelled texts, longer than 20 tokens."""
    made = tmp_path_factory.mktemp("checkpoint")
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 4, 300)
    sentences = ["".join(f"{'abcdefghijklm'[start + place]} " for place in range(8)) for start in starts]
    documents = [sentences[first : first + 3] for first in range(0, 300, 3)]
    corpus.write(made / "corpus", {"train": documents[:80], "held_out": documents[80:]})
    for split, own in {"train": documents[:60], "validation": documents[60:80], "test": documents[80:]}.items():
        (made / "labelled" / split).mkdir(parents=True)
        texts, labels = [" ".join(one) for one in own], ["ab"[one[0].startswith("a")] for one in own]
        pq.write_table(pa.table({"text": texts, "label": labels}), made / "labelled" / split / "part-00000.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(made / "cache"))
        yield made


def pretrain(folder: Path, target: Path, **changes):
    settings = SETTINGS | {"sequence_lengths": [16], "steps": 60, "learning_rate": 0.02} | changes
    parameters: dict = {}
    trained = pretrain_encoder(
        folder / "corpus",
        no_vocabulary(folder / "vocabulary"),
        target / "encoder",
        target / "before",
        encoder=CHECKPOINT,
        new_encoder=None,
        preprocessor="",
        settings=Pretraining.model_validate(settings),
        log_parameters=parameters.update,
    )
    return trained, parameters


def test_pretraining_from_a_checkpoint_is_judged_and_probed(folder, tmp_path):
    """Seconds go into compiling the encoder for training, its export and the probe; steps take few."""
    trained, parameters = pretrain(folder, tmp_path)
    assert parameters["pretraining.new_heads"] == "no"
    before, after = trained.before.metrics(), trained.after.metrics()
    assert before["mlm_loss"] == pytest.approx(np.log(30), abs=0.5)
    assert after["mlm_loss"] < before["mlm_loss"] - 0.3
    judgement = evaluate_encoder(
        folder / "corpus",
        tmp_path / "encoder",
        tmp_path / "before",
        folder / "labelled",
        encoder=CHECKPOINT,
        preprocessor="",
        bounds=EncoderGates(must_improve=True),
        asked=Probe.model_validate({"source": "x", "sizes": [20], "seeds": 2, "test": 40, "fine_tune": False}),
    )
    assert judgement.verdict.blessed, str(judgement.verdict)
    assert judgement.after["mlm_loss"] == pytest.approx(after["mlm_loss"], abs=1e-3)
    assert [own.name for own in judgement.probed] == ["frozen with 20 labels"]
    inputs = hub.KerasLayer(str(tmp_path / "encoder" / "preprocessor"))(tf.constant(["a b c d e f " * 9]))
    assert hub.KerasLayer(str(tmp_path / "encoder"))(inputs)["pooled_output"].shape == [1, 16]
    with pytest.raises(BerthError, match=r"Shorten it to 20\."):
        MaskFiller(tmp_path / "encoder").fill("a b [MASK] " * 9)
