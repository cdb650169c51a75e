"""A loopback server with the part of the KFP API (v2beta1) that Berth uses, and with trouble to order.

Every request body is compared with the official models of kfp_server_api: a field that they do not have, a value of
another type, or a field that only the server sets is refused, as are parameters that the uploaded pipeline lacks. It
keeps what KFP keeps unique unique (pipelines, versions, experiments; not runs, not recurring runs).
"""

import contextlib
import datetime
import email.parser
import email.policy
import http.server
import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support import kubernetes_pods
from tests.support.kfp_models import Refused
from tests.support.kfp_schedules import Schedules

_PROXY = re.compile(r"^/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy/+(?=/)")

"""In front of KFP's paths when they go through Kubernetes' own API, as a kubeconfig leads."""

_SECRET = re.compile(r"/api/v1/namespaces/([^/]+)/secrets/([^/]+)")


@dataclass
class Fault:
    """Trouble for the next `times` requests whose method and path match `at`.

    `kind`: a status; `drop` (the connection is closed, nothing was done); `lost` (done, then closed); `hang` (done, and
    no answer until the client gives up); `late` (no answer, and done only after the client has given up); `echo` (403
    that shows the request's headers); `html` (a page instead of JSON); `rival` (somebody else was a moment earlier with
    the same request); `compile` (500: the pipeline cannot be compiled); `upload` (400 as an upload's error has it).
    """

    at: str
    kind: int | str
    times: int = 1
    after: int = 0
    """How many matching requests go well before."""
    headers: dict[str, str] = field(default_factory=dict)


class KfpServer(http.server.ThreadingHTTPServer):
    """`url` is its address; what is in it can be looked at and changed from a test."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.health: dict[str, Any] = {"multi_user": False, "pipeline_store": "database"}
        self.older_health: dict[str, Any] | None = {"tag_name": "2.17.0", "multi_user": False}
        self.token = ""
        self.namespaces: set[str] = set()
        """The user's namespaces; with one, the installation has several users."""
        self.forbidden: set[str] = set()
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, Any]] = []
        self.pipelines: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        self.uploads: dict[str, str] = {}
        """The uploaded files, by the version's id."""
        self.experiments: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.schedules: dict[str, dict[str, Any]] = {}
        self.most_active = 0
        """The most recurring runs of one name that were enabled at any time."""
        self.script: list[tuple[str, dict[str, str]]] = []
        """The state of a run and of its steps, one for each time that it is asked for; the last stays."""
        self.mlflow_url = ""
        self.version = ""
        """The server's version where its answers do not tell it."""
        self.plugins = False
        """Whether the server has KFP's MLflow plugin."""
        self.pods: list[kubernetes_pods.Pod] = []
        self.killed: list[str] = []
        """Runs whose pods were deleted with the schedule that owned them."""
        self.secrets: set[tuple[str, str]] | None = set()
        """Namespace and name of Kubernetes' secrets; None: the user may not look."""
        self.backend: Any = None
        """Runs what is submitted (tests/support/kfp_twin); None: a run does what `script` says."""
        self.lock = threading.RLock()
        self.seconds = 0

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that went away, as those with a limit do
            super().handle_error(request, client_address)

    def number(self) -> tuple[int, ...]:
        """Return the server's version: (2, 17) of each 2.17, (2, 18) of what comes after it."""
        found = re.match(r"v?(\d+)\.(\d+)", self.version or str((self.older_health or self.health)["tag_name"]))
        return tuple(map(int, found.groups())) if found else (99, 0)

    def active(self, name: str) -> list[dict[str, Any]]:
        return [one for one in self.schedules.values() if one["display_name"] == name and one["status"] == "ENABLED"]

    def asked(self, pattern: str) -> list[Any]:
        """Return the bodies of the requests whose method and path match."""
        return [body for method, path, body in self.requests if re.search(pattern, f"{method} {path}")]

    def now(self) -> str:
        """A time that moves on with every thing that is made, as KFP keeps whole seconds."""
        self.seconds += 1
        moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=self.seconds - 3600)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@contextlib.contextmanager
