"""The train step as Kubeflow sees it."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.common import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def train(
    dataset: Input[Dataset],
    encoder: str,
    preprocessor: str,
    sequence_length: int,
    recipe: str,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    warmup_fraction: float,
    weight_decay: float,
    seed: int,
    threshold_metric: str,
    pooling: str,
    model: Output[Model],
    metrics: Output[Metrics],
    predictions: Output[Artifact],
) -> None:
    """Fine-tune the encoder on the train split; keep the best epoch by validation loss.

    `predictions` is a Parquet file of what that epoch says of validation, train and edge cases.
    """
    import json
    from importlib.metadata import version
    from pathlib import Path

    import mlflow

    from components.common import tracking
    from components.train.loop import Recipe
    from components.train.step import train_model

    chosen = Recipe(recipe, epochs, batch_size, learning_rate, warmup_fraction, weight_decay, seed)
    parameters = {
        "encoder": encoder,
        "preprocessor": preprocessor or encoder,
        "pooling": pooling,
        "sequence_length": sequence_length,
        **vars(chosen),
        "threshold_metric": threshold_metric,
    }
    with tracking.step_run("train", parameters, [dataset.metadata]) as run:
        training = train_model(
            dataset.path,
            model.path,
            predictions.path,
            encoder=encoder,
            preprocessor=preprocessor,
            sequence_length=sequence_length,
            recipe=chosen,
            threshold_metric=threshold_metric,
            pooling=pooling,
            log_metrics=lambda values, epoch: mlflow.log_metrics(values, step=epoch),
        )
        outcome = training.outcome
        numbers = {
            "best_epoch": outcome.best_epoch,
            "val_loss": outcome.val_loss,
            "val_accuracy": outcome.val_accuracy,
            "examples_per_second": outcome.examples_per_second,
            "threshold": training.threshold.value,
        }
        for name, value in numbers.items():
            metrics.log_metric(name, value)
        Path(metrics.path).write_text(json.dumps(numbers), encoding="utf-8")  # the cache wants a file of every output
        mlflow.log_metrics(
            {
                "best_epoch": outcome.best_epoch,
                "truncated_texts": training.truncated,
                "threshold": training.threshold.value,
                "train_seconds": training.seconds,
            }
        )
        model.framework = "tensorflow"
        model.metadata["labels"] = training.labels
        model.metadata["task"] = training.task
        model.metadata["pairs"] = training.pairs
        model.metadata["threshold"] = training.threshold.value
        needed = ("tensorflow", "tensorflow-text", "mlflow", "numpy", "pandas")
        model.metadata["requirements"] = [f"{package}=={version(package)}" for package in needed]
        model.metadata["summary"] = (
            f"epoch {outcome.best_epoch} of {epochs}, validation loss {outcome.val_loss:.4f}, "
            f"accuracy {outcome.val_accuracy:.4f}"
        )
        model.metadata[tracking.RUN_ID] = run.info.run_id
