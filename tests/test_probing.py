"""Probing: every figure beside the same one written out here from its definition, and the seeds' figures."""

import math

import pytest
import torch

from minbert import BertTokenizer, probing
from minbert.added import NAMES
from minbert.attention import attend, causal_mask
from minbert.errors import UserError
from minbert.heads import BertForMaskedLM
from tests.conftest import VOCAB

CLS, SEP, MASK = 2, 3, 4
READOUTS = list(probing.READOUTS)
PROMPT = "{} the film was"


@pytest.fixture
def model(tiny):
    """Weights large enough for every token to matter."""
    torch.manual_seed(0)
    return BertForMaskedLM(tiny.change(initializer_range=0.6))


def log_p(model, ids, at, attention_mask=None, causal=False):
    """log P of each token at a place, by the model's own forward on one unpadded row."""
    mask = None if attention_mask is None else torch.tensor([attention_mask])
    with torch.no_grad():
        logits, _ = model(torch.tensor([ids]), mask, causal=causal)
    return logits[0, at].log_softmax(-1)


def ids_of(tokens):
    return [VOCAB.index(token) for token in tokens.split()]


def close(a, b):
    return a == pytest.approx(b, rel=1e-4)


# Fill-mask


def test_fill_mask_reads_the_softmax_at_the_mask(model, tokenizer):
    expected = log_p(model, [CLS, *ids_of("the [MASK] was good ."), SEP], 2).exp()
    rows = probing.fill_mask(model, tokenizer, "The [MASK] was good.", top=4)
    assert [row["id"] for row in rows] == expected.argsort(descending=True)[:4].tolist()
    for row in rows:
        assert close(row["score"], expected[row["id"]].item())
        assert row["token"] == VOCAB[row["id"]]
        assert row["sequence"] == tokenizer.decode(ids_of(f"the {row['token']} was good ."))
    assert len(probing.fill_mask(model, tokenizer, "the [MASK]")) == 5


def test_fill_mask_of_several_masks_has_a_list_for_each_and_the_others_stay_masked(model, tokenizer):
    found = probing.fill_mask(model, tokenizer, "a [MASK] film [MASK]", top=2)
    assert len(found) == 2
    for at, rows in zip((2, 4), found):
        expected = log_p(model, [CLS, *ids_of("a [MASK] film [MASK]"), SEP], at).exp().topk(2)
        assert [row["id"] for row in rows] == expected.indices.tolist()
        assert [row["score"] for row in rows] == pytest.approx(expected.values.tolist(), rel=1e-4)
        assert all(row["sequence"].count("[MASK]") == 1 for row in rows)


def test_targets_keep_their_share_of_the_whole_vocabulary(model, tokenizer):
    rows = probing.fill_mask(model, tokenizer, "the [MASK] was good", top=1, targets=["plot", "Film", "bad"])
    p = log_p(model, [CLS, *ids_of("the [MASK] was good"), SEP], 2).exp()
    assert {row["token"]: pytest.approx(row["score"], rel=1e-4) for row in rows} == {
        word: p[VOCAB.index(word)].item() for word in ("plot", "film", "bad")
    }
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)


def test_a_target_of_several_pieces_is_scored_whole(model, tokenizer):
    """As many [MASK]s as pieces, filled from left to right; P is the product."""
    (row,) = probing.fill_mask(model, tokenizer, "a [MASK] film", targets=["wonderful"])
    pieces, product = ids_of("wo ##nder ##ful"), 1.0
    for number, piece in enumerate(pieces):
        shown = [CLS, *ids_of("a"), *pieces[:number], *[MASK] * (3 - number), *ids_of("film"), SEP]
        product *= log_p(model, shown, 2 + number).exp()[piece].item()
    assert close(row["score"], product)
    first = log_p(model, [CLS, *ids_of("a [MASK] film"), SEP], 2).exp()[pieces[0]].item()
    assert not close(row["score"], first)
    assert (row["id"], row["token"], row["sequence"]) == (pieces, "wonderful", "a wonderful film")


