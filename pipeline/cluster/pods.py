"""The pods of a run's steps: why a step failed, and what it has logged.

KFP's tasks carry no error (backend/src/apiserver/server/api_converter.go: toApiPipelineTaskDetail): Kubernetes is asked
as far as the kubeconfig allows. Logs come from KFP itself where it has them.
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import TypeVar

import kfp_server_api
import kubernetes
import urllib3

from berth.errors import BerthError, nearest
from pipeline.cluster import node_logs
from pipeline.cluster.api import Api
from pipeline.cluster.kubernetes_client import TIMEOUT, client, is_same_cluster
from pipeline.local.step_log import reported_in

Answer = TypeVar("Answer")
_ANNOTATION = "workflows.argoproj.io/node-name"
_NODE = re.compile(r"\.([^.]+)\.executor(\(\d+\))?$")
"""Argo's annotation: `<workflow>.root.<group>.<step>.executor(<try>)`."""
_CONTAINER = "main"
_TAIL = 50
"""Lines of a log that are searched for an error."""


def reason(api: Api, run: kfp_server_api.V2beta1Run, step: str) -> str:
    """Return why `step` failed as one sentence, from its last pod; empty where this user cannot see it."""
    with contextlib.suppress(BerthError):
        if pods := [pod for name, pod in _pods(api, run) if name == step]:
            return _MEANING.get(_termination(pods[-1])) or reported_in(log(pods[-1], _TAIL))
    with contextlib.suppress(BerthError):
        lines = (node_logs.log(api, run, step) or "").splitlines()
        return reported_in("\n".join(lines[-_TAIL:]))
    return ""


_MEANING = {
    "OOMKilled": "Its pod ran out of memory: raise cluster.memory (train: cluster.train_memory), or cluster.resources.",
    "DeadlineExceeded": "Its pod was stopped at its time limit.",
    "Evicted": "Its node stopped the pod because the node ran out of memory or disk.",
}


def logs(api: Api, run: kfp_server_api.V2beta1Run, step: str, steps: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the steps' names and the logs of their last tries, the first step first; with `step`, only that one's.

    Raises:
        BerthError: there is no such step, its pod is gone, or neither KFP nor Kubernetes gives the log.
    """
    if step and step not in steps:
        raise BerthError(f"there is no step {step!r}.{nearest(step, steps)} The steps are {', '.join(steps)}.")
    given = _given_by_kfp(api, run, [step] if step else steps)
    if given:
        yield from given.items()
        return
    left = {name: pod for name, pod in _pods(api, run) if name in ([step] if step else steps)}
    if not left:
        whose = f"no pod of {step}" if step else "no pod"
        raise BerthError(f"{run.display_name}: {whose} is left. The Kubeflow UI may have the logs.")
    for name, pod in left.items():
        yield name, log(pod)


def _given_by_kfp(api: Api, run: kfp_server_api.V2beta1Run, steps: list[str]) -> dict[str, str]:
    try:
        run = api.call(api.runs.run_service_get_run, run.run_id)  # a list of runs may lack their tasks
        tasks = (run.run_details.task_details if run.run_details else None) or []
        begun = sorted((task for task in tasks if task.start_time), key=lambda task: task.start_time)
        names = dict.fromkeys(task.display_name for task in begun if task.display_name in steps)
        found = {name: node_logs.log(api, run, name) for name in names}
    except BerthError:  # an installation may keep the endpoint behind another address, or closed
        return {}
    return {name: text for name, text in found.items() if text is not None}


def _pods(api: Api, run: kfp_server_api.V2beta1Run) -> list[tuple[str, kubernetes.client.V1Pod]]:
    """Return the run's pods with their steps, the oldest first: one for each try.

    Raises:
        BerthError: Kubernetes cannot be asked.
    """
    if not is_same_cluster(api):
        raise BerthError(f"{api.host}: the kubeconfig does not lead to this cluster, whose pods have the logs.")
    found = _asked(
        lambda core: core.list_namespaced_pod(
            api.namespace or api.installed_in,
            label_selector=f"pipeline/runid={run.run_id}",
            _request_timeout=TIMEOUT,
        )
    ).items
    nodes = [(_NODE.search((pod.metadata.annotations or {}).get(_ANNOTATION, "")), pod) for pod in found]
    own = [(node[1], pod) for node, pod in nodes if node]
    return sorted(own, key=lambda pair: (pair[1].metadata.creation_timestamp, pair[1].metadata.name))


def log(pod: kubernetes.client.V1Pod, lines: int | None = None) -> str:
    """Return what a pod has logged, or the last `lines` of it.

    Raises:
        BerthError: Kubernetes does not give it, for example because the pod has not started.
    """
    text = _asked(
        lambda core: core.read_namespaced_pod_log(
            pod.metadata.name,
            pod.metadata.namespace,
            container=_CONTAINER,
            tail_lines=lines,
            _request_timeout=TIMEOUT,
            _preload_content=False,
        )
    )
    return str(text.data.decode("utf-8", errors="replace"))


def _asked(ask: Callable[[kubernetes.client.CoreV1Api], Answer]) -> Answer:
    found = client()
    if found is None:
        raise BerthError(
            "KFP does not give the logs, and there is no kubeconfig that leads to the pods. Set KUBECONFIG."
        )
    try:
        return ask(kubernetes.client.CoreV1Api(found))
    except kubernetes.client.ApiException as error:
        what = "no permission to read pods" if error.status == 403 else f"{error.status} {error.reason}"
        raise BerthError(f"Kubernetes refuses the logs: {what}. The Kubeflow UI shows them.") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise BerthError(
            f"Kubernetes cannot be reached ({type(error).__name__}). The Kubeflow UI has the logs."
        ) from None


def _termination(pod: kubernetes.client.V1Pod) -> str:
    """Return Kubernetes' own word for why a pod ended, if it has one."""
    if pod.status.reason:
        return str(pod.status.reason)
    for container in pod.status.container_statuses or []:
        ended = container.state.terminated if container.state else None
        if container.name == _CONTAINER and ended and ended.reason:
            return str(ended.reason)
    return ""
