"""Beam search: its rules on tables written by hand, and every result beside transformers' on random models."""

import itertools
import json
import math
import random
import re

import pytest
import torch

from minbert import UserError
from minbert.search import beam_search
from minbert.search_settings import SearchSettings
from tests.families.tiny_marian import END, PAD, new, texts


class Table:
    """A model whose next token depends on the last one alone: probabilities {token: {next token: p}}.

    0 is the end, 1 the start.
    """

    def __init__(self, table, tokens=6, **settings):
        self.log_p = torch.full((tokens, tokens), -math.inf)
        for token, row in table.items():
            for following, p in row.items():
                self.log_p[token, following] = math.log(p)
        self.config = type("", (), {"vocab_size": tokens, "max_position_embeddings": 20})
        self.search = SearchSettings(**{"start": (1,), "end": 0, "forced_end": 0, "max_length": 8} | settings)
        self.training = False
        self.steps = []  # the rows of each

    def encode(self, input_ids, mask):
        return torch.zeros(len(input_ids), 1)

    def new_cache(self, memory):
        return None

    def next_scores(self, rows, memory, mask, cache):
        self.steps.append(rows.tolist())
        return self.log_p[rows[:, -1]].clone()

    def eval(self):
        pass

    def train(self, mode):
        pass


def search(table, texts=1, **options):
    settings = {key: options.pop(key) for key in ("forced_end", "forbidden", "renormalise", "tokens") if key in options}
    model = Table(table, **settings)
    found = beam_search(model, torch.zeros(texts, 2), **options)
    found = [[(round(score, 5), ids) for score, ids in results] for results in found]
    return found[0], model.steps


def log(*p, length=None, penalty=1.0):
    return round(sum(map(math.log, p)) / (length or len(p)) ** penalty, 5)


# The rules, one by one


def test_a_likely_text_may_begin_with_an_unlikely_token():
    table = {1: {2: 0.6, 3: 0.4}, 2: {0: 0.5, 4: 0.5}, 3: {0: 1.0}, 4: {0: 1.0}}
    greedy, _ = search(table, beams=1)
    assert greedy == [(log(0.6, 0.5), [2, 0])]
    best, _ = search(table, beams=2)
    assert best[0] == (log(0.4, 1.0), [3, 0])


def test_it_finds_what_a_search_of_everything_finds():
    """With as many beams as there are rows: by enumeration."""
    torch.manual_seed(0)
    p = torch.rand(4, 4).softmax(1)
    p[:, 1] = 0  # never the start
    p /= p.sum(1, keepdim=True)
    table = {token: {other: float(p[token, other]) for other in (0, 2, 3)} for token in range(4)}
    every = []
    for length in range(4):
        for middle in itertools.product((2, 3), repeat=length):
            row = [1, *middle, 0]
            every.append((log(*[table[a][b] for a, b in itertools.pairwise(row)]), row[1:]))
    every += [
        (round(sum(math.log(table[a][b]) for a, b in itertools.pairwise([1, *middle])) / 5, 5), [*middle, 0])
        for middle in itertools.product((2, 3), repeat=4)  # its end is forced, with probability 1
    ]
    found, _ = search(table, beams=32, max_length=6, tokens=4)
    assert len(found) == len(every) == 31
    assert found == sorted(found, key=lambda row: -row[0])
    wanted = {tuple(ids): score for score, ids in every}
    for score, ids in found:
        assert score == pytest.approx(wanted.pop(tuple(ids)), abs=2e-5)


def test_the_beams_begin_with_different_tokens():
    _, steps = search({1: {2: 0.5, 3: 0.3, 4: 0.2}, **{token: {0: 0.1, token: 0.9} for token in (2, 3, 4)}}, beams=2)
    assert steps[0] == [[1]] and steps[1] == [[1, 2], [1, 3]]


def test_as_many_beams_go_on_where_one_ends():
    table = {1: {2: 0.6, 3: 0.4}, 2: {0: 0.6, 4: 0.4}, 3: {5: 0.7, 0: 0.3}, 4: {0: 1.0}, 5: {0: 1.0}}
    _, steps = search(table, beams=2)
    assert steps[2] == [[1, 3, 5], [1, 2, 4]]


def test_an_end_behind_the_first_beams_counts_for_nothing():
    table = {1: {2: 0.5, 3: 0.3, 0: 0.2}, 2: {0: 1.0}, 3: {0: 1.0}}
    found, _ = search(table, beams=2, length_penalty=0.0)
    assert found == [(log(0.5, 1, penalty=0), [2, 0]), (log(0.3, 1, penalty=0), [3, 0])]
    found, _ = search(table, beams=3, length_penalty=0.0)
    assert [ids for _, ids in found] == [[2, 0], [3, 0], [0]]


LONGER = {1: {0: 0.4, 2: 0.35, 3: 0.25}, 2: {0: 0.5, 4: 0.5}, 3: {0: 0.5, 4: 0.5}, 4: {0: 0.99, 5: 0.01}, 5: {0: 1.0}}


