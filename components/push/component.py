"""The push step as Kubeflow sees it."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output

from components.common import images


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def push(
    model: Input[Model],
    dataset: Input[Dataset],
    report: Input[HTML],
    name: str,
    model_name: str,
    push_to: str,
    settings_digest: str,
    pushed: Output[Artifact],
) -> None:
    """Make the blessed model the champion; an empty `model_name` means `name`."""
    import json
    from pathlib import Path

    from components.common import tracking
    from components.common.code import code_version
    from components.push.step import push_model

    upstream = [dataset.metadata, model.metadata, report.metadata]
    with tracking.step_run("push", {"model_name": model_name or name}, upstream) as run:
        tags = {
            tracking.PIPELINE_RUN: tracking.parent_run().info.run_id,
            tracking.FINGERPRINT: dataset.metadata["fingerprint"],
            tracking.SETTINGS: settings_digest,
            tracking.CODE: code_version(),
            tracking.VERDICT: report.metadata["verdict"],
        }
        done = push_model(
            model.path, model_name or name, push_to, model.metadata["labels"], model.metadata["requirements"], tags
        )
        facts = {"name": done.name, "version": done.version, "folder": str(done.folder or "")}
        Path(pushed.path).write_text(json.dumps(facts), encoding="utf-8")
        tracking.log_to_parent(tags={"berth.model_version": f"{done.name}/{done.version}"})
        pushed.metadata.update(facts)
        pushed.metadata["summary"] = str(done)
        pushed.metadata[tracking.RUN_ID] = run.info.run_id
