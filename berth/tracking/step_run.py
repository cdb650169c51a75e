"""Logging of a step to MLflow: every pipeline run is one MLflow run, and every step a run nested in it."""

import contextlib
import hashlib
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from berth.errors import BerthError, full_disk_in_one_line
from berth.tracking import tags
from berth.tracking.pipeline_run import kfp_run_id, own_run, parent_run, user
from berth.tracking.run_tree import children, close, nested
from berth.tracking.tags import TAG_LIMIT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.data.dataset import Dataset
    from mlflow.entities import Run


TIME_LIMIT = "BERTH_TIME_LIMIT"
"""The variable that tells a step on a cluster after how many seconds its pod is stopped."""
_TRY = "KFP_RETRY_INDEX"
"""KFP's variable: which try of the step this is, 0 for the first, and again for the first of a retry of the run."""
_NAME_LIMIT = 250
_METRICS_LIMIT = 1000
"""MLflow's own, of metrics in one request."""


@contextlib.contextmanager
def step_run(
    step: str,
    params: Mapping[str, object] | None = None,
    upstream: Sequence[Mapping[str, str]] = (),
    system_metrics: bool = False,
    repeats_errors: bool = True,
    resumes: bool = True,
) -> Iterator["Run"]:
    """Open the nested run of `step`; an exception ends it as FAILED, with the error as a tag there and on the parent.

    `params` are logged as `log_params` does. `upstream` is the metadata of the step's input artifacts. An input that
    came out of the cache was made under another pipeline run; a nested run of this one then says which, with what
    that run logged. With `system_metrics` MLflow logs the use of CPU, memory, disk, network and GPU every 10 s.
    A cluster cannot tell a step's own error from a lost node and repeats both: with `repeats_errors` False, a step
    whose last try ended in a BerthError raises it again at once. It repeats a step that was stopped at its time limit,
    too: without `resumes`, such a step raises an error instead of starting from the beginning.

    Raises:
        BerthError: this process belongs to no pipeline run, or the error of an earlier try is raised again.

    Example:
        >>> with step_run("count", {"rows": 5_574}) as run:
        ...     counts.metadata[tags.RUN_ID] = run.info.run_id
    """
    import mlflow

    parent = parent_run()  # first: in a pod it takes the store's address from the secret
    client = mlflow.MlflowClient()
    own = own_run()
    if kfp_run_id() and not repeats_errors and parent.info.status == "RUNNING" and os.environ.get(_TRY) != "0":
        _raise_again(client, parent, step, resumes)
    _reopen(client, parent)
    for metadata in upstream:
        if tags.RUN_ID in metadata:
            _show_reused(client, parent, metadata[tags.RUN_ID])
    own_tags = {**tags.SOURCE, tags.STEP: step}
    if own:
        for key, value in own_tags.items():
            client.set_tag(own, key, value)
        opened = mlflow.start_run(run_id=own, log_system_metrics=system_metrics)
    else:
        opened = mlflow.start_run(
            run_name=step,
            experiment_id=parent.info.experiment_id,
            parent_run_id=parent.info.run_id,
            tags=own_tags,
            log_system_metrics=system_metrics,
        )
    with opened as run:
        try:
            log_params(params or {})
            with full_disk_in_one_line():
                yield run
        except BaseException as error:
            message = (str(error) or type(error).__name__)[:TAG_LIMIT]
            client.set_tag(run.info.run_id, tags.ERROR, message)
            if isinstance(error, SystemExit):
                print(message, flush=True)  # Python prints nothing of an exit code
            if isinstance(error, BerthError):
                client.set_tag(run.info.run_id, tags.FINAL, "yes")
            client.set_tag(parent.info.run_id, tags.ERROR, f"{step}: {message}"[:TAG_LIMIT])
            raise


def end_run() -> None:
    """Close the pipeline run as FINISHED, on a cluster, where the last step is done: finish may not come that far."""
    if kfp_run_id():
        close(parent_run().info.run_id, "FINISHED")


def log_params(params: Mapping[str, object]) -> None:
    """Log `params` on the step's run and on the parent, where runs are compared: no two steps have one of a name."""
    import mlflow
    from mlflow.entities import Param

    client = mlflow.MlflowClient()
    for run_id in _step_and_parent():
        # A step that is tried again may find another value, and MLflow lets none be changed: the first one stays.
        there = client.get_run(run_id).data.params
        client.log_batch(run_id, params=[Param(key, str(params[key])) for key in params if key not in there])


def log_datasets(datasets: "Mapping[str, Dataset]") -> None:
    """Log `datasets`, by what each is for, on the step's run and on the parent, where runs are listed and compared."""
    import mlflow
    from mlflow.entities import DatasetInput, InputTag
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    inputs = [
        DatasetInput(dataset._to_mlflow_entity(), tags=[InputTag(MLFLOW_DATASET_CONTEXT, context)])
        for context, dataset in datasets.items()
    ]
    for run_id in _step_and_parent():
        mlflow.MlflowClient().log_inputs(run_id, datasets=inputs)


