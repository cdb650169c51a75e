"""The train step: a dataset in; one SavedModel, and its predictions on its own data, out."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from berth.code_version import code_version
from berth.data.cleaning import TextRules, clean
from berth.data.dataset import Manifest
from berth.data.edge_cases import EDGE_CASES
from berth.data.predictions import SplitPredictions, TrainingPredictions, sample_rows
from berth.data.token_ids import TokenisedSplit
from berth.encoders import resolve as encoders
from berth.encoders.preprocessor import Preprocessor, tokenize_all
from berth.encoders.text_to_vector import LONGEST
from berth.encoders.vocabulary import check_vocabulary_fits
from berth.settings import AUTO, TRUNCATE
from berth.training.checkpoints import Checkpoints
from berth.training.devices import find
from berth.training.recipe import OF_DECISION, Recipe
from berth.training.settings import Training
from berth.training.trainer import Outcome, Trainer
from components.train.calibration import Temperature, temperature
from components.train.classifier import Classifier
from components.train.contrast import ContrastiveTask
from components.train.defaults import (
    Facts,
    choose_length,
    choose_pooling,
    for_few,
    in_words,
    parameters,
    settle,
    settle_encoder,
    warnings,
)
from components.train.evaluation import EvaluationFunction, evaluation_function, predict
from components.train.export import export
from components.train.fitting import fit
from components.train.long_texts import check_long_texts
from components.train.splits import read
from components.train.task import ClassificationTask, Predictions
from components.train.threshold import (
    Threshold,
    check_decision,
    check_metric,
    choose,
    choose_by_precision,
    choose_per_label,
)

_CODE = ("berth/data", "berth/encoders", "berth/training", "components/train")
"""The code that a training depends on: after changes to other code, an interrupted one goes on."""
_SAME = {name: Training.model_fields[name].default for name in ("auto_batch", *OF_DECISION)}
"""Settings that do not change what is learnt: batches that are halved for lack of memory make the same updates."""
_MANY = 0.1
"""Share of the texts from which the log names the remedy for cutting them."""
_LOST = {"head": "end", "tail": "start", "head_tail": "middle"}


@dataclass(frozen=True)
class TrainedModel:
    """The result of a training run."""

    outcome: Outcome
    task: str
    pairs: bool
    labels: list[str]
    threshold: Threshold
    truncated: int
    """Rows of the train split that are longer than sequence_length, and cut off or read in windows."""
    encoder_sha256: str
    """Of the encoder's files."""
    preprocessor_sha256: str
    seconds: float


