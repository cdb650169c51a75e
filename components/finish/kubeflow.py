"""Questions to Kubeflow's API that the exit handler's parameters do not answer."""

import contextlib
import json
import os
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")
"""Where a pod has its token for the API, in an installation with several users that gives it one."""
_TIMEOUT_SECONDS = 10
_ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


def is_cancelled(run_id: str) -> bool:
    """Return whether somebody has cancelled the run; False where the API does not tell.

    Its steps are stopped before they can say so, and the state that KFP gives an exit handler then is RUNNING.
    """
    host = os.environ.get("ML_PIPELINE_SERVICE_HOST", "ml-pipeline.kubeflow")  # Kubernetes sets it in KFP's namespace
    port = os.environ.get("ML_PIPELINE_SERVICE_PORT_HTTP", "8888")
    request = urllib.request.Request(f"http://{host}:{port}/apis/v2beta1/runs/{quote(run_id)}")
    with contextlib.suppress(OSError):
        request.add_header("Authorization", f"Bearer {_TOKEN.read_text(encoding='utf-8').strip()}")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
            run: dict[str, Any] = json.load(answer)
    except (OSError, ValueError):
        return False
    states = [run.get("state", ""), *(entry.get("state", "") for entry in reversed(run.get("state_history") or []))]
    return next((state for state in states if state not in _ENDED), "") == "CANCELING"
