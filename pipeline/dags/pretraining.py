"""The pre-training DAG: compiled to pretraining.yaml, run on a Kubeflow cluster, and run unchanged under kfp.local.

1. locate            find the source and take its fingerprint (never cached)
2. ingest_corpus     read, clean and split it into documents and their sentences              (cached)
3. ingest_probe      read the labelled source of the probe, if there is one: it is wrong before hours of training
4. vocabulary        of an encoder from nothing: learn its word pieces; of any other: nothing (cached)
5. pretrain          train the encoder on masked words and sentence pairs                     (cached)
6. evaluate_encoder  compare it on held-out documents with the encoder before, apply the gates
7. push_encoder      only when blessed: register it as the champion
   refuse_encoder    only when not: register it as the challenger
   finish            the exit handler: close the MLflow run with its true state, whatever happened

See pipeline/dags/training.py on the cache.
"""

from types import SimpleNamespace

from kfp import dsl
from kfp.dsl.graph_component import GraphComponent

from berth.cluster_settings import Cluster
from berth.tracking import tags
from components.evaluate_encoder.component import evaluate_encoder
from components.finish.component import finish
from components.ingest.component import ingest_corpus, ingest_probe, locate
from components.pretrain.component import pretrain
from components.push.component import push_encoder, refuse_encoder
from components.vocabulary.component import vocabulary
from pipeline.config.pretraining_config import PretrainingConfig
from pipeline.dags.parameters import with_parameters
from pipeline.dags.pods import CHECKPOINTS, mount_claim, never_cached, settle


def _run_steps(p: SimpleNamespace, cluster: Cluster) -> None:
    finished = finish(name=p.name, notify=p.notify, kfp_ui=p.cluster_kfp_ui, mlflow_ui=p.cluster_mlflow_ui)
    with dsl.ExitHandler(settle(never_cached(finished), p, cluster), name="steps"):
        located = never_cached(
            locate(
                source=p.source,
                columns=p.columns,
                encoding=p.encoding,
                text_column=p.text_column,
                text_pair_column="",
                label_column="",
                split={},
                slice_columns=[],
                name=p.name,
                pipeline_run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                kfp_ui=p.cluster_kfp_ui,
                git_commit=p.git_commit,
                config_file=p.config_file,
                encoder=p.encoder,
                preprocessor=p.preprocessor,
                documents=p.documents,
                exclude=p.exclude,
                model_name=p.model_name,
                model_kind=tags.ENCODER,
            )
        )
        ingested = ingest_corpus(
            source=p.source,
            source_fingerprint=located.outputs["Output"],
            columns=p.columns,
            encoding=p.encoding,
            text_column=p.text_column,
            documents=p.documents,
            exclude=p.exclude,
            held_out=p.held_out,
            cleaning=p.cleaning,
            memory=p.memory_limit,
        )
        corpus = ingested.outputs["corpus"]
        probed = never_cached(ingest_probe(probe=p.probe, cleaning=p.cleaning, memory=p.memory_limit))
        learned = vocabulary(corpus=corpus, new_encoder=p.new_encoder)
        pretrained = pretrain(
            corpus=corpus,
            vocabulary=learned.outputs["vocabulary"],
            encoder=p.encoder,
            encoder_fingerprint=located.outputs["encoder_fingerprint"],
            new_encoder=p.new_encoder,
            preprocessor=p.preprocessor,
            pretraining=p.pretraining,
            checkpoints=CHECKPOINTS if cluster.checkpoint_claim else p.checkpoints,
            checkpoint_minutes=p.checkpoint_minutes,
            require_gpu=p.require_gpu,
        )
        pretrained.after(probed)
        evaluated = never_cached(
            evaluate_encoder(
                corpus=corpus,
                pretrained=pretrained.outputs["pretrained"],
                before=pretrained.outputs["before"],
                labelled=probed.outputs["labelled"],
                encoder=p.encoder,
                preprocessor=p.preprocessor,
                gates=p.gates,
                probe=p.probe,
            )
        )
        judged = {
            "encoder": pretrained.outputs["pretrained"],
            "corpus": corpus,
            "report": evaluated.outputs["report"],
            "name": p.name,
            "model_name": p.model_name,
            "push_to": p.push_to,
        }
        with dsl.If(evaluated.outputs["Output"] == True, name="blessed"):  # noqa: E712  a KFP expression, not a bool
            pushed = never_cached(push_encoder(**judged, keep=p.keep))
        with dsl.If(evaluated.outputs["Output"] == False, name="not-blessed"):  # noqa: E712
            refused = never_cached(refuse_encoder(**judged))
        for task in (located, ingested, probed, learned, pretrained, evaluated, pushed, refused):
            settle(task, p, cluster)
        if cluster.checkpoint_claim:
            mount_claim(pretrained, p)


def build(cluster: Cluster) -> GraphComponent:
    """Return the pipeline, with what of `cluster` has to be compiled in, such as the mount of `checkpoint_claim`."""

    def berth_pretraining(p: SimpleNamespace) -> None:
        """Pre-train a BERT encoder on unlabelled text, judge it, and push it if it passes its gates."""
        _run_steps(p, cluster)

    return dsl.pipeline(name="berth-pretraining")(with_parameters(berth_pretraining, PretrainingConfig))


berth_pretraining = build(Cluster.model_validate({}))
