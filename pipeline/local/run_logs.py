"""The logs of a run's steps on this machine."""

from collections.abc import Iterator
from pathlib import Path

from berth.errors import BerthError, nearest
from pipeline import home


def log_dir(run_name: str, run_id: str) -> Path:
    """Return the folder of the logs of the pipeline run with this name and id in MLflow."""
    return home.berth_home() / "logs" / f"{run_name}-{run_id[:6]}"


def logs(run_name: str, run_id: str, step: str = "") -> Iterator[tuple[str, str]]:
    """Yield the steps' names and logs in the order in which they began; with `step`, only that one's.

    Raises:
        BerthError: there are none.
    """
    folder = log_dir(run_name, run_id)
    files = sorted(folder.glob("*.log"), key=lambda file: file.stat().st_mtime_ns)  # steps run one after the other
    found = {file.stem: file for file in files if file.stem != "kfp"}
    if not found:
        raise BerthError(
            f"{home.relative(folder)}: no logs. They are in the folder where the run was started; "
            "those of a cluster's run are there: --host."
        )
    if step and step not in found:
        raise BerthError(f"{run_name}: has no log of a step {step!r}.{nearest(step, list(found))}")
    for name, file in found.items():
        if step in ("", name):
            yield name, file.read_text(encoding="utf-8", errors="replace")
