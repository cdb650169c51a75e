"""A run on the terminal: one line per step, a progress bar for training, a closing table."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from berth import progress
from berth.errors import printable
from pipeline import home
from pipeline.display import encoding, tables
from pipeline.local.runner import Result, Step

_MARKS = {"done": "[green]✓[/]", "cached": "[cyan]=[/]", "failed": "[red]✗[/]"}
_ANOMALY = "anomaly "
"""The start of a line of a step's log that the user has to see: validate's anomalies, ingest's and train's notes."""
_SCORES = ("accuracy", "macro_f1", "roc_auc", "log_loss", "mlm_loss", "mlm_accuracy", "nsp_accuracy")
"""The metrics of a run that its end shows, those that it has."""
_SUMMARY = 120
_LINE_END = " | "
"""In the detail of a progress line: what comes after it is on a second line."""
_SILENT = ("locate", "compare", "finish")
"""Steps that only do bookkeeping: they get a line only when they fail."""


class TerminalReporter:
    """Prints a line for each step that ends, and shows the progress of the one that runs; a context manager."""

    def __init__(self, console: Console, verbose: bool, steps: Sequence[str]) -> None:
        """Report on a run of these `steps`."""
        self.console = console
        self.verbose = verbose
        self._width = max(9, *(len(step) for step in steps if step not in _SILENT))
        self._task: TaskID | None = None
        self._live = Progress(
            SpinnerColumn("dots" if encoding.is_unicode(console.encoding) else "line"),
            TextColumn("{task.description}", table_column=Column(no_wrap=True, min_width=self._width)),
            BarColumn(bar_width=10),
            TextColumn("{task.fields[detail]}", markup=False, table_column=Column(no_wrap=False)),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=verbose or not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def started(self, step: str) -> None:
        self._task = self._live.add_task(step, total=None, detail="")

    def progressed(self, step: str, made: progress.Progress) -> None:
        if self._task is not None:
            detail = made.detail.replace(_LINE_END, "\n")
            self._live.update(self._task, total=made.total, completed=made.done, detail=detail)

    def logged(self, step: str, line: str) -> None:
        if line.startswith(_ANOMALY):
            severity, _, words = line.removeprefix(_ANOMALY).partition(" ")
            mark = "[red]error[/]" if severity == "error" else "[yellow]warning[/]"
            self.console.print(f"{mark} {escape(printable(words))}", highlight=False)
        elif self.verbose:
            self.console.print(
                f"[dim]{step:<{self._width}}[/] {escape(printable(line))}", highlight=False, soft_wrap=True
            )

    def ended(self, step: Step) -> None:
        if self._task is not None:
            self._live.remove_task(self._task)
            self._task = None
        if step.name in _SILENT and step.state != "failed":
            return
        line = Table.grid(padding=(0, 1))
        line.add_column(width=1)
        line.add_column(width=self._width)
        line.add_column(width=7, justify="right")
        line.add_column(overflow="fold")
        # The run's last line has the whole error.
        summary = step.summary if len(step.summary) <= _SUMMARY else f"{step.summary[: _SUMMARY - 3]}..."
        seconds = "cached" if step.state == "cached" else f"{step.seconds:.1f} s"
        line.add_row(_MARKS[step.state], step.name, seconds, escape(printable(summary)))
        self.console.print(line)


def closing_table(result: Result) -> Table:
    """Return what a person wants to know about a run that has ended: verdict, scores, model, logs."""
    import mlflow

    from berth.tracking import tags
    from berth.tracking.artifacts import unpacked

    run = mlflow.MlflowClient().get_run(result.run_id)
    table = tables.facts()
    outputs = {name: artifact for step in result.steps for name, artifact in step.outputs.items()}
    verdict, _, why = run.data.tags.get(tags.VERDICT, "NOT BLESSED").partition(": ")
    color = "green" if result.blessed else "cyan" if verdict == "UNCHANGED" else "yellow"
    tables.add(table, "verdict", Text(printable(verdict), style=f"bold {color}"))
    judged = "report" in outputs and verdict != "UNCHANGED"
    gates: list[dict[str, str]] = unpacked(outputs["report"].metadata, "gates", []) if judged else []
    failed = [f"{gate['name']} {gate['words']}" for gate in gates if gate["outcome"] == "fail"]
    for words in failed or [why] * bool(why):
        tables.add(table, "failed" if failed else "why", words)
    for name in _SCORES:
        if name in run.data.metrics:
            tables.add(table, name.replace("_", " "), f"{run.data.metrics[name]:.4f}")
    if made := outputs.get("pushed") or outputs.get("refused"):
        tables.add(table, "model", made.metadata["summary"])
        if folder := made.metadata["folder"] if result.blessed else "":
            tables.add(table, "serving", folder if "://" in folder else home.relative(Path(folder)))
    tables.add(table, "run", run.info.run_name or result.run_id)
    tables.add(table, "logs", home.relative(result.log_dir))
    return table
