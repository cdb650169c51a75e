"""The command line, `berth`.

Exit codes: 0 done, 1 the run or its input failed, 2 bad usage, 3 a run with `--fail-if-not-blessed` ended without a
blessed model (a run that found nothing new counts as done: 0), 130 interrupted.
"""

import gc
import sys

import typer

from berth.errors import BerthError
from berth.hidden_packages import hidden
from pipeline.cli import cluster, config, encoders, models, run, runs, schedules, schema
from pipeline.display import encoding

_NOT_NEEDED = ("pandas", "scipy", "mako.ext.pygmentplugin")
"""What MLflow imports if it is there, a third of what a command takes. Steps run in other processes."""
_OBJECTS = 50_000
"""New objects, which imports make, before the garbage collector looks at them; Python's own number is 700."""

app = typer.Typer(
    help="Fine-tune BERT text classifiers as a Kubeflow pipeline; every run is an MLflow run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(run.run)
app.command()(run.pretrain)
app.command(name="compile")(run.compile_pipeline)
app.command()(runs.ui)
app.command(cls=models.PredictCommand)(models.predict)
app.command()(runs.runs)
app.command()(runs.show)
app.command()(runs.logs)
app.command()(runs.compare)
app.command()(models.fill)
app.command()(models.models)
app.command()(models.rollback)
app.command()(models.promote)
app.command()(cluster.submit)
app.command()(cluster.cancel)
app.command()(cluster.retry)
app.command()(schedules.schedule)
app.command()(schedules.scheduler)
for group, commands in (
    ("config", config.commands),
    ("schema", schema.commands),
    ("encoders", encoders.commands),
    ("schedules", schedules.commands),
):
    app.add_typer(commands, name=group)


def main() -> None:
    """Run the command line; a user's mistake, or MLflow's refusal, ends in one line and exit code 1."""
    encoding.prepare()
    gc.set_threshold(_OBJECTS)
    try:
        with hidden(*_NOT_NEEDED):
            app()
    except BerthError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        if "mlflow" not in sys.modules:
            raise
        from pipeline import mlflow_store

        refusal = mlflow_store.refusal(error)
        if refusal is None:
            raise
        print(f"error: {refusal}", file=sys.stderr)
        sys.exit(1)
