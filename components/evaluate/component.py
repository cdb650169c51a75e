"""KFP interface of the evaluate step."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from berth import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def evaluate(
    model: Input[Model],
    dataset: Input[Dataset],
    predictions: Input[Artifact],
    anomalies: Input[Artifact],
    name: str,
    model_name: str,
    gates: dict,
    evaluation: dict,
    positive_label: str,
    behaviour: str,
    metrics: Output[Metrics],
    confusion: Output[ClassificationMetrics],
    mistakes: Output[Artifact],
    report: Output[HTML],
) -> bool:
    """Judge `model` on the test split, compare it with the champion, and return whether it passes its gates."""
    import json
    from pathlib import Path

    import mlflow

    from berth.data.dataset import Manifest
    from berth.errors import printable
    from berth.settings import Evaluation
    from berth.tracking import tags
    from berth.tracking.artifacts import finite, packed
    from berth.tracking.step_run import log_to_parent, metric_names, step_run
    from components.evaluate.figures import confusion_figure, roc_figure
    from components.evaluate.gates import parse
    from components.evaluate.mistakes import label_studio, write_csv
    from components.evaluate.mlflow_note import describe
    from components.evaluate.report import MOST_LABELS, render
    from components.evaluate.step import evaluate_model

    bounds = parse(gates)
    parameters = {f"gate_{gate}": bound for gate, bound in bounds if bound not in (None, {}) and bound is not False}
    upstream = [dataset.metadata, anomalies.metadata, model.metadata]
    with step_run("evaluate", parameters, upstream) as run:
        judgement = evaluate_model(
            model.path,
            dataset.path,
            predictions.path,
            model_name=model_name or name,
            bounds=gates,
            settings=Evaluation.model_validate(evaluation),
            positive_label=positive_label,
            cases=behaviour,
        )
        verdict, scored = judgement.verdict, judgement.challenger.evaluation
        if judgement.positive_label:
            mlflow.log_param("positive_label", judgement.positive_label)
            print(printable(f"positive label {judgement.positive_label}"), flush=True)
        for gate in verdict.gates:
            print(printable(f"{gate.outcome:<7} {gate}"), flush=True)
        for finding in judgement.findings:
            print(printable(finding), flush=True)
        numbers = judgement.numbers()
        few = len(scored.labels) <= MOST_LABELS
        for key, value in finite(numbers if few else scored.scores).items():
            metrics.log_metric(key, value)
        if scored.confusion and few:
            confusion.log_confusion_matrix(scored.labels, scored.confusion)
        if len(scored.roc) == 1:
            curve = scored.roc[0]
            confusion.log_roc_curve(curve.x, curve.y, curve.thresholds)
        html = render(judgement, Manifest.read(dataset.path), bounds.confidence)
        Path(report.path).parent.mkdir(parents=True, exist_ok=True)
        Path(report.path).write_text(html, encoding="utf-8")
        write_csv([*judgement.mistakes, *judgement.suspects], mistakes.path)
        names = metric_names(numbers)
        mlflow.log_metrics({names[key]: value for key, value in numbers.items()})
        mlflow.set_tag(tags.DESCRIPTION, describe(judgement, bounds.confidence))
        mlflow.log_text(html, "report.html")
        mlflow.log_text(json.dumps(label_studio(judgement.suspects, judgement.served.task), indent=1), "suspects.json")
        mlflow.log_text(Path(mistakes.path).read_text(encoding="utf-8"), "mistakes.csv")
        if scored.confusion and few:
            mlflow.log_figure(confusion_figure(scored), "confusion_matrix.png")
        if scored.roc:
            mlflow.log_figure(roc_figure(scored), "roc_curve.png")
        run_tags = {tags.VERDICT: str(verdict), tags.FINGERPRINT: dataset.metadata["fingerprint"]}
        log_to_parent(run_tags, scored.scores)
        report.metadata["verdict"] = str(verdict)
        report.metadata["champion"] = judgement.champion.version if judgement.champion else "0"
        report.metadata["gates"] = packed(verdict.as_dicts())
        report.metadata["scores"] = packed(scored.scores)
        report.metadata["summary"] = (
            f"accuracy {scored.scores['accuracy']:.4f}, macro F1 {scored.scores['macro_f1']:.4f}: {verdict}"
        )
        report.metadata[tags.RUN_ID] = run.info.run_id
    return verdict.blessed
