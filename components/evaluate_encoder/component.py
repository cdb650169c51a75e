"""KFP interface of the evaluate_encoder step."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from berth import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def evaluate_encoder(
    corpus: Input[Dataset],
    pretrained: Input[Model],
    before: Input[Artifact],
    labelled: Input[Dataset],
    encoder: str,
    preprocessor: str,
    gates: dict,
    probe: dict,
    metrics: Output[Metrics],
    report: Output[HTML],
) -> bool:
    """Judge the pre-trained encoder on the held-out documents, and return whether it passes its gates.

    `encoder` and `preprocessor` name the encoder before; `encoder` is empty where there is none. `probe` is empty
    where no labelled source is named; `labelled` is what ingest_probe made of it.
    """
    from pathlib import Path

    import mlflow

    from berth.errors import printable
    from berth.pretraining.settings import EncoderGates, Probe
    from berth.tracking import tags
    from berth.tracking.artifacts import finite, packed
    from berth.tracking.step_run import log_to_parent, metric_name, step_run
    from components.evaluate_encoder import step
    from components.evaluate_encoder.report import describe, render

    bounds = EncoderGates.model_validate(gates)
    parameters = {f"gate_{gate}": bound for gate, bound in bounds if bound is not None and bound is not False}
    with step_run("evaluate_encoder", parameters, [corpus.metadata, pretrained.metadata, before.metadata]) as run:
        judgement = step.evaluate_encoder(
            corpus.path,
            pretrained.path,
            before.path,
            labelled.path,
            encoder=encoder,
            preprocessor=preprocessor,
            bounds=bounds,
            asked=Probe.model_validate(probe) if probe else None,
        )
        verdict, scores = judgement.verdict, judgement.scores()
        for gate in verdict.gates:
            print(printable(f"{gate.outcome:<7} {gate}"), flush=True)
        numbers = finite(judgement.numbers())
        for key, value in numbers.items():
            metrics.log_metric(key, value)
        html = render(judgement, bounds.confidence)
        Path(report.path).parent.mkdir(parents=True, exist_ok=True)
        Path(report.path).write_text(html, encoding="utf-8")
        mlflow.log_metrics({metric_name(key): value for key, value in numbers.items()})
        mlflow.set_tag(tags.DESCRIPTION, describe(judgement, bounds.confidence))
        mlflow.log_text(html, "report.html")
        log_to_parent({tags.VERDICT: str(verdict)}, scores)
        report.metadata["verdict"] = str(verdict)
        report.metadata["gates"] = packed(verdict.as_dicts())
        report.metadata["scores"] = packed(scores)
        report.metadata["summary"] = (
            f"held-out loss {scores['mlm_loss']:.4f} (before {judgement.before['mlm_loss']:.4f}), accuracy "
            f"{scores['mlm_accuracy']:.4f}: {verdict}"
        )
        report.metadata[tags.RUN_ID] = run.info.run_id
    return verdict.blessed
