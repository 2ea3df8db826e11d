"""The weights of words: by hand on a small model, planted words are found, the deletion curve, and what is refused."""

import math
import random

import pytest
import torch

from minbert import BertSentClassifier, BertTokenizer, fast
from minbert.config import Config
from minbert.errors import UserError
from minbert.study import evidence

WORDS = ["the", "film", "was", "bad", "but", "i", "liked", "food", "##s", ".", ","]
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
BOTH = pytest.mark.parametrize("method", evidence.METHODS)


@pytest.fixture(scope="module")
def tokenizer():
    return BertTokenizer({token: id for id, token in enumerate(VOCAB)})


def classifier(seed=0, **sizes):
    torch.manual_seed(seed)
    given = {"vocab_size": len(VOCAB), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    given |= {"intermediate_size": 32, "max_position_embeddings": 24, "num_labels": 3, "initializer_range": 0.3}
    model = BertSentClassifier(Config.of(given | sizes | {"pooling": "mean"}))
    return model.eval()


@pytest.fixture(scope="module")
def planted():
    """A model in which "bad" alone moves class 1 up, and "liked" moves it down."""
    model = classifier(num_labels=2)
    with torch.no_grad():
        for layer in model.bert.encoder.layers:
            for step in (layer.attention.output, layer.feed_forward.contract):
                step.weight.zero_(), step.bias.zero_()
        model.classifier.weight.zero_(), model.classifier.bias.zero_()
        model.classifier.weight[1, 0] = 8.0
        table = model.bert.embeddings.token.weight
        table[:, 0] = 0.0
        table[VOCAB.index("bad"), 0], table[VOCAB.index("liked"), 0] = 2.0, -2.0
    return model


def test_words_are_cut_at_spaces_and_keep_their_pieces(tokenizer):
    text = "  the foods, was bad."
    offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    spans, groups = evidence.words_of(text, offsets)
    assert [text[slice(*span)] for span in spans] == ["the", "foods,", "was", "bad."]
    assert groups == [[1], [2, 3, 4], [5], [6, 7]]  # 0 is [CLS], 8 is [SEP]
    spans, groups = evidence.words_of("a \u200d b", [(0, 0), (0, 1), (4, 5), (0, 0)])
    assert (spans, groups) == ([(0, 1), (4, 5)], [[1], [2]])
    assert evidence.words_of("a  b", [(0, 1), (1, 2), (3, 4)])[1] == [[0], [2]]  # the token of a space is in no word


def test_occlusion_is_what_hiding_a_word_changes(tokenizer):
    model, text = classifier(), "the foods was bad ."
    found = evidence.explain(model, tokenizer, text, number=2)

    def log_odds(written):
        ids = torch.tensor([[VOCAB.index(token) for token in ("[CLS]", *written.split(), "[SEP]")]])
        p = model(ids).double().softmax(-1)[0, 2].item()
        return math.log(p / (1 - p))

    whole = log_odds("the food ##s was bad .")
    for word, hidden in {
        0: "[MASK] food ##s was bad .",
        1: "the [MASK] [MASK] was bad .",
        4: "the food ##s was bad [MASK]",
    }.items():
        assert found.words[word].weight == pytest.approx(whole - log_odds(hidden), abs=1e-5)
    assert found.gap == 0
    assert found.p == pytest.approx(1 / (1 + math.exp(-whole)), abs=1e-6)


def test_integrated_gradients_add_up(tokenizer):
    model, text = classifier(3), "i liked the food but the film was bad"
    found = evidence.explain(model, tokenizer, text, "gradients", number=0)
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    hidden = ids.clone()
    hidden[:, 1:-1] = VOCAB.index("[MASK]")
    due = evidence.log_odds(model(ids), 0) - evidence.log_odds(model(hidden), 0)
    assert sum(word.weight for word in found.words) == pytest.approx(due.item(), abs=0.01)
    assert found.gap == pytest.approx(abs(sum(word.weight for word in found.words) - due.item()), abs=1e-5)
    assert max(abs(word.weight) for word in found.words) > 10 * found.gap


@BOTH
def test_planted_words_are_found(planted, tokenizer, method):
    for order in ("the film was bad but i liked food", "i liked food but the film was bad"):
        found = evidence.explain(planted, tokenizer, order, method, number=1)
        ranked = sorted(zip((word.weight for word in found.words), order.split()))
        assert (ranked[0][1], ranked[-1][1]) == ("liked", "bad")
        largest = max(abs(weight) for weight, word in ranked if word not in ("bad", "liked"))
        assert ranked[0][0] < -2 * largest and ranked[-1][0] > 2 * largest  # the norm lets the others in a little


@BOTH
def test_the_deletion_curve_tells_good_weights_from_chance(planted, tokenizer, method, monkeypatch):
    text = "the film was bad but i liked food"
    good = evidence.explain(planted, tokenizer, text, method, number=1)
    assert good.hidden == list(range(9))
    assert good.own[0] == pytest.approx(good.chance[0]) == pytest.approx(good.p)
    assert good.own[-1] == pytest.approx(good.chance[-1])
    assert good.own[0] > 0.8 and good.own[1] < 0.3  # without "bad"
    assert good.area > 0.05
    turned = dict(evidence.METHODS)
    turned[method] = lambda reader, number: ([-weight for weight in evidence_of(reader, number)[0]], 0.0)
    evidence_of = evidence.METHODS[method]
    monkeypatch.setattr(evidence, "METHODS", turned)
    assert evidence.explain(planted, tokenizer, text, method, number=1).area < -0.05


def test_chance_is_the_mean_of_random_orders_alone(tokenizer):
    model = classifier(2)
    found = evidence.explain(model, tokenizer, "bad film", number=1)

    def p(*tokens):
        ids = torch.tensor([[VOCAB.index(token) for token in ("[CLS]", *tokens, "[SEP]")]])
        return model(ids).softmax(-1)[0, 1].item()

    without = {0: p("[MASK]", "film"), 1: p("bad", "[MASK]")}  # the word that an order hides first
    order = sorted(without, key=lambda word: -found.words[word].weight)
    draw = random.Random(0)
    firsts = [draw.sample(order, 2)[0] for _ in range(evidence.ORDERS)]
    assert 0 < sum(firsts) < len(firsts)
    assert found.own == pytest.approx([p("bad", "film"), without[order[0]], p("[MASK]", "[MASK]")], abs=1e-6)
    assert found.chance[1] == pytest.approx(sum(without[first] for first in firsts) / len(firsts), abs=1e-6)


def test_long_texts_have_a_curve_of_few_points_and_are_cut(tokenizer):
    with pytest.warns(UserWarning, match="longer than 24 tokens"):
        found = evidence.explain(classifier(), tokenizer, "the film was bad " * 20)
    assert len(found.words) == 22  # 24 places, two of them for [CLS] and [SEP]
    assert len(found.hidden) == len(found.own) == evidence.POINTS
    assert found.hidden[0] == 0 and found.hidden[-1] == 22


def test_the_predicted_class_is_explained_unless_another_is_named(tokenizer):
    model, text = classifier(5), "i liked the film"
    predicted = model(torch.tensor([tokenizer(text)["input_ids"]])).argmax().item()
    assert evidence.explain(model, tokenizer, text).number == predicted
    assert evidence.explain(model, tokenizer, text, number=(predicted + 1) % 3).number == (predicted + 1) % 3


def test_the_twin_gives_the_same_occlusion(tokenizer):
    text = "the film was bad , but i liked the foods ."
    plain = evidence.explain(classifier(), tokenizer, text)
    twin = evidence.explain(fast.swap_in(classifier()), tokenizer, text)
    assert [word.weight for word in twin.words] == pytest.approx([word.weight for word in plain.words], abs=1e-4)


def test_the_same_seed_gives_the_same_curve(tokenizer):
    model, text = classifier(), "the film was bad but i liked food"
    one, two = (evidence.explain(model, tokenizer, text, seed=4) for _ in range(2))
    assert one == two
    assert evidence.explain(model, tokenizer, text, seed=5).chance != one.chance


@pytest.mark.parametrize(
    ("text", "method", "said"), [("", "occlusion", "holds no word"), ("bad", "attention", "there is no method")]
)
def test_what_cannot_be_explained_is_refused(tokenizer, text, method, said):
    with pytest.raises(UserError, match=said):
        evidence.explain(classifier(), tokenizer, text, method)
