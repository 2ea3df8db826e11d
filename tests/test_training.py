"""Part 7: from logits to the answer; and training as a whole."""

import math
import warnings

import pytest
import torch

from minbert import BertSentClassifier, Config, UserError, training
from minbert.batch import Batch
from minbert.metrics import score
from minbert.training import Data, Settings, class_weights, default_rate, fit, pick_device, predict, train_step
from tests.diagnosis import check


class Logits(torch.nn.Module):
    """A model that answers with its parameter: the golden logits."""

    def __init__(self, golden):
        super().__init__()
        self.logits = torch.nn.Parameter(golden.stage("logits").clone())

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        return self.logits


@pytest.mark.part7
def test_the_loss_and_its_gradient_equal_the_reference(golden):
    """The gradient of the mean cross-entropy is (softmax - one hot) / B."""
    model = Logits(golden)
    before = model.logits.detach().clone()
    loss = train_step(model, golden.batch, torch.optim.SGD(model.parameters(), lr=0.5), max_grad_norm=None)
    check("loss", torch.tensor(loss), golden.stage("loss"))
    one_hot = torch.eye(before.size(1))[golden.batch.labels]
    gradient = (before.softmax(-1) - one_hot) / len(before)
    mistakes = {
        "the loss is summed, not averaged": gradient * len(before),
        "the labels are ignored": before.softmax(-1),
    }
    check("gradient of the logits", model.logits.grad, gradient, mistakes=mistakes)
    check("logits after the step", model.logits.detach(), before - 0.5 * gradient)


@pytest.mark.part7
def test_gradients_are_clipped_to_their_norm(golden):
    model = Logits(golden)
    train_step(model, golden.batch, torch.optim.SGD(model.parameters(), lr=0.0), max_grad_norm=0.01)
    assert model.logits.grad.norm().item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.part7
def test_old_gradients_are_forgotten(golden):
    model = Logits(golden)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    grads = []
    for _ in range(2):
        train_step(model, golden.batch, optimizer, max_grad_norm=None)
        grads.append(model.logits.grad.clone())
    assert torch.equal(*grads)


@pytest.mark.fault("numbers: a loss or a gradient that is NaN or infinite")
@pytest.mark.part7
@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_any_weight_moves(golden, poison):
    model = Logits(golden)
    with torch.no_grad():
        model.logits[0, 0] = poison
    before = model.logits.detach().clone()
    with pytest.raises(UserError, match="the loss is nan"):
        train_step(model, golden.batch, torch.optim.SGD(model.parameters(), lr=1.0))
    assert torch.equal(model.logits.nan_to_num(7), before.nan_to_num(7))


class Answer(Logits):
    """predict_proba of the real classifier, on golden logits with dropout."""

    predict_proba = BertSentClassifier.predict_proba

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        return torch.nn.functional.dropout(self.logits, 0.5, self.training)


@pytest.mark.part7
def test_probabilities_of_golden_logits(golden):
    probabilities = Answer(golden).predict_proba(golden.batch.input_ids)
    exponentials = golden.stage("logits").exp()
    check("probabilities", probabilities, exponentials / exponentials.sum(-1, keepdim=True))
    assert probabilities.sum(-1).tolist() == pytest.approx([1, 1, 1], abs=1e-6)


@pytest.mark.part7
def test_probabilities_need_no_eval_and_leave_the_mode_alone(golden):
    model = Answer(golden).train()
    first, second = (model.predict_proba(golden.batch.input_ids) for _ in range(2))
    assert torch.equal(first, second) and model.training and not first.requires_grad


@pytest.mark.part7
def test_weights_of_classes_by_hand():
    weights = class_weights([0, 0, 0, 1], 3)
    assert weights.tolist() == pytest.approx([4 / (3 * 3), 4 / (3 * 1), 0])


def test_weighed_loss_is_the_mean_over_examples_by_weight(golden):
    model = Logits(golden)
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0])
    loss = train_step(model, golden.batch, torch.optim.SGD(model.parameters(), lr=0.0), weight)
    labels = golden.batch.labels
    each = -golden.stage("logits").log_softmax(-1)[range(3), labels]
    assert loss == pytest.approx(((weight[labels] * each).sum() / weight[labels].sum()).item(), rel=1e-5)


