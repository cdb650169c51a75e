"""The pods of the loopback KFP server's cluster, as Kubernetes' own API shows them."""

import re
from dataclasses import dataclass
from typing import Any

from tests.support.kfp_models import Refused

_PODS = re.compile(r"/api/v1/namespaces/([^/]+)/pods(?:/([^/]+)/log)?")


@dataclass
class Pod:
    """A step's pod; Argo's annotation names the step, and the try if the step has retries."""

    run_id: str
    step: str
    log: str = ""
    reason: str = "Error"
    number: int = 0

    @property
    def name(self) -> str:
        return f"berth-x-system-container-impl-{self.step}-{self.number}"


def answer(pods: list[Pod], path: str, asked: dict[str, str]) -> Any:
    """Return what Kubernetes answers to a request for pods or a log; None: the path is another."""
    match = _PODS.fullmatch(path)
    if not match:
        return None
    if match[2]:
        pod = next((pod for pod in pods if pod.name == match[2]), None)
        if pod is None:
            raise Refused(404, "pods not found")
        lines = pod.log.splitlines(keepends=True)
        return "".join(lines[-int(asked.get("tailLines", len(lines))) :])
    run_id = asked["labelSelector"].removeprefix("pipeline/runid=")
    return {"kind": "PodList", "items": [_pod(pod, match[1]) for pod in pods if pod.run_id == run_id]}


def _pod(pod: Pod, namespace: str) -> dict[str, Any]:
    node = f"berth-x.root.exit-handler-1.{pod.step}.executor({pod.number})"
    ended = {"exitCode": 1, "reason": pod.reason, "startedAt": "2026-01-01T00:00:00Z"}
    whole = pod.reason in ("DeadlineExceeded", "Evicted")
    container = {"name": "main", "state": {"terminated": ended}, "image": "i", "imageID": "i", "ready": False}
    return {
        "metadata": {
            "name": pod.name,
            "namespace": namespace,
            "creationTimestamp": f"2026-01-01T00:0{pod.number}:00Z",
            "annotations": {"workflows.argoproj.io/node-name": node},
        },
        "status": {
            "phase": "Failed",
            **({"reason": pod.reason} if whole else {}),
            "containerStatuses": [container | {"restartCount": 0}],
        },
    }