def train_model(
    dataset: str | Path,
    model: str | Path,
    predictions: str | Path,
    *,
    encoder: str,
    preprocessor: str,
    sequence_length: int,
    recipe: Recipe,
    threshold_metric: str,
    positive_label: str = "",
    pooling: str = "auto",
    long_texts: str = TRUNCATE,
    checkpoints: str = "",
    checkpoint_minutes: float = 10,
    require_gpu: bool = False,
    log_metrics: Callable[[dict[str, float], int], object],
    log_parameters: Callable[[dict[str, object]], object] = lambda _: None,
) -> TrainedModel:
    """Fine-tune `encoder` on the dataset's train split and export its best evaluation to the folder `model`.

    Its predictions for the validation and the train split, and for EDGE_CASES, go to the file `predictions`. An
    interrupted run continues from its checkpoints below `checkpoints`, a folder, s3:// or gs://; empty: no checkpoints.
    If the process is one of several (TF_CONFIG), only the chief writes. A `sequence_length` of 0, a `pooling` of `auto`
    and what `recipe` leaves open are chosen (components.train.defaults) and passed to `log_parameters`.

    Raises:
        BerthError: the data, the encoder or the recipe do not allow it; nothing is exported then.
    """
    start = time.perf_counter()
    devices = find(require_gpu)  # before anything else starts TensorFlow
    manifest = Manifest.read(dataset)
    check_metric(threshold_metric, manifest.task)
    check_decision(recipe.training, threshold_metric, manifest.task, len(manifest.labels))
    encoder_folder, preprocessor_folder = encoders.resolve(encoder, preprocessor)
    loaded = encoders.load_preprocessor(preprocessor_folder, preprocessor)
    length_chosen, pooling_chosen = not sequence_length, pooling == AUTO
    pooling = choose_pooling(pooling, encoder_folder, recipe)
    tf.random.set_seed(recipe.seed)  # after the built-in encoder was converted: its own seeds are not this run's
    made = encoder_folder, encoder, manifest.labels, recipe.seed, manifest.task, pooling
    classifier = Classifier(*made)
    check_long_texts(long_texts, manifest.pairs, classifier.takes_texts, recipe.training.truncate)
    with devices.scope():
        # What TF-Hub loads in a strategy's scope runs in its replicas alone: it can be neither evaluated nor exported.
        replicated = Classifier(*made) if devices.replicas > 1 else classifier
    recipe = settle_encoder(recipe, classifier.is_trainable)
    if recipe.facts.trains_encoder:
        classifier.check_trainable(encoder)
    if not preprocessor_folder:
        sequence_length = LONGEST
    elif not sequence_length:
        sequence_length = choose_length(dataset, loaded, preprocessor, manifest.pairs, classifier.accepts)
    classifier.check_length(sequence_length, encoder)
    prepare = Preprocessor(loaded, sequence_length, preprocessor, manifest.pairs, recipe.training.truncate, long_texts)
    found = {name: read(dataset, name, manifest, prepare) for name in ("train", "validation")}
    splits = {name: split for name, (split, _) in found.items()}
    truncated = found["train"][1]
    print(
        f"{len(splits['train']):,} texts to train on, {len(splits['validation']):,} to validate on; of {truncated:,} "
        f"texts to train on {_fate(prepare, len(splits['train']), truncated)}",
        flush=True,
    )
    facts = Facts(
        hidden=classifier.hidden,
        labels=len(manifest.labels),
        texts=len(splits["train"]),
        tokens=int(prepare.widths(splits["train"]).sum()),
        validation=len(splits["validation"]),
        task=manifest.task,
    )
    asked, recipe = recipe, settle(for_few(recipe, facts), facts)
    length = f"{sequence_length} tokens" + (" (hold 99.9% of the texts, or all that fit)" if length_chosen else "")
    pooled = f"pooling {classifier.pooled}" + (" (the encoder's)" if pooling_chosen else "")
    print(in_words(asked, recipe, facts, length if preprocessor_folder else "whole texts", pooled), flush=True)
    for doubt in warnings(recipe, facts):
        print(f"anomaly warn {doubt}", flush=True)
    log_parameters(parameters(recipe, sequence_length if preprocessor_folder else "all", classifier.pooled))

    texts = [own for split in splits.values() for own in (split.tokens, split.pair_tokens) if own is not None]
    largest = max(int(own.values.max(initial=0)) for own in texts)
    if preprocessor_folder:
        check_vocabulary_fits(
            classifier.encoder.resolved_object, classifier.interface, loaded, preprocessor_folder, largest
        )
    encoder_sha256, preprocessor_sha256 = map(encoders.sha256, (encoder_folder, preprocessor_folder))
    made_of = classifier, replicated, prepare, splits["train"], splits["validation"], recipe
    task = (ContrastiveTask if recipe.facts.contrasts else ClassificationTask)(*made_of, devices.multiple)
    identity = {
        "data": manifest.fingerprint,
        "encoder": encoder_sha256,
        "preprocessor": preprocessor_sha256,
        "sequence_length": str(sequence_length),
        "pooling": pooling,
        "long_texts": long_texts,
        "recipe": str(replace(recipe, training=recipe.training.model_copy(update=_SAME))),
        "code": code_version(_CODE),
    }
    kept = Checkpoints(checkpoints, identity) if checkpoints and devices.chief else None
    log = log_metrics if devices.chief else lambda *_: None
    outcome, better = fit(
        task, recipe, lambda: Trainer(task, recipe, log, devices, kept, 60 * checkpoint_minutes).run()
    )
    log_parameters({"recipe_kept": better} if better else {})
    rules = TextRules.of(manifest.cleaning)
    evaluation, validated = task.evaluation, task.predictions()
    if recipe.training.calibrate:
        found_temperature = temperature(validated[0], splits["validation"].targets, manifest.task)
        print(_calibrated(found_temperature), flush=True)
        log_parameters({"temperature": f"{found_temperature.value:.4g}"})
        classifier.temperature = found_temperature.value
        if classifier.temperature != 1:
            evaluation = evaluation_function(classifier, prepare)
            validated = predict(evaluation, prepare, splits["validation"], "validation")
    own = _predict_all(evaluation, prepare, splits, validated, recipe.seed, rules)
    decided_by = validated[0], splits["validation"].targets
    threshold = _threshold(*decided_by, recipe.training, threshold_metric, manifest, positive_label)
    print(_in_words(threshold, threshold_metric, manifest), flush=True)
    if devices.chief:
        export(classifier, prepare, threshold.value, model, rules, recipe.training.abstain_below)
        own.write(predictions)
    devices.wait()
    if kept:  # only now: a process that fails before this is started again with all others
        kept.clear()
    seconds = time.perf_counter() - start
    digests = encoder_sha256, preprocessor_sha256
    return TrainedModel(
        outcome, manifest.task, manifest.pairs, manifest.labels, threshold, truncated, *digests, seconds
    )


