"""Errors of the KFP API: which are temporary, and each as one line that says what to change."""

import contextlib
import json
import re
from collections.abc import Callable

import urllib3
from kfp_server_api.exceptions import ApiException, OpenApiException

from berth.errors import BerthError

PORT_FORWARD = "kubectl port-forward -n {namespace} svc/ml-pipeline-ui 8080:80"
_TRANSIENT = (429, 500, 502, 503, 504)
_LASTING = re.compile(r"compil|invalid|unmarshal|unknown field", re.IGNORECASE)
"""What a 500 says that a pipeline cannot be compiled with: asking again changes nothing."""
_LONGEST_WAIT = 30


class Unreachable(BerthError):
    """The API did not answer, or said that it cannot now; asking again later may help."""


class Missing(BerthError):
    """What was asked for is not there (404)."""


class Conflict(BerthError):
    """There is something of this name already (409)."""


def trouble(error: Exception) -> Exception:
    """Return what is behind `error`: the generated client stumbles over its own TLS errors, which have no body."""
    if isinstance(error, AttributeError | UnicodeDecodeError):
        behind = error.__context__
        if isinstance(behind, ApiException):
            error = behind
        elif isinstance(error, AttributeError):
            raise error
    if isinstance(error, ApiException) and error.status in (0, None):
        return urllib3.exceptions.SSLError(str(error.reason).splitlines()[-1])
    if isinstance(error, OpenApiException) and not isinstance(error, ApiException):
        raise error  # a call that the client itself does not understand: a bug of ours
    return error


def passes(trouble: Exception) -> bool:
    """Return whether the same request may succeed in a moment."""
    if isinstance(trouble, ApiException):
        return trouble.status in _TRANSIENT and not _is_lasting(trouble)
    # A refused connection is a cluster that restarts, or none at all: the second is so often a closed port-forward
    # that the user should hear of it at once.
    lasting = (urllib3.exceptions.SSLError, urllib3.exceptions.NewConnectionError)
    parsing = (urllib3.exceptions.LocationParseError, urllib3.exceptions.LocationValueError)
    return isinstance(trouble, urllib3.exceptions.HTTPError | OSError) and not isinstance(trouble, lasting + parsing)


def asked_to_wait(trouble: Exception) -> float:
    """Return the seconds that the answer asks for, as far as they are bearable."""
    headers = getattr(trouble, "headers", None) or {}
    asked = str(headers.get("Retry-After", ""))
    return float(min(int(asked), _LONGEST_WAIT)) if asked.isdigit() else 0.0


def refusal(
    error: Exception, host: str, namespace: str | None, installed_in: str, masked: Callable[[str], str]
) -> BerthError:
    """Return what went wrong as one line; `masked` takes credentials out of what is not ours."""
    if not isinstance(error, ApiException):
        return Unreachable(masked(_unreachable(error, host, installed_in)))
    status, words = error.status, masked(_words(error))
    where = f" in the namespace {namespace!r}" if namespace else ""
    if status == 401 or 300 <= status < 400:
        return BerthError(
            f"{host}: asks who you are ({status}): no token, or one that has expired. "
            "Give a file with a fresh one: --token-file."
        )
    if status == 403:
        return BerthError(f"{host}: no permission{where} (403): {words} Check --namespace, or ask for access.")
    if status == 404:
        return Missing(f"{host}: not found{where} (404): {words} Check the name, and --namespace.")
    if status == 409:
        return Conflict(f"{host}: already exists (409): {words}")
    if status in _TRANSIENT and not _is_lasting(error):
        return Unreachable(f"{host}: answers {status} again and again: {words} Try again later.")
    return BerthError(f"{host}: refused ({status}): {words}")


def _is_lasting(error: ApiException) -> bool:
    return error.status == 500 and bool(_LASTING.search(_words(error)))


def _unreachable(error: Exception, host: str, installed_in: str) -> str:
    # urllib3 counts a refused connection and an unknown name among its timeouts.
    unheard = isinstance(error, urllib3.exceptions.NewConnectionError)
    here = re.match(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:|/|$)", host)
    if here and unheard:
        forward = PORT_FORWARD.format(namespace=installed_in)
        return f"{host}: nothing listens there. Open the way to the cluster first: {forward}"
    if isinstance(error, urllib3.exceptions.TimeoutError) and not unheard:
        return f"{host}: does not answer in time. Check --host and the network."
    if isinstance(error, urllib3.exceptions.SSLError):
        return f"{host}: no TLS connection: {_last(error)}. Check --host: http:// or https://?"
    if isinstance(error, urllib3.exceptions.LocationParseError | urllib3.exceptions.LocationValueError):
        return f"{host}: not an address. Write it as https://kfp.example.com."
    if isinstance(error, ValueError):
        return f"{host}: answers with something that is not Kubeflow Pipelines. Check --host."
    return f"{host}: cannot be reached: {_last(error)}. Check --host and the network."


def _words(error: ApiException) -> str:
    """Return what an error's answer says, short; KFP's JSON has it several times."""
    body = error.body if isinstance(error.body, str) else ""
    with contextlib.suppress(ValueError):
        answer = json.loads(body)
        if isinstance(answer, dict):
            # An upload's error has other fields than every other (apiserver/server/pipeline_upload_server.go).
            words = (answer.get(field) for field in ("message", "error", "error_message"))
            body = str(next(filter(None, words), body))
    if body.lstrip().startswith("<"):
        body = str(error.reason)
    text = " ".join((body or str(error.reason)).split())
    return (text if len(text) <= 300 else f"{text[:300]}...").rstrip(".") + "."


def _last(error: Exception) -> str:
    """Return the reason at the end of an error's text, without the objects that urllib3 shows in front of it."""
    return str(error).rpartition(">: ")[2].strip("() '\".") or type(error).__name__
