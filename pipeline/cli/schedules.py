"""Commands about schedules: `berth schedule`, `berth schedules ...`, `berth scheduler`."""

import datetime
import itertools
import zoneinfo
from typing import TYPE_CHECKING, Annotated

import typer

from berth.errors import BerthError, printable
from pipeline.cli.options import Config, Experiment, Host, Local, Name, Namespace, TokenFile, connect

if TYPE_CHECKING:
    from pipeline.schedules.cron import When


commands = typer.Typer(help="The schedules of a cluster, or with --local of this folder.", no_args_is_help=True)


def schedule(
    config: Config,
    cron: Annotated[str, typer.Option(help="When: minute, hour, day of month, month, day of week; in UTC.")],
    name: Annotated[str, typer.Option(help="The schedule's name. Default: the configuration's.")] = "",
    start: Annotated[str, typer.Option(help="No run before this time, such as 2030-01-31T03:00+01:00.")] = "",
    end: Annotated[str, typer.Option(help="No run after this time.")] = "",
    timezone_note: Annotated[
        str, typer.Option(metavar="ZONE", help="Show the times in this zone too, such as Europe/Berlin.")
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
    """Run the pipeline on a schedule, on a cluster or on this machine; replaces a schedule of the same name."""
    from pipeline.config.load import load
    from pipeline.config.pipeline_config import check_name
    from pipeline.schedules.cron import when as read

    if local and (host or namespace or experiment or token_file or follow_latest):
        raise typer.BadParameter(
            "is for this machine; the options of a cluster do not go with it", param_hint="--local"
        )
    when = read(cron, start, end)
    zone = _zone(timezone_note)
    run_config = load(config)
    try:
        name = check_name(name or run_config.name)
    except ValueError as error:
        raise BerthError(f"--name {name!r}: {error}.") from None

    if local:
        from pipeline.schedules import local as here

        replaced, version, running = int(here.put(name, when, config)), "", []
    else:
        from pipeline.cluster import secrets_check
        from pipeline.cluster.package import make_package
        from pipeline.schedules import cluster

        run_config = run_config.as_scheduled()
        package = make_package(run_config, config)
        package = package if follow_latest else package.pinned()
        wanted = cluster.Schedule(name, when, follow_latest, f"Made for {zone}." if timezone_note else "")
        api = connect(host, namespace, token_file)
        secrets_check.check(api, run_config)
        done = cluster.put(api, wanted, run_config, package, experiment)
        replaced, running = done.schedules, done.running
        version = f", version {'latest' if follow_latest else package.version}"
    typer.echo(printable(f"schedule {name}{' replaced' if replaced else ''}: cron {when.cron.text} in UTC{version}"))
    for line in _next_times(when, zone):
        typer.echo(line)
    _tell_of(running)
    if local:
        typer.echo("it runs while 'berth scheduler' runs in this folder")


@commands.command(name="list")
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

    Console().print(cluster.listing(connect(host, namespace, token_file)))


@commands.command()
def pause(
    name: Name, host: Host = "", namespace: Namespace = "", token_file: TokenFile = None, local: Local = False
) -> None:
    """Stop a schedule from starting runs."""
    if local:
        from pipeline.schedules import local as here

        here.pause(name)
    else:
        from pipeline.schedules import cluster

        cluster.pause(connect(host, namespace, token_file), name)
    typer.echo(printable(f"{name}: paused"))


@commands.command()
def resume(
    name: Name, host: Host = "", namespace: Namespace = "", token_file: TokenFile = None, local: Local = False
) -> None:
    """Let a schedule start runs again; of the runs that it missed, at most one is started."""
    if local:
        from pipeline.schedules import local as here

        here.resume(name)
    else:
        from pipeline.schedules import cluster

        cluster.resume(connect(host, namespace, token_file), name)
    typer.echo(printable(f"{name}: active"))


@commands.command()
def delete(
    name: Name, host: Host = "", namespace: Namespace = "", token_file: TokenFile = None, local: Local = False
) -> None:
    """Remove a schedule; the runs that it started stay."""
    running: list[str] = []
    if local:
        from pipeline.schedules import local as here

        here.delete(name)
    else:
        from pipeline.schedules import cluster

        running = cluster.delete(connect(host, namespace, token_file), name)
    typer.echo(printable(f"{name}: deleted"))
    _tell_of(running)


def scheduler() -> None:
    """Run the schedules of this folder, made with `berth schedule --local`, in the foreground."""
    from pipeline.schedules import daemon

    daemon.serve()


def _tell_of(running: list[str]) -> None:
    for run in running:
        typer.echo(printable(f"its run {run} continues; 'berth cancel {run}' stops it"))


def _zone(name: str) -> datetime.tzinfo | None:
    """Return the zone to show times in, next to UTC: the named one, else this machine's."""
    if not name:
        return datetime.datetime.now().astimezone().tzinfo
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise BerthError(f"--timezone-note {name!r}: no such zone. Give one such as Europe/Berlin.") from None


def _next_times(when: "When", zone: datetime.tzinfo | None) -> list[str]:
    """Return the next three times in words: in UTC, and in `zone` if that differs."""
    lines = []
    for moment in itertools.islice(when.times(datetime.datetime.now(datetime.UTC)), 3):
        own = moment.astimezone(zone)
        local_time = f", {own:%a %H:%M} {own.tzname()}" if own.utcoffset() else ""
        lines.append(f"  next {moment:%a %Y-%m-%d %H:%M} UTC{local_time}")
    return lines
