"""The bytes of a .model that is written: read again, and equal in what they say to those of SentencePiece."""

import random

import pytest

from minbert.tokenizers import unigram_files, unigram_write
from minbert.tokenizers.unigram import Unigram

FIXTURES = ("bare.model", "bytes.model", "plain.model")


def test_numbers_of_every_length_come_back():
    rng = random.Random(0)
    for value in [0, 1, 127, 128, 300, 2**31, 2**63 - 1, *(rng.getrandbits(rng.randint(1, 60)) for _ in range(300))]:
        data = unigram_write.varint(value)
        assert unigram_files.varint(data, 0, len(data)) == (value, len(data))


@pytest.mark.parametrize("name", FIXTURES)
def test_what_sentencepiece_wrote_comes_back_from_our_bytes(name, shared):
    model = unigram_files.read_model(shared(f"reference/families2/{name}"))
    again = unigram_write.with_data(model)
    for field in ("pieces", "scores", "types", "path"):
        assert getattr(again, field) == getattr(model, field)
    assert again.rules() == model.rules() and again.data != model.data
    text = "Grüße,  der 3. Mai ﬁn ½ 東京"
    assert Unigram(again).pieces_with_offsets(text) == Unigram(model).pieces_with_offsets(text)
