"""KFP interface of the validate step."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from berth import images


@dsl.component(base_image=images.VALIDATE, install_kfp_package=False)
def validate(
    dataset: Input[Dataset],
    schema: str,
    champion: str,
    checks: dict,
    encoder: str,
    preprocessor: str,
    encoder_fingerprint: str,
    sequence_length: int,
    long_texts: str,
    beam_args: list,
    statistics: Output[Artifact],
    used_schema: Output[Artifact],
    anomalies: Output[Artifact],
    report: Output[HTML],
) -> None:
    """Validate the splits against a schema, the champion's data and each other; an error fails the step."""
    import tempfile
    from pathlib import Path

    import mlflow

    from berth.encoders.wordpiece import find_vocabulary
    from berth.errors import BerthError
    from berth.settings import Checks
    from berth.tracking import run_tree, tags
    from berth.tracking.step_run import log_params, step_run
    from components.validate.report import headline
    from components.validate.step import Baseline, Outputs, tokens_of, validate_dataset

    with step_run("validate", {}, [dataset.metadata]) as run:
        baseline, vocabulary = None, find_vocabulary(encoder, preprocessor)
        if champion:
            with tempfile.TemporaryDirectory(prefix="berth-champion-") as fetched:
                folder = run_tree.step_artifacts(champion, "validate", "statistics", fetched)
                file = run_tree.step_artifacts(champion, "validate", "schema.pbtxt", fetched)
                known = run_tree.step_params(champion, "validate")
                baseline = Baseline.read(folder, file, known.get("vocabulary", ""))
        compared = "compared with the champion" if baseline else "no champion of other data to compare with"
        if baseline and baseline.has_other_tokens(vocabulary):
            compared += ", but for token counts: it had another vocabulary"
        print(f"drift: {compared}", flush=True)
        outputs = Outputs(*(Path(out.path) for out in (statistics, used_schema, anomalies, report)))
        validation = validate_dataset(
            dataset.path,
            schema,
            outputs,
            checks=Checks.model_validate(checks).of(long_texts),
            vocabulary=vocabulary,
            sequence_length=sequence_length,
            baseline=baseline,
            beam_args=beam_args,
        )
        log_params({"schema": validation.schema_source, "vocabulary": tokens_of(vocabulary)})
        mlflow.log_artifacts(statistics.path, "statistics")
        mlflow.log_artifacts(anomalies.path, "anomalies")
        mlflow.log_text(Path(used_schema.path).read_text(encoding="utf-8"), "schema.pbtxt")
        mlflow.log_text(Path(report.path).read_text(encoding="utf-8"), "validation_report.html")
        errors = validation.errors
        warnings = len(validation.anomalies) - len(errors)
        numbers = {f"{one.kind}/{one.split}/{one.feature}": one.value for one in validation.distances}
        mlflow.log_metrics({"anomalies": len(validation.anomalies), "warnings": warnings, **numbers})
        for anomaly in validation.anomalies:
            print(f"anomaly {anomaly.severity} {anomaly}", flush=True)
        if errors:
            several = f"{len(errors)} error{'s' * (len(errors) > 1)} in the data: {'; '.join(map(str, errors))}."
            raise BerthError(f"{several} Fix the data, or change schema or checks.severity to allow it.")
        anomalies.metadata["anomalies"] = len(validation.anomalies)
        anomalies.metadata["summary"] = f"{headline(validation.anomalies)} in 3 splits"
        anomalies.metadata[tags.RUN_ID] = run.info.run_id
