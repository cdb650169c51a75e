"""KFP interface of the train step."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from berth import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def train(
    dataset: Input[Dataset],
    encoder: str,
    preprocessor: str,
    encoder_fingerprint: str,
    sequence_length: int,
    recipe: str,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    warmup_fraction: float,
    weight_decay: float,
    seed: int,
    threshold_metric: str,
    positive_label: str,
    pooling: str,
    long_texts: str,
    training: dict,
    checkpoints: str,
    checkpoint_minutes: float,
    require_gpu: bool,
    model: Output[Model],
    metrics: Output[Metrics],
    predictions: Output[Artifact],
) -> None:
    """Fine-tune the encoder on the train split; keep the weights that are best on the validation split.

    `predictions` is a Parquet file with the kept model's predictions for validation, train and edge cases.
    """
    import json
    import os
    from importlib.metadata import version
    from pathlib import Path

    import mlflow

    from berth.data.dataset import Manifest
    from berth.tracking import tags
    from berth.tracking.artifacts import finite, packed
    from berth.tracking.step_run import log_params, step_run
    from berth.training.recipe import Recipe
    from berth.training.settings import Training
    from components.train.defaults import CHOSEN
    from components.train.step import train_model

    Manifest.read(dataset.path).positive_label(positive_label)  # evaluate needs it: an error now, not after training
    settings = Training(**training)
    chosen = Recipe(recipe, epochs, batch_size, learning_rate, warmup_fraction, weight_decay, seed, settings)
    parameters = {
        "encoder": encoder,
        "preprocessor": preprocessor or encoder,
        "long_texts": long_texts,
        "warmup_fraction": warmup_fraction,
        "weight_decay": weight_decay,
        "seed": seed,
        "threshold_metric": threshold_metric,
        **{f"training.{name}": value for name, value in settings if name not in CHOSEN},
    }
    with step_run(
        "train",
        parameters,
        [dataset.metadata],
        system_metrics=True,
        repeats_errors=False,
        resumes=bool(checkpoints),
    ) as run:
        trained = train_model(
            dataset.path,
            model.path,
            predictions.path,
            encoder=encoder,
            preprocessor=preprocessor,
            sequence_length=sequence_length,
            recipe=chosen,
            threshold_metric=threshold_metric,
            positive_label=positive_label,
            pooling=pooling,
            long_texts=long_texts,
            checkpoints=checkpoints,
            checkpoint_minutes=checkpoint_minutes,
            require_gpu=require_gpu,
            log_metrics=lambda values, epoch: mlflow.log_metrics(values, step=epoch),
            log_parameters=log_params,
        )
        mlflow.set_tags({"encoder_sha256": trained.encoder_sha256, "preprocessor_sha256": trained.preprocessor_sha256})
        outcome = trained.outcome
        numbers = {
            "best_epoch": outcome.best_epoch,
            "val_loss": outcome.metrics["val_loss"],
            "val_accuracy": outcome.metrics["val_accuracy"],
            "val_macro_f1": outcome.metrics["val_macro_f1"],
            "examples_per_second": outcome.examples_per_second,
            "tokens_per_second": outcome.tokens_per_second,
            "padding_share": outcome.padding_share,
        }
        chosen_threshold = trained.threshold.value
        if isinstance(chosen_threshold, list):
            mlflow.log_dict(dict(zip(trained.labels, chosen_threshold, strict=True)), "thresholds.json")
        else:
            numbers["threshold"] = chosen_threshold
            mlflow.log_metric("threshold", chosen_threshold)
            model.metadata["threshold"] = chosen_threshold
        for name, value in finite(numbers).items():
            metrics.log_metric(name, value)
        Path(metrics.path).write_text(json.dumps(numbers), encoding="utf-8")  # the cache needs a file for every output
        mlflow.log_metrics(
            {
                "best_epoch": outcome.best_epoch,
                "truncated_texts": trained.truncated,
                "train_seconds": trained.seconds,
                "train_cpu_seconds": sum(os.times()[:4]),
            }
        )
        model.framework = "tensorflow"
        model.metadata["task"] = trained.task
        needed = ("tensorflow", "tensorflow-text", "mlflow", "numpy", "pandas")
        model.metadata["requirements"] = packed([f"{package}=={version(package)}" for package in needed])
        model.metadata["summary"] = (
            f"epoch {outcome.best_epoch} of {outcome.epochs}, validation loss {outcome.metrics['val_loss']:.4f}, "
            f"accuracy {outcome.metrics['val_accuracy']:.4f}"
        )
        model.metadata[tags.RUN_ID] = run.info.run_id