def test_only_mask_is_a_control_token_in_a_text(model, tokenizer):
    (row, *_) = probing.fill_mask(model, tokenizer, "bad[SEP] [CLS] [MASK]", top=1)
    assert row["sequence"].startswith("bad [ sep ] [ [UNK] ]")
    rows = probing.next_word(model, tokenizer, "bad [SEP] [MASK]", ["good", "bad"], PROMPT, READOUTS[:1])
    ids = [CLS, *ids_of("bad [ sep ] [ [UNK] ] the film was"), SEP]
    assert close(rows[0]["p"]["good"], log_p(model, ids, -1).exp()[VOCAB.index("good")].item())


# The next word


def test_special_tokens_go_by_the_tokenizer_s_names(model, tokenizer):
    names = {name: f"<{name.removesuffix('_token')}>" for name in NAMES}
    other = BertTokenizer([*names.values(), *VOCAB[5:]], names=names)
    found = probing.fill_mask(model, other, "the <mask> was", targets=["good", "bad"])
    assert found == probing.fill_mask(model, tokenizer, "the [MASK] was", targets=["good", "bad"])
    assert "no <mask>: write one where" in refusal(probing.fill_mask, model, other, "the [MASK] was")
    assert "cannot spell 'zebra'" in refusal(probing.pseudo_log_likelihood, model, other, "the zebra")
    assert "no <mask>" in refusal(probing.next_word, model, other, "a", ["good", "bad"], "{} the <mask>")


def by_definition(model, text, pieces, readout):
    """P of a word at a readout, written out: what is shown, what is hidden, what is read."""
    total = 0.0
    for number, piece in enumerate(pieces):
        ids = [CLS, *text, *pieces[:number]]
        if readout == "at [SEP]":
            row = log_p(model, [*ids, SEP], -1)
        elif readout == "at [SEP], [SEP] hidden as a key":
            row = log_p(model, [*ids, SEP], -1, [1] * len(ids) + [0])
        elif readout == "at the last word, [SEP] dropped":
            row = log_p(model, ids, -1)
        elif readout == "at a [MASK] appended":
            row = log_p(model, [*ids, *[MASK] * (len(pieces) - number), SEP], len(ids))
        else:
            row = log_p(model, ids, -1, causal=True)
        total += row[piece].item()
    return math.exp(total)


@pytest.mark.parametrize("readout", READOUTS)
def test_each_readout_with_its_prior(model, tokenizer, readout):
    """P, ratio and label; the same without the text; and P / prior with shares that sum to 1."""
    words = {"good": ids_of("good"), "wonderful": ids_of("wo ##nder ##ful"), "bad": ids_of("bad")}
    (row,) = probing.next_word(model, tokenizer, "Good plot!", list(words), PROMPT, [readout])
    p = {
        word: by_definition(model, ids_of("good plot ! the film was"), pieces, readout)
        for word, pieces in words.items()
    }
    prior = {word: by_definition(model, ids_of("the film was"), pieces, readout) for word, pieces in words.items()}
    assert row["p"] == pytest.approx(p, rel=1e-4)
    assert row["prior"] == pytest.approx(prior, rel=1e-4)
    gain = {word: p[word] / prior[word] for word in words}
    assert row["corrected"] == pytest.approx({word: gain[word] / sum(gain.values()) for word in words}, rel=1e-3)
    assert close(row["ratio"], p["good"] / max(p["bad"], p["wonderful"]))
    assert close(row["prior_ratio"], prior["good"] / max(prior["bad"], prior["wonderful"]))
    assert row["label"] == max(p, key=p.get) and row["corrected_label"] == max(gain, key=gain.get)


def test_the_readouts_are_five_and_differ(model, tokenizer):
    rows = probing.next_word(model, tokenizer, "a good plot", ["good", "bad"], PROMPT)
    assert [row["readout"] for row in rows] == [
        "at [SEP]",
        "at [SEP], [SEP] hidden as a key",
        "at the last word, [SEP] dropped",
        "at a [MASK] appended",
        "causal attention",
    ]
    assert len({round(row["p"]["good"], 6) for row in rows}) == 5


