"""Schedules on a cluster: KFP's recurring runs, of which there is one active for a name at any time.

KFP cannot edit a recurring run and does not keep names unique. So a schedule is replaced: the new one is made disabled,
the old is disabled, the new is enabled, and only then is the old deleted: whatever fails on the way, the old can be
enabled again. What an interrupted replacement leaves are disabled ones of the same name, which the next removes.
"""

import datetime
import itertools
import secrets
from dataclasses import dataclass

import kfp_server_api
from rich.table import Table

from berth.errors import BerthError, nearest
from pipeline.cluster import publish
from pipeline.cluster.api import Api
from pipeline.cluster.follow import ENDED
from pipeline.cluster.package import Package
from pipeline.config.pipeline_config import PipelineConfig
from pipeline.display import tables
from pipeline.schedules.cron import UTC, Cron, When, five_fields

_ENABLED = "ENABLED"
_NEWEST = 100
"""How many runs are looked through for those of a schedule: it has one at a time."""


@dataclass(frozen=True)
class Schedule:
    """A schedule to create; `note` is stored with it, for people."""

    name: str
    when: When
    follow_latest: bool = False
    note: str = ""


@dataclass(frozen=True)
class Replaced:
    """What a schedule took the place of: how many of its name, and the names of their runs that go on."""

    schedules: int
    running: list[str]


def put(api: Api, schedule: Schedule, config: PipelineConfig, package: Package, experiment: str = "") -> Replaced:
    """Make the schedule, in the place of those that have its name."""
    experiment = publish.experiment_id(api, config.name, experiment)
    version = publish.publish(api, package)
    old = _of_name(api, schedule.name)
    new = _create(api, schedule, config, package, experiment, version)
    active = [one for one in old if one.status == _ENABLED]
    try:
        for one in active:
            _enable(api, one)  # changes nothing, and fails where enabling would, while nothing is disabled yet
        for one in active:
            _disable(api, one)
        _enable(api, new)
    except BaseException:
        _undo(api, new, active)
        raise
    # Listed again: of two calls at once, the one whose schedule is younger removes the other's.
    replaced = {one.recurring_run_id for one in old}
    for one in _of_name(api, schedule.name):
        if one.recurring_run_id in replaced or _age(one) < _age(new):
            _delete(api, one)
    return Replaced(len(old), [run for one in old for run in _active_runs(api, one)])


def listing(api: Api) -> Table:
    """Return the schedules as a table, with the next time of each that is active."""
    others = map(tables.whole, ("state", "next (UTC)", "version"))
    table = tables.new(tables.whole("schedule"), tables.words("cron (UTC)"), *others)
    now = datetime.datetime.now(UTC)
    for one in _all(api):
        active = one.status == _ENABLED
        text, following = _times(one, now)
        reference = one.pipeline_version_reference
        pinned = reference.pipeline_version_id if reference else one.pipeline_version_id
        shown = f"{following:%Y-%m-%d %H:%M}" if active and following else "-"
        state, version = "active" if active else "paused", "pinned" if pinned else "latest"
        tables.add(table, one.display_name, text, state, shown, version)
    return table


def pause(api: Api, name: str) -> None:
    """Stop the schedule from starting runs until it is resumed."""
    for one in _named(api, name):
        _disable(api, one)


def resume(api: Api, name: str) -> None:
    """Let the schedule start runs again; of the times that it missed, KFP makes up for one (`no_catchup`)."""
    named = _named(api, name)
    kept = next((one for one in named if one.status == _ENABLED), named[-1])
    _enable(api, kept)
    for one in named:
        if one.recurring_run_id != kept.recurring_run_id:  # what an interrupted replacement left
            _delete(api, one)


def delete(api: Api, name: str) -> list[str]:
    """Remove the schedule; the runs that it started stay, and the names of those that go on are returned."""
    named = _named(api, name)
    for one in named:
        _delete(api, one)
    return [run for one in named for run in _active_runs(api, one)]


def _times(one: kfp_server_api.V2beta1RecurringRun, now: datetime.datetime) -> tuple[str, datetime.datetime | None]:
    """Return when a recurring run starts runs, in words, and its next time as far as that can be told."""
    if not one.trigger or not one.trigger.cron_schedule:
        periodic = one.trigger.periodic_schedule if one.trigger else None
        return f"every {periodic.interval_second} s" if periodic else "", None
    trigger = one.trigger.cron_schedule
    text = five_fields(trigger.cron)
    fields = tuple(text.split())
    when = When(Cron(text, fields), trigger.start_time, trigger.end_time)
    return text, next(when.times(now), None) if len(fields) == 5 else None


