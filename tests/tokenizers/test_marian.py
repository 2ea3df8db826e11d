"""minbert/tokenizers/marian.py: two models, one vocabulary, language tokens, the files, and transformers on them."""

import json
import re
import shutil
import warnings

import pytest

from minbert import BertTokenizer, UserError, tokenizers
from minbert.added import AddedToken
from minbert.tokenizers import MarianTokenizer, Unigram, unigram_files
from minbert.tokenizers.unigram_files import NORMAL
from tests.tokenizers.small import rows
from tests.tokenizers.tiny_unigram import PIECES, model

FIXTURES = "reference/families2"
SOURCE = model()
TARGET = model([*PIECES[:4], *((piece, -4.0, NORMAL) for piece in ("▁el", "▁la", "lm", "e", "l", "m", "z", "ñ"))])
TOKENS = ["</s>", "<unk>", ">>es<<", ">>pt_BR<<", "▁film", "▁", "f", "ing", "▁el", "e", "l", "m", "z", "▁the", "<pad>"]
VOCAB = {token: id for id, token in enumerate(TOKENS)}


def unigram(data):
    return Unigram(unigram_files.parse(data))


def made(vocab=VOCAB, **options):
    return MarianTokenizer(unigram(SOURCE), unigram(TARGET), vocab, **options)


