"""minbert/tokenizers/xlm_roberta.py: fairseq's numbers, the frame, the files, and transformers on what is saved."""

import json
import shutil

import pytest

from minbert import UserError, tokenizers
from minbert.added import AddedToken
from minbert.tokenizers import Unigram, XLMRobertaTokenizer, unigram_files
from minbert.tokenizers.unigram_files import BYTE, CONTROL, NORMAL
from tests.tokenizers.small import rows
from tests.tokenizers.tiny_unigram import PIECES, model, written

FIXTURES = "reference/families2"


def made(data=None, **options):
    return XLMRobertaTokenizer(Unigram(unigram_files.parse(data or model())), **options)


SMALL = made()


@pytest.fixture
def folder(tmp_path):
    """A folder with a sentencepiece.bpe.model alone."""
    (tmp_path / "sp").mkdir()
    (tmp_path / "sp" / "sentencepiece.bpe.model").write_bytes(model())
    return tmp_path / "sp"


# Beside the fixtures


def test_the_ids_are_fairseqs(shared, tmp_path):
    """SentencePiece's + 1. transformers differs on 224 texts: the README of the fixtures says why."""
    shutil.copyfile(shared(f"{FIXTURES}/plain.model"), tmp_path / "sentencepiece.bpe.model")
    tokenizer = tokenizers.from_pretrained(tmp_path)
    found = rows(shared(f"{FIXTURES}/strings.jsonl.gz"))
    wanted = [[0, *(id + 1 if id else 3 for id in row["plain"]), 2] for row in found]
    ids = [tokenizer.encode(row["text"]) for row in found]
    assert [row["text"] for row, one, other in zip(found, ids, wanted) if one != other] == []
    assert sum(row.get("xlmr", one) != one for row, one in zip(found, ids)) == 224
    for row in found[::40]:
        assert [tokenizer.vocab[piece] for piece, _ in tokenizer.pieces(row["text"])] == tokenizer.encode(row["text"])[
            1:-1
        ]