# Runs


@pytest.fixture
def lessons(tokenizer):
    """Eight sentences that one word decides."""
    texts = [
        f"the {thing} was {word}" for thing in ("film", "plot") for word in ("good", "bad", "wonderful", "unaffable")
    ]
    return Data(tokenizer(texts), [1, 0, 1, 0] * 2)


SETTINGS = Settings(epochs=30, batch_size=3, lr=0.01, seed=5)


def train(tiny, lessons, dev=None, **changes):
    torch.manual_seed(0)
    sizes = {"initializer_range": 0.2, "option": changes.pop("option", "flexible"), "pooling": "mean"}
    model = BertSentClassifier(tiny.change(**sizes))
    history = fit(model, lessons, dev, Settings(**{**vars(SETTINGS), **changes}))
    return model, history


def test_it_learns_by_heart(tiny, lessons):
    model, history = train(tiny, lessons)
    assert history[0]["loss"] > 0.4 and history[-1]["loss"] < 0.02
    assert predict(model, lessons).argmax(-1).tolist() == lessons.labels


@pytest.mark.parametrize("option", ["flexible", "pretrain"])
def test_nothing_to_learn_from_or_to_choose_by_is_refused_at_once(tiny, lessons, option):
    model = BertSentClassifier(tiny.change(option=option))
    none, unlabelled = Data({name: [] for name in lessons.encoding}, []), Data(lessons.encoding, None)
    for train_data, dev in ((none, None), (lessons, none), (lessons, unlabelled), (unlabelled, None)):
        with pytest.raises(UserError, match="texts with labels"):
            fit(model, train_data, dev, SETTINGS)
    with pytest.raises(UserError, match="no text to read"):
        predict(model, none)


def test_a_frozen_encoder_lets_only_the_head_learn(tiny, lessons):
    model, history = train(tiny, lessons, option="pretrain", lr=0.3, epochs=60)
    assert history[-1]["loss"] < 0.1 < history[0]["loss"]
    torch.manual_seed(0)
    fresh = BertSentClassifier(tiny.change(initializer_range=0.2))
    for name, value in fresh.bert.state_dict().items():
        assert torch.equal(value, model.bert.state_dict()[name]), name


