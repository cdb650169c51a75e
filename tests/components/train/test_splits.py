"""Splits as the train step reads them."""

from berth.data.dataset import SPLITS, Manifest
from berth.encoders import loading
from berth.encoders.preprocessor import Preprocessor
from components.train.splits import read
from tests.support.datasets import write_dataset


def test_as_many_texts_as_labels_are_enough_if_texts_have_several(tiny, tmp_path):
    rows = {split: [("call me", ["a", "b"]), ("now", ["b"])] for split in SPLITS}
    dataset = write_dataset(tmp_path / "dataset", rows, ["a", "b"], "multi_label")
    prepare = Preprocessor(loading.load("preprocessor", tiny.preprocessor, "tiny"), 16, "tiny", False)
    split, _ = read(dataset, "train", Manifest.read(dataset), prepare)
    assert split.targets.tolist() == [[1, 1], [0, 1]]
