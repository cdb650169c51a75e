"""The evaluate step as Kubeflow sees it."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from components.common import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def evaluate(
    model: Input[Model],
    dataset: Input[Dataset],
    anomalies: Input[Artifact],
    gates: dict,
    metrics: Output[Metrics],
    confusion: Output[ClassificationMetrics],
    report: Output[HTML],
) -> bool:
    """Judge `model` on the test split; return whether every gate holds."""
    from pathlib import Path

    import mlflow

    from components.common import tracking
    from components.evaluate.plots import confusion_figure, roc_figure
    from components.evaluate.step import evaluate_model

    parameters = {f"gate_{name}": bound for name, bound in gates.items()}
    upstream = [dataset.metadata, anomalies.metadata, model.metadata]
    with tracking.step_run("evaluate", parameters, upstream) as run:
        judgement = evaluate_model(model.path, dataset.path, gates, report.path)
        evaluation, verdict = judgement.evaluation, judgement.verdict
        print(verdict, flush=True)
        numbers = evaluation.numbers()
        for scores in evaluation.classes:
            if scores.support:
                for name in ("precision", "recall", "f1"):
                    numbers[tracking.metric_name(f"{name}_{scores.label}")] = getattr(scores, name)
        for name, value in numbers.items():
            metrics.log_metric(name, value)
        confusion.log_confusion_matrix(evaluation.labels, evaluation.confusion)
        if len(evaluation.curves) == 1:
            curve = evaluation.curves[0]
            confusion.log_roc_curve(curve.false_positive_rate, curve.true_positive_rate, curve.thresholds)
        mlflow.log_metrics(numbers)
        mlflow.log_text(Path(report.path).read_text(encoding="utf-8"), "report.html")
        mlflow.log_figure(confusion_figure(evaluation), "confusion_matrix.png")
        if evaluation.curves:
            mlflow.log_figure(roc_figure(evaluation), "roc_curve.png")
        tags = {tracking.VERDICT: str(verdict), tracking.FINGERPRINT: dataset.metadata["fingerprint"]}
        tracking.log_to_parent(tags, numbers)
        report.metadata["verdict"] = str(verdict)
        report.metadata["summary"] = (
            f"accuracy {evaluation.accuracy:.4f}, macro F1 {evaluation.macro_f1:.4f}: {verdict}"
        )
        report.metadata[tracking.RUN_ID] = run.info.run_id
    return verdict.blessed