def test_transformers_reads_what_is_saved(shared, tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    XLMRobertaTokenizer.from_files(shared(f"{FIXTURES}/plain.model")).save_pretrained(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert type(theirs).__name__ == "XLMRobertaTokenizer" and theirs.model_max_length == 512
    ours = tokenizers.from_pretrained(tmp_path)
    found = rows(shared(f"{FIXTURES}/strings.jsonl.gz"))[1::9]
    for row in found:
        assert theirs(row["text"])["input_ids"] == row.get("xlmr", ours.encode(row["text"]))
    for text in ("la <mask> de. <mask>.", "<mask>", "a <s> b</s>"):
        assert theirs(text)["input_ids"] == ours.encode(text, allow_special=True), text
    ids = ours.encode(found[0]["text"])
    assert theirs.decode(ids, skip_special_tokens=True) == ours.decode(ids, skip_special_tokens=True)
    assert theirs("ab", "ba")["input_ids"] == ours.encode("ab", "ba")


def test_transformers_own_file_is_read(shared, tmp_path):
    """A tokenizer.json has the pieces in fairseq's order already."""
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    plain = XLMRobertaTokenizer.from_files(shared(f"{FIXTURES}/plain.model"))
    scores = dict(zip(plain.model.model.pieces, plain.model.model.scores))
    theirs = transformers.XLMRobertaTokenizer(
        vocab=[(token, scores.get(token, 0.0)) for token in plain.vocab],
        _spm_precompiled_charsmap=plain.model.model.charsmap,
    )
    theirs.save_pretrained(tmp_path)
    ours = tokenizers.from_pretrained(tmp_path)
    assert type(ours) is XLMRobertaTokenizer and ours.vocab == plain.vocab
    for row in rows(shared(f"{FIXTURES}/strings.jsonl.gz"))[::7]:
        assert ours.encode(row["text"]) == plain.encode(row["text"])


# Numbers, frame, places


def test_the_numbers_are_one_more_and_the_first_four_and_the_last_are_fairseqs():
    assert [SMALL.vocab[token] for token in ("<s>", "<pad>", "</s>", "<unk>", "▁")] == [0, 1, 2, 3, 4]
    assert SMALL.mask_token_id == len(SMALL) - 1 == len(PIECES) + 1 and SMALL.pad_token_id == 1
    assert SMALL.encode("the film") == [0, SMALL.vocab["▁the"], SMALL.vocab["▁film"], 2]
    assert SMALL.encode("ϟ") == [0, 4, 3, 2]


def test_a_pair_has_two_ends_between_and_one_segment():
    encoding = SMALL(["the", "a film"], ["good", "bad"], padding=True)
    the, film, good, bad, a = (SMALL.vocab[f"▁{word}"] for word in ("the", "film", "good", "bad", "a"))
    assert encoding["input_ids"] == [[0, the, 2, 2, good, 2, 1], [0, a, film, 2, 2, bad, 2]]
    assert encoding["token_type_ids"] == [[0] * 7] * 2
    assert encoding["attention_mask"] == [[1] * 6 + [0], [1] * 7]


def test_special_tokens_in_a_text_are_text_unless_they_are_asked_for():
    assert SMALL.mask_token_id not in SMALL.encode("the <mask>") and 0 not in SMALL.encode("<s>")[1:]
    assert SMALL.encode("the <mask>", allow_special=True) == [0, SMALL.vocab["▁the"], SMALL.mask_token_id, 2]
    assert SMALL.tokenize("the   <mask> film") == ["▁the", "<mask>", "▁film"]
    assert SMALL.tokenize("<mask>.") == ["<mask>", "▁", "."]  # what follows begins as a text does


def test_places_leave_the_space_out():
    text = "the  good\tfilm"
    found = SMALL(text, return_offsets_mapping=True)["offset_mapping"]
    assert found == [(0, 0), (0, 3), (5, 9), (10, 14), (0, 0)]
    found = list(SMALL.pieces("a ① in"))  # one sign becomes "1 a", and each of the two stands where it does
    assert found == [("▁a", (0, 1)), ("▁", (2, 2)), ("1", (2, 3)), ("▁a", (2, 3)), ("▁", (4, 4)), ("in", (4, 6))]
    text = "the ① ﬁlm"
    for piece, (start, end) in SMALL.pieces(text):
        assert piece == "▁" or text[start:end].strip() == text[start:end] != ""


def test_words_and_their_pieces_are_explained():
    words = SMALL.explain("the filmstrip").words
    assert [(word, span) for word, span, _, _ in words] == [("the", (0, 3)), ("filmstrip", (4, 13))]
    assert words[1][2][0] == "▁film" and words[1][3][0] == SMALL.vocab["▁film"]
    assert "▁the" in str(SMALL.explain("the"))


def test_decode_writes_spaces():
    ids = SMALL.encode("the film, a\tgood one")
    assert SMALL.decode(ids, skip_special_tokens=True) == "the film, a good one"
    assert SMALL.decode(SMALL.encode("the")) == "<s> the</s>" and SMALL.show(SMALL.vocab["▁the"]) == " the"


def test_forgetting_changes_nothing():
    before = SMALL.encode("the good film")
    SMALL.forget()
    assert not SMALL.model.chunks and SMALL.encode("the good film") == before


# Files


def test_what_is_saved_is_read_again(tmp_path):
    tokenizer = made(max_length=40, added=[AddedToken("[E1]"), AddedToken("<x>", special=True, rstrip=True)])
    tokenizer.save_pretrained(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"sentencepiece.bpe.model", "tokenizer.json", "tokenizer_config.json"}
    assert (tmp_path / "sentencepiece.bpe.model").read_bytes() == model()
    for lost in (None, "sentencepiece.bpe.model", "tokenizer_config.json"):
        if lost:
            (tmp_path / lost).unlink()
        again = tokenizers.from_pretrained(tmp_path)
        assert type(again) is XLMRobertaTokenizer and again.vocab == tokenizer.vocab
        assert again.added == tokenizer.added and again.max_length == (512 if lost == "tokenizer_config.json" else 40)
        for text in ("the [E1]film <x>  good", "ﬁlm <mask>"):
            assert again.encode(text, allow_special=True) == tokenizer.encode(text, allow_special=True)


def test_the_model_alone_is_enough(folder):
    tokenizer = tokenizers.from_pretrained(folder)
    assert tokenizer.encode("the film") == SMALL.encode("the film") and tokenizer.max_length == 512


@pytest.mark.fault("weights: two files of a tokenizer that contradict each other")
def test_files_that_contradict_each_other_are_refused(folder):
    made(model([*PIECES[:-1], ("▁x", -3.0, NORMAL)])).save_pretrained(folder.parent / "other")
    shutil.copyfile(folder.parent / "other" / "tokenizer.json", folder / "tokenizer.json")
    with pytest.raises(UserError, match=r"sentencepiece\.bpe\.model: says otherwise than .*tokenizer\.json"):
        tokenizers.from_pretrained(folder)
    SMALL.save_pretrained(folder)
    values = json.loads((folder / "tokenizer.json").read_text())
    values["model"]["vocab"][9][1] -= 0.25
    (folder / "tokenizer.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"sentencepiece\.bpe\.model: says otherwise than"):
        tokenizers.from_pretrained(folder)


BAD_FOLDERS = {
    "another class": ("tokenizer_config.json", {"tokenizer_class": "CamembertTokenizer"}, "is 'CamembertTokenizer'"),
    "CamemBERT": ("config.json", {"model_type": "camembert"}, "model_type is 'camembert', whose pieces have other"),
    "sampling": ("tokenizer_config.json", {"sp_model_kwargs": {"alpha": 0.1}}, "sp_model_kwargs is {'alpha': 0.1}"),
    "no space in front": ("tokenizer_config.json", {"add_prefix_space": False}, "add_prefix_space is False"),
    "too few vectors": ("config.json", {"vocab_size": 9}, "has 44 tokens, but the model has vectors for 9"),
    "a missing token": (
        "tokenizer_config.json",
        {"mask_token": "<m>"},
        "the vocabulary lacks <m>",
    ),
}


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_settings_that_are_not_computed_are_refused_by_name(name, folder):
    file, values, message = BAD_FOLDERS[name]
    (folder / file).write_text(json.dumps(values))
    with pytest.raises(UserError, match=message) as caught:
        tokenizers.from_pretrained(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


BAD_MODELS = {
    "other first pieces": (model([PIECES[1], PIECES[0], *PIECES[2:]]), "the pieces begin with '<s> <unk> </s>"),
    "bytes": (
        model([*PIECES, *((f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256))], trainer=written(35, 1)),
        "has pieces for bytes",
    ),
    "a mask that is a piece": (model([*PIECES, ("<mask>", -1.0, NORMAL)]), "<mask> is missing, or an ordinary piece"),
    "a pad that is a piece": (model([*PIECES, ("<pad>", 0.0, CONTROL)]), "<pad> is missing, or an ordinary piece"),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_unigram_models_that_are_not_xlm_robertas_are_refused(name, folder):
    data, message = BAD_MODELS[name]
    (folder / "sentencepiece.bpe.model").write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        tokenizers.from_pretrained(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def changed(part, value):
    def change(values):
        *path, last = part.split(".")
        for name in path:
            values = values[int(name) if name.isdecimal() else name]
        values[int(last) if last.isdecimal() else last] = value

    return change


BAD_PARTS = {
    "normalizer": (changed("normalizer.type", "NFKC"), "normalizer.type is 'NFKC'"),
    "base64": (changed("normalizer.precompiled_charsmap", "?"), "precompiled_charsmap is not base64"),
    "rules": (changed("normalizer.precompiled_charsmap", "AAAA"), "precompiled_charsmap.*damaged"),
    "cutting": (changed("pre_tokenizer", {"type": "Whitespace"}), r"pre_tokenizer is \['Whitespace'\]"),
    "mark": (changed("pre_tokenizer.pretokenizers.1.replacement", "_"), "pre_tokenizer.replacement is '_'"),
    "front": (changed("decoder.prepend_scheme", "never"), "decoder.prepend_scheme is 'never'"),
    "unknown": (changed("model.unk_id", 9000), "model.unk_id is 9000, but there are 44 pieces"),
    "a piece without a score": (changed("model.vocab.7", ["x"]), "model.vocab has .*x.* in place 7"),
    "a score that is none": (changed("model.vocab.7", ["x", "y"]), "model.vocab gives 'x' the score 'y'"),
    "no pieces": (changed("model.vocab", None), "model.vocab has None in place 0"),
    "half a character": (changed("model.vocab.7", ["\ud800", -1.0]), "half a character"),
    "no mask": (changed("model.vocab.43", ["xyz", -1.0]), r"tokenizer\.json: <mask> is missing"),
    "an id": (changed("added_tokens.0.id", -1), "the id of '<s>' is 0|is -1, but only 0"),
    "frame": (changed("post_processor.single", []), "post_processor.single"),
    "kind": (changed("model.type", "Unigrams"), "model.type is 'Unigrams'"),
}


@pytest.mark.parametrize("name", BAD_PARTS)
def test_a_part_of_tokenizer_json_that_computes_something_else_is_refused_by_name(name, tmp_path):
    change, message = BAD_PARTS[name]
    SMALL.save_pretrained(tmp_path)
    (tmp_path / "sentencepiece.bpe.model").unlink()
    values = json.loads((tmp_path / "tokenizer.json").read_text())
    change(values)
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    (tmp_path / "tokenizer_config.json").unlink()
    with pytest.raises(UserError, match=message) as caught:
        tokenizers.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)
