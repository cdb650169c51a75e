"""The report's mistakes with the words that the model used."""

from dataclasses import replace

from berth.data.dataset import SPLITS, Manifest
from components.evaluate import report
from tests.components.evaluate.conftest import note
from tests.components.evaluate.test_evaluate import judge
from tests.support.datasets import write_dataset


def test_report_shades_the_words_that_the_model_used(store, model, tmp_path):
    """Escaped as all data; a word that did hardly anything is not shaded, and a sum that is off is told."""
    row = ("<b>win</b> now 1", "ham")
    dataset = write_dataset(tmp_path / "dataset", {split: [row, ("b", "ham")] for split in SPLITS}, ["ham", "spam"])
    noted = note(model, dataset, tmp_path / "noted.parquet")
    judgement = judge(model, dataset, noted, {"min_accuracy": 0.9})
    assert "do not come from a sigmoid or a softmax, so it cannot be explained" in judgement.served.unexplained
    parts = [["<b>win</b>", 3.0], [" ", None], ["now", -1.5], [" ", None], ["1", 0.01]]
    words = {"label": "spam", "log_odds": 2.0, "without_words": -3.0, "parts": parts, "pair_parts": []}
    judgement = replace(judgement, served=replace(judgement.served, explained={"0": words}, unexplained=""))
    html = report.render(judgement, Manifest.read(dataset), 0.95)
    shade = '<span class="word" title="{}"><i style="opacity: {}; background: var(--{})"></i><b>{}</b></span>'
    win, now = ("+3.00", "0.50", "accent", "&lt;b&gt;win&lt;/b&gt;"), ("-1.50", "0.25", "bad", "now")
    assert f'<td class="text">{shade.format(*win)} {shade.format(*now)} 1<span' in html
    assert "spam: +2.00, with every word blank -3.00; the words' weights sum to +1.51, not +5.00" in html