def _create(
    api: Api,
    schedule: Schedule,
    config: PipelineConfig,
    package: Package,
    experiment: str,
    version: kfp_server_api.V2beta1PipelineVersion,
) -> kfp_server_api.V2beta1RecurringRun:
    """Create the schedule, disabled. The mark in its description tells it from those it replaces.

    Without `plugins_input`: KFP 2.17.0 would start its runs without parameters.
    """
    mark = f"[{secrets.token_hex(6)}]"
    reference = {"pipeline_id": version.pipeline_id}
    if not schedule.follow_latest:
        reference["pipeline_version_id"] = version.pipeline_version_id
    trigger = kfp_server_api.V2beta1CronSchedule(
        cron=schedule.when.cron.six_fields, start_time=schedule.when.start, end_time=schedule.when.end
    )
    wanted = kfp_server_api.V2beta1RecurringRun(
        display_name=schedule.name,
        description=" ".join(filter(None, (f"cron {schedule.when.cron.text} in UTC.", schedule.note, mark))),
        experiment_id=experiment,
        namespace=api.namespace,
        pipeline_version_reference=kfp_server_api.V2beta1PipelineVersionReference(**reference),
        runtime_config=publish.runtime_config(config, package),
        service_account=config.cluster.service_account or None,
        trigger=kfp_server_api.V2beta1Trigger(cron_schedule=trigger),
        mode=kfp_server_api.RecurringRunMode.DISABLE,
        max_concurrency="1",
        no_catchup=True,
    )
    return api.create(
        api.recurring_runs.recurring_run_service_create_recurring_run,
        lambda: [one for one in _of_name(api, schedule.name) if mark in (one.description or "")],
        lambda twin: _delete(api, twin),
        recurring_run=wanted,
    )


def _undo(api: Api, new: kfp_server_api.V2beta1RecurringRun, active: list[kfp_server_api.V2beta1RecurringRun]) -> None:
    """Go back to what was active; what cannot be done now is said, for the same command does it later."""
    try:
        _delete(api, new)  # first: it may have been enabled although the answer was lost
        for one in active[-1:]:
            _enable(api, one)
    except BerthError as error:
        state = "The old one is paused" if active else "Nothing is active"
        raise BerthError(f"{error} {state}: give the same command again.") from None


def _all(api: Api) -> list[kfp_server_api.V2beta1RecurringRun]:
    listed = api.recurring_runs.recurring_run_service_list_recurring_runs
    return api.all(listed, "recurring_runs", namespace=api.namespace)


def _of_name(api: Api, name: str) -> list[kfp_server_api.V2beta1RecurringRun]:
    listed = api.recurring_runs.recurring_run_service_list_recurring_runs
    return api.all(listed, "recurring_runs", name=name, namespace=api.namespace)


def _named(api: Api, name: str) -> list[kfp_server_api.V2beta1RecurringRun]:
    """Return the recurring runs of this name, or the one of this id."""
    everything = _all(api)
    named = [one for one in everything if name in (one.display_name, one.recurring_run_id)]
    if not named:
        known = [one.display_name for one in everything]
        raise BerthError(f"no schedule {name!r} on {api.host}.{nearest(name, known)} 'berth schedules list' has them.")
    return named


def _age(one: kfp_server_api.V2beta1RecurringRun) -> tuple[datetime.datetime, str]:
    return one.created_at, one.recurring_run_id


def _enable(api: Api, one: kfp_server_api.V2beta1RecurringRun) -> None:
    api.call(api.recurring_runs.recurring_run_service_enable_recurring_run, one.recurring_run_id)


def _disable(api: Api, one: kfp_server_api.V2beta1RecurringRun) -> None:
    api.call(api.recurring_runs.recurring_run_service_disable_recurring_run, one.recurring_run_id)


def _delete(api: Api, one: kfp_server_api.V2beta1RecurringRun) -> None:
    """Delete the schedule alone: without ORPHAN Kubernetes deletes the pods of its run that goes on, too."""
    remove = api.recurring_runs.recurring_run_service_delete_recurring_run
    api.delete(remove, one.recurring_run_id, propagation_policy="ORPHAN")


def _active_runs(api: Api, one: kfp_server_api.V2beta1RecurringRun) -> list[str]:
    """Return the names of the schedule's runs that go on, among the newest of its experiment."""
    listed = api.runs.run_service_list_runs
    newest = api.each(listed, "runs", experiment_id=one.experiment_id, sort_by="created_at desc")
    started = [run for run in itertools.islice(newest, _NEWEST) if run.recurring_run_id == one.recurring_run_id]
    return [run.display_name for run in started if run.state not in ENDED]