@pytest.mark.fault("numbers: one seed, two results")
def test_the_same_seed_gives_the_same_bits_and_another_seed_another_order(tiny, lessons):
    states = [train(tiny, lessons, epochs=3, seed=seed)[0].state_dict() for seed in (5, 5, 6)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert any(not torch.equal(value, states[2][name]) for name, value in states[0].items())


def test_the_best_epoch_on_dev_is_kept(tiny, lessons, monkeypatch):
    """Dev accuracies are set to .5, .9, .9, .7: the first .9 is kept, and its weights come back."""
    accuracies, seen = iter([0.5, 0.9, 0.9, 0.7]), []

    def scripted(gold, predicted, names):
        scores = score(gold, predicted, names)
        scores.accuracy = next(accuracies)
        return scores

    real_predict = training.predict

    def watched(model, *args):
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return real_predict(model, *args)

    monkeypatch.setattr(training, "score", scripted)
    monkeypatch.setattr(training, "predict", watched)
    model, history = train(tiny, lessons, dev=lessons, epochs=4)
    assert [figures["best"] for figures in history] == [True, True, False, False]
    assert all(torch.equal(value, seen[1][name]) for name, value in model.state_dict().items())
    assert not torch.equal(seen[1]["classifier.weight"], seen[3]["classifier.weight"])


def test_the_loss_of_an_epoch_is_the_mean_over_examples_not_batches(tiny, lessons):
    """8 examples in batches of 3, 3 and 2."""
    losses = []
    torch.manual_seed(0)
    model = BertSentClassifier(tiny)
    history = fit(
        model, lessons, None, Settings(epochs=1, batch_size=3, lr=0.01), watch=lambda loss, rate: losses.append(loss)
    )
    assert history[0]["loss"] == pytest.approx((3 * losses[0] + 3 * losses[1] + 2 * losses[2]) / 8, rel=1e-6)


def test_the_learning_rate_follows_its_schedule(tiny, lessons):
    rates = []
    settings = Settings(epochs=2, batch_size=2, lr=1.0, warmup=2, schedule="linear")
    fit(BertSentClassifier(tiny), lessons, None, settings, watch=lambda loss, rate: rates.append(rate))
    assert rates == pytest.approx([0, 1 / 2, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


def test_steps_of_a_run():
    assert Settings(epochs=3, batch_size=16, lr=1).steps(8544) == (534, 1602, 161)
    assert Settings(epochs=3, batch_size=16, lr=1, warmup=500).steps(100) == (7, 21, 500)


@pytest.mark.fault("numbers: an answer that depends on other texts, padding or order")
def test_predictions_come_in_the_order_of_the_texts_whatever_the_batch(tiny, tokenizer, monkeypatch):
    torch.manual_seed(0)
    model = BertSentClassifier(tiny.change(initializer_range=0.5)).train()
    texts = ["the film " * size for size in (2, 1, 7, 3, 1, 12, 5)]
    texts[4] = "a plot"
    alone = torch.cat([predict(model, Data(tokenizer([text]), None)) for text in texts])
    assert len(alone.unique(dim=0)) == 7
    for tokens in (1, 20, 1000):
        monkeypatch.setitem(training.TOKENS, "cpu", tokens)
        assert torch.allclose(predict(model, Data(tokenizer(texts), None)), alone, atol=1e-5)


@pytest.mark.fault("device: a GPU that is missing or unusable")
def test_a_device_that_is_not_there_is_refused_and_auto_finds_one():
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    for name, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())):
        if not there:
            with pytest.raises(UserError, match=f"no {name} device"):
                pick_device(name)


def test_scores_by_hand():
    """gold 0 0 0 1 2, predicted 0 0 1 1 1: F1 of class 0 is 2*1*(2/3)/(5/3) = .8, of 1 it is .5, of 2 it is 0."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = score([0, 0, 0, 1, 2], [0, 0, 1, 1, 1], ["bad", "fair", "good"])
    assert scores.accuracy == pytest.approx(0.6)
    assert scores.macro_f1 == pytest.approx((0.8 + 0.5 + 0) / 3)
    assert scores.table["bad"]["recall"] == pytest.approx(2 / 3) and scores.table["fair"]["support"] == 1
    assert scores.table["weighted avg"]["f1-score"] == pytest.approx((3 * 0.8 + 0.5) / 5)
    assert scores.matrix == [[2, 1, 0], [0, 1, 0], [0, 1, 0]]
    assert all(word in scores.report for word in ("bad", "macro avg", "weighted avg", "0.6000"))
    assert scores.confusion.splitlines()[1].split() == ["gold", "bad", "2", "1", "0"]


def test_a_batch_moves_without_labels_too():
    ids = torch.ones(1, 2)
    assert Batch(ids, ids, ids, None).to("cpu").labels is None


@pytest.mark.parametrize(
    "option, size, rate",
    [("flexible", 768, 5e-5), ("flexible", 384, 5e-5), ("flexible", 256, 1e-4), ("pretrain", 256, 1e-3)],
)
def test_the_default_learning_rate(option, size, rate):
    assert default_rate(Config(option=option, hidden_size=size, num_attention_heads=4)) == rate


@pytest.mark.parametrize("precision, dtype", [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_precision_is_what_matrices_are_multiplied_in(golden, precision, dtype):
    """The weights stay float32, and so do the logits that leave predict and the gradients."""
    model = BertSentClassifier(golden.config)
    seen = []
    model.bert.pooler.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    loss = train_step(model, golden.batch, torch.optim.SGD(model.parameters(), lr=0.0), precision=precision)
    rows = {name: getattr(golden.batch, name).tolist() for name in ("input_ids", "attention_mask", "token_type_ids")}
    logits = predict(model, Data(rows, None), precision=precision)
    assert seen[0] == dtype and seen[-1] == dtype
    assert logits.dtype == torch.float32
    assert {p.dtype for p in model.parameters()} | {p.grad.dtype for p in model.parameters()} == {torch.float32}
    exact = train_step(model, golden.batch, torch.optim.SGD(model.parameters(), lr=0.0))
    assert (loss == exact) == (precision == "fp32") and loss == pytest.approx(exact, rel=0.05)