@pytest.fixture
def folder(tmp_path):
    """A folder as of an opus-mt model."""
    (tmp_path / "source.spm").write_bytes(SOURCE)
    (tmp_path / "target.spm").write_bytes(TARGET)
    (tmp_path / "vocab.json").write_text(json.dumps(VOCAB))
    config = {"model_type": "marian", "vocab_size": len(VOCAB), "eos_token_id": 0, "pad_token_id": len(VOCAB) - 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    settings = {"source_lang": "eng", "target_lang": "spa", "model_max_length": 512, "sp_model_kwargs": {}}
    settings |= {"separate_vocabs": False, "tokenizer_class": "MarianTokenizer", "special_tokens_map_file": None}
    settings |= {"unk_token": "<unk>", "eos_token": "</s>", "pad_token": "<pad>", "name_or_path": "marian-models/opus"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    return tmp_path


def test_pieces_are_numbered_by_the_vocabulary():
    tokenizer = made()
    assert tokenizer.encode("the film") == [13, 4, 0]
    assert tokenizer.tokenize("the film") == ["▁the", "▁film"]
    assert tokenizer.encode("a") == [1, 0]  # a piece of the model, but not of the vocabulary
    assert tokenizer.encode("") == [0]
    assert tokenizer.encode("the film", add_special_tokens=False) == [13, 4]
    batch = tokenizer(["the", "the film the"], padding=True)
    assert batch["input_ids"] == [[13, 0, 14, 14], [13, 4, 13, 0]]
    assert batch["attention_mask"] == [[1, 1, 0, 0], [1, 1, 1, 1]]
    with pytest.warns(UserWarning, match="2 of 2 texts were longer than 2 tokens and were cut"):
        assert tokenizer(["the film the"] * 2, truncation=True, max_length=2)["input_ids"] == [[13, 0]] * 2


def test_what_the_model_does_not_know_is_looked_up_as_it_stands():
    """As Marian does: "z" is a piece of the target model alone."""
    assert made().encode("z") == [VOCAB["▁"], VOCAB["z"], 0]
    assert made().encode("zz") == [VOCAB["▁"], 1, 0]


def test_the_source_encodes_and_the_target_decodes():
    tokenizer = made()
    assert tokenizer.tokenize("el mel") == ["▁el", "▁", "m", "e", "l"]
    assert tokenizer.of_target.tokenize("el lmz") == ["▁el", "▁", "<unk>", "z"]  # "lm" is a piece of both models
    assert tokenizer.of_target.tokenize("la") == ["<unk>"] and tokenizer.tokenize("la") == ["▁", "l", "<unk>"]
    assert tokenizer.decode([8, 5, 10, 11, 0], skip_special_tokens=True) == "el lm"
    assert tokenizer.decode([8, 0]) == "el</s>"
    assert tokenizer.of_target.of_target.encode("the film") == tokenizer.encode("the film")
    again = made(added=[AddedToken("<keep>")], names={"pad_token": "▁"})
    assert again.of_target.pad_token == "▁" and again.of_target.encode("<keep>") == [len(VOCAB), 0]


def test_a_language_token_stands_before_the_pieces():
    tokenizer = made()
    assert tokenizer.encode(">>es<< the film") == [2, 13, 4, 0]
    assert tokenizer.encode(">>pt_BR<<the") == [3, 13, 0]
    found = tokenizer.tokenize_with_offsets(">>es<< the film")
    assert found == [(">>es<<", (0, 6)), ("▁the", (7, 10)), ("▁film", (11, 15))]
    assert str(tokenizer.explain(">>es<< the")).splitlines()[1].split() == ["'>>es<<'", "0-6", ">>es<<", "2"]
    assert VOCAB[">>es<<"] not in tokenizer.encode("the >>es<< film")  # in front alone
    with pytest.warns(UserWarning, match="the model has no token >>fr<<, which is read as <unk>: it knows >>es<<"):
        assert tokenizer.encode(">>fr<< the") == [1, 13, 0]
    with pytest.warns(UserWarning, match="it has one target language"):
        made({token: id for id, token in enumerate(t for t in TOKENS if ">>" not in t)}).encode(">>es<< the")


def test_special_tokens_in_a_text_are_plain_text():
    tokenizer = made()
    assert 0 not in tokenizer.encode("the</s>film", add_special_tokens=False)
    assert tokenizer.encode("the</s>film", allow_special=True) == [13, 0, 4, 0]


def test_ids_are_those_of_the_pieces(shared, tmp_path):
    tokenizer = fixture(shared, tmp_path)
    for row in rows(shared(f"{FIXTURES}/strings.jsonl.gz"))[::5]:
        for text in (row["text"], ">>fr<< " + row["text"]):
            assert tokenizer.encode(text)[:-1] == [tokenizer.vocab[piece] for piece, _ in tokenizer.pieces(text)]


def fixture(shared, folder):
    """With the fixtures' model of 2,600 pieces, of which the vocabulary lacks every eleventh."""
    shutil.copyfile(shared(f"{FIXTURES}/plain.model"), folder / "source.spm")
    (folder / "target.spm").write_bytes(TARGET)
    pieces = Unigram.read(folder / "source.spm").model.pieces[3:]
    pieces = [piece for number, piece in enumerate(pieces) if number % 11]
    tokens = dict.fromkeys(["</s>", "<unk>", *reversed(pieces), ">>fr<<", "▁la", "ñ", "<pad>"])
    (folder / "vocab.json").write_text(json.dumps({token: id for id, token in enumerate(tokens)}))
    return tokenizers.from_pretrained(folder)


def test_transformers_cuts_the_same(shared, tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    pytest.importorskip("sentencepiece", reason="transformers' tokenizer of Marian needs it")
    fixture(shared, tmp_path).save_pretrained(tmp_path / "saved")
    ours = tokenizers.from_pretrained(tmp_path / "saved")
    with warnings.catch_warnings(action="ignore"):  # sacremoses would change quotes and dashes
        theirs = transformers.MarianTokenizer.from_pretrained(tmp_path / "saved")
    for row in rows(shared(f"{FIXTURES}/strings.jsonl.gz"))[::3]:
        for text in (row["text"], ">>fr<< " + row["text"]):
            if not re.search("</s>|<unk>|<pad>", text):  # which are control tokens there
                ids = ours.encode(text)
                assert theirs(text)["input_ids"] == ids
                assert ours.decode(ids, True) == theirs.decode(ids, skip_special_tokens=True).strip(" ")
    assert theirs(text_target="el lm ñ")["input_ids"] == ours.of_target.encode("el lm ñ")


# The files


def test_the_files_both_ways(folder, tmp_path):
    tokenizer = tokenizers.from_pretrained(folder)
    assert type(tokenizer) is MarianTokenizer and tokenizer.encode(">>es<< the film") == [2, 13, 4, 0]
    out = tmp_path / "out"
    out.mkdir()
    (out / "merges.txt").write_text("of another")
    tokenizer.save_pretrained(out)
    names = sorted(path.name for path in out.iterdir())
    assert names == ["source.spm", "target.spm", "tokenizer_config.json", "vocab.json"]
    assert (out / "source.spm").read_bytes() == SOURCE and (out / "target.spm").read_bytes() == TARGET
    settings = json.loads((out / "tokenizer_config.json").read_text())
    assert (settings["source_lang"], settings["target_lang"]) == ("eng", "spa")
    again = tokenizers.from_pretrained(out)
    assert again.vocab == tokenizer.vocab and again.encode("the film z") == tokenizer.encode("the film z")


def test_an_added_token_is_kept(folder, tmp_path):
    made(added=[AddedToken("<keep>", special=True)]).save_pretrained(tmp_path / "out")
    again = tokenizers.from_pretrained(tmp_path / "out")
    assert again.encode("the <keep> film") == [13, len(VOCAB), 4, 0]


def change(folder, file, **values):
    path = folder / file
    stored = (json.loads(path.read_text()) if path.exists() else {}) | values
    path.write_text(json.dumps({key: value for key, value in stored.items() if value is not ...}))


@pytest.mark.fault("texts: a tokenizer's file is missing, cut or of another model")
@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda at: (at / "source.spm").unlink(), "Marian's tokenizer needs source.spm, which is not there"),
        (lambda at: (at / "target.spm").unlink(), "Marian's tokenizer needs target.spm, which is not there"),
        (lambda at: (at / "vocab.json").unlink(), "Marian's tokenizer needs vocab.json, which is not there"),
        (
            lambda at: [(at / f"{name}.spm").unlink() for name in ("source", "target")],
            "Marian's tokenizer needs source.spm, target.spm",
        ),
        (lambda at: change(at, "vocab.json", **{"</s>": ..., "▁x": 0}), "the vocabulary lacks </s>"),
        (lambda at: change(at, "vocab.json", **{"<unk>": ..., "▁x": 1}), "the vocabulary lacks <unk>"),
        (lambda at: change(at, "vocab.json", **{"▁x": 40}), "ids must count from 0 without a gap"),
        (lambda at: change(at, "vocab.json", **{"▁x": 0}), "the same id, 0"),
        (lambda at: (at / "vocab.json").write_text("{"), "vocab.json: not valid JSON"),
        (lambda at: (at / "source.spm").write_bytes(SOURCE[:-9]), "source.spm: "),
        (lambda at: (at / "target.spm").write_bytes(TARGET[:99]), "target.spm: "),
        (lambda at: (at / "target.spm").write_bytes(b"<!DOCTYPE html>"), "target.spm: "),
        (lambda at: change(at, "config.json", vocab_size=9), "has 15 tokens, but the model has vectors for 9"),
        (lambda at: change(at, "config.json", eos_token_id=1), "</s> is 0, but in .*config.json eos_token_id is 1"),
        (lambda at: change(at, "config.json", pad_token_id=0), "<pad> is 14, but in .*config.json pad_token_id is 0"),
        (lambda at: change(at, "tokenizer_config.json", separate_vocabs=True), "separate_vocabs is True"),
        (lambda at: change(at, "tokenizer_config.json", sp_model_kwargs={"alpha": 1}), "sp_model_kwargs is"),
        (lambda at: change(at, "tokenizer_config.json", tokenizer_class="T5Tokenizer"), "tokenizer_class is 'T5Tokeni"),
    ],
)
def test_files_that_are_no_tokenizer_of_marian(folder, damage, said):
    damage(folder)
    with pytest.raises(UserError, match=said) as error:
        tokenizers.from_pretrained(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


def test_a_model_with_pieces_for_bytes():
    data = model([*PIECES, *((f"<0x{byte:02X}>", 0.0, 6) for byte in range(256))], trainer=b"\x98\x02\x01")
    with pytest.raises(UserError, match="has pieces for bytes, or spaces in pieces"):
        MarianTokenizer(unigram(SOURCE), unigram(data), VOCAB)


def test_other_tokenizers_do_not_read_these_files(folder):
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    assert tokenizers.class_of(folder) is MarianTokenizer
    (folder / "vocab.json").unlink()
    with pytest.raises(UserError, match=r"source\.spm: is of a SentencePiece tokenizer, but BertTokenizer"):
        BertTokenizer.from_pretrained(folder)
