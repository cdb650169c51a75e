"""Examples in the docstrings of modules that need neither TensorFlow nor a server."""

import pytest

from tests.support import examples


@pytest.mark.parametrize(
    "name",
    [
        "berth.behaviour",
        "berth.cluster_settings",
        "berth.code_version",
        "berth.data.cleaning",
        "berth.data.corpus",
        "berth.data.dataset:Manifest.positive_label",
        "berth.data.dataset:split_dir",
        "berth.data.predictions:sample_rows",
        "berth.data.script",
        "berth.data.seen_texts",
        "berth.data.source",
        "berth.data.token_ids:TokenIds",
        "berth.data.token_ids:TokenisedSplit",
        "berth.data.windows",
        "berth.encoders.builtin.shape",
        "berth.encoders.builtin.tokenisation",
        "berth.encoders.fetch.handle",
        "berth.errors",
        "berth.explaining.explanation",
        "berth.explaining.path_integral",
        "berth.explaining.words",
        "berth.interval",
        "berth.macro_f1",
        "berth.models.decision_rule:decisions",
        "berth.models.integrity:sha256_of",
        "berth.models.package:EncoderInterface",
        "berth.models.package:ModelInterface",
        "berth.models.saved_model:ServedClassifier.decide",
        "berth.pod_secrets",
        "berth.pretraining.draws",
        "berth.pretraining.masking",
        "berth.pretraining.sentence_pairs",
        "berth.pretraining.token_store",
        "berth.progress",
        "berth.reports.markdown",
        "berth.settings",
        "berth.storage.addresses",
        "berth.storage.globs",
        "berth.storage.object_store:reason_of",
        "berth.storage.object_store:scheme_of",
        "berth.tracking.artifacts",
        "berth.tracking.sqlite_store",
        "berth.tracking.step_run:metric_name",
        "berth.tracking.step_run:metric_names",
        "berth.training.background",
        "berth.training.batching",
        "berth.training.learning_rate",
        "berth.training.recipe",
        "berth.training.state",
        "berth.verdict",
    ],
)
def test_the_examples_of_a_docstring_are_true(name):
    examples.check(name)
