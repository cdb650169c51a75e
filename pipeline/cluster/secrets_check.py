"""Check that the Kubernetes secrets of a configuration exist, as far as this user can see."""

from collections.abc import Iterable

import kubernetes
import urllib3

from berth.errors import BerthError
from pipeline.cluster.api import Api
from pipeline.cluster.kubernetes_client import TIMEOUT, client, is_same_cluster
from pipeline.config.pipeline_config import PipelineConfig

_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""What Kubernetes is asked for: a secret's name, never what is in it."""


def check(api: Api, config: PipelineConfig) -> None:
    """Raise for a secret that `config` names itself and that the cluster does not have.

    The secrets of the defaults may be missing. It does not raise where it cannot know: no kubeconfig, no permission,
    no answer, or a host that need not be the kubeconfig's cluster (a port-forward is assumed to lead to it).
    """
    if not is_same_cluster(api):
        return
    named = {field for field in config.cluster.model_fields_set if field.endswith("_secret")}
    if config.notify.on and config.notify.webhook:
        named.add("notify_secret")
    wanted = {getattr(config.cluster, field): field for field in sorted(named)}
    namespace = api.namespace or api.installed_in
    for name in missing(wanted, namespace):
        kind = "docker-registry" if wanted[name] == "image_pull_secret" else "generic"
        raise BerthError(
            f"cluster.{wanted[name]}: the namespace {namespace!r} has no secret {name!r}. "
            f"Make it first: kubectl -n {namespace} create secret {kind} {name} ..."
        )


def missing(names: Iterable[str], namespace: str) -> list[str]:
    """Return those of `names` that `namespace` lacks according to Kubernetes."""
    found = client()
    return [name for name in names if found is not None and _is_missing(found, name, namespace)]


def _is_missing(asked: kubernetes.client.ApiClient, name: str, namespace: str) -> bool:
    try:
        asked.call_api(
            "/api/v1/namespaces/{namespace}/secrets/{name}",
            "GET",
            path_params={"namespace": namespace, "name": name},
            header_params={"Accept": _METADATA_ONLY},
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=TIMEOUT,
        )
    except kubernetes.client.ApiException as error:
        return error.status == 404
    except (urllib3.exceptions.HTTPError, OSError):
        return False
    return False
