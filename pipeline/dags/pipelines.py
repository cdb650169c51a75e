"""The pipelines by their names, as the key `pipeline` of a configuration has them."""

from kfp.dsl.graph_component import GraphComponent

from berth.cluster_settings import Cluster

FILES = {"training": "pipeline.yaml", "pretraining": "pretraining.yaml"}
"""Where the compiled pipelines are kept."""


def pipeline_of(kind: str, cluster: Cluster | None = None) -> GraphComponent:
    """Return the pipeline; with `cluster`, with what of it has to be compiled in."""
    if kind == "pretraining":
        from pipeline.dags import pretraining

        return pretraining.build(cluster) if cluster and cluster.compiles else pretraining.berth_pretraining
    from pipeline.dags import training

    return training.build(cluster) if cluster and cluster.compiles else training.berth
