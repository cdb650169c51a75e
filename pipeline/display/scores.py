"""The scores in tables of runs and models: those of classifiers, of encoders, or of both."""

from collections.abc import Iterable, Mapping

_OF_CLASSIFIERS = {"accuracy": "accuracy", "macro_f1": "macro F1"}
_OF_ENCODERS = {"mlm_loss": "MLM loss"}
_OF_BOTH = {"accuracy": "accuracy", "mlm_loss": "MLM loss"}

Metrics = Mapping[str, float]


def headers(found: Iterable[Metrics]) -> dict[str, str]:
    """Return the columns for `found`, the metrics of each row: the metrics' names, and their headers.

    Example:
        >>> headers([{"mlm_loss": 4.5}])
        {'mlm_loss': 'MLM loss'}
    """
    rows = list(found)
    known = [own for own in (_OF_CLASSIFIERS, _OF_ENCODERS) if any(name in row for row in rows for name in own)]
    # 80 columns have room for two numbers next to a run: of both kinds, the first of each.
    return known[0] if len(known) == 1 else _OF_BOTH if known else _OF_CLASSIFIERS


def cells(metrics: Metrics, names: Iterable[str]) -> list[str]:
    """Return the texts of the columns `names`; empty for what is not among `metrics`.

    Example:
        >>> cells({"accuracy": 0.98765}, ["accuracy", "mlm_loss"])
        ['0.9877', '']
    """
    return [f"{metrics[name]:.4f}" if name in metrics else "" for name in names]
