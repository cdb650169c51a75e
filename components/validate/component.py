"""The validate step as Kubeflow sees it."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from components.common import images


@dsl.component(base_image=images.VALIDATE, install_kfp_package=False)
def validate(
    dataset: Input[Dataset],
    schema: str,
    statistics: Output[Artifact],
    used_schema: Output[Artifact],
    anomalies: Output[Artifact],
) -> None:
    """Validate the splits against a TFDV schema, given or inferred from train; any anomaly fails the step."""
    from pathlib import Path

    import mlflow

    from components.common import tracking
    from components.common.errors import BerthError
    from components.validate.step import validate_dataset

    with tracking.step_run("validate", {"schema": "given" if schema else "inferred"}, [dataset.metadata]) as run:
        found = validate_dataset(dataset.path, schema, statistics.path, used_schema.path, anomalies.path)
        mlflow.log_artifacts(statistics.path, "statistics")
        mlflow.log_artifacts(anomalies.path, "anomalies")
        mlflow.log_text(Path(used_schema.path).read_text(encoding="utf-8"), "schema.pbtxt")
        mlflow.log_metric("anomalies", len(found))
        for anomaly in found:
            print(f"anomaly {anomaly}", flush=True)
        if found:
            several = f"{len(found)} anomalies in the data, such as {found[0]}"
            raise BerthError(f"{several} Mend the data, or give a schema that allows it.")
        anomalies.metadata["anomalies"] = 0
        anomalies.metadata["summary"] = "no anomalies in 3 splits"
        anomalies.metadata[tracking.RUN_ID] = run.info.run_id
