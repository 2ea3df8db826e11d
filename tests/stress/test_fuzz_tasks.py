"""fuzz: a share of the fuzzers of tagged words, questions, pairs and unigram models; and what they see."""

import random

import pytest

from minbert.files import conll, examples, stream
from minbert.files import squad as squad_files
from minbert.tokenizers import charsmap
from minbert.tokenizers.unigram import Unigram
from tests.stress.fuzz import checkpoints, pairs, squad, unigram
from tests.stress.fuzz import conll as tags

SHARE = 300  # files


@pytest.fixture(autouse=True)
def no_watch():
    """A test takes its time; the watch is for `make fuzz`."""
    yield
    checkpoints.faulthandler.cancel_dump_traceback_later()


@pytest.mark.fault("tables: a well-formed file that means something else")
@pytest.mark.fault("tables: a row that is lost without a word")
@pytest.mark.parametrize("fuzzer", [tags, squad], ids=["conll", "squad"])
def test_a_share_of_the_files(fuzzer, tmp_path):
    """Not everything is refused, nor read; what is read is compared with a plain reading of the same bytes."""
    outcomes = fuzzer.fuzz(SHARE, random.Random("share"), tmp_path)
    assert not [outcome for outcome in outcomes if outcome.startswith("fault")], outcomes
    assert sum(outcomes.values()) == SHARE
    assert len(outcomes) == 3 and min(outcomes.values()) > SHARE / 20, outcomes


@pytest.mark.fault("tables: a well-formed file that means something else")
@pytest.mark.fault("tables: a row that is lost without a word")
@pytest.mark.fault("tables: texts of two rows as a pair")
@pytest.mark.parametrize("name", pairs.FUZZERS)
def test_a_share_of_the_pairs(name, tmp_path):
    outcomes = pairs.FUZZERS[name](SHARE // 3, random.Random("share"), tmp_path)
    assert not [outcome for outcome in outcomes if outcome.startswith("fault")], outcomes
    assert min(outcomes[name] for name in ("read", "read, a row reported", "refused")) > SHARE / 60, outcomes


@pytest.mark.fault("weights: a SentencePiece model that is cut, grown or of another kind")
@pytest.mark.fault("texts: the files of a tokenizer cut off or damaged")
@pytest.mark.parametrize("name", unigram.FUZZERS)
def test_a_share_of_the_unigram_models(name, tmp_path):
    outcomes = unigram.FUZZERS[name](SHARE // 3, random.Random("share"), tmp_path)
    assert not [outcome for outcome in outcomes if outcome.startswith("fault")], outcomes
    assert min(outcomes[name] for name in ("read", "refused")) > SHARE / 30, outcomes


def faults(fuzzer, folder, count=SHARE):
    fuzz = getattr(fuzzer, "fuzz", None) or next(iter(fuzzer.FUZZERS.values()))
    return [outcome for outcome in fuzz(count, random.Random(0), folder) if outcome.startswith("fault")]


def test_a_bad_row_in_a_good_sentence_is_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(conll, "row_problem", lambda line, cells, width: None)
    assert any("reported {}, not" in fault or "read [" in fault for fault in faults(tags, tmp_path))


def test_a_word_that_is_cut_elsewhere_is_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(conll, "cells_of", lambda line: line.split() or [""])
    assert any("read [" in fault for fault in faults(tags, tmp_path))


def test_a_tag_that_is_taken_for_a_comment_is_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(conll, "is_tag", lambda text: text == "O")
    assert faults(tags, tmp_path)


def test_an_answer_that_is_moved_is_a_fault(tmp_path, monkeypatch):
    def moved(passage, answer):
        at = passage.find(str(answer.get("text")))
        return (None, (at, at + len(str(answer["text"])))) if at >= 0 else ("nowhere", None)

    monkeypatch.setattr(squad_files, "place_of", moved)
    assert any("is used" in fault for fault in faults(squad, tmp_path))


def test_a_question_that_is_lost_is_a_fault(tmp_path, monkeypatch):
    every = squad_files.questions_of
    monkeypatch.setattr(squad_files, "questions_of", lambda *given: list(every(*given))[:-1])
    assert any("a question is lost" in fault for fault in faults(squad, tmp_path))


def test_a_pair_of_another_row_is_a_fault(tmp_path, monkeypatch):
    add, before = examples.Examples.add, []

    def of_the_row_before(self, line, text, label=None, pair=None):
        before.append(pair)
        add(self, line, text, label, before[-2] if before[1:] else pair)

    monkeypatch.setattr(examples.Examples, "add", of_the_row_before)
    assert any("a row that is none" in fault for fault in faults(pairs, tmp_path, 20))
    assert [fault for fault in pairs.fuzz_bytes(20, random.Random(0), tmp_path) if fault.startswith("fault")]


def test_a_text_without_its_pair_is_a_fault(tmp_path, monkeypatch):
    row = stream.as_row
    monkeypatch.setattr(stream, "as_row", lambda *given: row(*given)._replace(beside=()))
    assert any("texts without their pairs" in fault for fault in faults(pairs, tmp_path, 20))


def test_a_shorter_rule_is_a_fault(tmp_path, monkeypatch):
    rule = charsmap.Charsmap.rule

    def shortest(self, data, at):
        found = (rule(self, data[:end], at) for end in range(at + 1, len(data) + 1))
        return next((one for one in found if one[0]), (0, None))

    monkeypatch.setattr(charsmap.Charsmap, "rule", shortest)
    assert any("spoilt: nothing" in fault for fault in faults(unigram, tmp_path, 40))


def test_a_text_that_is_cut_another_way_is_a_fault(tmp_path, monkeypatch):
    """In chunks, the second time: the way that a cache could spoil."""
    monkeypatch.setattr(Unigram, "settled_ids", lambda self, words: [self.in_text.get(word, 0) for word in words])
    assert any("is cut in two ways" in fault for fault in faults(unigram, tmp_path, 40))