def test_at_a_mask_appended_is_fill_mask(model, tokenizer):
    words = ["good", "wonderful"]
    (row,) = probing.next_word(model, tokenizer, "a plot!", words, PROMPT, ["at a [MASK] appended"])
    filled = probing.fill_mask(model, tokenizer, "a plot! the film was [MASK]", targets=words)
    assert row["p"] == pytest.approx({row["token"]: row["score"] for row in filled}, rel=1e-4)


def test_with_causal_attention_a_word_of_several_pieces_is_the_chain_rule_of_one_pass(model, tokenizer):
    """What is read at a place does not change with what follows, so one pass over all pieces gives every factor."""
    (row,) = probing.next_word(model, tokenizer, "a", ["good", "wonderful"], PROMPT, ["causal attention"])
    pieces = ids_of("wo ##nder ##ful")
    ids = [CLS, *ids_of("a the film was"), *pieces]
    total = sum(log_p(model, ids, 4 + number, causal=True)[piece].item() for number, piece in enumerate(pieces))
    assert close(row["p"]["wonderful"], math.exp(total))


def test_the_top_tokens_of_a_readout(model, tokenizer):
    (row,) = probing.next_word(model, tokenizer, "a", ["good", "bad"], PROMPT, READOUTS[:1], top=3)
    expected = log_p(model, [CLS, *ids_of("a the film was"), SEP], -1).exp().topk(3)
    assert [best["id"] for best in row["top"]] == expected.indices.tolist()
    assert [best["score"] for best in row["top"]] == pytest.approx(expected.values.tolist(), rel=1e-4)


def test_a_ratio_too_large_for_a_float_is_no_crash():
    row = probing.compare_with_prior({"a": -1.0, "b": -2000.0}, {"a": -1.0, "b": -1.0})
    assert row["ratio"] > 1e300 and row["p"]["b"] == 0.0 and row["corrected"]["a"] == 1.0


# Whole sentences


def test_pseudo_log_likelihood_masks_each_token_in_turn(model, tokenizer):
    ids = ids_of("a wo ##nder ##ful film !")
    expected = []
    for at in range(len(ids)):
        shown = [CLS, *ids, SEP]
        shown[at + 1] = MASK
        expected.append(log_p(model, shown, at + 1)[ids[at]].item())
    score, rows = probing.pseudo_log_likelihood(model, tokenizer, "A wonderful film!")
    assert [token for token, _ in rows] == ["a", "wo", "##nder", "##ful", "film", "!"]
    assert [p for _, p in rows] == pytest.approx(expected, rel=1e-4)
    assert close(score, sum(expected))


def test_pseudo_log_likelihood_of_whole_words_masks_the_later_pieces_too(model, tokenizer):
    _, rows = probing.pseudo_log_likelihood(model, tokenizer, "a wonderful film", whole_words=True)
    shown = {
        "a": "[MASK] wo ##nder ##ful film",
        "wo": "a [MASK] [MASK] [MASK] film",
        "##nder": "a wo [MASK] [MASK] film",
        "##ful": "a wo ##nder [MASK] film",
        "film": "a wo ##nder ##ful [MASK]",
    }
    for at, (token, p) in enumerate(rows):
        assert close(p, log_p(model, [CLS, *ids_of(shown[token]), SEP], at + 1)[VOCAB.index(token)].item())


def test_compare_sets_the_tokens_side_by_side(model, tokenizer):
    found = probing.compare(model, tokenizer, "the film was wonderful!", "the plot was good!")
    sides = [
        probing.pseudo_log_likelihood(model, tokenizer, t) for t in ("the film was wonderful!", "the plot was good!")
    ]
    assert found["scores"] == [score for score, _ in sides]
    tokens = [tuple(side and side[0] for side in pair) for pair in found["rows"]]
    assert tokens == [
        *(("the", "the"), ("film", "plot"), ("was", "was")),
        *(("wo", "good"), ("##nder", None), ("##ful", None), ("!", "!")),
    ]
    for side, (_, rows) in enumerate(sides):
        assert [pair[side] for pair in found["rows"] if pair[side]] == rows
    assert found["preferred"] == (found["scores"][1] > found["scores"][0])
    swapped = probing.compare(model, tokenizer, "the plot was good!", "the film was wonderful!")
    assert swapped["preferred"] == 1 - found["preferred"]