def _fate(prepare: Preprocessor, texts: int, longer: int) -> str:
    """Return what happens to the `longer` of `texts` that have more tokens than fit, in words."""
    if prepare.long_texts != TRUNCATE:
        return f"all is read, in windows of {prepare.sequence_length} tokens"
    lost = f"the {_LOST[prepare.truncate]} is cut off"
    return f"{lost} (long_texts: windows reads all of them)" if longer > _MANY * texts and not prepare.pairs else lost


def _predict_all(
    evaluation: EvaluationFunction,
    prepare: Preprocessor,
    splits: dict[str, TokenisedSplit],
    validated: Predictions,
    seed: int,
    rules: TextRules,
) -> TrainingPredictions:
    """Return those of validation, `validated`, of (a sample of) the train split, and of the cleaned EDGE_CASES."""
    train, validation = splits["train"], splits["validation"]
    rows = sample_rows(len(train), seed)
    tokens, _ = tokenize_all(prepare, [clean(text, rules) for text in EDGE_CASES.values()])
    no_targets = np.zeros((len(tokens), *validation.targets.shape[1:]), np.int32)
    edge = TokenisedSplit(tokens, no_targets, tokens if prepare.pairs else None)
    return TrainingPredictions(
        validation=SplitPredictions(np.arange(len(validation)), *validated),
        train=SplitPredictions(rows, *predict(evaluation, prepare, train.subset(rows), "train")),
        edge=SplitPredictions(
            np.arange(len(edge)),
            predict(evaluation, prepare, edge, "edge cases")[0],
            np.full(len(edge), np.nan, np.float32),
        ),
    )


def _threshold(
    probabilities: np.ndarray,
    targets: np.ndarray,
    training: Training,
    metric: str,
    manifest: Manifest,
    positive_label: str,
) -> Threshold:
    """Return the threshold that the validation split's `targets` ask for, as the run's settings choose it."""
    if training.threshold_per_label:
        return choose_per_label(probabilities, targets, metric)
    if not training.precision_at_least:
        return choose(probabilities, targets, manifest.task, metric)
    label = manifest.positive_label(positive_label)
    place = manifest.labels.index(label)
    found = choose_by_precision(probabilities, targets == place, training.precision_at_least, place)
    if (found.score or 0.0) < training.precision_at_least:
        what = f"no threshold gives {label} a precision of {training.precision_at_least:g} on validation"
        print(f"anomaly warn precision_at_least: {what}; {found.score:.4f} is the highest", flush=True)
    return found


def _calibrated(found: Temperature) -> str:
    if found.value == 1:
        return f"temperature 1: no other lowers the validation log loss of {found.before:.4f} for certain"
    return f"temperature {found.value:.3g} (validation log loss {found.before:.4f} -> {found.after:.4f})"


def _in_words(threshold: Threshold, metric: str, manifest: Manifest) -> str:
    if manifest.task == "single_label" and len(manifest.labels) > 2:
        return f"no threshold: of {len(manifest.labels)} classes the most probable is taken"
    if isinstance(threshold.value, list):
        shown = ", ".join(f"{label} {own:.2f}" for label, own in zip(manifest.labels, threshold.value, strict=True))
        return f"thresholds {shown}"
    if threshold.score is None:
        return f"threshold {threshold.value:.2f}"
    if metric == "none":
        return f"threshold {threshold.value:.4g} (precision {threshold.score:.4f} on validation)"
    name = {"macro_f1": "macro F1", "mcc": "MCC"}.get(metric, metric)
    return f"threshold {threshold.value:.2f} ({name} {threshold.score:.2f} on validation)"
