"""The model registry on the terminal: tables of models and versions, and the report of a moved champion."""

import datetime
from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from berth.errors import printable
from berth.registry import promotion, versions
from berth.registry.promotion import Switched
from berth.registry.versions import Version
from berth.tracking import tags
from pipeline import home, mlflow_store
from pipeline.display import scores, tables

_SHOWN_AUDITS = 5


def models_table() -> RenderableType:
    """Return every registered model with its champion, and what that scored."""
    mlflow_store.use_tracking_uri()
    known = versions.names()
    if not known:
        return Text("No model is registered: run 'berth run CONFIG' or 'berth pretrain CONFIG' first.")
    of_names = {name: versions.versions(name) for name in known}
    champions = {name: _champion(name, found) for name, found in of_names.items()}
    metrics = {name: _metrics(champion.tags) if champion else {} for name, champion in champions.items()}
    columns = scores.headers(metrics.values())
    table = tables.new(
        tables.words("model"),
        *map(tables.number, ("champion", *columns.values())),
        tables.whole("pushed"),
        tables.number("versions"),
    )
    for name, champion in champions.items():
        number, pushed = (str(champion.number), _when(champion.created)) if champion else ("none", "")
        tables.add(table, name, number, *scores.cells(metrics[name], columns), pushed, str(len(of_names[name])))
    return table


def _champion(name: str, found: list[Version]) -> Version | None:
    number = versions.aliases(name).get(tags.CHAMPION)
    return next((version for version in found if version.number == number), None)


def versions_table(name: str, limit: int) -> RenderableType:
    """Return the newest `limit` versions of `name`: aliases, scores and verdicts, and who moved the champion by hand.

    Raises:
        BerthError: there is no such model.
    """
    mlflow_store.use_tracking_uri()
    versions.check_known(name)
    found, aliases = versions.versions(name), versions.aliases(name)
    metrics = {version.number: _metrics(version.tags) for version in found[:limit]}
    columns = scores.headers(metrics.values())
    table = tables.new(
        tables.number("version"),
        tables.words("alias"),
        *map(tables.number, columns.values()),
        tables.whole("pushed"),
        tables.words("verdict"),
    )
    for version in found[:limit]:
        own = [alias for alias, number in sorted(aliases.items()) if number == version.number]
        own += ["withdrawn"] if version.withdrawn else ["pushing"] if version.pending else []
        style = "bold" if tags.CHAMPION in own else ""
        verdict = version.tags.get(tags.VERDICT, "")
        own_scores = scores.cells(metrics[version.number], columns)
        cells = [str(version.number), ", ".join(own), *own_scores, _when(version.created), verdict]
        tables.add(table, *cells, style=style)
    parts: list[RenderableType] = [table]
    if len(found) > limit:
        parts.append(Text(f"\n{len(found) - limit} older versions: --limit shows more.", style="dim"))
    audits = {
        key.removeprefix(tags.AUDIT): words
        for version in found
        for key, words in version.tags.items()
        if key.startswith(tags.AUDIT)
    }
    if audits:
        parts.append(Text("\nBy hand, newest first:", style="dim"))
        newest = sorted(audits.items(), reverse=True)[:_SHOWN_AUDITS]
        parts += [Text(f"  {_moment(key)}  {printable(words)}") for key, words in newest]
    return Group(*parts)


def rollback(name: str, to: int | None, reason: str) -> Iterator[str]:
    """Make version `to` the champion again, or the previous champion, and yield what was done, line by line.

    Raises:
        BerthError: there is no such model or version, or its stored model is damaged: nothing has moved then.
    """
    mlflow_store.use_tracking_uri()
    versions.check_known(name)
    done = promotion.rollback(name, to, reason)
    yield from _told(done)
    yield f"Undo: berth rollback {name}"


def promote(name: str, number: int, reason: str) -> Iterator[str]:
    """Make a version the champion, blessed or not, and yield what was done, line by line.

    Raises:
        BerthError: as `rollback`.
    """
    mlflow_store.use_tracking_uri()
    versions.check_known(name)
    done = promotion.promote(name, number, reason)
    if done.old == done.new == number:
        yield f"{name} version {number} is the champion already; nothing has changed."
        return
    if not done.blessed:
        yield f"Version {number} was NOT BLESSED by its gates; it is promoted for the reason given."
    yield from _told(done)
    if done.old:
        yield f"Undo: berth rollback {name}"


def _told(done: Switched) -> Iterator[str]:
    before = f"version {done.old} was" if done.old else "there was none"
    yield f"{done.name} version {done.new} is champion ({before})."
    if not done.folder:
        yield "Its serving folder is unknown to the registry: only the alias has moved."
        return
    folder = done.folder if "://" in done.folder else home.relative(home.Path(done.folder))
    yield f"{folder}/{done.new} is what TensorFlow Serving serves."
    if done.removed:
        numbers = ", ".join(map(str, done.removed))
        yield f"Out of the serving folder, kept in the registry: {numbers}."


def _metrics(version_tags: Mapping[str, str]) -> Mapping[str, float]:
    """Return the metrics of the version's pipeline run; empty where that is gone."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return dict(mlflow.MlflowClient().get_run(version_tags.get(tags.PIPELINE_RUN, "")).data.metrics)
    except MlflowException:
        return {}


def _when(seconds: float) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"


def _moment(key: str) -> str:
    """Return the time in the key of an audit tag, 20261125T004500.123Z (UTC), as other times are shown: local."""
    try:
        moment = datetime.datetime.strptime(key, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=datetime.UTC)
    except ValueError:  # a tag that somebody set by hand
        return printable(key)
    return _when(moment.timestamp())
