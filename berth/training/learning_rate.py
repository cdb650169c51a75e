"""The learning rate: its peak for an encoder, and its course over a training run."""

_SMALL = 512


def peak_for(hidden: int) -> float:
    """Return the peak learning rate of AdamW that suits a BERT whose vectors have `hidden` numbers, fine-tuned whole.

    3e-5 is that of Devlin et al. 2018 for large encoders; with it small ones hardly move in a few hundred updates.

    Example:
        >>> peak_for(384), peak_for(768)
        (0.0001, 3e-05)
    """
    return 1e-4 if hidden <= _SMALL else 3e-5


def warmup_then_linear_decay(done: int, batch: int, total: int, peak: float, warmup_fraction: float) -> float:
    """Return the learning rate of the step that trains on `batch` more texts after `done` of `total`.

    It rises from 0 to `peak` over `warmup_fraction` of the texts, then falls linearly to nearly 0 (Devlin et al. 2018).
    Progress is counted in texts: with a token budget, batches differ in size and their number is not known in advance.

    Example:
        >>> warmup_then_linear_decay(done=0, batch=10, total=100, peak=1.0, warmup_fraction=0.2)
        0.5
    """
    after = done + batch
    warmup = max(batch, warmup_fraction * total)
    falling = (total + batch - after) / max(batch, total + batch - warmup)
    return peak * min(after / warmup, falling)
