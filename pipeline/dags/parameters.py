"""A configuration's fields as parameters of a KFP pipeline."""

import inspect
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, get_origin

from kfp.dsl import pipeline_task
from pydantic.fields import FieldInfo

from berth.cluster_settings import BY_STEP, OF_A_RUN, Cluster, StepResources
from berth.settings import Section
from pipeline.config.explain import without_none
from pipeline.config.pipeline_config import PipelineConfig
from pipeline.replaced import replaced


def with_parameters(body: Callable[[SimpleNamespace], None], config: type[PipelineConfig]) -> Callable[..., None]:
    """Give the pipeline function one parameter per field of `config`, with its type, default and description."""
    parameters = [
        inspect.Parameter("git_commit", inspect.Parameter.POSITIONAL_OR_KEYWORD, default="", annotation=str),
        inspect.Parameter("config_file", inspect.Parameter.POSITIONAL_OR_KEYWORD, default="", annotation=str),
    ]
    described = {
        "git_commit": "The commit that the run's code is from; a tag of the MLflow run.",
        "config_file": "The run configuration's file; a tag of the MLflow run.",
    }
    for name, field in _fields(config):
        default = inspect.Parameter.empty if field.is_required() else field.default
        annotation = _parameter_type(field.annotation)
        if default is None and annotation is dict:  # a section that is not given
            default = {}
        if isinstance(default, Section):
            default = default.model_dump(exclude_none=True)
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)
        )
        described[name] = field.description or ""
    parameters.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)

    def pipeline(*arguments: object) -> None:
        own = SimpleNamespace(**dict(zip([parameter.name for parameter in parameters], arguments, strict=True)))
        with replaced(pipeline_task, "inspect", SimpleNamespace(stack=_stack)):
            body(own)

    pipeline.__name__ = body.__name__
    pipeline.__doc__ = f"{body.__doc__}\n\nArgs:\n" + "\n".join(
        f"    {name}: {text}" for name, text in described.items()
    )
    pipeline.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return pipeline


def _stack() -> list[tuple[None, None, None, str]]:
    """Return the names of the two innermost functions, all that kfp takes of inspect.stack(), for an error's text.

    For each setting of a step inspect.stack() reads the source files of the whole stack: half of what building takes.
    """
    frame = sys._getframe(1)
    assert frame.f_back is not None
    return [(None, None, None, own.f_code.co_name) for own in (frame, frame.f_back)]


def _fields(config: type[PipelineConfig]) -> Iterator[tuple[str, FieldInfo]]:
    """Return the fields of `config` by parameter; of `cluster` each is one, for a pod's settings take no parts.

    What a step's pod gets is a parameter for each step.
    """
    for name, field in config.model_fields.items():
        if field.annotation is Cluster:
            own = {part: one for part, one in Cluster.model_fields.items() if part not in (*OF_A_RUN, *BY_STEP)}
            yield from ((f"{name}_{part}", one) for part, one in (own | _by_step(config.kind)).items())
        else:
            yield field.alias or name, field


def _by_step(pipeline: str) -> dict[str, FieldInfo]:
    found = {}
    for name, default in Cluster.model_validate({}).by_step(pipeline).items():
        what = next(field for field in StepResources.model_fields if name.endswith(f"_{field}"))
        step = name.removesuffix(f"_{what}")
        described = f"Of the pod of {step}. {StepResources.model_fields[what].description}"
        found[name] = FieldInfo(annotation=type(default), default=default, description=described)
    return found


def _parameter_type(annotation: Any) -> type:
    """Return the KFP parameter type of a field: a section is a dict, a choice is a text."""
    annotation = without_none(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return dict
    if get_origin(annotation) in (list, dict):
        return get_origin(annotation)
    return annotation if annotation in (str, int, float, bool, list, dict) else str
