"""The training DAG: compiled to pipeline.yaml, run on a Kubeflow cluster, and run unchanged under kfp.local.

1. locate    find the source and take its fingerprint (never cached: this is how the cache sees new data)
2. ingest    read, clean and split it                                       (cached)
3. compare   is there anything new against the champion? With on_unchanged: skip, the run ends here if not
4. validate  statistics, schema, drift and texts; an error ends the run     (cached)
5. train     fine-tune the encoder                                          (cached)
6. evaluate  judge the model on the test split, compare it with the champion, apply the gates
7. push      only when blessed: register the model as the champion and hand it to serving
   refuse    only when not: register it as the challenger
   finish    the exit handler: close the MLflow run with its true state, whatever happened, and send notifications

On a cluster, KFP's cache finds a step's earlier outputs by its image, its command, its parameters, and the ids of its
input artifacts, which are new whenever the step before has run again. Images are named by digest, so that other code is
another key; the source counts by its fingerprint. A cached step never takes the run's id as a parameter.
"""

from types import SimpleNamespace

from kfp import dsl
from kfp.dsl.graph_component import GraphComponent
from kfp.dsl.pipeline_channel import PipelineChannel

from berth.cluster_settings import Cluster
from components.compare.component import compare
from components.evaluate.component import evaluate
from components.finish.component import finish
from components.ingest.component import ingest, locate
from components.push.component import push, refuse
from components.train.component import train
from components.validate.component import validate
from pipeline.config.run_config import RunConfig
from pipeline.dags.parameters import with_parameters
from pipeline.dags.pods import CHECKPOINTS, mount_claim, never_cached, settle

_NO_SETTINGS = {
    *("git_commit", "config_file", "name", "model_name", "source", "corrections", "push_to"),
    *("on_unchanged", "memory_limit", "rows_per_shard", "beam_args", "keep"),
    *("checkpoints", "checkpoint_minutes", "require_gpu"),
    "notify",
}
"""Parameters that do not change the model: who runs it and where. So do those of `cluster`, `cluster_...`. Data is
compared by its fingerprint."""


def _is_no_setting(name: str) -> bool:
    return name in _NO_SETTINGS or name.startswith("cluster_")


def _train_and_push(
    p: SimpleNamespace,
    dataset: PipelineChannel,
    compared: dsl.PipelineTask,
    encoder_fingerprint: PipelineChannel,
    cluster: Cluster,
) -> None:
    validated = validate(
        dataset=dataset,
        schema=p.schema,
        champion=compared.outputs["champion"],
        checks=p.checks,
        encoder=p.encoder,
        preprocessor=p.preprocessor,
        encoder_fingerprint=encoder_fingerprint,
        sequence_length=p.sequence_length,
        long_texts=p.long_texts,
        beam_args=p.beam_args,
    )
    trained = train(
        dataset=dataset,
        encoder=p.encoder,
        preprocessor=p.preprocessor,
        encoder_fingerprint=encoder_fingerprint,
        sequence_length=p.sequence_length,
        recipe=p.recipe,
        epochs=p.epochs,
        batch_size=p.batch_size,
        learning_rate=p.learning_rate,
        warmup_fraction=p.warmup_fraction,
        weight_decay=p.weight_decay,
        seed=p.seed,
        threshold_metric=p.threshold_metric,
        positive_label=p.positive_label,
        pooling=p.pooling,
        long_texts=p.long_texts,
        training=p.training,
        checkpoints=CHECKPOINTS if cluster.checkpoint_claim else p.checkpoints,
        checkpoint_minutes=p.checkpoint_minutes,
        require_gpu=p.require_gpu,
    )
    for task in (validated, trained):
        settle(task, p, cluster)
    if cluster.checkpoint_claim:
        mount_claim(trained, p)
    # Not an input: a new champion means a new validation, and must not mean that training is not cached.
    trained.after(validated)
    evaluated = never_cached(
        evaluate(
            model=trained.outputs["model"],
            dataset=dataset,
            predictions=trained.outputs["predictions"],
            anomalies=validated.outputs["anomalies"],
            name=p.name,
            model_name=p.model_name,
            gates=p.gates,
            evaluation=p.evaluation,
            positive_label=p.positive_label,
            behaviour=p.behaviour,
        )
    )
    settle(evaluated, p, cluster)
    judged = {
        "model": trained.outputs["model"],
        "dataset": dataset,
        "report": evaluated.outputs["report"],
        "name": p.name,
        "model_name": p.model_name,
        "push_to": p.push_to,
        "settings_digest": compared.outputs["settings_digest"],
    }
    with dsl.If(evaluated.outputs["Output"] == True, name="blessed"):  # noqa: E712  a KFP expression, not a bool
        pushed = never_cached(push(**judged, keep=p.keep))
    with dsl.If(evaluated.outputs["Output"] == False, name="not-blessed"):  # noqa: E712
        refused = never_cached(refuse(**judged))
    for task in (pushed, refused):
        settle(task, p, cluster)


