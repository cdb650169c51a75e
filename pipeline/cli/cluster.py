"""The commands of `berth` that are about a cluster and about schedules; pipeline/cli/app.py takes them in."""

import datetime
import itertools
import sys
import zoneinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from berth.errors import BerthError, printable

if TYPE_CHECKING:
    from pipeline.cluster.api import Api
    from pipeline.schedules.cron import When


schedules_app = typer.Typer(help="The schedules of a cluster, or with --local of this folder.", no_args_is_help=True)

Config = Annotated[Path, typer.Argument(help="The run configuration, a YAML file.")]
Host = Annotated[str, typer.Option(help="The cluster's KFP API. Without it: KF_PIPELINES_ENDPOINT, pod, kubeconfig.")]
Namespace = Annotated[str, typer.Option(help="Your namespace, where an installation has several users.")]
TokenFile = Annotated[Path | None, typer.Option(help="A file that holds a bearer token; it is read anew when needed.")]
Experiment = Annotated[str, typer.Option(help="The KFP experiment. Without it: the configuration's name.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="The name or id of a run.")]
Local = Annotated[bool, typer.Option("--local", help="On this machine, in this folder, instead of on a cluster.")]
Name = Annotated[str, typer.Argument(metavar="SCHEDULE", help="The name of a schedule.")]


def submit(
    config: Config,
    host: Host = "",
    namespace: Namespace = "",
    experiment: Experiment = "",
    token_file: TokenFile = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the steps until the run has ended.")] = False,
    fail_if_not_blessed: Annotated[
        bool,
        typer.Option("--fail-if-not-blessed", help="With --wait: exit with 3 if the model does not hold its gates."),
    ] = False,
) -> None:
    """Run the pipeline on a Kubeflow cluster."""
    from pipeline.config.run_config import RunConfig

    if fail_if_not_blessed and not wait:
        raise typer.BadParameter("the verdict is known with --wait only", param_hint="--fail-if-not-blessed")
    run_config = RunConfig.load(config)

    from rich.console import Console

    from pipeline.cluster import follow, runs, secrets_check
    from pipeline.cluster.package import make_package

    package = make_package(run_config, config)
    api = _connect(host, namespace, token_file)
    secrets_check.check(api, run_config)
    run = runs.submit(api, run_config, package, experiment)
    typer.echo(f"run {run.display_name}, version {package.version}")
    typer.echo(f"kubeflow  {runs.kubeflow_link(api, run_config, run)}")
    if link := runs.mlflow_link(run_config, run):
        typer.echo(f"mlflow    {printable(link)}")
    if not wait:
        return
    try:
        verdict = follow.follow(api, run.run_id, package.steps, Console(file=sys.stdout))
    except KeyboardInterrupt:
        typer.echo(f"the run goes on; 'berth cancel {run.display_name}' stops it", err=True)
        raise
    typer.echo(f"verdict   {verdict}")
    if verdict == "NOT BLESSED" and fail_if_not_blessed:
        raise typer.Exit(3)


def cancel(run: Run, host: Host = "", namespace: Namespace = "", token_file: TokenFile = None) -> None:
    """Stop a run on a cluster."""
    from pipeline.cluster import runs

    stopped = runs.cancel(_connect(host, namespace, token_file), run)
    typer.echo(printable(f"{stopped.display_name}: is being cancelled"))


def retry(run: Run, host: Host = "", namespace: Namespace = "", token_file: TokenFile = None) -> None:
    """Go on with a run on a cluster that failed; the steps that succeeded are kept."""
    from pipeline.cluster import runs

    api = _connect(host, namespace, token_file)
    again = runs.retry(api, run)
    typer.echo(printable(f"{again.display_name}: goes on"))


def schedule(
    config: Config,
    cron: Annotated[str, typer.Option(help="When: minute, hour, day of month, month, day of week; in UTC.")],
    name: Annotated[str, typer.Option(help="The schedule's name. Without it: the configuration's.")] = "",
    start: Annotated[str, typer.Option(help="No run before this time, such as 2030-01-31T03:00+01:00.")] = "",
    end: Annotated[str, typer.Option(help="No run after this time.")] = "",
    timezone_note: Annotated[
        str, typer.Option(metavar="ZONE", help="Say the times in this zone too, such as Europe/Berlin.")
    ] = "",
    follow_latest: Annotated[
        bool, typer.Option("--follow-latest", help="Run the newest version of the pipeline, not today's.")
    ] = False,
    host: Host = "",
    namespace: Namespace = "",
    experiment: Experiment = "",
    token_file: TokenFile = None,
    local: Local = False,
) -> None:
    """Run the pipeline again and again, on a cluster or on this machine; the same name replaces a schedule."""
    from pipeline.config.run_config import RunConfig, check_name
    from pipeline.schedules.cron import when as read

    if local and (host or namespace or experiment or token_file or follow_latest):
        raise typer.BadParameter(
            "is for this machine; the options of a cluster do not go with it", param_hint="--local"
        )
    when = read(cron, start, end)
    zone = _zone(timezone_note)
    run_config = RunConfig.load(config)
    try:
        name = check_name(name or run_config.name)
    except ValueError as error:
        raise BerthError(f"--name {name!r}: {error}.") from None

    if local:
        from pipeline.schedules import local as here

        replaced = int(here.put(name, when, config))
    else:
        from pipeline.cluster import secrets_check
        from pipeline.cluster.package import make_package
        from pipeline.schedules import cluster

        run_config = run_config.as_scheduled()
        package = make_package(run_config, config)
        wanted = cluster.Schedule(name, when, follow_latest, f"Made for {zone}." if timezone_note else "")
        api = _connect(host, namespace, token_file)
        secrets_check.check(api, run_config)
        _, replaced = cluster.put(api, wanted, run_config, package, experiment)
    version = "" if local else f", version {'latest' if follow_latest else package.version}"
    typer.echo(printable(f"schedule {name}{' replaced' if replaced else ''}: cron {when.cron.text} in UTC{version}"))
    for line in _next_times(when, zone):
        typer.echo(line)
    if local:
        typer.echo("'berth scheduler' runs it, as long as it runs itself")


@schedules_app.command(name="list")
def schedules_list(
    host: Host = "", namespace: Namespace = "", token_file: TokenFile = None, local: Local = False
) -> None:
    """List the schedules."""
    from rich.console import Console

    if local:
        from pipeline.schedules import local as here

        Console().print(here.listing())
        return
    from pipeline.schedules import cluster

    Console().print(cluster.listing(_connect(host, namespace, token_file)))


@schedules_app.command()
def pause(
    name: Name, host: Host = "", namespace: Namespace = "", token_file: TokenFile = None, local: Local = False
) -> None:
    """Stop a schedule from starting runs."""
    _act("pause", name, host, namespace, token_file, local)
    typer.echo(printable(f"{name}: paused"))


@schedules_app.command()
def resume(
    name: Name, host: Host = "", namespace: Namespace = "", token_file: TokenFile = None, local: Local = False
) -> None:
    """Let a schedule start runs again; what it missed is not made up for run by run."""
    _act("resume", name, host, namespace, token_file, local)
    typer.echo(printable(f"{name}: active"))


@schedules_app.command()
def delete(
    name: Name, host: Host = "", namespace: Namespace = "", token_file: TokenFile = None, local: Local = False
) -> None:
    """Remove a schedule; the runs that it started stay."""
    _act("delete", name, host, namespace, token_file, local)
    typer.echo(printable(f"{name}: deleted"))


def serve() -> None:
    """Run the schedules of this folder, made with `berth schedule --local`, in the foreground."""
    from pipeline.schedules import daemon

    daemon.serve()


def runs(name: str | None, limit: int, host: str, namespace: str, token_file: Path | None) -> None:
    """List the runs of a cluster; `berth runs` calls it where a cluster is named."""
    from rich.console import Console

    from pipeline.display import cluster_runs

    Console().print(cluster_runs.runs_table(_connect(host, namespace, token_file), name, limit))


def _connect(host: str, namespace: str, token_file: Path | None) -> "Api":
    from pipeline.cluster.api import Access, connect

    return connect(Access(host, namespace, token_file))


def _act(action: str, name: str, host: str, namespace: str, token_file: Path | None, local: bool) -> None:
    if local:
        from pipeline.schedules import local as here

        getattr(here, action)(name)
        return
    from pipeline.schedules import cluster

    getattr(cluster, action)(_connect(host, namespace, token_file), name)


def _zone(name: str) -> datetime.tzinfo | None:
    """Return the zone to say times in beside UTC: the named one, else this machine's."""
    if not name:
        return datetime.datetime.now().astimezone().tzinfo
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise BerthError(f"--timezone-note {name!r}: no such zone. Give one such as Europe/Berlin.") from None


def _next_times(when: "When", zone: datetime.tzinfo | None) -> list[str]:
    """Return the next three times in words, in UTC and where it differs in `zone`."""
    lines = []
    for moment in itertools.islice(when.times(datetime.datetime.now(datetime.UTC)), 3):
        own = moment.astimezone(zone)
        beside = f", {own:%a %H:%M} {own.tzname()}" if own.utcoffset() else ""
        lines.append(f"  next {moment:%a %Y-%m-%d %H:%M} UTC{beside}")
    return lines
