"""KFP interface of the exit handler."""

from kfp import dsl

from berth import images


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def finish(status: dsl.PipelineTaskFinalStatus, name: str, notify: dict, kfp_ui: str, mlflow_ui: str) -> None:
    """Close the MLflow run of this pipeline run, whatever happened, and send notifications."""
    from components.finish.step import finish_run

    for warning in finish_run(name, status.state, status.error_message or "", notify, kfp_ui, mlflow_ui):
        print(f"warning: {warning}", flush=True)
