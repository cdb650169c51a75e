"""Logs of a run's steps by KFP's own endpoint, for which the address of KFP is enough.

The endpoint wants the name of a pod (backend/src/apiserver/server/run_log_server.go), which no task of the API has: a
task has the ids of its child nodes (apiserver/server/api_converter.go: toApiPipelineTaskDetail). A pod's name consists
of the workflow's name, the pod's template and the number at the end of its node's id (common/util/workflow.go:
RetrievePodName). The number is the FNV-1a hash of the node's name (argo-workflows, pkg/apis/workflow/v1alpha1: NodeID).
A step's child is the node `executor`; the hash of a try of it, `executor(1)`, continues the hash of `executor`.
"""

import itertools
from collections.abc import Iterator

import kfp_server_api

from pipeline.cluster.api import Api

_TEMPLATES = [
    f"{labels}{retries}system-container-impl"
    for labels in ("", *(f"metadata-0-{count}-" for count in range(1, 4)))
    for retries in ("retry-", "")
]
"""The template of a step's pod: with retries or without, and with labels (v2/compiler/argocompiler/container.go)."""
_ERROR = '{"error_message":'
"""How an error begins. Its status is 200, and it may follow a part of the log."""
_PRIME, _MASK = 0x01000193, 0xFFFFFFFF


def log(api: Api, run: kfp_server_api.V2beta1Run, step: str) -> str | None:
    """Return what the last try of `step` has logged; None where KFP has no log of it.

    KFP reads it from the pod, or from the archive of logs if the pod is gone and the installation has an archive.

    Raises:
        BerthError: the API does not answer, or has no such endpoint.
    """
    for node in _tries(run, step):
        workflow, _, number = node.rpartition("-")
        for template in _TEMPLATES:
            path = f"/apis/v1alpha1/runs/{run.run_id}/nodes/{workflow}-{template}-{number}/log"
            text, error, _ = api.text(path).partition(_ERROR)
            if text or not error:
                return text
    return None


def _tries(run: kfp_server_api.V2beta1Run, step: str) -> Iterator[str]:
    """Yield the ids of the nodes that are the tries of `step`, the last one first."""
    tasks = (run.run_details.task_details if run.run_details else None) or []
    known = {child.pod_name for task in tasks for child in task.child_tasks or [] if child.pod_name}
    own = [child.pod_name for task in tasks if task.display_name == step for child in task.child_tasks or []]
    for node in filter(None, own):
        workflow, _, number = node.rpartition("-")
        if number.isdecimal():
            numbered = (f"{workflow}-{_continued(int(number), f'({index})')}" for index in itertools.count())
            yield from reversed(list(itertools.takewhile(known.__contains__, numbered)) or [node])


def _continued(hashed: int, text: str) -> int:
    """Return the 32-bit FNV-1a hash of a text of which `hashed` is the beginning's, and `text` the end."""
    for byte in text.encode():
        hashed = (hashed ^ byte) * _PRIME & _MASK
    return hashed