def test_a_later_result_takes_the_place_of_a_worse_one():
    found, _ = search(LONGER, beams=2, length_penalty=2.0)
    assert found == [(log(0.35, 0.5, 0.99, penalty=2), [2, 4, 0]), (log(0.25, 0.5, 0.99, penalty=2), [3, 4, 0])]


def test_early_stopping_waits_for_no_better_results():
    found, steps = search(LONGER, beams=2, length_penalty=2.0, early_stopping=True)
    assert found == [(log(0.35, 0.5, penalty=2), [2, 0]), (log(0.4), [0])] and len(steps) == 2


def test_it_stops_when_what_goes_on_is_no_better():
    """At the length it has: what it could become with more tokens is not guessed."""
    table = {1: {0: 0.6, 2: 0.4}, 2: {0: 0.5, 2: 0.5}}
    found, steps = search(table, beams=1, length_penalty=2.0)
    assert found == [(log(0.6), [0])] and len(steps) == 1


def test_of_equals_the_first_is_taken():
    table = {1: {2: 0.25, 3: 0.25, 4: 0.25, 5: 0.25}, **{token: {0: 1.0} for token in (2, 3, 4, 5)}}
    for _ in range(3):
        assert [ids for _, ids in search(table, beams=3)[0]] == [[2, 0], [3, 0], [4, 0]]


def test_the_length_counts_the_end_but_not_the_start():
    table = {1: {2: 0.5, 3: 0.5}, 2: {0: 0.5, 3: 0.5}, 3: {3: 1.0}}
    found, _ = search(table, beams=1, length_penalty=2.0)
    assert found == [(round(math.log(0.25) / 4, 5), [2, 0])]


def test_the_last_place_is_an_end():
    endless = {1: {2: 1.0}, 2: {2: 0.9, 3: 0.1}, 3: {3: 0.5, 4: 0.5}, 4: {4: 1.0}}
    found, steps = search(endless, beams=2, max_length=5)
    assert found == [(log(1, 0.9, 0.9, 1), [2, 2, 2, 0]), (log(1, 0.9, 0.1, 1), [2, 2, 3, 0])]
    assert max(len(row) for rows in steps for row in rows) == 4
    found, _ = search(endless, beams=2, max_length=5, forced_end=None)
    assert found == [(log(1, 0.9, 0.9, 0.9), [2, 2, 2, 2]), (log(1, 0.9, 0.9, 0.1), [2, 2, 2, 3])]


def test_forbidden_tokens_have_no_share_unless_the_model_says_so():
    table = {1: {2: 0.5, 3: 0.5}, 2: {0: 1.0}, 3: {0: 1.0}}
    assert search(table, forbidden=(3,))[0] == [(0.0, [2, 0])]
    assert search(table, forbidden=(3,), renormalise=False)[0] == [(log(0.5, 1), [2, 0])]


def test_fewer_results_where_there_are_no_more():
    assert search({1: {2: 1.0}, 2: {0: 1.0}}, beams=4)[0] == [(0.0, [2, 0])]
    assert beam_search(Table({}), torch.zeros(0, 2)) == []


def test_nan_is_refused():
    model = Table({})
    model.log_p[:] = math.nan
    with pytest.raises(UserError, match="the model computes NaN or infinity in place of logits"):
        beam_search(model, torch.zeros(1, 2))


# On a model


def rows_of(found):
    return [[ids for _, ids in results] for results in found]


def scores_of(found):
    return torch.tensor([score for results in found for score, _ in results])


@pytest.mark.parametrize("options", [{}, {"beams": 6, "early_stopping": True}, {"beams": 2, "length_penalty": 0.6}])
def test_a_text_has_the_same_results_alone_and_without_a_cache(options):
    model, (ids, mask) = new(ending=1.0), texts((9, 1, 8, 4))
    together = beam_search(model, ids, mask, max_length=15, **options)
    assert len({len(results[0][1]) for results in together}) > 1  # they are done at different steps
    plain = beam_search(model, ids, mask, max_length=15, cached=False, **options)
    assert rows_of(plain) == rows_of(together)
    assert (scores_of(plain) - scores_of(together)).abs().max() < 1e-5
    for row, length in enumerate(mask.sum(1).tolist()):
        alone = beam_search(model, ids[row : row + 1, :length], max_length=15, **options)
        assert rows_of(alone) == rows_of(together)[row : row + 1]
        assert (scores_of(alone) - scores_of(together[row : row + 1])).abs().max() < 1e-5


def test_the_model_is_left_in_training_as_it_was():
    model, (ids, mask) = new(hidden_dropout_prob=0.9).train(), texts()
    assert beam_search(model, ids, mask, max_length=6) == beam_search(model, ids, mask, max_length=6)
    assert model.training and not beam_search(model.eval(), ids, mask, max_length=6)[0][0][0] > 0
    assert not model.training


CASES = list(itertools.product((1, 2, 3, 4, 5, 6), (True, False), (0.6, 1.0, 2.0)))