def _run_steps(p: SimpleNamespace, cluster: Cluster) -> None:
    finished = finish(name=p.name, notify=p.notify, kfp_ui=p.cluster_kfp_ui, mlflow_ui=p.cluster_mlflow_ui)
    with dsl.ExitHandler(settle(never_cached(finished), p, cluster), name="steps"):
        located = never_cached(
            locate(
                source=p.source,
                columns=p.columns,
                encoding=p.encoding,
                text_column=p.text_column,
                text_pair_column=p.text_pair_column,
                label_column=p.label_column,
                split=p.split,
                slice_columns=p.slice_columns,
                corrections=p.corrections,
                name=p.name,
                pipeline_run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                kfp_ui=p.cluster_kfp_ui,
                git_commit=p.git_commit,
                config_file=p.config_file,
                encoder=p.encoder,
                preprocessor=p.preprocessor,
                model_name=p.model_name,
            )
        )
        ingested = ingest(
            source=p.source,
            source_fingerprint=located.outputs["Output"],
            columns=p.columns,
            encoding=p.encoding,
            text_column=p.text_column,
            text_pair_column=p.text_pair_column,
            label_column=p.label_column,
            task=p.task,
            label_separator=p.label_separator,
            label_map=p.label_map,
            slice_columns=p.slice_columns,
            corrections=p.corrections,
            max_rows=p.max_rows,
            stratified=p.stratified,
            split=p.split,
            rare_labels=p.rare_labels,
            cleaning=p.cleaning,
            memory=p.memory_limit,
            rows_per_shard=p.rows_per_shard,
        )
        compared = never_cached(
            compare(
                dataset=ingested.outputs["dataset"],
                name=p.name,
                model_name=p.model_name,
                on_unchanged=p.on_unchanged,
                encoder_fingerprint=located.outputs["encoder_fingerprint"],
                **{name: value for name, value in vars(p).items() if not _is_no_setting(name)},
            )
        )
        for task in (located, ingested, compared):
            settle(task, p, cluster)
        # kfp.local can tell the value of a step's return in a condition, and of no other output.
        with dsl.If(compared.outputs["Output"] == True, name="something-new"):  # noqa: E712  a KFP expression, not a bool
            _train_and_push(p, ingested.outputs["dataset"], compared, located.outputs["encoder_fingerprint"], cluster)


def build(cluster: Cluster) -> GraphComponent:
    """Return the pipeline, with what of `cluster` has to be compiled in, such as the mount of `checkpoint_claim`."""

    def berth(p: SimpleNamespace) -> None:
        """Fine-tune a BERT text classifier, judge it, and push it if it passes its gates."""
        _run_steps(p, cluster)

    return dsl.pipeline(name="berth")(with_parameters(berth, RunConfig))


berth = build(Cluster.model_validate({}))
