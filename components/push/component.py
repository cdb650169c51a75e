"""KFP interfaces of push, for a blessed model, and of refuse, for one that is not; the same for encoders."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output

from berth import images


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def push(
    model: Input[Model],
    dataset: Input[Dataset],
    report: Input[HTML],
    name: str,
    model_name: str,
    push_to: str,
    keep: int,
    settings_digest: str,
    pushed: Output[Artifact],
) -> None:
    """Register the blessed model as the champion and publish it; an empty `model_name` means `name`."""
    from functools import partial

    from components.push.record import register_as_step
    from components.push.step import push_model

    judged_against = int(report.metadata["champion"]) if "champion" in report.metadata else None
    register = partial(push_model, model.path, model_name or name, push_to, keep=keep, judged_against=judged_against)
    register_as_step("push", register, model, dataset, report, model_name or name, settings_digest, pushed)


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def refuse(
    model: Input[Model],
    dataset: Input[Dataset],
    report: Input[HTML],
    name: str,
    model_name: str,
    settings_digest: str,
    refused: Output[Artifact],
    push_to: str = "",
) -> None:
    """Register the model that was not blessed as the challenger; `push_to` is where a promotion would publish it."""
    from functools import partial

    from components.push.record import register_as_step
    from components.push.step import refuse_model

    register = partial(refuse_model, model.path, model_name or name, push_to)
    register_as_step("refuse", register, model, dataset, report, model_name or name, settings_digest, refused)


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def push_encoder(
    encoder: Input[Model],
    corpus: Input[Dataset],
    report: Input[HTML],
    name: str,
    model_name: str,
    push_to: str,
    keep: int,
    pushed: Output[Artifact],
) -> None:
    """Register the blessed encoder as the champion and publish it; an empty `model_name` means `name`."""
    from functools import partial

    from components.push.record import register_encoder_as_step
    from components.push.step import push_model

    register = partial(push_model, encoder.path, model_name or name, push_to, keep=keep)
    register_encoder_as_step("push_encoder", register, encoder, corpus, report, model_name or name, pushed)


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def refuse_encoder(
    encoder: Input[Model],
    corpus: Input[Dataset],
    report: Input[HTML],
    name: str,
    model_name: str,
    refused: Output[Artifact],
    push_to: str = "",
) -> None:
    """Register the encoder that was not blessed as the challenger; `push_to` is where a promotion would publish it."""
    from functools import partial

    from components.push.record import register_encoder_as_step
    from components.push.step import refuse_model

    register = partial(refuse_model, encoder.path, model_name or name, push_to)
    register_encoder_as_step("refuse_encoder", register, encoder, corpus, report, model_name or name, refused)
