"""KFP interface of the pretrain step."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from berth import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def pretrain(
    corpus: Input[Dataset],
    vocabulary: Input[Artifact],
    encoder: str,
    encoder_fingerprint: str,
    new_encoder: dict,
    preprocessor: str,
    pretraining: dict,
    checkpoints: str,
    checkpoint_minutes: float,
    require_gpu: bool,
    pretrained: Output[Model],
    before: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Train the encoder named `encoder`, or one of the shape `new_encoder`, on the corpus, and export it.

    `before` is a folder with what the encoder before says of the held-out documents, and the training's curve.
    """
    import json
    from importlib.metadata import version
    from pathlib import Path

    import mlflow

    from berth.pretraining.settings import NewEncoder, Pretraining
    from berth.tracking import tags
    from berth.tracking.artifacts import finite, packed
    from berth.tracking.step_run import log_params, step_run
    from components.pretrain.step import pretrain_encoder

    settings = Pretraining.model_validate(pretraining)
    shape = NewEncoder.model_validate(new_encoder) if new_encoder else None
    parameters = {
        "encoder": encoder or str(shape),
        "preprocessor": preprocessor or encoder,
        **{f"pretraining.{name}": value for name, value in settings},
    }
    with step_run(
        "pretrain",
        parameters,
        [corpus.metadata, vocabulary.metadata],
        system_metrics=True,
        repeats_errors=False,
        resumes=bool(checkpoints),
    ) as run:
        trained = pretrain_encoder(
            corpus.path,
            vocabulary.path,
            pretrained.path,
            before.path,
            encoder=encoder,
            new_encoder=shape,
            preprocessor=preprocessor,
            settings=settings,
            checkpoints=checkpoints,
            checkpoint_minutes=checkpoint_minutes,
            require_gpu=require_gpu,
            log_metrics=lambda values, number: mlflow.log_metrics(values, step=number),
            log_parameters=log_params,
        )
        if trained.encoder_sha256:
            mlflow.set_tag("encoder_sha256", trained.encoder_sha256)
        outcome, before_it, after = trained.outcome, trained.before.metrics(), trained.after.metrics()
        numbers = {
            "tokens_seen": float(outcome.tokens),
            "tokens_per_second": outcome.tokens_per_second,
            "padding_share": outcome.padding_share,
            "train_seconds": trained.seconds,
        }
        judged = {f"held_out/{name}": value for name, value in after.items()}
        judged |= {f"before/{name}": value for name, value in before_it.items()}
        for name, value in finite(judged | numbers).items():
            metrics.log_metric(name, value)
        # the cache needs a file for every output
        Path(metrics.path).write_text(json.dumps(judged | numbers), encoding="utf-8")
        mlflow.log_metrics(numbers)
        # The curves begin with the encoder before; evaluate_encoder logs what came of all held-out documents.
        mlflow.log_metrics({f"val_{name}": value for name, value in before_it.items()}, step=0)
        pretrained.framework = "tensorflow"
        needed = ("tensorflow", "tensorflow-text", "mlflow", "numpy")
        pretrained.metadata["requirements"] = packed([f"{package}=={version(package)}" for package in needed])
        pretrained.metadata["hidden"] = str(trained.hidden)
        pretrained.metadata["encoder"] = trained.encoder_name
        pretrained.metadata["summary"] = (
            f"{outcome.tokens:,} tokens, held-out loss {after['mlm_loss']:.3f} (before {before_it['mlm_loss']:.3f}), "
            f"accuracy {after['mlm_accuracy']:.3f}"
        )
        for artifact in (pretrained, before):
            artifact.metadata[tags.RUN_ID] = run.info.run_id