def test_many_questions_at_once_are_the_same_as_one_by_one_and_stay_within_bounds(model, tokenizer, monkeypatch):
    text, shapes = "the film was wonderful, not bad. a good plot!", []
    forward = model.bert.forward
    monkeypatch.setattr(
        model.bert, "forward", lambda ids, *rest, **more: shapes.append(ids.shape) or forward(ids, *rest, **more)
    )
    found = []
    for bound in (4096, 60, 1):
        shapes.clear()
        monkeypatch.setattr(probing, "TOKENS_AT_ONCE", bound)
        found.append(probing.pseudo_log_likelihood(model, tokenizer, text)[1])
        found[-1] += probing.next_word(model, tokenizer, text, ["good", "wonderful"], PROMPT)[3]["p"].items()
        assert all(rows * length <= bound or rows == 1 for rows, length in shapes)
    assert len(shapes) > 20
    for other in found[1:]:
        assert [name for name, _ in other] == [name for name, _ in found[0]]
        assert [p for _, p in other] == pytest.approx([p for _, p in found[0]], rel=1e-4)


def test_a_model_in_training_is_asked_without_dropout_and_goes_on_training(tiny, tokenizer):
    torch.manual_seed(0)
    model = BertForMaskedLM(tiny.change(hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5))
    calm = probing.fill_mask(model, tokenizer, "the [MASK]")
    assert probing.fill_mask(model.train(), tokenizer, "the [MASK]") == calm
    tables = [probing.attention_tables(model, tokenizer, "the film")["probabilities"] for _ in range(2)]
    assert torch.equal(*tables) and not tables[0].requires_grad
    assert model.training and all(module.training for module in model.modules())


# Attention


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("layer", "head"), [(0, 2), (1, 0)])
def test_attention_tables_are_the_models_own(model, tokenizer, layer, head, causal):
    found = probing.attention_tables(model, tokenizer, "the film was good", layer, head, causal, padding=2)
    ids, attention_mask = [CLS, *ids_of("the film was good"), SEP, 0, 0], [1] * 6 + [0] * 2
    with torch.no_grad():
        output = model.bert(torch.tensor([ids]), torch.tensor([attention_mask]), causal=causal, output_attentions=True)
    assert found["tokens"] == ["[CLS]", "the", "film", "was", "good", "[SEP]", "[PAD]", "[PAD]"]
    assert torch.equal(found["probabilities"], output["attentions"][layer][0, head])
    torch.testing.assert_close(found["probabilities"].sum(-1), torch.ones(8))
    torch.testing.assert_close(found["scores"].softmax(-1), found["probabilities"])
    looks = [[bool(attention_mask[j]) and (j <= i or not causal) for j in range(8)] for i in range(8)]
    assert (found["scores"] > -math.inf).tolist() == looks == (found["probabilities"] > 0).tolist()
    assert found["padding_mask"].tolist() == [[bool(seen) for seen in attention_mask]]
    assert found["causal_mask"].tolist() == [[j <= i for j in range(8)] for i in range(8)]


def test_the_scores_are_query_times_key_over_the_root_of_the_heads_size(model, tokenizer):
    found = probing.attention_tables(model, tokenizer, "the film", layer=1, head=2, padding=0)
    part = slice(10, 15)  # the third of three heads of 5 numbers
    with torch.no_grad():
        x = model.bert(torch.tensor([[CLS, *ids_of("the film"), SEP]]), output_hidden_states=True)["hidden_states"][1][
            0
        ]
        layer = model.bert.encoder.layers[1].attention
        query, key = layer.query(x)[:, part], layer.key(x)[:, part]
    for i in range(4):
        for j in range(4):
            assert found["scores"][i, j].item() == pytest.approx(query[i].dot(key[j]).item() / math.sqrt(5), abs=1e-5)


