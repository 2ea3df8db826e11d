"""A translator's training: the order of its pairs, its figures, that it learns, and that it goes on bit for bit."""

import pytest
import torch

from minbert import translation
from minbert.losses import translation_loss
from minbert.pretraining import translator
from minbert.pretraining.translator import Pairs, Translation, begin, evaluate, logits
from minbert.training import Settings, set_seed
from tests import translators


@pytest.fixture(scope="module")
def made():
    return translators.trained()


@pytest.fixture(scope="module")
def pairs(made):
    """Of the numbers that were learnt from, and of those held out"""
    parts = translators.learnt_from(), translators.columns(translators.HELD_OUT)
    return [translator.encode(made[1], *columns, 32)[0] for columns in parts]


def test_it_learns_and_its_figures_say_so(made):
    history = made[2]
    assert [figures["epoch"] for figures in history] == [*range(1, translators.RUN["epochs"] + 1)]
    assert history[0]["dev_exact"] == 0 and history[-1]["dev_exact"] >= 0.9
    assert history[0]["dev_loss"] > 10 * history[-1]["dev_loss"]


def test_exact_is_what_greedy_search_writes(made, pairs):
    """Of a model that has learnt and of one that has begun to."""
    set_seed(0)
    early = translators.new_model(made[1])
    begin(early, pairs[0], None, Settings(**translators.RUN | {"epochs": 10})).train()
    sources, targets = translators.columns(translators.NUMBERS)
    both = translator.encode(made[1], sources, targets, 32)[0]
    shares = []
    for model in (made[0], early):
        found = translation.translate(model, made[1], sources, beams=1)
        shares.append(sum(text[0].beams[0][1] == target for text, target in zip(found, both.targets)) / len(sources))
        assert evaluate(model, both)[1] == shares[-1]
    assert 0 < shares[1] < shares[0]


def test_the_dev_loss_is_a_mean_over_tokens(made, pairs):
    losses, tokens = [], []
    for row in range(len(pairs[1])):
        losses.append(translation_loss(*logits(made[0], pairs[1], [row]), 0.0).item())
        tokens.append(len(pairs[1].targets[row]))
    expected = sum(loss * count for loss, count in zip(losses, tokens)) / sum(tokens)
    assert evaluate(made[0], pairs[1])[0] == pytest.approx(expected, rel=1e-4)


def test_what_comes_after_a_place_does_not_matter_for_it(made):
    """Teacher forcing: the logits of a token do not see the token."""
    ids = [10, 11, 12, 13]
    one, two = (logits(made[0], Pairs([ids], [target]), [0])[0] for target in ([5, 6, 7, 8], [5, 6, 9, 9]))
    assert torch.equal(one[:, :3], two[:, :3]) and not torch.equal(one[:, 3], two[:, 3])


@pytest.mark.parametrize("size, batch", [(1000, 7), (5, 7), (14, 7)])
def test_an_epoch_has_each_pair_once_and_batches_of_about_one_length(size, batch):
    lengths = torch.randint(1, 30, (size,), generator=torch.Generator().manual_seed(0)).tolist()
    pairs = Pairs([[1] * length for length in lengths], [[1] * length for length in lengths])
    task = object.__new__(Translation)
    task.train, task.settings = pairs, Settings(2, batch, 0.1)
    orders = [task.new_order(epoch).tolist() for epoch in (1, 2)]
    assert sorted(orders[0]) == sorted(orders[1]) == [*range(size)]
    if size == 1000:
        assert orders[0] != orders[1]
        batches = [[lengths[row] for row in orders[0][at : at + batch]] for at in range(0, size - batch, batch)]
        assert sum(max(rows) - min(rows) for rows in batches) / len(batches) < 3
        firsts = [min(rows) for rows in batches]
        assert firsts != sorted(firsts)


def test_a_run_that_was_stopped_anywhere_goes_on_to_the_same_bits(made, pairs):
    settings = Settings(**translators.RUN | {"epochs": 2})
    set_seed(3)
    whole = begin(translators.new_model(made[1]), *pairs, settings)
    whole.train()
    set_seed(3)
    first = begin(translators.new_model(made[1]), *pairs, settings)
    for _ in range(3):
        first.task.module.train()
        first.step()
    state = first.state()
    second = begin(translators.new_model(made[1]), *pairs, settings)
    second.restore(*state)
    second.train()
    for (name, one), two in zip(whole.task.module.state_dict().items(), second.task.module.state_dict().values()):
        assert torch.equal(one, two), name
