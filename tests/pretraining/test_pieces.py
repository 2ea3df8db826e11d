"""Learning the pieces of a unigram model: by hand, by trying all cuts, and beside SentencePiece where it is there."""

import itertools
import math
import random
from collections import Counter

import pytest

from minbert.errors import UserError
from minbert.pretraining import pieces
from minbert.pretraining.pieces import cut, learn_pieces, split
from minbert.tokenizers.unigram import Unigram
from minbert.tokenizers.unigram_files import CONTROL, UNKNOWN, parse, read_model

WORDS = Counter({"twenty": 9, "twenty-one": 7, "thirty": 8, "thirty-one": 6, "one": 9, "21": 4, "one.": 5})


def test_runs_of_letters_digits_and_other_signs_stay_apart():
    assert split({"twenty-one": 2, "3rd": 1, "...": 1}) == {
        **{"▁twenty": 2, "-": 2, "one": 2},
        **{"▁3": 1, "rd": 1, "▁...": 1},
    }


def test_the_likeliest_cut_is_found():
    """Beside all cuts, tried one by one."""
    rng = random.Random(0)
    for _ in range(200):
        run = "".join(rng.choices("abc", k=rng.randint(1, 8)))
        texts = {run[a:b] for a, b in itertools.combinations(range(len(run) + 1), 2)}
        scores = {text: -rng.random() for text in texts if len(text) == 1 or rng.random() < 0.5}
        ways = []
        for size in range(len(run)):
            for places in itertools.combinations(range(1, len(run)), size):
                parts = [run[a:b] for a, b in itertools.pairwise((0, *places, len(run)))]
                if all(part in scores for part in parts):
                    ways.append((sum(scores[part] for part in parts), parts))
        assert cut(run, scores)[0] == pytest.approx(max(ways)[0], abs=1e-12)
        alone = [score for score, parts in ways if len(parts) > 1]
        if alone:
            assert cut(run, scores, whole=False)[0] == pytest.approx(max(alone), abs=1e-12)


def test_pieces_that_are_much_used_are_learnt_and_their_probabilities_add_up_to_one():
    model = learn_pieces(WORDS, 25)
    assert model.pieces[:3] == ["<unk>", "<s>", "</s>"] and model.types[:3] == [UNKNOWN, CONTROL, CONTROL]
    assert {"▁twenty", "▁thirty", "one"} <= set(model.pieces) and len(model.pieces) <= 25
    assert Unigram(model).pieces("twenty-one") == ["▁twenty", "-", "one"]
    assert sum(map(math.exp, model.scores[3:])) == pytest.approx(1, abs=1e-6)
    assert model.scores[3:] == sorted(model.scores[3:], reverse=True)


def test_every_character_can_be_cut_and_no_longer_piece_is_idle():
    model = learn_pieces(WORDS, 1000)
    assert {char for word in WORDS for char in word} < set(model.pieces)
    used = Counter(piece for word in WORDS for piece in Unigram(model).pieces(word))
    assert [piece for piece in model.pieces[3:] if len(piece) > 1 and not used[piece]] == []


def test_more_room_means_fewer_pieces_of_text():
    words = Counter("".join(random.Random(seed).choices("abcde", k=6)) for seed in range(300))
    models = [Unigram(learn_pieces(words, size)) for size in (9, 20, 60)]
    sizes = [sum(len(model.ids(word)) for word in words) for model in models]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > 1.5 * sizes[-1]


def test_the_order_of_the_words_does_not_matter():
    assert learn_pieces(WORDS, 22).data == learn_pieces(Counter(dict(reversed(WORDS.items()))), 22).data


def test_no_room_for_the_characters_is_a_mistake():
    with pytest.raises(UserError, match="the texts have 14 different characters, but there is room for 7 pieces"):
        learn_pieces(WORDS, 10)


def test_progress_is_told():
    seen = []
    model = learn_pieces(WORDS, 25, seen.append)
    assert seen == sorted(seen, reverse=True) and seen[-1] == 22 >= len(model.pieces) - 3


def test_candidates_beyond_the_longest_are_left_out(monkeypatch):
    monkeypatch.setattr(pieces, "LONGEST", 3)
    assert max(map(len, learn_pieces(WORDS, 1000).pieces[3:])) == 3


def test_what_is_written_is_read_again_and_sentencepiece_opens_it(tmp_path):
    model = learn_pieces(WORDS, 25)
    (tmp_path / "x.model").write_bytes(model.data)
    again = read_model(tmp_path / "x.model")
    assert (again.pieces, again.scores, again.types, again.rules()) == (*list(vars(model).values())[:3], model.rules())
    assert parse(model.data) == model
    library = pytest.importorskip("sentencepiece", reason="needs sentencepiece, to open the file with it")
    theirs = library.SentencePieceProcessor(model_proto=model.data)
    for text in ("twenty-one", " thirty  one. ", "21 twenty?", ""):
        assert theirs.encode(text, out_type=str) == Unigram(model).pieces(text)


def test_a_piece_is_worth_what_its_words_would_lose_without_it():
    """Of two, the one that stands for nine characters in four words stays, not the one for three in five."""
    model = learn_pieces(Counter({"xy": 5, "abcdefgh": 4}), 3 + 11 + 1)
    assert [piece for piece in model.pieces[3:] if len(piece) > 1] == ["▁abcdefgh"]
