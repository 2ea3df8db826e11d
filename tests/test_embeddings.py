"""Part 2: ids -> vectors."""

import math

import pytest
import torch

from minbert import UserError
from minbert.embeddings import Embeddings, sinusoids
from tests.diagnosis import check, wrong_embeddings

pytestmark = pytest.mark.part2


@pytest.fixture
def embeddings(golden):
    module = Embeddings(golden.config)
    module.load_state_dict(golden.weights("embeddings."))
    return module.eval()


def test_equal_the_reference(golden, embeddings):
    ids, segments = golden.batch.input_ids, golden.batch.token_type_ids
    mistakes = wrong_embeddings(golden.weights("embeddings."), ids, segments, golden.config.layer_norm_eps)
    check("embeddings", embeddings(ids, segments), golden.stage("embeddings"), mistakes=mistakes)


def test_without_segments_all_tokens_are_in_the_first(golden, embeddings):
    ids = golden.batch.input_ids
    assert torch.equal(embeddings(ids), embeddings(ids, torch.zeros_like(ids)))
    assert not torch.equal(embeddings(ids), embeddings(ids, torch.ones_like(ids)))


def test_the_same_token_differs_by_its_position(embeddings):
    x = embeddings(torch.tensor([[7, 7]]))
    assert (x[0, 0] - x[0, 1]).abs().max() > 0.1


def test_dropout_is_on_in_training_only(golden):
    module = Embeddings(golden.config.change(hidden_dropout_prob=0.5))
    ids = golden.batch.input_ids
    assert (module.train()(ids) == 0).float().mean() > 0.3
    assert torch.equal(module.eval()(ids), module(ids))


def test_a_text_longer_than_the_model_is_refused_in_words(golden, embeddings):
    with pytest.raises(UserError, match=r"14 tokens, but the model has 13 positions.*max_length=13"):
        embeddings(torch.ones(1, 14, dtype=torch.long))


def test_sinusoids_by_hand():
    table = sinusoids(3, 4)
    assert table[0].tolist() == [0.0, 1.0, 0.0, 1.0]
    expected = [math.sin(2), math.cos(2), math.sin(2 / 100), math.cos(2 / 100)]
    assert table[2].tolist() == pytest.approx(expected, abs=1e-6)


def test_sinusoids_of_an_odd_size():
    assert torch.equal(sinusoids(6, 5), sinusoids(6, 5)[:, :5])
    assert sinusoids(6, 5)[3, 4] == pytest.approx(math.sin(3 / 10000 ** (4 / 5)), abs=1e-6)
