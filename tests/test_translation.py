"""Splitting into sentences, translating and looking: what a small translator does that learnt in seconds."""

import warnings

import pytest
import torch

from minbert import translation
from minbert.errors import UserError
from minbert.pretraining import translator
from minbert.search import beam_search
from minbert.tokenizers.marian import MarianTokenizer
from tests import translators


@pytest.fixture(scope="module")
def made():
    return translators.trained()[:2]


@pytest.mark.parametrize(
    "text, sentences",
    [
        ("One. Two! Three? Four… Five", ["One.", "Two!", "Three?", "Four…", "Five"]),
        ("He said: “Go.” Then he left.", ["He said: “Go.”", "Then he left."]),
        ("Dr. Smith saw Mr. J. Doe on 3. May. Well.", ["Dr. Smith saw Mr. J. Doe on 3. May.", "Well."]),
        ("It costs 3.50 euros, e.g. on Monday.", ["It costs 3.50 euros, e.g. on Monday."]),
        ("¿Qué? ¡Nada! Sí.", ["¿Qué?", "¡Nada!", "Sí."]),
        ("no end", ["no end"]),
        ("...", ["..."]),
        ("", []),
        ("  \t", []),
    ],
)
def test_sentences(text, sentences):
    assert [sentence for sentence, _ in translation.split(text)] == sentences


@pytest.mark.parametrize("text", ["One.  Two!\u2003Three", "A. B.\nC (d.) E", " x. Y ", 'He. "I." (No.) So'])
def test_nothing_of_a_text_is_lost(text):
    assert "".join(map("".join, translation.split(text))) == text.strip()


def test_it_has_learnt_to_turn_numbers_that_it_never_saw(made):
    sources, targets = translators.columns(translators.HELD_OUT)
    found = [translation.joined(text, made[1]) for text in translation.translate(*made, sources)]
    assert sum(map(str.__eq__, found, targets)) >= len(targets) - 1


def test_pieces_look_at_what_they_translate_and_these_change_places(made):
    """fünfund|sechzig: the second piece looks at sixty, which stands first, and the first piece does not."""
    right = 0
    for source in translators.columns(translators.HELD_OUT)[0]:
        sentence = translation.translate(*made, [source])[0][0]
        looks = translation.looks(made[0], sentence)
        assert looks.shape == (len(sentence.beams[0][1]), len(sentence.ids))
        torch.testing.assert_close(looks.sum(dim=1), torch.ones(len(looks)))
        right += looks[0, 0] < 0.1 < 0.2 < looks[1, 0]
    assert right >= len(translators.HELD_OUT) - 2


def test_sentences_are_joined_by_what_stood_between_them(made):
    one, two = (translators.columns([n]) for n in (43, 67))
    (text,) = translation.translate(*made, [f"  {one[0][0]}.   {two[0][0].title()}  "])
    assert [sentence.gap for sentence in text] == ["   ", ""]
    best = [translation.decode(made[1], sentence.beams[0][1]) for sentence in text]
    assert translation.joined(text, made[1]) == f"{best[0]}   {best[1]}"


def test_a_text_is_translated_the_same_alone_and_beside_others(made):
    sources = [*translators.columns(translators.NUMBERS[::3])[0], "twenty-one thirty-two forty-three", ""]
    together = translation.translate(*made, sources, beams=3)
    for source, found in zip(sources, together):
        (alone,) = translation.translate(*made, [source], beams=3)
        for a, b in zip(alone, found, strict=True):
            assert [ids for _, ids in a.beams] == [ids for _, ids in b.beams]
            assert [score for score, _ in a.beams] == pytest.approx([score for score, _ in b.beams], abs=1e-4)
    assert together[-1] == [] and translation.joined([], made[1]) == ""


def test_the_search_is_beam_search(made):
    ids = made[1](["forty-five"])["input_ids"]
    expected = beam_search(made[0], torch.tensor(ids), None, 2, 9, 0.5)
    found = translation.translate(*made, ["forty-five"], beams=2, max_length=9, length_penalty=0.5)
    assert found[0][0].beams == expected[0] and len(expected[0]) == 2


def test_a_long_sentence_is_cut_where_the_model_ends(made):
    limit = made[0].config.max_position_embeddings
    short, long = (" ".join(["one-" * words]) for words in (10, 100))
    (fits,), (cut,) = (translation.read(made[1], text, limit) for text in (short, long))
    assert (fits.cut, cut.cut) == (False, True)
    assert len(cut.ids) == limit and cut.ids[-1] == fits.ids[-1] == made[1].eos_token_id
    assert cut.ids[:20] == fits.ids[:20]


def test_ten_megabytes_without_a_space_or_of_spaces_take_no_time(made, monkeypatch):
    """No more is cut into pieces than the model can read."""
    read, text_to_ids = [], MarianTokenizer.text_to_ids
    watch = lambda self, text, *more: read.append(len(text)) or text_to_ids(self, text, *more)  # noqa: E731
    monkeypatch.setattr(MarianTokenizer, "text_to_ids", watch)
    for text in ("e" * 10_000_000, "twenty" + " " * 10_000_000 + "-one", "\0" * 10_000_000):
        (sentence,) = translation.read(made[1], text, 32)
        assert len(sentence.ids) <= 32 and max(read) <= 32 * translation.CHARACTERS


@pytest.mark.parametrize("text", ["שלום עולם", "a\u202eb\0c\x1b[31m", "😀" * 50, "\ud800", "\ufeff", "\u200d"])
def test_any_text_has_a_translation(made, text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # half a character
        (found,) = translation.translate(*made, [text], max_length=6)
    assert isinstance(translation.joined(found, made[1]), str)


@pytest.fixture(scope="module")
def several(made):
    """A tokenizer of a model with two target languages, and its model."""
    tokenizer = made[1]
    tokens = [*sorted(tokenizer.in_words, key=tokenizer.in_words.get)]
    vocab = {token: id for id, token in enumerate([*tokens[:-1], ">>deu<<", ">>fra<<", tokens[-1]])}
    new = MarianTokenizer(tokenizer.source, tokenizer.target, vocab, max_length=32)
    return translators.new_model(new), new


def test_a_language_is_put_before_every_sentence(several):
    code = several[1].vocab[">>fra<<"]
    for text, language in (("One. Two.", ">>fra<<"), (">>fra<< One. Two.", "")):
        found = translation.read(several[1], text, 32, language)
        assert [sentence.text for sentence in found] == ["One.", "Two."]
        assert all(sentence.ids[0] == code and code not in sentence.ids[1:] for sentence in found)


def test_a_missing_or_unknown_language_is_named(several, made):
    with pytest.raises(UserError, match="put one of >>deu<<, >>fra<< in front of the text"):
        translation.translate(*several, ["One."])
    with pytest.raises(UserError, match=r"no token >>spa<<: it knows >>deu<<, >>fra<<"):
        translation.translate(*several, ["One."], ">>spa<<")
    with pytest.raises(UserError, match=r"no token >>deu<<: it has one target language"):
        translation.translate(*made, ["One."], ">>deu<<")
    assert translation.translate(*several, ["  "]) == [[]]


def test_pairs_that_are_too_long_are_left_out_and_counted(made):
    sources, targets = translators.columns([21, 22, 23])
    pairs, left_out = translator.encode(made[1], [*sources, "one " * 40], [*targets, "eins"], 32)
    assert (len(pairs), left_out) == (3, 1)
    with pytest.raises(UserError, match="no pair is left: in each, a text has more than 2 tokens"):
        translator.encode(made[1], sources, targets, 2)
