"""The Kubeflow Pipelines API: connections, repeated requests, and refusals in one line.

kfp.Client finds the address and the credentials, as its users know it: KF_PIPELINES_* variables, the token of a pod,
the kubeconfig. What it does not have is added here: a time limit on every request, bounded repetition, and creating
something once although the answer to the first request was lost.
"""

import contextlib
import io
import json
import os
import random
import re
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import kfp
import kfp_server_api
import urllib3
from kfp_server_api.exceptions import ApiException

from berth.errors import BerthError
from pipeline.cluster.api_errors import (
    PORT_FORWARD,
    Conflict,
    Missing,
    Unreachable,
    asked_to_wait,
    passes,
    refusal,
    trouble,
)

TIMEOUT = (10, 60)
"""Seconds to connect, and to wait for a byte of the answer."""
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each repetition; half as much again by chance, so that clients do not come back all at once."""
OLDEST = (2, 17)
_MISSING = "the MLflow plugin's settings of a run, or security contexts and secrets that may be missing"
"""What a backend before OLDEST does not have, and pipeline.yaml needs."""
_PAGE = 100
_TOKEN_PATH = "KF_PIPELINES_SA_TOKEN_PATH"

Made = TypeVar("Made")


@dataclass(frozen=True)
class Access:
    """Which cluster, and how its user signs in; what is empty comes from kfp's variables, the pod or the kubeconfig."""

    host: str = ""
    namespace: str = ""
    token_file: Path | None = None