def kfp_server() -> Iterator[KfpServer]:
    server = KfpServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class _Handler(Schedules, http.server.BaseHTTPRequestHandler):
    server: KfpServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer is written in two parts: the second would wait 40 ms

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        target = urlsplit(self.path)
        fault = self._fault(f"{self.command} {target.path}")
        kind = fault.kind if fault else None
        if kind == "drop":
            self.close_connection = True
            self.connection.close()
            return
        if kind == "late":
            time.sleep(0.8)
        if ready := self._ready(fault):
            self._send(*ready, fault.headers if fault else {})
            return
        try:
            with self.server.lock:
                if kind == "rival":
                    self._act(target.path, parse_qs(target.query), body)
                status, answer = 200, self._act(target.path, parse_qs(target.query), body)
        except Refused as refusal:
            status, answer = refusal.status, {"error": str(refusal), "message": str(refusal), "code": 3}
        if kind == "hang":
            time.sleep(0.8)
        if kind in ("lost", "hang", "late"):
            self.close_connection = True
            self.connection.close()
            return
        self._send(status, answer, {})

    def _ready(self, fault: Fault | None) -> tuple[int, Any] | None:
        """Return the status and the answer to a request of which nothing is done; None: it is to be done."""
        kind = fault.kind if fault else None
        if isinstance(kind, int):
            return kind, {"error": f"trouble {kind}", "message": f"trouble {kind}", "code": 13}
        answers: dict[Any, tuple[int, Any]] = {
            "compile": (500, {"message": "Failed to compile job: InternalServerError: no such field", "code": 13}),
            "upload": (400, {"error_message": "no pipeline spec is provided", "error_details": "stack"}),
            "echo": (403, {"message": f"denied: {dict(self.headers)}"}),
            "html": (200, "<html>Sign in</html>"),
        }
        return answers.get(kind)

    def _fault(self, request: str) -> Fault | None:
        with self.server.lock:
            for fault in self.server.faults:
                if fault.times and re.search(fault.at, request):
                    if fault.after:
                        fault.after -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None

    def _send(self, status: int, answer: Any, headers: dict[str, str]) -> None:
        text = answer if isinstance(answer, str) else json.dumps(answer)
        data = text.encode()
        kind = "application/json" if text is not answer else "text/html" if text.startswith("<") else "text/plain"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(data)

    def _act(self, path: str, query: dict[str, list[str]], raw: bytes) -> Any:
        asked = {name: values[0] for name, values in query.items()}
        if match := _SECRET.fullmatch(path):
            return self._get_secret(*match.groups())
        if (pods := kubernetes_pods.answer(self.server.pods, path, asked)) is not None:
            return pods
        path = _PROXY.sub("", path)
        upload = path.endswith("/upload_version")
        body = _file_of(self.headers["Content-Type"], raw) if upload else json.loads(raw) if raw else None
        self.server.requests.append((self.command, path, body))
        if path == "/apis/v1beta1/healthz" and self.server.older_health is not None:
            return self.server.older_health
        if path == "/apis/v2beta1/healthz" and self.server.health:
            return self.server.health
        log = kubernetes_pods.node_log(self.server.pods, path)
        if log is None and not path.startswith("/apis/v2beta1/"):
            raise Refused(404, "Not Found")
        if self.server.token and self.headers.get("authorization") != f"Bearer {self.server.token}":
            raise Refused(401, "Request header error: there is no user identity header or the token has expired")
        if log is not None:
            return log
        parts, _, action = path.removeprefix("/apis/v2beta1/").partition(":")
        method = "_".join([self.command.lower(), *(["do"] if action else []), parts.partition("/")[0]])
        found = getattr(self, f"_{method}", None)
        if found is None:
            raise Refused(404, "Not Found")
        return found(parts.split("/")[1:], action, asked, body)


def _file_of(content_type: str, raw: bytes) -> str:
    """Return the one file of a multipart body."""
    parser = email.parser.BytesParser(policy=email.policy.default)
    message = parser.parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + raw)
    (part,) = [part for part in message.iter_parts() if part.get_param("name", header="content-disposition")]
    if part.get_param("name", header="content-disposition") != "uploadfile":
        raise Refused(400, "Failed to read pipeline from file: no form field uploadfile")
    return part.get_payload(decode=True).decode()
