"""Backend 1: the DAG on one machine. kfp.local executes it; a step runs in its image, or in its environment.

Two things are added to kfp.local while a run lasts: its task handlers, which know only one interpreter, or mistake a
container that ended quickly for a success, are replaced by one that runs the task's command with a StepRunner; and
the function that executes a task is wrapped, to report what ran. Scheduling, conditions, retries, the cache and the
exit handler are kfp's own.
"""

import contextlib
import datetime
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from berth.errors import BerthError, first_line
from berth.tracking import pipeline_run, run_tree
from pipeline import checkout, home, mlflow_store
from pipeline.config.pipeline_config import PipelineConfig
from pipeline.local import run_logs
from pipeline.local.environments import environments
from pipeline.local.kfp_local import patched_kfp
from pipeline.local.runner import Reporter, Result, Step, StepRunner
from pipeline.local.warm_pool import WarmPool

EXIT_STEP = "finish"


def run(
    config: PipelineConfig,
    config_file: Path,
    reporter: Reporter,
    in_containers: bool = False,
    pool: WarmPool | None = None,
) -> Result:
    """Run the pipeline as `config` says, under .berth/ in the working directory; steps may use `pool`'s processes.

    Raises:
        BerthError: a step failed; the message is the step's name and its last error line. Or containers cannot be
            had, or there is no such folder of an encoder.
    """
    from berth.encoders import present
    from pipeline.dags.pipelines import pipeline_of

    parameters = config.parameters()
    present.check_folders(parameters["encoder"], parameters["preprocessor"])
    if in_containers:
        from pipeline.local import containers

        runner = containers.containers(config)
    else:
        runner = environments(pool)
    parameters["push_to"] = home.serving_folder(config.push_to)
    # The same text for every run, or train would never come out of the cache.
    parameters["checkpoints"] = config.checkpoints or str(home.writable_home() / "checkpoints")
    arguments = {"git_commit": checkout.git_commit(), "config_file": str(config_file), **parameters}
    return run_pipeline(pipeline_of(config.kind), arguments, config.name, reporter, runner)


def run_pipeline(
    pipeline: Callable[..., object],
    arguments: dict[str, object],
    name: str,
    reporter: Reporter,
    runner: StepRunner | None = None,
) -> Result:
    """Run `pipeline` with `arguments` as a run of the MLflow experiment `name`; raises as `run` does."""
    runner = runner or environments()
    started = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    run_id = _open_run(name, f"{name}-{started}")
    log_dir = run_logs.log_dir(f"{name}-{started}", run_id)
    steps: list[Step] = []
    try:
        (log_dir / "tmp").mkdir(parents=True)
        with patched_kfp(runner, reporter, steps, log_dir, {"MLFLOW_RUN_ID": run_id}), _interruptible():
            pipeline(**arguments)
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        with _where_mlflow_answers():
            run_tree.close(run_id, "KILLED" if interrupted else "FAILED", "interrupted" if interrupted else str(error))
        if isinstance(error, OSError):
            raise BerthError(
                f"{home.berth_home()}: cannot be written ({error.strerror}). Make room or run elsewhere."
            ) from None
        raise
    finally:
        shutil.rmtree(log_dir / "tmp", ignore_errors=True)

    failed = next((step for step in steps if step.state == "failed"), None)
    if failed:
        with _where_mlflow_answers():
            if not any(step.name == EXIT_STEP and step.state == "done" for step in steps):
                run_tree.close(run_id, "FAILED", failed.summary)
            run_tree.blame(run_id, failed.name, failed.summary)
        raise BerthError(f"{failed.name} failed: {failed.summary} Log: {home.relative(log_dir / failed.name)}.log")
    blessed = any(step.name in ("push", "push_encoder") for step in steps)
    return Result(run_id, steps, blessed, log_dir)


def _open_run(experiment: str, run_name: str) -> str:
    """Create the MLflow run of a pipeline run and return its id."""
    store = mlflow_store.use_tracking_uri()
    from mlflow.exceptions import MlflowException

    try:
        return pipeline_run.create_parent(experiment, run_name, {})
    except MlflowException as error:
        raise BerthError(
            f"MLflow at {mlflow_store.redacted(store)} does not answer: {first_line(error)} Check MLFLOW_TRACKING_URI."
        ) from None


def _where_mlflow_answers() -> contextlib.AbstractContextManager[None]:
    """Leave out of MLflow what it cannot be told, as on a full disk: the user is told of the failure all the same."""
    from mlflow.exceptions import MlflowException

    return contextlib.suppress(MlflowException)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM end the run the way that Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
