"""Examples in the docstrings of modules that need TensorFlow."""

import pytest

from tests.support import examples


@pytest.mark.parametrize(
    "name",
    [
        "berth.data.token_ids:segments",
        "berth.encoders.adapter:outputs_by_name",
        "berth.encoders.adapter:positions",
        "berth.encoders.adapter:standard",
        "berth.encoders.adapter:standard_inputs",
        "berth.encoders.builtin.bert_ops",
        "berth.encoders.builtin.convert",
        "berth.encoders.builtin.word_pieces",
        "berth.encoders.pooling",
        "berth.encoders.text_to_vector",
        "berth.encoders.vocabulary",
        "berth.encoders.windows",
        "berth.models.decision_rule:decisions_in_graph",
        "berth.pretraining.batches:Batch",
        "berth.pretraining.batches:TokenRows",
        "berth.pretraining.batches:masked_tokens",
        "berth.pretraining.exported",
        "berth.pretraining.fill:check_has_mask",
        "berth.pretraining.held_out",
        "berth.training.checkpoints:packed",
        "berth.training.checkpoints:unpacked",
        "berth.training.devices:Devices",
        "berth.training.devices:assign",
        "berth.training.flops",
        "berth.training.gradient",
        "berth.training.optimizer:AdamW",
        "berth.training.optimizer:rate_factors",
        "berth.training.pending",
        "berth.training.precision:LossScale",
        "berth.training.precision:choose",
    ],
)
def test_the_examples_of_a_docstring_are_true(name):
    examples.check(name)