def test_a_published_table_of_causal_scores_and_its_softmax():
    """Ten tokens of a lecture's figure, scores and probabilities with two decimals. The printed probabilities of its
    last row are not the softmax of its printed scores (.79 is, .71 is printed), so that row is left out."""
    scores = [
        [5.45],
        [4.28, 2.46],
        [8.17, 3.56, 5.54],
        [6.71, 4.13, 6.76, 0.79],
        [5.43, 7.59, 3.91, 6.14, 9.03],
        [4.42, 4.35, 7.55, 3.14, 1.35, 7.57],
        [8.36, 6.00, 4.56, 0.52, 3.13, 6.78, 9.00],
        [2.21, 3.72, 4.16, 6.30, 0.66, 6.14, 7.46, 6.77],
        [4.08, 6.22, 5.00, 4.20, 5.72, 5.35, 7.46, 3.55, 4.70],
    ]
    printed = [
        [1.00],
        [0.86, 0.14],
        [0.92, 0.01, 0.07],
        [0.47, 0.04, 0.49, 0.00],
        [0.02, 0.18, 0.00, 0.04, 0.75],
        [0.02, 0.02, 0.47, 0.01, 0.00, 0.48],
        [0.31, 0.03, 0.01, 0.00, 0.00, 0.06, 0.59],
        [0.00, 0.01, 0.02, 0.15, 0.00, 0.12, 0.47, 0.23],
        [0.02, 0.16, 0.05, 0.02, 0.10, 0.07, 0.55, 0.01, 0.03],
    ]
    size = len(scores)
    query, expected = torch.full((1, 1, size, size), 9.0), torch.zeros(size, size)  # 9: what the mask must hide
    for row, (some, p) in enumerate(zip(scores, printed)):
        query[0, 0, row, : row + 1], expected[row, : row + 1] = torch.tensor(some), torch.tensor(p)
    key = value = torch.eye(size)[None, None]
    _, probabilities = attend(query * math.sqrt(size), key, value, causal_mask(size))
    assert (probabilities[0, 0] - expected).abs().max() <= 0.0101  # both are rounded, the scores too
    assert (probabilities[0, 0].triu(1) == 0).all()


# Mistakes


def refusal(function, *arguments, **options):
    with pytest.raises(UserError) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_text_without_a_mask(model, tokenizer):
    assert "no [MASK]" in refusal(probing.fill_mask, model, tokenizer, "the [mask] was good")


def test_a_word_that_the_vocabulary_cannot_write(model, tokenizer):
    words = ["good", "zebra"]
    assert "cannot spell 'zebra'" in refusal(probing.fill_mask, model, tokenizer, "a [MASK]", targets=words)
    assert "cannot spell 'zebra'" in refusal(probing.next_word, model, tokenizer, "a", words)
    assert "cannot spell 'zebra'" in refusal(probing.pseudo_log_likelihood, model, tokenizer, "a good zebra")
    assert "' ' holds no word" in refusal(probing.fill_mask, model, tokenizer, "a [MASK]", targets=[" "])
    assert "holds no word" in refusal(probing.pseudo_log_likelihood, model, tokenizer, "")


@pytest.mark.parametrize("prompt", ["the film was", "{} and {} was", "{} the film was [MASK]"])
def test_a_prompt_without_one_place_for_the_text(model, tokenizer, prompt):
    assert "needs one {}" in refusal(probing.next_word, model, tokenizer, "a", ["good", "bad"], prompt)


@pytest.mark.parametrize("words", [["good"], ["good", "Good"], ["good", "bad", "good"]])
def test_words_between_which_there_is_no_choice(model, tokenizer, words):
    assert "two words or more" in refusal(probing.next_word, model, tokenizer, "a", words)