class Api:
    """An open connection to the KFP API; `connect` makes one."""

    def __init__(self, client: kfp.Client, host: str, installed_in: str, by_address: bool) -> None:
        self._configuration = client._existing_config
        self._client = client._run_api.api_client  # kfp's own: it carries the cookie and the token
        # kfp's requests would follow a redirect to a login page, and repeat what they must not.
        self._client.rest_client.pool_manager.connection_pool_kw["retries"] = False
        self.host = host
        self.ui = (client._uihost or "").rstrip("/")
        """Where the pages are; empty in a pod and behind a kubeconfig, where kfp knows the way to the API alone."""
        self.installed_in = installed_in
        self.by_address = by_address
        """Whether an address was given; else the cluster is the pod's or the kubeconfig's."""
        self.namespace: str | None = None
        """The user's namespace where the installation has several users, else None: KFP refuses one then."""
        self.runs = kfp_server_api.RunServiceApi(self._client)
        self.pipelines = kfp_server_api.PipelineServiceApi(self._client)
        self.uploads = kfp_server_api.PipelineUploadServiceApi(self._client)
        self.experiments = kfp_server_api.ExperimentServiceApi(self._client)
        self.recurring_runs = kfp_server_api.RecurringRunServiceApi(self._client)

    def call(self, method: Callable[..., Made], *arguments: object, **keywords: object) -> Made:
        """Ask for something that may be asked twice: it reads, or leaves things as a second request would."""
        return self._repeat(lambda: method(*arguments, **keywords, _request_timeout=TIMEOUT))

    def delete(self, method: Callable[..., object], *arguments: object, **keywords: object) -> None:
        """Delete something; what is not there any more is deleted."""
        with contextlib.suppress(Missing):
            self.call(method, *arguments, **keywords)

    def create(
        self,
        make: Callable[..., Made],
        find: Callable[[], list[Made]],
        drop: Callable[[Made], None] | None = None,
        **keywords: object,
    ) -> Made:
        """Create something once, although a request may take effect and its answer be lost.

        `find` returns what has the name (or the mark) of the thing to be, the oldest first; that name is unique: KFP
        holds it to be (a pipeline, a version, an experiment), or it ends in a random token of this very call (a run, a
        schedule). So whatever `find` returns is what an earlier request of this call, or for a name that KFP holds
        unique somebody else's, has made, and it is looked for before every repetition.
        One gap is left: a request given up for lost can still be on its way when `find` looks, and take effect after
        the repetition. So whenever something was repeated, what there is is looked at once more after a last pause,
        and all but the oldest are given to `drop`. A schedule is created disabled: such a twin never starts a run.
        """
        attempts = 0

        def attempt() -> Made:
            nonlocal attempts
            attempts += 1
            if attempts > 1 and (found := find()):
                return found[0]
            return make(**keywords, _request_timeout=TIMEOUT)

        try:
            made = self._repeat(attempt)
        except (Conflict, Unreachable):
            found = find()
            if not found:
                raise
            made = found[0]
        if attempts > 1 and drop is not None:
            time.sleep(PAUSES[-1])
            made, *twins = find() or [made]
            for twin in twins:
                drop(twin)
        return made

    def all(self, method: Callable[..., Any], items: str, name: str = "", **keywords: Any) -> list[Any]:
        """Return everything that a list method has, page by page; with `name`, what is called so."""
        return list(self.each(method, items, name, **keywords))

    def each(self, method: Callable[..., Any], items: str, name: str = "", **keywords: Any) -> Iterator[Any]:
        """Yield what `all` returns, asking for a page when it is needed; the oldest first unless told otherwise."""
        keywords.setdefault("sort_by", "created_at")
        if name:
            predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
            keywords["filter"] = json.dumps({"predicates": [predicate]})
        token = ""
        while True:
            page = self.call(method, page_size=_PAGE, page_token=token, **keywords)
            yield from getattr(page, items) or []
            token = page.next_page_token
            if not token:
                return

    def greet(self, namespace: str) -> None:
        """Look whether this is a KFP API that can run the pipeline, and settle which namespace is meant.

        Raises:
            BerthError: it is none, it is too old, or a namespace has to be named.
        """
        health = self._get("/apis/v2beta1/healthz")
        older = {} if _version(health) else self._get("/apis/v1beta1/healthz") or {}
        if health is None and not older:
            raise BerthError(f"{self.host}: not a Kubeflow Pipelines API (no /apis/v2beta1/healthz). Check --host.")
        version = _version(health or {}) or _version(older)
        numbers = re.match(r"v?(\d+)\.(\d+)", version)
        if health is None or (numbers and tuple(map(int, numbers.groups())) < OLDEST):
            raise BerthError(
                f"{self.host}: Kubeflow Pipelines {version or '1.x'} lacks {_MISSING}. Update it to "
                f"{'.'.join(map(str, OLDEST))} or newer."
            )
        if health.get("multi_user") or health.get("apiServerMultiUser"):
            self.namespace = namespace or _own_namespace()
            if not self.namespace:
                raise BerthError(f"{self.host}: has a namespace for each user. Name yours: --namespace.")

    def _get(self, path: str) -> dict[str, Any] | None:
        """Return the JSON object at `path`, None where there is none; the generated models drop fields they lack."""
        try:
            answer = self._repeat(
                lambda: self._client.call_api(
                    path,
                    "GET",
                    header_params={"Accept": "application/json"},
                    auth_settings=["Bearer"],
                    response_type="object",
                    _return_http_data_only=True,
                    _request_timeout=TIMEOUT,
                )
            )
        except Missing:
            return None
        return answer if isinstance(answer, dict) else None

    def text(self, path: str) -> str:
        """Return the text at `path`.

        Raises:
            BerthError: it is not there, or the API does not give it.
        """
        keywords = {"auth_settings": ["Bearer"], "_request_timeout": TIMEOUT}
        self._repeat(lambda: self._client.call_api(path, "GET", header_params={"Accept": "*/*"}, **keywords))
        return str(self._client.last_response.data)

    def _repeat(self, ask: Callable[[], Made]) -> Made:
        """Return what `ask` returns, asked again after a pause while the trouble is one that passes."""
        for pause in (*PAUSES, None):
            try:
                with _silenced():
                    return ask()
            except BerthError:
                raise  # a request inside of this one has been repeated already
            except (ApiException, urllib3.exceptions.HTTPError, OSError, AttributeError, ValueError) as error:
                cause = trouble(error)
                if pause is None or not passes(cause):
                    raise refusal(cause, self.host, self.namespace, self.installed_in, self._masked) from None
                time.sleep(max(pause * random.uniform(1, 1.5), asked_to_wait(cause)))
        raise AssertionError

    def _masked(self, text: str) -> str:
        """Return `text` without the token and the cookie: a proxy's error page may show the request's headers."""
        for secret in (self._configuration.api_key.get("authorization"), self._client.cookie):
            if secret:
                text = text.replace(secret, "***")
        return text


