"""Dropout of a foreign encoder, drawn from the run's seed, the step and the place."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from berth.encoders.seeded_dropout import Seeds, with_seeded_dropout

ONES = tf.ones([4, 64])


@pytest.fixture(scope="module")
def noisy(tmp_path_factory) -> str:
    """A SavedModel that drops and shakes its input at four places, two of them in one function that is called twice.

    As of TF-Hub's encoders, its random ops have no seeds.
    """
    tf.random.set_seed(None)

    @tf.function(input_signature=[tf.TensorSpec([None, 64])])
    def shared(x):
        return tf.nn.dropout(x, 0.5)

    class Noisy(tf.Module):
        @tf.function
        def __call__(self, x, training=False):
            if not training:
                return {"own": x, "first": x, "second": x, "noise": x}
            noise = x + tf.random.normal(tf.shape(x))
            return {"own": tf.nn.dropout(x, 0.5), "first": shared(x), "second": shared(x), "noise": noise}

    module = Noisy()
    for training in (False, True):
        module.__call__.get_concrete_function(tf.TensorSpec([None, 64]), training=training)
    folder = str(tmp_path_factory.mktemp("noisy"))
    tf.saved_model.save(module, folder)
    return folder


def load(folder: str, scratch, seed: int):
    model = hub.load(with_seeded_dropout(folder, scratch))
    return Seeds(model, seed), model


def drawn(seeds: Seeds, model, step: int, part: int = 0) -> dict[str, np.ndarray]:
    seeds.set(step, part)
    outputs = {name: value.numpy() for name, value in model(ONES, training=True).items()}
    return outputs | {"head": seeds.dropout(ONES, 0.5).numpy()}


def test_dropout_draws_are_distinct_and_reproducible(noisy, tmp_path):
    """Each place, step, part and seed has its own draws, and the same ones when repeated."""
    seeds, model = load(noisy, tmp_path, 0)
    several = [drawn(seeds, model, 0), drawn(seeds, model, 1), drawn(seeds, model, 0, 1)]
    several.append(drawn(*load(noisy, tmp_path, 1), 0))
    assert len({array.tobytes() for one in several for array in one.values()}) == 5 * len(several)
    for name in ("own", "first", "second", "head"):
        assert set(np.unique(several[0][name])) == {0.0, 2.0}
        assert 0.3 < (several[0][name] == 0).mean() < 0.7
    again, another = load(noisy, tmp_path, 0)
    for step in (1, 0):  # whatever was drawn in between, and by whichever model
        here, there = drawn(seeds, model, step), drawn(again, another, step)
        assert all((here[name] == there[name]).all() for name in here)


def test_two_loaded_models_do_not_share_what_they_draw_from(noisy, tmp_path):
    first, second = load(noisy, tmp_path, 0), load(noisy, tmp_path, 0)
    before = drawn(*first, 3)
    second[0].set(4, 0)
    now = {name: value.numpy() for name, value in first[1](ONES, training=True).items()}
    assert all((before[name] == now[name]).all() for name in now)


def test_inference_drops_nothing_and_export_is_unchanged(noisy, tmp_path):
    """Without the training flag, dropout is inactive and the model exports as before."""
    _, model = load(noisy, tmp_path, 0)
    assert all((value.numpy() == 1).all() for value in model(ONES, training=False).values())
    tf.saved_model.save(model, str(tmp_path / "exported"))
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    assert (exported(ONES, training=False)["own"].numpy() == 1).all()


def test_encoder_without_dropout_is_left_unchanged(tmp_path):
    """A folder that is broken, missing or not a SavedModel also stays as it is."""
    plain = tf.Module()
    plain.__call__ = tf.function(lambda x: x, input_signature=[tf.TensorSpec([None, 64])])
    tf.saved_model.save(plain, str(tmp_path / "plain"))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/saved_model.pb").write_bytes(b"no protocol buffer")
    for name in ("plain", "broken", "gone"):
        assert with_seeded_dropout(str(tmp_path / name), tmp_path) == str(tmp_path / name)
    seeds = Seeds(hub.load(str(tmp_path / "plain")), 0)
    assert set(np.unique(seeds.dropout(ONES, 0.5))) == {0.0, 2.0}