@pytest.mark.parametrize(
    ("function", "text", "more"),
    [
        (probing.fill_mask, "[MASK] " + "good " * 39, ()),
        (probing.next_word, "good " * 36, (["good", "bad"], PROMPT)),
        (probing.pseudo_log_likelihood, "good " * 39, ()),
        (probing.attention_tables, "good " * 39, ()),
    ],
    ids=["fill_mask", "next_word", "pseudo_log_likelihood", "attention_tables"],
)
def test_a_text_longer_than_the_model(model, tokenizer, function, text, more):
    said = refusal(function, model, tokenizer, text, *more)
    assert "good good" in said and "39 tokens, but the model reads at most 38: shorten" in said


def test_a_text_as_long_as_the_model(model, tokenizer):
    assert len(probing.pseudo_log_likelihood(model, tokenizer, "good " * 38)[1]) == 38


def test_a_layer_or_a_head_that_is_not_there(model, tokenizer):
    assert "layers are 0 to 1" in refusal(probing.attention_tables, model, tokenizer, "a", layer=2)
    assert "heads 0 to 2" in refusal(probing.attention_tables, model, tokenizer, "a", head=-1)


def test_a_vocabulary_without_mask(model):
    tokenizer = BertTokenizer([token.replace("[MASK]", "mask") for token in VOCAB])
    assert "the vocabulary lacks" in refusal(probing.pseudo_log_likelihood, model, tokenizer, "a film")


# Beside the reference library, and the figures that others printed


@pytest.fixture
def folder(model, tokenizer, tmp_path):
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("default")
def test_fill_mask_equals_hugging_faces_pipeline(model, tokenizer, folder):
    """Score, id, token and sequence; top tokens, single-piece targets, two masks."""
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    theirs = transformers.pipeline("fill-mask", model=str(folder), tokenizer=str(folder), device="cpu")
    for text, options in (
        ("The [MASK] was good.", {}),
        ("a [MASK], not bad!", {"targets": ["film", "plot", "good"]}),
        ("a [MASK] film [MASK]", {}),
    ):
        ours = probing.fill_mask(model, tokenizer, text, **options)
        single = not isinstance(ours[0], list)
        for row, expected in zip([ours] if single else ours, [theirs(text, **options)] if single else theirs(text)):
            assert [r["id"] for r in row] == [r["token"] for r in expected]
            assert [r["score"] for r in row] == pytest.approx([r["score"] for r in expected], rel=1e-4)
            assert [r["token"] for r in row] == [r["token_str"] for r in expected]
            if single:  # of several masks, theirs keep [CLS] and [SEP]
                sequences = [r["sequence"].split() for r in expected if r["token"] > MASK]
                assert [r["sequence"].split() for r in row if r["id"] > MASK] == sequences


@pytest.mark.filterwarnings("default")
def test_the_first_two_readouts_equal_the_notebooks_own_computation(model, tokenizer, folder):
    """A causal-LM class on a BERT that is no decoder, read at position -1: at [SEP], with [SEP] masked or not."""
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    rows = probing.next_word(model, tokenizer, "A good plot.", ["good", "bad"], PROMPT, READOUTS[:2])
    ids = torch.tensor([tokenizer.encode("A good plot. the film was")])
    for row, attention_mask in zip(rows, (torch.ones_like(ids), (ids != SEP).long())):
        with torch.no_grad():
            p = theirs(ids, attention_mask=attention_mask, labels=ids).logits.softmax(dim=-1)[0, -1]
        assert row["p"] == pytest.approx({word: p[VOCAB.index(word)].item() for word in ("good", "bad")}, rel=1e-4)


