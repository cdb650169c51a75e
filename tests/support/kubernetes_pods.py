"""The pods of the loopback KFP server's cluster: as Kubernetes' own API shows them, and as nodes of KFP's API.

Names are those of Argo Workflows (pkg/apis/workflow/v1alpha1/workflow_types.go: NodeID; workflow/util/pod_name.go) with
the templates of kubeflow/pipelines, backend/src/v2/compiler/argocompiler/container.go.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from berth.cluster_settings import STEPS
from tests.support.kfp_models import Refused

_ORDER = list(dict.fromkeys(step.replace("_", "-") for steps in STEPS.values() for step in steps))
_PODS = re.compile(r"/api/v1/namespaces/([^/]+)/pods(?:/([^/]+)/log)?")
_NODE_LOG = re.compile(r"/apis/v1alpha1/runs/([^/]+)/nodes/([^/]+)/log")


@dataclass
class Pod:
    """A step's pod; Argo's annotation names the step, and the try if the step has retries."""

    run_id: str
    step: str
    log: str = ""
    reason: str = "Error"
    number: int = 0
    retries: bool = True
    labels: int = 0
    gone: bool = False
    """Whether it is deleted, and KFP has archived its log."""

    @property
    def workflow(self) -> str:
        return f"berth-{self.run_id[:5]}"

    @property
    def parent(self) -> str:
        """The name of the node `executor`, of which each try is a child."""
        return f"{self.workflow}.root.exit-handler-1.{self.step}.executor"

    @property
    def node(self) -> str:
        return f"{self.parent}({self.number})" if self.retries else self.parent

    @property
    def name(self) -> str:
        template = f"{'retry-' if self.retries else ''}system-container-impl"
        template = f"metadata-0-{self.labels}-{template}" if self.labels else template
        return f"{self.workflow}-{template}-{_hashed(self.node)}"


def answer(pods: list[Pod], path: str, asked: dict[str, str]) -> Any:
    """Return what Kubernetes answers to a request for pods or a log; None: the path is another."""
    match = _PODS.fullmatch(path)
    if not match:
        return None
    there = [pod for pod in pods if not pod.gone]
    if match[2]:
        pod = next((pod for pod in there if pod.name == match[2]), None)
        if pod is None:
            raise Refused(404, "pods not found")
        lines = pod.log.splitlines(keepends=True)
        return "".join(lines[-int(asked.get("tailLines", len(lines))) :])
    run_id = asked["labelSelector"].removeprefix("pipeline/runid=")
    return {"kind": "PodList", "items": [_pod(pod, match[1]) for pod in there if pod.run_id == run_id]}


def node_log(pods: list[Pod], path: str) -> str | None:
    """Return what KFP's own log endpoint answers; None: the path is another.

    backend/src/apiserver/server/run_log_server.go: ReadRunLogV1. It sends its status, 200, before it looks for the pod;
    an error follows as JSON.
    """
    match = _NODE_LOG.fullmatch(path)
    if not match:
        return None
    pod = next((pod for pod in pods if (pod.run_id, pod.name) == (match[1], match[2])), None)
    if pod:
        return pod.log
    message = f"BadRequestError: Failed to read logs for run {match[1]}: InternalServerError: Failed to read logs"
    return json.dumps({"error_message": message, "error_details": "stack"}, separators=(",", ":"))


def child_tasks(pods: list[Pod], run_id: str, step: str) -> list[dict[str, Any]]:
    """Return the tasks of KFP's API below the task of a step, and the ids of the step's own children as the first one.

    apiserver/server/api_converter.go: toModelTask, toApiPipelineTaskDetail: a task per node of the workflow, without
    the node's id.
    """
    own = [pod for pod in pods if (pod.run_id, pod.step) == (run_id, step)]
    if not own:
        return [{}]
    tries = [{"pod_name": _node_id(pod, pod.node)} for pod in own]
    parent = {"child_tasks": [{"pod_name": _node_id(own[0], own[0].parent)}]}
    if not own[0].retries:
        return [parent, {"display_name": "executor"}]
    names = [{"display_name": f"executor({pod.number})"} for pod in own]
    return [parent, {"display_name": "executor", "child_tasks": tries}, *names]


def _node_id(pod: Pod, name: str) -> str:
    return f"{pod.workflow}-{_hashed(name)}"


def _hashed(name: str) -> int:
    """Return the 32-bit FNV-1a hash of `name`."""
    value = 2166136261
    for byte in name.encode():
        value = ((value ^ byte) * 16777619) % 2**32
    return value


def _pod(pod: Pod, namespace: str) -> dict[str, Any]:
    ended = {"exitCode": 1, "reason": pod.reason, "startedAt": "2026-01-01T00:00:00Z"}
    whole = pod.reason in ("DeadlineExceeded", "Evicted")
    container = {"name": "main", "state": {"terminated": ended}, "image": "i", "imageID": "i", "ready": False}
    return {
        "metadata": {
            "name": pod.name,
            "namespace": namespace,
            "creationTimestamp": f"2026-01-01T00:0{_ORDER.index(pod.step)}:0{pod.number}Z",
            "annotations": {"workflows.argoproj.io/node-name": pod.node},
        },
        "status": {
            "phase": "Failed",
            **({"reason": pod.reason} if whole else {}),
            "containerStatuses": [container | {"restartCount": 0}],
        },
    }
