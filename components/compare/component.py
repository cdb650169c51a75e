"""KFP interface of the compare step, which is never cached because the champion changes."""

from kfp import dsl
from kfp.dsl import Dataset, Input, OutputPath

from berth import images


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def compare(
    dataset: Input[Dataset],
    name: str,
    model_name: str,
    settings: str,
    on_unchanged: str,
    champion: OutputPath(str),  # type: ignore[valid-type]
    settings_digest: OutputPath(str),  # type: ignore[valid-type]
) -> bool:
    """Return whether to train; `champion` is the MLflow run of a champion trained on other data, if there is one."""
    from pathlib import Path

    from berth.tracking import tags
    from berth.tracking.step_run import end_run, log_to_parent, step_run
    from components.compare.step import compare_with_champion

    with step_run("compare", {"on_unchanged": on_unchanged}, [dataset.metadata]):
        comparison = compare_with_champion(model_name or name, dataset.metadata["fingerprint"], settings)
        Path(champion).write_text(comparison.champion_run, encoding="utf-8")
        Path(settings_digest).write_text(comparison.settings_digest, encoding="utf-8")
        if comparison.unchanged:
            print(f"unchanged: {comparison.verdict}", flush=True)
        go_on = on_unchanged != "skip" or not comparison.unchanged
        if not go_on:
            log_to_parent(tags={tags.VERDICT: comparison.verdict})
    if not go_on:
        end_run()
    return go_on