class _Client(kfp.Client):
    """kfp.Client without its greeting, which tries for half a minute and prints tracebacks; `Api.greet` asks."""

    def get_kfp_healthz(self, sleep_duration: int = 5) -> kfp_server_api.V2beta1GetHealthzResponse:
        return kfp_server_api.V2beta1GetHealthzResponse(multi_user=False)


def connect(access: Access) -> Api:
    """Return a connection to the KFP API that `access` means.

    Raises:
        BerthError: there is no cluster to be found, it does not answer, it refuses, or it is too old.
    """
    host = access.host or os.environ.get("KF_PIPELINES_ENDPOINT", "")
    if "@" in host:
        raise BerthError("--host: an address with a user or password in it. Give a token in a file: --token-file.")
    if access.namespace and not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", access.namespace):
        raise BerthError(f"--namespace: {access.namespace!r} is not a name that a namespace can have.")
    # In an installation of several users the namespace is the user's, and KFP itself is in kubeflow.
    installed_in = access.namespace or "kubeflow"
    options: dict[str, Any] = {"host": host or None, "namespace": installed_in}
    if access.token_file:
        options["credentials"] = _token_of(access.token_file)
    elif host and os.environ.get(_TOKEN_PATH):
        options["credentials"] = _token_of(Path(os.environ[_TOKEN_PATH]))
    with _silenced():
        client = _Client(**options)
    address = client._existing_config.host
    if not host and address == kfp_server_api.Configuration().host:
        raise BerthError(
            "no cluster: there is no --host, no KF_PIPELINES_ENDPOINT, no pod and no kubeconfig. "
            f"Call {PORT_FORWARD.format(namespace=installed_in)} and give --host http://localhost:8080."
        )
    api = Api(client, address, installed_in, bool(host))
    api.greet(access.namespace)
    return api


def _token_of(path: Path) -> SimpleNamespace:
    """Return the credentials in the file at `path`, which is read again for each request: tokens are replaced there."""

    def refresh(configuration: kfp_server_api.Configuration) -> None:
        configuration.api_key["authorization"] = _token(path)

    _token(path)
    return SimpleNamespace(refresh_api_key_hook=refresh)  # all that kfp looks for in credentials


def _token(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise BerthError(f"--token-file: {path} cannot be read ({reason}). Name a file that holds a token.") from None
    if not re.fullmatch(r"[!-~]+", token):
        raise BerthError(f"--token-file: {path} does not hold a token, one line without spaces.")
    return token


def _own_namespace() -> str:
    """Return the namespace of the pod that this is, or the one that `kfp` remembers; empty where there is neither."""
    with contextlib.suppress(OSError):
        return Path(kfp.Client._NAMESPACE_PATH).read_text(encoding="utf-8").strip()
    with contextlib.suppress(OSError, ValueError):
        return str(json.loads(Path(kfp.Client._LOCAL_KFP_CONTEXT).read_text(encoding="utf-8")).get("namespace", ""))
    return ""


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Keep kfp from printing and warning: what matters of it is an error of ours."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _version(health: dict[str, Any] | None) -> str:
    """Return the version that a health answer has: the API server's own, or as the UI's server passes it on."""
    for field in ("apiServerTagName", "tag_name", "frontendTagName"):
        if health and health.get(field):
            return str(health[field])
    return ""