@pytest.mark.parametrize("seed", range(6))
def test_every_result_is_transformers(tmp_path, seed):
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    chance = random.Random(seed)
    ours = new(seed, chance.choice([0.0, 1.5, 3.0]), scale_embedding=chance.random() < 0.5)
    ours.save_pretrained(tmp_path)
    theirs = transformers.MarianMTModel.from_pretrained(tmp_path)
    ids, mask = texts([chance.randint(1, 9) for _ in range(3)], seed)
    for beams, early, penalty in chance.sample(CASES, 9):
        length = chance.choice([3, 4, 7, 12])
        wanted = theirs.generate(
            ids, attention_mask=mask, num_beams=beams, num_return_sequences=beams, max_length=length, do_sample=False,
            return_dict_in_generate=True, output_scores=True,
            **({"early_stopping": early, "length_penalty": penalty} if beams > 1 else {}),
        )  # fmt: skip
        found = beam_search(ours, ids, mask, beams, length, penalty, early)
        width = wanted.sequences.size(1) - 1
        rows = [[PAD, *row, *[PAD] * (width - len(row))] for results in rows_of(found) for row in results]
        assert rows == wanted.sequences.tolist(), (beams, early, penalty, length)
        if beams > 1:
            torch.testing.assert_close(scores_of(found), wanted.sequences_scores, rtol=0, atol=1e-5)


# Settings


@pytest.mark.parametrize(
    "options, said",
    [
        ({"beams": 0}, "beams is 0, but must be a whole number from 1 to 64"),
        ({"beams": 2.0}, "beams is 2.0, but"),
        ({"beams": 65}, "beams is 65, but"),
        ({"max_length": 1}, "max_length is 1, but must be a whole number from 2 to 33"),
        ({"max_length": 34}, "max_length is 34, but must be a whole number from 2 to 33"),
        ({"length_penalty": math.nan}, "length_penalty is nan, but must be a number from -100 to 100"),
        ({"length_penalty": "1"}, "length_penalty is '1'"),
        ({"early_stopping": "never"}, "early_stopping is 'never', but can be: True, False"),
    ],
)
def test_arguments_that_cannot_be(options, said):
    with pytest.raises(UserError, match=re.escape(said)):
        beam_search(new(), *texts(), **options)


@pytest.fixture
def folder(tmp_path):
    new().save_pretrained(tmp_path)
    return tmp_path


def read(folder, **values):
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return type(new()).from_pretrained(folder).search


def test_what_a_folder_says_is_what_is_done(folder):
    values = {"num_beams": 2, "max_length": 9, "length_penalty": 0.6, "early_stopping": True}
    found = read(folder, **values, bad_words_ids=[[PAD], [5]], renormalize_logits=False)
    assert (found.beams, found.max_length, found.length_penalty, found.early_stopping) == (2, 9, 0.6, True)
    assert found.forbidden == (PAD, 5) and not found.renormalise and found.forced_end == END
    assert read(folder, forced_eos_token_id=None).forced_end is None
    model, (ids, mask) = type(new()).from_pretrained(folder), texts()
    assert beam_search(model, ids, mask) == beam_search(model, ids, mask, 2, 9, 0.6, True)
    assert not any(5 in row for results in rows_of(beam_search(model, ids, mask)) for row in results)
    assert read(folder, max_length=512).max_length == 33  # of which the model reads 32


@pytest.mark.fault("texts: a setting of generation that is not computed")
@pytest.mark.parametrize(
    "values, said",
    [
        ({"do_sample": True}, "do_sample is True, which minbert's beam search does not do"),
        ({"repetition_penalty": 1.2}, "repetition_penalty is 1.2, which"),
        ({"no_repeat_ngram_size": 3}, "no_repeat_ngram_size is 3, which"),
        ({"min_length": 5}, "min_length is 5, which"),
        ({"forced_bos_token_id": 7}, "forced_bos_token_id is 7, which"),
        ({"suppress_tokens": [3]}, "suppress_tokens is [3], which"),
        ({"bad_words_ids": [[1, 2]]}, "bad_words_ids is [[1, 2]], but minbert forbids single tokens only"),
        ({"bad_words_ids": [[43]]}, "bad_words_ids is 43, but must be one id of the 43 tokens"),
        ({"bad_words_ids": 3}, "bad_words_ids is 3, but"),
        ({"eos_token_id": [0, 5]}, "eos_token_id is [0, 5], but must be one id"),
        ({"num_beams": 0}, "num_beams is 0, but"),
        ({"max_length": "9"}, "max_length is '9', but"),
        ({"early_stopping": "never"}, "early_stopping is 'never', but can be: True, False"),
        ({"a_new_way": True}, "minbert does not know a_new_way"),
    ],
)
def test_settings_that_are_not_computed(folder, values, said):
    with pytest.raises(UserError, match=f"generation_config.json: {re.escape(said)}") as error:
        read(folder, **values)
    assert "\n" not in str(error.value)
