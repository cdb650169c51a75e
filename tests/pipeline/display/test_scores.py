"""The columns of scores in the tables of `berth runs` and `berth models`."""

from pipeline.display import scores


def test_encoders_are_listed_with_their_own_score():
    assert scores.headers([{"mlm_loss": 4.5}, {}]) == {"mlm_loss": "MLM loss"}
    assert list(scores.headers([{"mlm_loss": 4.5}, {"accuracy": 0.9}])) == ["accuracy", "mlm_loss"]


def test_without_any_score_the_columns_are_a_classifiers():
    columns = scores.headers([{}, {"tokens_per_second": 3.0}])
    assert list(columns.values()) == ["accuracy", "macro F1"]
    assert scores.cells({"accuracy": 0.98765}, columns) == ["0.9877", ""]
