"""KFP interfaces of push, for a blessed model, and of refuse, for one that is not."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output

from berth import images


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def push(
    model: Input[Model],
    dataset: Input[Dataset],
    report: Input[HTML],
    name: str,
    model_name: str,
    push_to: str,
    keep: int,
    settings_digest: str,
    pushed: Output[Artifact],
) -> None:
    """Register the blessed model as the champion and publish it; an empty `model_name` means `name`."""
    from berth.models.package import ModelInterface
    from berth.tracking import tags
    from berth.tracking.step_run import step_run
    from components.push import record
    from components.push.step import push_model

    upstream = [dataset.metadata, model.metadata, report.metadata]
    with step_run("push", {"model_name": model_name or name}, upstream) as run:
        done = push_model(
            model.path,
            model_name or name,
            push_to,
            ModelInterface.of(model.metadata, model.path),
            record.version_tags(report.metadata, dataset.metadata, settings_digest),
            record.description(report.metadata, dataset.metadata),
            keep,
        )
        pushed.metadata.update(record.record_version(done, pushed.path))
        pushed.metadata[tags.RUN_ID] = run.info.run_id


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def refuse(
    model: Input[Model],
    dataset: Input[Dataset],
    report: Input[HTML],
    name: str,
    model_name: str,
    settings_digest: str,
    refused: Output[Artifact],
    push_to: str = "",
) -> None:
    """Register the model that was not blessed as the challenger; `push_to` is where a promotion would publish it."""
    from berth.models.package import ModelInterface
    from berth.tracking import tags
    from berth.tracking.step_run import step_run
    from components.push import record
    from components.push.step import refuse_model

    upstream = [dataset.metadata, model.metadata, report.metadata]
    with step_run("refuse", {"model_name": model_name or name}, upstream) as run:
        done = refuse_model(
            model.path,
            model_name or name,
            push_to,
            ModelInterface.of(model.metadata, model.path),
            record.version_tags(report.metadata, dataset.metadata, settings_digest),
            record.description(report.metadata, dataset.metadata),
        )
        refused.metadata.update(record.record_version(done, refused.path))
        refused.metadata[tags.RUN_ID] = run.info.run_id
