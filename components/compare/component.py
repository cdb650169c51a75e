"""KFP interface of the compare step, which is never cached because the champion changes."""

from kfp import dsl
from kfp.dsl import Dataset, Input, OutputPath

from berth import images


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def compare(
    dataset: Input[Dataset],
    name: str,
    model_name: str,
    on_unchanged: str,
    columns: list,
    encoding: str,
    text_column: str,
    text_pair_column: str,
    label_column: str,
    task: str,
    label_separator: str,
    label_map: dict,
    positive_label: str,
    behaviour: str,
    slice_columns: list,
    max_rows: int,
    stratified: bool,
    split: dict,
    rare_labels: dict,
    cleaning: dict,
    schema: str,
    checks: dict,
    encoder: str,
    preprocessor: str,
    encoder_fingerprint: str,
    pooling: str,
    long_texts: str,
    sequence_length: int,
    recipe: str,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    warmup_fraction: float,
    weight_decay: float,
    seed: int,
    threshold_metric: str,
    training: dict,
    evaluation: dict,
    gates: dict,
    champion: OutputPath(str),  # type: ignore[valid-type]
    settings_digest: OutputPath(str),  # type: ignore[valid-type]
) -> bool:
    """Return whether to train; `champion` is the MLflow run of a champion trained on other data, if there is one.

    All inputs but the first four are the settings that change a model. They are not one text made of several
    parameters: KFP's launcher puts their values into the text without escaping them, and a list, a dict or a line break
    ends the JSON that it is part of (kubeflow/pipelines, backend/src/v2/component/launcher_v2.go: compileCmdAndArgs).
    """
    given = dict(locals())
    from pathlib import Path

    from berth.tracking import tags
    from berth.tracking.step_run import end_run, log_to_parent, step_run
    from components.compare.step import compare_with_champion

    no_settings = (
        "dataset",
        "name",
        "model_name",
        "on_unchanged",
        "champion",
        "settings_digest",
    )
    settings = {key: value for key, value in given.items() if key not in no_settings}
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
