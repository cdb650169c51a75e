"""The resources of the loopback KFP server: pipelines, versions, experiments, runs and secrets."""

import functools
import json
import uuid
from email.message import Message
from typing import TYPE_CHECKING, Any

import kfp_server_api
import yaml
from google.protobuf import json_format
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.support.kfp_models import Refused, checked
from tests.support.kubernetes_pods import Pod, child_tasks

if TYPE_CHECKING:
    from tests.support.kfp_server import KfpServer

_TYPES = {"NUMBER_INTEGER": (int,), "NUMBER_DOUBLE": (int, float), "STRING": (str,), "BOOLEAN": (bool,)}
_TYPES |= {"STRUCT": (dict,), "LIST": (list,)}


class Resources:
    """The part of a request handler that answers: a method for each verb and kind of resource."""

    server: "KfpServer"
    command: str
    headers: Message

    # Kubernetes' own API

    def _get_secret(self, namespace: str, name: str) -> Any:
        self.server.requests.append((self.command, f"/secrets/{namespace}/{name}", None))
        if self.server.secrets is None:
            raise Refused(403, "secrets is forbidden")
        if "PartialObjectMetadata" not in self.headers["Accept"]:
            raise Refused(400, "Berth has no business with what is in a secret")
        if (namespace, name) not in self.server.secrets:
            raise Refused(404, f'secrets "{name}" not found')
        return {"kind": "PartialObjectMetadata", "metadata": {"name": name, "namespace": namespace}}

    # pipelines and their versions

    def _get_pipelines(self, path: list[str], action: str, asked: dict[str, str], body: Any) -> Any:
        if not path:
            return page("pipelines", "Pipeline", self.mine(self.server.pipelines, asked), asked)
        if path[1:] == ["versions"]:
            of = [one for one in self.server.versions.values() if one["pipeline_id"] == path[0]]
            return page("pipeline_versions", "PipelineVersion", of, asked)
        raise Refused(404, "Not Found")

    def _post_pipelines(self, path: list[str], action: str, asked: dict[str, str], body: Any) -> Any:
        server = self.server
        if not path:
            checked("V2beta1Pipeline", body)
            self.may(body.get("namespace"))
            name = body.get("display_name") or body.get("name")
            unique(server.pipelines, display_name=name, namespace=body.get("namespace"))
            return keep(server.pipelines, "pipeline_id", body | {"display_name": name, "created_at": server.now()})
        if path == ["upload_version"]:
            if asked.get("pipelineid") not in server.pipelines:
                raise Refused(404, f"Pipeline {asked.get('pipelineid')} not found")
            if unknown := asked.keys() - {"name", "display_name", "pipelineid", "description", "tags"}:
                raise Refused(400, f"unknown query parameters {unknown}")
            spec = _pipeline(body, self.server.number())
            unique(server.versions, display_name=asked["name"], pipeline_id=asked["pipelineid"])
            version = {"pipeline_id": asked["pipelineid"], "display_name": asked["name"], "name": asked["name"]}
            version |= {"description": asked.get("description", ""), "pipeline_spec": spec, "created_at": server.now()}
            kept = keep(server.versions, "pipeline_version_id", version)
            server.uploads[kept["pipeline_version_id"]] = body
            return kept
        raise Refused(404, "Not Found")

    # experiments

    def _get_experiments(self, path: list[str], action: str, asked: dict[str, str], body: Any) -> Any:
        return page("experiments", "Experiment", self.mine(self.server.experiments, asked), asked)

    def _post_experiments(self, path: list[str], action: str, asked: dict[str, str], body: Any) -> Any:
        checked("V2beta1Experiment", body)
        self.may(body.get("namespace"))
        unique(self.server.experiments, display_name=body["display_name"], namespace=body.get("namespace"))
        return keep(self.server.experiments, "experiment_id", body | {"created_at": self.server.now()})

    # runs

    def _get_runs(self, path: list[str], action: str, asked: dict[str, str], body: Any) -> Any:
        if not path:
            if "experiment_id" in asked:
                of = [one for one in self.server.runs.values() if one["experiment_id"] == asked["experiment_id"]]
                return page("runs", "Run", of, asked)
            return page("runs", "Run", self.mine(self.server.runs, asked), asked)
        run = there(self.server.runs, path[0])
        if self.server.script:
            state, steps = self.server.script.pop(0) if len(self.server.script) > 1 else self.server.script[0]
            move(run, state)
            tell(self.server.pods, run, steps)
        return run

    def _post_runs(self, path: list[str], action: str, asked: dict[str, str], body: Any) -> Any:
        checked("V2beta1Run", body)
        if "plugins_input" in body and self.server.number() < (2, 17):  # api/v2beta1/run.proto; parsing is strict
            raise Refused(400, 'proto: (line 1:1): unknown field "plugins_input"')
        self.launchable(body)
        experiment = self.server.experiments[body["experiment_id"]]
        run = body | {"state": "PENDING", "created_at": self.server.now(), "namespace": experiment.get("namespace")}
        run["finished_at"] = "1970-01-01T00:00:00Z"
        if self.server.mlflow_url:
            entry = {"run_url": {"value": self.server.mlflow_url, "render_type": "URL"}}
            run["plugins_output"] = {"mlflow": {"entries": entry, "state": "PLUGIN_SUCCEEDED"}}
        kept = keep(self.server.runs, "run_id", run)
        if self.server.backend:
            self.server.backend.start(kept)
        return kept

    def _post_do_runs(self, path: list[str], action: str, asked: dict[str, str], body: Any) -> Any:
        """Cancel a run, or try it again.

        backend/src/apiserver/storage/run_store.go: TerminateRun, whose condition no run fulfils a second time;
        resource/resource_manager.go: RetryRun; common/util/workflow.go: GenerateRetryExecution.
        """
        run = there(self.server.runs, path[0])
        if action == "terminate":
            if run["state"] not in ("PAUSED", "PENDING", "RUNNING"):
                raise Refused(400, f"Failed to terminate a run {path[0]}. Row not found")
            run["state"] = "CANCELING"
        elif action == "retry":
            if run["state"] != "FAILED":
                raise Refused(400, "Workflow must be Failed/Error to retry")
            move(run, "RUNNING")
            if self.server.backend:
                self.server.backend.start(run)
        else:
            raise Refused(501, action)
        return {}

    def launchable(self, body: dict[str, Any]) -> None:
        """Refuse what has no experiment or no pipeline version, and parameters that the pipeline does not take."""
        if body.get("experiment_id") not in self.server.experiments:
            raise Refused(404, f"Experiment {body.get('experiment_id')} not found")
        self.may(self.server.experiments[body["experiment_id"]].get("namespace"))
        reference = body["pipeline_version_reference"]
        versions = [one for one in self.server.versions.values() if one["pipeline_id"] == reference["pipeline_id"]]
        if wanted := reference.get("pipeline_version_id"):
            versions = [one for one in versions if one["pipeline_version_id"] == wanted]
        if not versions:
            raise Refused(404, "Pipeline version not found")
        known = versions[-1]["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
        given = body["runtime_config"]["parameters"]
        if unknown := given.keys() - known.keys():
            raise Refused(400, f"unknown parameters {sorted(unknown)}")
        for name, definition in known.items():
            if name not in given:
                if not definition.get("isOptional") and "defaultValue" not in definition:
                    raise Refused(400, f"parameter {name} is missing")
                continue
            types = _TYPES[definition["parameterType"]]
            if not isinstance(given[name], types) or (isinstance(given[name], bool) and bool not in types):
                raise Refused(400, f"parameter {name} is {given[name]!r}, not a {definition['parameterType']}")

    def may(self, namespace: str | None) -> None:
        if not self.server.namespaces:
            if namespace:
                raise Refused(400, "In single-user mode, a resource must not have a namespace")
            return
        if not namespace:
            raise Refused(400, "In multi-user mode, a namespace must be specified")
        if namespace in self.server.forbidden:
            raise Refused(403, f"User is not authorized with reason: no role in {namespace}")
        if namespace not in self.server.namespaces:
            raise Refused(404, f"namespaces {namespace!r} not found")

    def mine(self, kept: dict[str, dict[str, Any]], asked: dict[str, str]) -> list[dict[str, Any]]:
        self.may(asked.get("namespace"))
        return [one for one in kept.values() if one.get("namespace") == asked.get("namespace")]


@functools.lru_cache
def _pipeline(text: str, version: tuple[int, ...]) -> dict[str, Any]:
    """Return the pipeline of an uploaded file, which KFP's own formats, those of `version`, have to take.

    backend/src/apiserver/template/v2_template.go refuses what kubernetes_platform's kubernetes_executor_config.proto
    does not have: before 2.16 no security context, and no environment from secrets that may be missing.
    """
    spec, *others = yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    executors = [
        own for other in others for own in other["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    ]
    for own in executors:
        try:
            parsed = json_format.ParseDict(own, KubernetesExecutorConfig())
        except json_format.ParseError as error:
            raise Refused(400, f"cannot unmarshal platform specific configs: {error}") from None
        younger = {
            "securityContext": parsed.HasField("security_context"),
            "optional": any(secret.HasField("optional") for secret in parsed.secret_as_env),
        }
        if version < (2, 16) and any(younger.values()):
            field = next(name for name, used in younger.items() if used)
            raise Refused(400, f'cannot unmarshal platform specific configs: unknown field "{field}"')
    return spec


def unique(kept: dict[str, dict[str, Any]], **key: object) -> None:
    if any(all(one.get(name) == value for name, value in key.items()) for one in kept.values()):
        raise Refused(409, f"The name {key['display_name']} already exists. Please specify a new name.")


def keep(kept: dict[str, dict[str, Any]], id_name: str, thing: dict[str, Any]) -> dict[str, Any]:
    identity = str(uuid.uuid4())
    kept[identity] = {key: value for key, value in thing.items() if value is not None} | {id_name: identity}
    return kept[identity]


def there(kept: dict[str, dict[str, Any]], identity: str) -> dict[str, Any]:
    if identity not in kept:
        raise Refused(404, f"{identity} not found")
    return kept[identity]


def page(items: str, model: str, found: list[dict[str, Any]], asked: dict[str, str]) -> dict[str, Any]:
    if unknown := asked.keys() - {"page_token", "page_size", "sort_by", "filter", "namespace", "experiment_id"}:
        raise Refused(400, f"unknown query parameters {unknown}")
    if "filter" in asked:
        wanted = json.loads(asked["filter"])
        checked("V2beta1Filter", wanted, "filter")
        for predicate in wanted["predicates"]:
            if predicate["operation"] != "EQUALS" or predicate["key"] != "display_name":
                raise Refused(400, f"Invalid filter: {predicate}")
            found = [one for one in found if one["display_name"] == predicate["string_value"]]
    key, _, direction = asked.get("sort_by", "created_at").partition(" ")
    if key not in getattr(kfp_server_api, f"V2beta1{model}").openapi_types or direction not in ("", "asc", "desc"):
        raise Refused(400, f"Invalid sort_by: {asked['sort_by']}")
    found = sorted(found, key=lambda one: one[key], reverse=direction == "desc")
    first = int(asked.get("page_token") or 0)
    size = int(asked.get("page_size") or 10)
    page: dict[str, Any] = {items: found[first : first + size], "total_size": len(found)}
    if first + size < len(found):
        page["next_page_token"] = str(first + size)
    return page


def move(run: dict[str, Any], state: str) -> None:
    """Store a run's new state, and its history as KFP does when the state of the workflow is reported.

    backend/src/apiserver/storage/run_store.go: UpdateRun. TerminateRun stores CANCELING without a history; the next
    report adds it, and the end of a cancelled run is FAILED (resource/resource_manager.go: ReportWorkflowResource).
    """
    history = run.setdefault("state_history", [])
    cancelled = run["state"] == "CANCELING"
    run["state"] = "CANCELING" if cancelled and state == "RUNNING" else state
    for entry in ["CANCELING"] * cancelled + [run["state"]]:
        if not history or history[-1]["state"] != entry:
            history.append({"update_time": "2026-01-01T00:00:00Z", "state": entry})


def tell(pods: list[Pod], run: dict[str, Any], steps: dict[str, str]) -> None:
    """Let the run show these steps and their states, and the nodes below them."""
    tasks = []
    for name, state in steps.items():
        own, *below = child_tasks(pods, run["run_id"], name)
        tasks += [_task(name, state) | own, *(_task("", state) | one for one in below)]
    run["run_details"] = {"task_details": tasks}


def _task(name: str, state: str) -> dict[str, Any]:
    """Return a task as the API shows it: never with an error (server/api_converter.go: toApiPipelineTaskDetail)."""
    task = {"task_id": str(uuid.uuid4()), "display_name": name, "state": state, "start_time": "2026-01-01T00:00:00Z"}
    if state not in ("PENDING", "RUNNING"):
        task["end_time"] = "2026-01-01T00:01:01Z"
    return task
