"""What a GPT says of a text: every figure beside the same one written out here from its definition."""

import math

import pytest
import torch
from safetensors.torch import load_file

from minbert import families, left_to_right, probing
from minbert.encoding import Tokenizer
from minbert.errors import UserError
from tests.families import tiny_gpt
from tests.test_probing import refusal

PROMPT = "{} the film"
WORDS = ["was", "mist", "the"]  # one token, and several
WRITE = {"gpt": tiny_gpt.write_gpt1, "gpt2": tiny_gpt.write}
REFERENCES = ["gpt", "gpt2"]


@pytest.fixture(scope="module", params=WRITE)
def gpt(request, tmp_path_factory):
    """(model, tokenizer) of a GPT-1 and of a GPT-2, both with 40 positions"""
    return WRITE[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    return tiny_gpt.write(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="module")
def gpt1(tmp_path_factory):
    return tiny_gpt.write_gpt1(tmp_path_factory.mktemp("gpt1"))


def ids_of(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def next_p(model, ids):
    """P of each token after these, from the model's own forward on one row."""
    with torch.no_grad():
        logits, _ = model(torch.tensor([ids]))
    return logits[0, -1].double().softmax(-1)


def by_definition(model, ids, pieces):
    """P of a word after these ids: each of its tokens given those before it, in a pass of its own."""
    return math.prod(next_p(model, [*ids, *pieces[:at]])[piece].item() for at, piece in enumerate(pieces))


def close(a, b):
    return a == pytest.approx(b, rel=1e-4)


# The next word


def test_the_next_word_with_its_prior(gpt):
    """P, ratio and label; the same without the text; and P / prior with shares that sum to 1."""
    model, tokenizer = gpt
    row = left_to_right.next_word(model, tokenizer, "fish was", WORDS, PROMPT)
    apart = " " if tokenizer.decode(ids_of(tokenizer, " a")) == " a" else ""
    pieces = {word: ids_of(tokenizer, apart + word) for word in WORDS}
    assert len(pieces["was"]) == 1 and len(pieces["mist"]) > 3
    p, prior = (
        {word: by_definition(model, ids_of(tokenizer, text), pieces[word]) for word in WORDS}
        for text in ("fish was the film", " the film")
    )
    gain = {word: p[word] / prior[word] for word in WORDS}
    assert (row["readout"], row["prompt"]) == ("after the last word", PROMPT)
    assert close(row["p"], p) and close(row["prior"], prior)
    assert close(row["corrected"], {word: gain[word] / sum(gain.values()) for word in WORDS})
    assert close(row["ratio"], p["was"] / max(p["mist"], p["the"]))
    assert close(row["prior_ratio"], prior["was"] / max(prior["mist"], prior["the"]))
    assert row["label"] == max(p, key=p.get) and row["corrected_label"] == max(gain, key=gain.get)
    assert row.keys() == probing.compare_with_prior({"a": 0.0, "b": 0.0}, {"a": 0.0, "b": 0.0}).keys() | {
        "readout",
        "prompt",
    }


def test_the_top_tokens(gpt):
    model, tokenizer = gpt
    row = left_to_right.next_word(model, tokenizer, "fish", WORDS, PROMPT, top=4)
    expected = next_p(model, ids_of(tokenizer, "fish the film")).topk(4)
    assert [best["id"] for best in row["top"]] == expected.indices.tolist()
    assert [best["score"] for best in row["top"]] == pytest.approx(expected.values.tolist(), rel=1e-4)
    assert [best["token"] for best in row["top"]] == [tokenizer.show(best["id"]) for best in row["top"]]


def test_in_byte_level_bpe_the_space_belongs_to_the_word(gpt2):
    """One in front of each word, none at the end of the prompt; but where white space is already there, none."""
    model, tokenizer = gpt2
    row = left_to_right.next_word(model, tokenizer, "a", ["was", "er"], "{} film")
    assert close(row["p"]["was"], next_p(model, ids_of(tokenizer, "a film"))[tokenizer.vocab["Ġwas"]].item())
    spaced = left_to_right.next_word(model, tokenizer, "a", [" was", "er "], "{} film  ")
    assert list(spaced["p"].values()) == list(row["p"].values()) and list(spaced["p"]) == [" was", "er "]
    line = left_to_right.next_word(model, tokenizer, "a", ["er", "was"], "{} film\n")
    assert close(line["p"]["er"], next_p(model, ids_of(tokenizer, "a film\n"))[tokenizer.vocab["er"]].item())
    at_the_end = left_to_right.next_word(model, tokenizer, "a  ", ["was", "er"], "{}")
    assert close(at_the_end["p"]["was"], next_p(model, ids_of(tokenizer, "a"))[tokenizer.vocab["Ġwas"]].item())


def test_where_there_is_no_prompt_stands_the_token_before_all_texts(gpt1, gpt2):
    model, tokenizer = gpt2
    row = left_to_right.next_word(model, tokenizer, "a film", ["was", "er"], "{}")
    assert close(row["prior"]["was"], next_p(model, [tokenizer.eos_token_id])[tokenizer.vocab["Ġwas"]].item())
    said = refusal(left_to_right.next_word, *gpt1, "the film", ["was", "the"], "{}")
    assert said == "without a text the prompt is empty, and GPT-1 has no token to begin with: add words to it"


# Whole sentences


def scored(model, ids):
    """log P of each of these ids but the first, from one pass."""
    with torch.no_grad():
        logits, _ = model(torch.tensor([ids]))
    return logits[0].double().log_softmax(-1)[range(len(ids) - 1), ids[1:]].tolist()


def test_log_likelihood_from_the_token_before_all_texts(gpt2):
    model, tokenizer = gpt2
    ids = ids_of(tokenizer, "the film was é")
    total, rows = left_to_right.log_likelihood(model, tokenizer, "the film was é")
    expected = scored(model, [tokenizer.eos_token_id, *ids])
    assert [token for token, _ in rows] == ["th", "e", " film", " was", " ", r"\xc3", r"\xa9"]
    assert [p for _, p in rows] == pytest.approx(expected, rel=1e-4) and close(total, sum(expected))


def test_log_likelihood_without_the_first_token_where_nothing_stands_before_it(gpt1):
    model, tokenizer = gpt1
    total, rows = left_to_right.log_likelihood(model, tokenizer, "The film was mist")
    expected = scored(model, ids_of(tokenizer, "the film was mist"))
    assert [token for token, _ in rows] == ["the ", "film ", "was ", "m", "i", "s", "t "] and rows[0][1] is None
    assert [p for _, p in rows[1:]] == pytest.approx(expected, rel=1e-4) and close(total, sum(expected))


def test_compare_sets_the_tokens_side_by_side_and_says_from_where(gpt1, gpt2):
    for (model, tokenizer), begin in ((gpt1, None), (gpt2, "<|endoftext|>")):
        texts = ("the film was", "the mist was")
        found = left_to_right.compare(model, tokenizer, *texts)
        sides = [left_to_right.log_likelihood(model, tokenizer, text) for text in texts]
        assert found["begins_with"] == begin and found["scores"] == [total for total, _ in sides]
        for side, (_, rows) in enumerate(sides):
            assert [pair[side] for pair in found["rows"] if pair[side]] == rows
        assert found["preferred"] == (found["scores"][1] > found["scores"][0])
        assert left_to_right.compare(model, tokenizer, *texts[::-1])["preferred"] == 1 - found["preferred"]


def test_many_rows_at_once_are_the_same_as_one_by_one_and_stay_within_bounds(gpt, monkeypatch):
    model, tokenizer = gpt
    shapes, forward = [], model.decoder.forward
    monkeypatch.setattr(
        model.decoder, "forward", lambda ids, *rest, **more: shapes.append(ids.shape) or forward(ids, *rest, **more)
    )
    found = []
    for bound, places in ((4096, 64), (70, 3), (1, 1)):
        shapes.clear()
        monkeypatch.setattr(left_to_right, "TOKENS_AT_ONCE", bound)
        monkeypatch.setattr(left_to_right, "PLACES_AT_ONCE", places)
        row = left_to_right.next_word(model, tokenizer, "fish", WORDS, PROMPT)
        found.append([*row["p"].values(), *row["prior"].values()])
        found[-1].append(left_to_right.log_likelihood(model, tokenizer, "the film was mist")[0])
        assert all(rows * length <= bound or rows == 1 for rows, length in shapes)
    assert len(shapes) == 7
    assert close(found[1], found[0]) and close(found[2], found[0])


def test_a_model_in_training_is_asked_without_dropout_and_goes_on_training(gpt):
    model, tokenizer = gpt
    model.train()
    try:
        assert model.decoder.dropout.p > 0
        asked = [left_to_right.next_word(model, tokenizer, "fish", WORDS, PROMPT, top=2) for _ in range(2)]
        assert asked[0] == asked[1] and all(module.training for module in model.modules())
    finally:
        model.eval()


# Attention


@pytest.mark.parametrize(("layer", "head"), [(0, 2), (1, 0)])
def test_attention_tables_are_the_models_own(gpt, layer, head):
    """Whether the norm comes before attention or after it: the softmax of the scores is what the model computes."""
    model, tokenizer = gpt
    found = left_to_right.attention_tables(model, tokenizer, "the film was", layer, head, padding=2)
    ids = ids_of(tokenizer, "the film was")
    size = len(ids)
    attention_mask = torch.tensor([[1] * size + [0] * 2])
    with torch.no_grad():
        output = model.decoder(torch.tensor([[*ids, 0, 0]]), attention_mask, output_attentions=True)
    assert found["tokens"] == [*(tokenizer.show(id) for id in ids), "padding", "padding"]
    assert torch.equal(found["probabilities"], output["attentions"][layer][0, head])
    torch.testing.assert_close(found["probabilities"].sum(-1), torch.ones(size + 2))
    torch.testing.assert_close(found["scores"].softmax(-1), found["probabilities"])
    looks = [[j < size and j <= i for j in range(size + 2)] for i in range(size + 2)]
    assert (found["scores"] > -math.inf).tolist() == looks == (found["probabilities"] > 0).tolist()
    assert found["padding_mask"].tolist() == [[j < size for j in range(size + 2)]]
    assert found["causal_mask"].tolist() == [[j <= i for j in range(size + 2)] for i in range(size + 2)]
    assert not model.decoder.layers[layer].attention._forward_pre_hooks


# Mistakes


def test_a_text_as_long_as_the_model_and_one_token_longer(gpt1, gpt2):
    """40 positions; of a word's tokens the last one is never read."""
    for (model, tokenizer), prompt in ((gpt1, "{} the"), (gpt2, "{} w")):
        unit = " film" if model is gpt2[0] else "film "
        fits = 39 - (len(ids_of(tokenizer, " mist")) - 1)
        row = left_to_right.next_word(model, tokenizer, unit * fits, ["was", "mist"], prompt)
        assert len(ids_of(tokenizer, unit * fits + prompt[2:])) == fits + 1 and 0 < row["p"]["mist"] < 1
        said = refusal(left_to_right.next_word, model, tokenizer, unit * (fits + 1), ["was", "mist"], prompt)
        assert f"{fits + 2} tokens, but the model reads at most {fits + 1}: shorten the text" in said
        assert len(left_to_right.log_likelihood(model, tokenizer, unit * 40)[1]) == 40
        assert len(left_to_right.attention_tables(model, tokenizer, unit * 40)["tokens"]) == 41
        for function in (left_to_right.log_likelihood, left_to_right.attention_tables):
            said = refusal(function, model, tokenizer, unit * 41)
            assert "41 tokens, but the model reads at most 40: shorten the text" in said


def test_texts_without_words(gpt1, gpt2):
    for function in (left_to_right.log_likelihood, left_to_right.attention_tables):
        assert refusal(function, *gpt1, " ") == "' ' holds no word"
        assert refusal(function, *gpt2, "") == "'' holds no word"
    said = refusal(left_to_right.log_likelihood, *gpt1, "film")
    assert said == "'film' is one token, and GPT-1 gives the first one no probability: write more"
    assert len(left_to_right.log_likelihood(*gpt2, "e")[1]) == 1
    row = left_to_right.next_word(*gpt2, "", ["was", "er"], PROMPT)
    assert row["p"] == row["prior"]


def test_words_between_which_there_is_no_choice(gpt1, gpt2):
    for words in (["was"], ["was", "Was"], ["was", "the", "was"]):
        assert "two words or more" in refusal(left_to_right.next_word, *gpt1, "the", words)
    assert "two words or more" in refusal(left_to_right.next_word, *gpt2, "the", ["was", " was"])
    assert left_to_right.next_word(*gpt2, "the", ["was", "Was"])["ratio"] > 0
    assert "cannot spell 'good'" in refusal(left_to_right.next_word, *gpt1, "the", ["was", "good"])
    assert "cannot spell 'good'" in refusal(left_to_right.log_likelihood, *gpt1, "the good")
    assert refusal(left_to_right.next_word, *gpt2, "the", ["was", " "]) == "' ' holds no word"
    assert "needs one {}" in refusal(left_to_right.next_word, *gpt2, "the", WORDS, "it is")


def test_a_layer_or_a_head_that_is_not_there(gpt):
    assert "layers are 0 to 1" in refusal(left_to_right.attention_tables, *gpt, "the", layer=2)
    assert "heads 0 to 2" in refusal(left_to_right.attention_tables, *gpt, "the", head=-1)


@pytest.mark.fault("weights: NaN or infinity, or numbers too large for the file")
def test_weights_that_compute_nan(tmp_path):
    model, tokenizer = tiny_gpt.write(tmp_path)
    with torch.no_grad():
        model.decoder.norm.bias[3] = math.nan
    assert "NaN or infinity" in refusal(left_to_right.log_likelihood, model, tokenizer, "the film")


# Beside the reference library


class Numbers(Tokenizer):
    """Reads "17 4" as the ids 17 and 4; for models that come without a tokenizer."""

    max_length = 512

    def __init__(self, size):
        self.vocab, self.tokens = ({f"{id}": id for id in range(size)}, {id: f"{id}" for id in range(size)})
        self.unk_token_id = self.unk_token = None

    def __len__(self):
        return len(self.vocab)

    def pieces(self, text, keep_special=False):
        return [(word, (0, 0)) for word in text.split()]


@pytest.mark.parametrize("name", REFERENCES)
def test_the_reference_s_logits_give_the_same_figures(shared, name):
    folder = shared(f"reference/families/{name}")
    golden, model = load_file(folder / "golden.safetensors"), families.load(folder, "causal")
    tokenizer = Numbers(model.config.vocab_size)
    for ids, mask, logits in zip(golden["input_ids"], golden["attention_mask"], golden["logits"]):
        size = int(mask.sum())
        ids, log_p = ids[:size].tolist(), logits.double().log_softmax(-1)
        *text, last, due = ids
        other = str((due + 1) % len(tokenizer))
        asked = " ".join(map(str, text)), [str(due), other], f"{{}} {last}"
        row = left_to_right.next_word(model, tokenizer, *asked, top=3)
        assert close(row["p"], {word: log_p[size - 2, int(word)].exp().item() for word in asked[1]})
        assert [best["id"] for best in row["top"]] == log_p[size - 2].topk(3).indices.tolist()
        total, rows = left_to_right.log_likelihood(model, tokenizer, " ".join(map(str, ids)))
        expected = [log_p[at, ids[at + 1]].item() for at in range(size - 1)]
        assert [p for _, p in rows[1:]] == pytest.approx(expected, abs=1e-4) and close(total, sum(expected))


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", WRITE)
def test_transformers_finds_the_same(tmp_path, name):
    """Its own model and its own tokenizer on the folder: P of a word that follows, and the loss of a text."""
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    model, tokenizer = WRITE[name](tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    encode = transformers.AutoTokenizer.from_pretrained(tmp_path)
    row = left_to_right.next_word(model, tokenizer, "the film", ["was", "the"], "{} is")
    before = "<|endoftext|>" * (name == "gpt2")
    with torch.no_grad():
        p = theirs(**encode("the film is", return_tensors="pt")).logits[0, -1].softmax(-1)
        ids = encode(before + "the film was mist", return_tensors="pt")["input_ids"]
        loss = theirs(ids, labels=ids).loss.item()
    (was,) = encode(" was")["input_ids"]
    assert close(row["p"]["was"], p[was].item())
    total, _ = left_to_right.log_likelihood(model, tokenizer, "the film was mist")
    assert close(total, -loss * (ids.size(1) - 1))


def test_a_text_of_half_characters_is_read(gpt2):
    """Byte-level BPE reads U+FFFD there, with a warning."""
    with pytest.warns(UserWarning, match="lone surrogates"):
        row = left_to_right.next_word(*gpt2, "a \udcff", ["was", "er"], PROMPT)
    assert row["p"] == left_to_right.next_word(*gpt2, "a \ufffd", ["was", "er"], PROMPT)["p"]
    with pytest.raises(UserError):
        left_to_right.word_ids(*gpt2, "\n")
