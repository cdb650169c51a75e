"""The fixtures of push, for the commands that undo it, and those of a cluster."""

from tests.components.conftest import store, store_file  # noqa: F401
from tests.components.push.conftest import aliases, bucket, model, models, name, push, refuse, s3_server  # noqa: F401
from tests.pipeline.cluster_calls import call, compiled, folder, server  # noqa: F401
