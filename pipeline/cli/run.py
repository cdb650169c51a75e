"""Commands that run a pipeline on this machine, and compile it: `berth run`, `berth pretrain`, `berth compile`."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from berth.cluster_settings import STEPS
from berth.errors import BerthError
from pipeline.cli.options import Config

if TYPE_CHECKING:
    from pipeline.config.pipeline_config import PipelineConfig


class Runner(StrEnum):
    """The choices of `berth run --runner`."""

    ENVIRONMENTS = "environments"
    DOCKER = "docker"


class Pipeline(StrEnum):
    """The choices of `berth compile --pipeline`."""

    TRAINING = "training"
    PRETRAINING = "pretraining"


Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Stream the steps' logs.")]
FailIfNotBlessed = Annotated[
    bool, typer.Option("--fail-if-not-blessed", help="Exit with 3 if the model does not pass its gates.")
]
Where = Annotated[
    Runner, typer.Option(help="Where steps run: in the images' local environments, or in containers of the images.")
]


def run(
    config: Config,
    verbose: Verbose = False,
    fail_if_not_blessed: FailIfNotBlessed = False,
    scheduled: Annotated[
        bool,
        typer.Option("--scheduled", help="End the run early if nothing is new, unless on_unchanged is set."),
    ] = False,
    runner: Where = Runner.ENVIRONMENTS,
) -> None:
    """Run the whole pipeline on this machine."""
    from pipeline.config.run_config import RunConfig

    run_config = RunConfig.load(config)
    if scheduled:
        run_config = run_config.as_scheduled()
    _run(run_config, config, verbose, runner, fail_if_not_blessed)


def pretrain(
    config: Config,
    verbose: Verbose = False,
    fail_if_not_blessed: FailIfNotBlessed = False,
    runner: Where = Runner.ENVIRONMENTS,
) -> None:
    """Pre-train an encoder on unlabelled text: the whole pre-training pipeline on this machine."""
    from pipeline.config.pretraining_config import PretrainingConfig

    _run(PretrainingConfig.load(config), config, verbose, runner, fail_if_not_blessed)


def _run(config: "PipelineConfig", file: Path, verbose: bool, runner: Runner, fail_if_not_blessed: bool) -> None:
    from rich.console import Console

    from pipeline import home
    from pipeline.local.warm_pool import pool_for_run

    if runner == Runner.ENVIRONMENTS:  # what the configuration gets wrong is reported before the pool makes .berth/
        config.parameters()
        home.serving_folder(config.push_to)
    console = Console(file=sys.stdout)  # this very stream: kfp's own prints are sent elsewhere during a run
    with pool_for_run(runner == Runner.ENVIRONMENTS, config.kind) as pool:
        from pipeline.display import run_progress  # slow to import, while the pool's processes start
        from pipeline.local import backend

        with run_progress.TerminalReporter(console, verbose, STEPS[config.kind]) as reporter:
            result = backend.run(config, file, reporter, in_containers=runner == Runner.DOCKER, pool=pool)
    console.print()
    console.print(run_progress.closing_table(result))
    if result.blessed:
        model = config.model_name
        ask = {"training": 'predict {} "some text"', "pretraining": 'fill {} "the [MASK] of the town"'}
        console.print("\nTry next:", highlight=False)
        for command in (ask[config.kind].format(model), "ui", "runs"):
            console.print(f"  {_program()} {command}", highlight=False, markup=False, soft_wrap=True)
    elif fail_if_not_blessed:
        from pipeline.display import runs

        if not runs.verdict(result.run_id).startswith("UNCHANGED"):
            raise typer.Exit(3)


def compile_pipeline(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to write it. Default: pipeline.yaml, or pretraining.yaml."),
    ] = None,
    pipeline: Annotated[Pipeline, typer.Option(help="Which pipeline.")] = Pipeline.TRAINING,
    images: Annotated[
        Path | None,
        typer.Option(help="A file that lists the images by digest. Default: ./images.lock.yaml, or names alone."),
    ] = None,
) -> None:
    """Write the pipeline that a Kubeflow cluster runs."""
    from pipeline.dags import compiler
    from pipeline.dags.pipelines import FILES
    from pipeline.image_lock import LOCK, locked

    lock = images or Path(LOCK)
    references = locked(lock) if images or lock.exists() else None
    output = output or Path(FILES[pipeline])
    try:
        compiler.write_yaml(output, references, kind=pipeline)
    except OSError as error:
        raise BerthError(f"{output}: cannot be written ({error.strerror}).") from None
    typer.echo(f"wrote {output}" + (f" with the images of {lock}" if references else ""))


def _program() -> str:
    """Return the command that calls this program from here: its name if it is on the PATH, else its path."""
    import os
    import shutil

    program = Path(sys.argv[0]).resolve()
    if shutil.which(program.name):
        return program.name
    return os.path.relpath(program)
