"""The recurring runs of the loopback KFP server, and what its scheduled workflow controller makes of them."""

from typing import Any

from tests.support import kfp_cron
from tests.support.kfp_models import Refused, checked
from tests.support.kfp_resources import Resources, keep, page, there


class Schedules(Resources):
    """The part of a request handler that answers about recurring runs."""

    def _get_recurringruns(self, path: list[str], action: str, asked: dict[str, str], body: Any) -> Any:
        if path:
            return there(self.server.schedules, path[0])
        return page("recurringRuns", "RecurringRun", self.mine(self.server.schedules, asked), asked)

    def _post_recurringruns(self, path: list[str], action: str, asked: dict[str, str], body: Any) -> Any:
        checked("V2beta1RecurringRun", body)
        self.may(body.get("namespace"))
        self.launchable(body)
        if not 1 <= int(body["max_concurrency"]) <= 10:
            raise Refused(400, "The max concurrency of the recurring run is out of range. Support 1-10.")
        try:
            kfp_cron.parse(body["trigger"]["cron_schedule"]["cron"])
        except ValueError as error:
            raise Refused(400, f"Schedule cron is not a supported format: {error}") from None
        status = {"ENABLE": "ENABLED", "DISABLE": "DISABLED"}[body["mode"]]
        made = body | {"status": status, "created_at": self.server.now()}
        kept = keep(self.server.schedules, "recurring_run_id", made)
        self._count(kept)
        return kept

    def _post_do_recurringruns(self, path: list[str], action: str, asked: dict[str, str], body: Any) -> Any:
        one = there(self.server.schedules, path[0])
        one["status"] = {"enable": "ENABLED", "disable": "DISABLED"}[action]
        self._count(one)
        return {}

    def _delete_recurringruns(self, path: list[str], action: str, asked: dict[str, str], body: Any) -> Any:
        """Kubernetes deletes what the deleted thing owns, its running workflow, unless it is told ORPHAN.

        backend/src/apiserver/resource/resource_manager.go: DeleteJob.
        """
        there(self.server.schedules, path[0])
        del self.server.schedules[path[0]]
        if asked.get("propagation_policy") != "ORPHAN":
            owned = [run for run in self.server.runs.values() if run.get("recurring_run_id") == path[0]]
            self.server.killed += [run["run_id"] for run in owned if run["state"] in ("PENDING", "RUNNING")]
        return {}

    def _count(self, one: dict[str, Any]) -> None:
        self.server.most_active = max(self.server.most_active, len(self.server.active(one["display_name"])))


def parameters_of_a_run(server: Any, schedule: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a run that the schedule starts, as its steps get them; ValueError where it cannot start.

    A pinned schedule carries its parameters in a compiled workflow. Where KFP's plugins have to see each run, it
    carries no workflow, and its runs no parameters: on 2.17.0 for a schedule with plugins_input, later for each one
    on a server with plugins (backend/src/apiserver/resource/resource_manager.go: CreateJob, pluginsEnabled and
    PluginsRegistered; crd/controller/scheduledworkflow/controller.go: submitNewWorkflowIfNotAlreadySubmitted).
    """
    reference = schedule["pipeline_version_reference"]
    versions = [one for one in server.versions.values() if one["pipeline_id"] == reference["pipeline_id"]]
    pinned = reference.get("pipeline_version_id")
    version = server.versions[pinned] if pinned else max(versions, key=lambda one: one["created_at"])
    bare = bool(pinned) and (server.plugins if server.number() > (2, 17) else bool(schedule.get("plugins_input")))
    given = {} if bare else schedule["runtime_config"]["parameters"]
    known = version["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
    values = {name: one["defaultValue"] for name, one in known.items() if "defaultValue" in one} | given
    if missing := known.keys() - values.keys():
        raise ValueError(f"the run does not start: no value for {', '.join(sorted(missing))}")
    return values


def start(server: Any, schedule: dict[str, Any]) -> dict[str, Any]:
    """Start a run of the schedule, as when its time has come, and return it."""
    run = {"state": "RUNNING", "created_at": server.now(), "display_name": f"run-of-{schedule['display_name']}"}
    run |= {"recurring_run_id": schedule["recurring_run_id"], "experiment_id": schedule["experiment_id"]}
    run |= {"runtime_config": {"parameters": parameters_of_a_run(server, schedule)}}
    run |= {"pipeline_version_reference": schedule["pipeline_version_reference"]}
    return keep(server.runs, "run_id", run | {"namespace": schedule.get("namespace")})
