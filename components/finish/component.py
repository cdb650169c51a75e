"""KFP interface of the exit handler."""

from kfp import dsl

from berth import images


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def finish(status: dsl.PipelineTaskFinalStatus, name: str, notify: dict, kfp_ui: str, mlflow_ui: str) -> None:
    """Close the MLflow run of this pipeline run, whatever happened, and send notifications.

    On a cluster it fails if the run did: KFP's retry of a run repeats an exit handler that failed, and no other.
    """
    from berth.tracking.pipeline_run import kfp_run_id
    from components.finish.step import finish_run

    ended = finish_run(name, status.state, status.error_message or "", notify, kfp_ui, mlflow_ui)
    for warning in ended.warnings:
        print(f"warning: {warning}", flush=True)
    if kfp_run_id() and ended.status != "FINISHED":
        raise SystemExit(
            f"The run is closed as {ended.status}. finish fails too, so that a retry of the run repeats it."
        )
