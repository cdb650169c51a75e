"""Calibration by one temperature, by which all logits are divided (Guo et al. 2017); it is chosen on validation."""

from dataclasses import dataclass

import numpy as np

_LIMITS = (0.05, 20.0)
_SMALLEST = 1e-7
"""What a probability of 0 counts as: a float32 near 1 cannot tell less from it."""
_CERTAIN = 1.96
"""Standard errors by which log loss has to fall: with few texts a temperature is noise."""


@dataclass(frozen=True)
class Temperature:
    """What logits are divided by, and the mean log loss on validation with 1 and with it, in nats."""

    value: float
    before: float
    after: float


def temperature(probabilities: np.ndarray, targets: np.ndarray, task: str) -> Temperature:
    """Return the temperature with the lowest log loss; 1 where it is not certain to lower it.

    Args:
        probabilities: float32 [texts, classes], of logits as they are.
        targets: Class indices, int32 [texts]; for a multi-label task multi-hot, int32 [texts, labels].
        task: `single_label` or `multi_label`.
    """
    from scipy.optimize import minimize_scalar

    likely = np.clip(probabilities.astype(np.float64), _SMALLEST, 1 - _SMALLEST)
    if task == "multi_label":
        logits = np.log(likely) - np.log1p(-likely)
        signs = 2.0 * targets - 1

        def losses(value: float) -> np.ndarray:
            return np.logaddexp(0.0, -signs * logits / value).mean(axis=1)

    else:
        logits = np.log(likely)
        rows = np.arange(len(targets))

        def losses(value: float) -> np.ndarray:
            scaled = logits / value
            highest = scaled.max(axis=1)
            return highest + np.log(np.exp(scaled - highest[:, None]).sum(axis=1)) - scaled[rows, targets]

    found = minimize_scalar(lambda log: losses(np.exp(log)).mean(), bounds=np.log(_LIMITS), method="bounded")
    value = float(np.exp(found.x))
    before, after = losses(1.0), losses(value)
    gain = before - after
    if gain.mean() <= _CERTAIN * gain.std() / np.sqrt(len(gain)):
        return Temperature(1.0, float(before.mean()), float(before.mean()))
    return Temperature(value, float(before.mean()), float(after.mean()))
