"""The pretrain step: a corpus in; an encoder, and what the encoder before says of the held-out documents, out."""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from berth.code_version import code_version
from berth.data.corpus import SPLITS, Corpus
from berth.encoders import loading
from berth.encoders.preprocessor import Preprocessor
from berth.encoders.vocabulary import check_vocabulary_fits
from berth.pretraining.held_out import Sums
from berth.pretraining.settings import NewEncoder, Pretraining
from berth.pretraining.special_tokens import special_tokens
from berth.pretraining.tokenising import tokenised
from berth.settings import LONGEST
from berth.training.devices import find
from berth.training.trainer import Log, Outcome
from components.pretrain import corpus_checks
from components.pretrain.export import export, facts
from components.pretrain.origin import begin
from components.pretrain.phases import Phases


@dataclass(frozen=True)
class Pretrained:
    """The result of pre-training."""

    outcome: Outcome
    before: Sums
    """Of the held-out documents: the encoder before, with its own heads or with warmed-up ones."""
    after: Sums
    hidden: int
    encoder_name: str
    """Of what it started from."""
    encoder_sha256: str
    seconds: float


def pretrain_encoder(
    corpus: str | Path,
    vocabulary: str | Path,
    pretrained: str | Path,
    before: str | Path,
    *,
    encoder: str,
    new_encoder: NewEncoder | None,
    preprocessor: str,
    settings: Pretraining,
    checkpoints: str = "",
    checkpoint_minutes: float = 10.0,
    require_gpu: bool = False,
    log_metrics: Log = lambda *_: None,
    log_parameters: Callable[[Mapping[str, object]], object] = lambda _: None,
) -> Pretrained:
    """Train the encoder named `encoder`, or a new one, on `corpus` and write it to `pretrained`.

    Args:
        corpus: Folder that ingest_corpus wrote.
        vocabulary: Folder that the vocabulary step wrote: the preprocessor of a new encoder.
        pretrained: Folder of the encoder, see components.pretrain.export.
        before: Folder for berth.pretraining.before.
        encoder: Handle of the encoder to start from; empty with a `new_encoder`.
        new_encoder: Shape of an encoder from nothing.
        preprocessor: Handle of the encoder's preprocessor; empty: the encoder's own, where it has one.
        settings: How to train.
        checkpoints: Where checkpoints go; empty: there are none.
        checkpoint_minutes: How often one is written.
        require_gpu: Whether training without a GPU is an error.
        log_metrics: Gets the metrics of each round, see Trainer.
        log_parameters: Gets what was chosen.

    Raises:
        BerthError: encoder and corpus do not go together, or training failed.
    """
    start = time.perf_counter()
    devices = find(require_gpu)
    with tempfile.TemporaryDirectory(prefix="berth-pretrain-") as scratch:
        origin = begin(encoder, new_encoder, preprocessor, vocabulary, scratch, settings.seed)
        loaded = loading.load("preprocessor", origin.preprocessor, origin.preprocessor_name)
        prepare = Preprocessor(loaded, LONGEST, origin.preprocessor_name)
        tokens = special_tokens(loaded, origin.preprocessor, origin.preprocessor_name)
        read = Corpus(corpus)
        stores = {split: tokenised(read, split, prepare, Path(scratch) / split) for split in SPLITS}
        for doubt in corpus_checks.check(read, stores, settings, tokens):
            print(f"anomaly warn {doubt}", flush=True)
        tf.random.set_seed(settings.seed)
        phases = Phases(origin, settings, stores, tokens, devices, log_metrics)
        model = phases.model
        corpus_checks.check_positions(model, settings)
        check_vocabulary_fits(
            model.encoder.resolved_object, model.interface, loaded, origin.preprocessor, len(tokens.pieces) - 1
        )
        log_parameters(phases.chosen())
        identity = {
            "corpus": read.manifest.digest,
            "encoder": f"{origin.name} {origin.sha256} {new_encoder}",
            "preprocessor": origin.preprocessor_name,
            "settings": settings.model_dump_json(),
            "code": code_version(),
        }
        outcome = phases.run(checkpoints, 60 * checkpoint_minutes, identity)
        if devices.chief:
            made_of = facts(origin, new_encoder, settings, tokens, read.manifest, outcome.tokens)
            export(model, origin.encoder, origin.preprocessor, made_of, pretrained)
            phases.before.write(before)
        devices.wait()
        phases.clear()  # only now: a process that fails before this is started again with all others
    seconds = time.perf_counter() - start
    before_and_after = phases.before.sums, phases.after
    return Pretrained(outcome, *before_and_after, model.hidden, origin.name, origin.sha256, seconds)
