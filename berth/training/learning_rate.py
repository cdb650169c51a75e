"""The learning rate over a training run."""


def warmup_then_linear_decay(done: int, batch: int, total: int, peak: float, warmup_fraction: float) -> float:
    """Return the learning rate of the step that takes `batch` more texts after `done` of `total`.

    Up from 0 to `peak` over `warmup_fraction` of the texts, then down in a line to nearly 0 (Devlin et al. 2018). It is
    counted in texts: batches of a token budget differ in size, and how many there will be is not known.
    """
    after = done + batch
    warmup = max(batch, warmup_fraction * total)
    falling = (total + batch - after) / max(batch, total + batch - warmup)
    return peak * min(after / warmup, falling)
