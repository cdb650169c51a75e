"""KFP interface of the vocabulary step."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from berth import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def vocabulary(corpus: Input[Dataset], new_encoder: dict, vocabulary: Output[Artifact]) -> None:
    """Learn the word pieces of an encoder from nothing; do nothing where `new_encoder` is empty: one brings its own."""
    import mlflow

    from berth.pretraining.settings import NewEncoder
    from berth.tracking import tags
    from berth.tracking.step_run import step_run
    from components.vocabulary.step import make_vocabulary

    shape = NewEncoder.model_validate(new_encoder) if new_encoder else None
    parameters = {"vocabulary": shape.vocabulary, "cased": shape.cased} if shape else {}
    with step_run("vocabulary", parameters, [corpus.metadata]) as run:
        made = make_vocabulary(corpus.path, vocabulary.path, shape)
        if made.made:
            mlflow.log_metrics({"word_pieces": made.size, "characters": made.characters, "different_words": made.words})
            mlflow.log_artifact(f"{vocabulary.path}/preprocessor/assets/vocab.txt")
        vocabulary.metadata["summary"] = str(made)
        vocabulary.metadata[tags.RUN_ID] = run.info.run_id