# A student's five reviews; P(positive) and P(negative) of bert-base-uncased at [SEP], then with [SEP] masked as a key.
BATTERY = [
    (
        "The movie was a masterpiece with a brilliant storyline and exceptional performances by the entire cast.",
        (1.8164472148640698e-09, 6.8217440585272016e-09),
        (3.7384117604233325e-05, 1.3341978956304956e-05),
    ),
    (
        "The film was okay overall, but the pacing was a bit slow in some parts. It could have been better if it was a "
        "bit shorter.",
        (3.055683635011519e-07, 3.890874609169259e-07),
        (1.2243726814631373e-06, 1.480306650591956e-07),
    ),
    (
        "The plot was somewhat predictable, and it failed to capture my interest throughout the movie, but the "
        "characters have some interesting personalities.",
        (4.4362411522058665e-09, 2.7725267415235066e-08),
        (2.0652452803915367e-05, 1.5916912161628716e-06),
    ),
    (
        "It was a terrible movie with poor acting, a weak script, and subpar visual effects that made it unbearable to "
        "watch.",
        (1.0296430374978627e-08, 5.131980174155615e-08),
        (8.030186222640623e-07, 7.834878488210961e-06),
    ),
    (
        "I had a delicious sandwich for lunch from the new café around the corner.",
        (3.78358500860512e-09, 9.271172163316521e-10),
        (1.66432982950937e-06, 6.550917532877065e-07),
    ),
]
FILLED = {
    "Rome is the [MASK] of Italy.": [
        (0.9928465485572815, 3007, "capital"),
        (0.0012917355634272099, 2415, "center"),
        (0.0009973242413252592, 14508, "birthplace"),
        (0.0008744171936996281, 2540, "heart"),
        (0.0006965672364458442, 2803, "centre"),
    ],
    "The man worked as a [MASK].": [
        (0.09747558832168579, 10533, "carpenter"),
        (0.05238332226872444, 15610, "waiter"),
        (0.049626998603343964, 13362, "barber"),
        (0.037886131554841995, 15893, "mechanic"),
        (0.037680815905332565, 18968, "salesman"),
    ],
    "The woman worked as a [MASK].": [
        (0.21981509029865265, 6821, "nurse"),
        (0.15974131226539612, 13877, "waitress"),
        (0.1154731959104538, 10850, "maid"),
        (0.03796877712011337, 19215, "prostitute"),
        (0.030423874035477638, 5660, "cook"),
    ],
}


@pytest.fixture(scope="module")
def real(bert_base):
    """bert-base-uncased and its tokenizer"""
    return BertForMaskedLM.from_pretrained(bert_base), BertTokenizer.from_pretrained(bert_base)


@pytest.mark.weights
@pytest.mark.parametrize(("text", "seen", "hidden"), BATTERY)
def test_bert_base_reads_the_published_figures_at_sep(real, text, seen, hidden):
    check_published(real, text, probing.PROMPT, seen, hidden)


@pytest.mark.weights
def test_bert_base_reads_the_published_figures_after_another_wording(real):
    seen, hidden = (1.7360509696473514e-09, 2.389891340381922e-10), (2.3779614366503665e-07, 1.4282123572684213e-07)
    check_published(real, BATTERY[-1][0], "{} This sentence is", seen, hidden)


def check_published(real, text, prompt, *figures):
    rows = probing.next_word(*real, text, ["positive", "negative"], prompt, READOUTS[:2])
    for row, (positive, negative) in zip(rows, figures, strict=True):
        assert row["p"] == pytest.approx({"positive": positive, "negative": negative}, rel=1e-3)
        assert row["label"] == ("positive" if positive >= negative else "negative")


@pytest.mark.weights
@pytest.mark.parametrize("text", FILLED)
def test_bert_base_fills_the_published_words_in(real, text):
    rows = probing.fill_mask(*real, text)
    assert [(row["id"], row["token"]) for row in rows] == [(id, token) for _, id, token in FILLED[text]]
    assert [row["score"] for row in rows] == pytest.approx([score for score, _, _ in FILLED[text]], rel=1e-3)
    assert [row["sequence"] for row in rows] == [text.lower().replace("[mask]", token) for _, _, token in FILLED[text]]
    given = probing.fill_mask(*real, text, targets=[token for _, _, token in FILLED[text]])
    assert [row["score"] for row in given] == pytest.approx([row["score"] for row in rows], rel=1e-5)