def log_to_parent(tags: Mapping[str, str] | None = None, metrics: Mapping[str, float] | None = None) -> None:
    """Put `tags` and `metrics` on the run of the whole pipeline run, where runs are listed and compared."""
    import mlflow

    client = mlflow.MlflowClient()
    run_id = parent_run().info.run_id
    for key, value in (tags or {}).items():
        client.set_tag(run_id, key, value)
    for key, metric in (metrics or {}).items():
        client.log_metric(run_id, key, metric)


def metric_name(name: str) -> str:
    """Return `name` with what MLflow refuses in a metric's name replaced by underscores; a slash makes groups.

    Example:
        >>> metric_name("recall/C++")
        'recall/C__'
    """
    name = re.sub(r"[^\w\-. /:]", "_", name)[:_NAME_LIMIT]
    return "/".join(part if part.strip(". ") else "_" for part in name.split("/"))


def metric_names(names: Iterable[str]) -> dict[str, str]:
    """Return the MLflow name of each of `names`, all different: equal ones get the start of their name's SHA-256.

    Example:
        >>> metric_names(["recall/C#", "recall/C+"])
        {'recall/C#': 'recall/C__4b2ec276', 'recall/C+': 'recall/C__acc001ce'}
    """
    made = {name: metric_name(name) for name in names}
    many = Counter(made.values())
    return {
        name: own if many[own] == 1 else f"{own[: _NAME_LIMIT - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        for name, own in made.items()
    }


def _reopen(client: "MlflowClient", parent: "Run") -> None:
    """Let the pipeline run go on if it has ended: KFP's own retry of it begins with this step."""
    if parent.info.status != "RUNNING":
        client.update_run(parent.info.run_id, status="RUNNING")
    if tags.FINISHED in parent.data.tags:
        client.delete_tag(parent.info.run_id, tags.FINISHED)


def _raise_again(client: "MlflowClient", parent: "Run", step: str, resumes: bool) -> None:
    """Raise the error of the last try of `step`, if that is one that trying again does not fix."""
    tries = [child for child in children(client, parent.info.run_id) if child.data.tags[tags.STEP] == step]
    if not tries:
        return
    last = tries[-1]
    if last.info.status == "FAILED" and tags.FINAL in last.data.tags:
        raise BerthError(last.data.tags[tags.ERROR])
    limit = int(os.environ.get(TIME_LIMIT, 0))
    if last.info.status == "RUNNING" and not resumes and 0 < limit <= time.time() - last.info.start_time / 1000:
        raise BerthError(
            f"the last try was stopped, probably at its time limit of {limit // 3600} hours. Set checkpoints: the next "
            "try then continues where the last one stopped."
        )


def _show_reused(client: "MlflowClient", parent: "Run", run_id: str) -> None:
    from mlflow.entities import Param, RunTag
    from mlflow.exceptions import MlflowException

    try:
        source = client.get_run(run_id)
    except MlflowException:  # the store that the cached step logged to is gone; its outputs are not
        return
    step = source.data.tags.get(tags.STEP, source.info.run_name)
    if any(child.data.tags.get(tags.STEP) == step for child in children(client, parent.info.run_id)):
        return
    made = f"[the run that made it](#/experiments/{source.info.experiment_id}/runs/{run_id})"
    own_tags = {
        tags.STEP: step,
        tags.REUSED_FROM: run_id,
        tags.DESCRIPTION: f"Out of the cache; files and logs are with {made}.",
        tags.PARENT: parent.info.run_id,
    }
    run = next((run for run in nested(client, parent.info.run_id) if run.info.run_name == step), None)
    name = f"{step} (cached)"
    if run is None:
        run = client.create_run(parent.info.experiment_id, run_name=name, tags={**user(), **tags.SOURCE, **own_tags})
    else:  # KFP's MLflow plugin has made one
        client.log_batch(
            run.info.run_id, tags=[RunTag(key, value) for key, value in {**tags.SOURCE, **own_tags}.items()]
        )
        client.update_run(run.info.run_id, name=name)
    history = [metric for key in source.data.metrics for metric in client.get_metric_history(run_id, key)]
    for target in (run.info.run_id, parent.info.run_id):
        there = client.get_run(target).data.params
        client.log_batch(
            target, params=[Param(key, value) for key, value in source.data.params.items() if key not in there]
        )
        client.log_inputs(target, datasets=source.inputs.dataset_inputs if source.inputs else [])
    for start in range(0, len(history), _METRICS_LIMIT):
        client.log_batch(run.info.run_id, metrics=history[start : start + _METRICS_LIMIT])
    client.set_terminated(run.info.run_id, "FINISHED")


def _step_and_parent() -> tuple[str, str]:
    import mlflow

    run = mlflow.active_run()
    assert run is not None, "within step_run only"
    return run.info.run_id, parent_run().info.run_id
