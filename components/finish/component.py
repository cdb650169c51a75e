"""The exit handler as Kubeflow sees it."""

from kfp import dsl

from components.common import images


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def finish(status: dsl.PipelineTaskFinalStatus) -> None:
    """Close the MLflow run of this pipeline run, whatever happened."""
    from components.common import tracking
    from components.finish.step import close_run

    close_run(tracking.parent_run().info.run_id, status.state, status.error_message or "")
