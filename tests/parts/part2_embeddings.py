"""Part 2: embeddings, ids -> vectors (minbert/embeddings.py).

python -m pytest tests/parts/part2_embeddings.py
"""

import pytest
import torch

from minbert.course import mistakes
from minbert.course.diagnosis import check
from minbert.embeddings import Embeddings

pytestmark = pytest.mark.part2


def build(golden):
    module = Embeddings(golden.config)
    module.load_state_dict(golden.weights("embeddings."))
    return module.eval()


def test_they_equal_the_reference(golden):
    ids, segments = golden.batch.input_ids, golden.batch.token_type_ids
    wrong = mistakes.embeddings(golden.weights("embeddings."), ids, segments, golden.config.layer_norm_eps)
    check("embeddings", build(golden)(ids, segments), golden.stage("embeddings"), mistakes=wrong)


def test_without_segments_all_tokens_are_in_the_first(golden):
    embeddings, ids = build(golden), golden.batch.input_ids
    check("embeddings without segments", embeddings(ids), embeddings(ids, torch.zeros_like(ids)))


def test_the_same_token_differs_by_its_position(golden):
    x = build(golden)(torch.tensor([[7, 7]]))
    assert (x[0, 0] - x[0, 1]).abs().max() > 0.1, "embeddings: a token has the same vector at every position"


def test_dropout_is_on_in_training_only(golden):
    module = Embeddings(golden.config.change(hidden_dropout_prob=0.5))
    ids = golden.batch.input_ids
    assert (module.train()(ids) == 0).float().mean() > 0.3, "embeddings: no dropout in training"
    assert torch.equal(module.eval()(ids), module(ids)), "embeddings: dropout in evaluation"
