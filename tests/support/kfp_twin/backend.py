"""A loopback KFP server whose runs are real: it starts, cancels and retries them, and shows how far they are."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from berth import images
from pipeline.local.environment_process import environment_variables
from pipeline.local.warm_pool import WarmProcess
from tests.support import kfp_schedules, kubernetes_pods
from tests.support.kfp_resources import move, tell
from tests.support.kfp_server import KfpServer
from tests.support.kfp_twin.metadata_store import MetadataStore
from tests.support.kfp_twin.workflow import Try, Workflow

_STATES = {"Running": "RUNNING", "Succeeded": "SUCCEEDED", "Failed": "FAILED", "Skipped": "SKIPPED"}
_LATER = 0.05
"""Seconds between the end of a run and those of its steps, as the API shows them."""
_CORE = (
    *("kfp.dsl.executor_main", "mlflow", "mlflow.store.tracking.sqlalchemy_store", "pandas", "boto3"),
    *("mlflow.store.model_registry.sqlalchemy_store", "components.ingest.step", "components.push.step"),
)
_FOREIGN = ("AWS_", "MLFLOW_", "KFP_", "BERTH_", "GOOGLE_")
"""Variables of this process that a pod does not have."""


class Backend:
    """Runs what is submitted to `server`; logs and artifacts are in `folder`, secrets by name and key in `secrets`."""

    def __init__(self, server: KfpServer, folder: Path, secrets: dict[str, dict[str, str]]) -> None:
        self.server, self.folder, self.secrets = server, folder, secrets
        self.store = MetadataStore()
        self.workflows: dict[str, Workflow] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._steps: dict[str, dict[str, str]] = {}
        self.on_try: Callable[[str, int], object] = lambda step, number: None
        """Called in the run's thread before each try of a step, with the step's name and the number of the try."""
        # Linux ends it with the thread that has started it, which is not a run's.
        self._core = WarmProcess(images.CORE, _CORE, single=False)
        self._has_run_core = False
        server.backend = self

    def close(self) -> None:
        self._core.close()

    def start(self, run: dict[str, Any]) -> None:
        """Start a run, or go on with one that has failed (resource/resource_manager.go: RetryRun)."""
        run_id = run["run_id"]
        before = self._threads.get(run_id)
        if before is None:
            self._steps[run_id] = {}
            uploaded = self.server.uploads[run["pipeline_version_reference"]["pipeline_version_id"]]
            self.workflows[run_id] = Workflow(
                run_id,
                list(yaml.load_all(uploaded, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))),
                self.store,
                self.folder,
                self.secrets,
                self._environment,
                lambda step, phase, one: self._report(run, step, phase, one),
                lambda: run["state"] == "CANCELING",
                self._warm,
            )
        self._threads[run_id] = threading.Thread(target=self._run, args=(run, before), daemon=True)
        self._threads[run_id].start()

    def schedule(self, schedule: dict[str, Any]) -> dict[str, Any]:
        """Start a run of a schedule, as when its time has come."""
        run = kfp_schedules.start(self.server, schedule)
        self.start(run)
        return run

    def wait(self, run_id: str) -> Workflow:
        """Wait for the end of a run, and return it."""
        self._threads[run_id].join()
        return self.workflows[run_id]

    def _run(self, run: dict[str, Any], before: threading.Thread | None) -> None:
        if before:
            before.join()
            self.workflows[run["run_id"]].forget_failures()
        with self.server.lock:
            move(run, "RUNNING")
        workflow, phase = self.workflows[run["run_id"]], "Failed"
        try:
            phase = workflow.run(run["runtime_config"]["parameters"])
        except Exception as error:  # a fault of this backend: the test hears of it, and does not wait for ever
            workflow.errors.append(repr(error))
        with self.server.lock:  # the run's state first (resource/resource_manager.go: ReportWorkflowResource)
            move(run, _STATES[phase])
            run["finished_at"] = self.server.now()
        time.sleep(_LATER)
        with self.server.lock:
            tell(self.server.pods, run, self._steps[run["run_id"]])

    def _report(self, run: dict[str, Any], step: str, phase: str, ended: Try | None) -> None:
        steps = self._steps[run["run_id"]]
        steps[step] = _STATES[phase]
        with self.server.lock:
            move(run, "RUNNING")
            if ended:
                log = ended.log.read_text(encoding="utf-8", errors="replace")
                pod = kubernetes_pods.Pod(run["run_id"], step, log, ended.reason, ended.number, ended.retries)
                self.server.pods = [one for one in self.server.pods if one.name != pod.name] + [pod]
            # The last states are told after the run's own.
            tell(self.server.pods, run, steps if phase == "Running" else steps | {step: "RUNNING"})
        if phase == "Running" and ended is None:
            self.on_try(step, len([one for one in self.server.pods if (one.run_id, one.step) == (run["run_id"], step)]))

    def _warm(self, image: str) -> WarmProcess | None:
        """Return the process of which a step of the image core is a fork, which saves seconds; None for the first one.

        That one, and the steps of the other images, run by their whole commands.
        """
        if image != images.CORE or not self._has_run_core:
            self._has_run_core |= image == images.CORE
            return None
        return self._core

    def _environment(self, image: str) -> dict[str, str]:
        host, port = self.server.server_address[:2]
        own = {name: value for name, value in environment_variables(image).items() if not name.startswith(_FOREIGN)}
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return own | {
            "HOME": str(home),
            "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
            "ML_PIPELINE_SERVICE_HOST": str(host),
            "ML_PIPELINE_SERVICE_PORT_HTTP": str(port),
        }
