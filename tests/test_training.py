"""The step where a loss is not finite or classes are weighed, predictions, scores; tests/parts/part7 has the rest."""

import ast
import math
import warnings
from pathlib import Path

import pytest
import torch

from minbert import AdamW, BertSentClassifier, UserError, training
from minbert.batch import Batch
from minbert.metrics import score
from minbert.training import Data, Settings, class_weights, predict, train_epoch, train_step


class Logits(torch.nn.Module):
    """A model that answers with its parameter: the golden logits."""

    def __init__(self, golden):
        super().__init__()
        self.logits = torch.nn.Parameter(golden.stage("logits").clone())

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        return self.logits


@pytest.mark.fault("numbers: a loss or a gradient that is NaN or infinite")
@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_any_weight_moves(golden, poison):
    model = Logits(golden)
    with torch.no_grad():
        model.logits[0, 0] = poison
    before = model.logits.detach().clone()
    with pytest.raises(UserError, match="the loss is nan"):
        train_step(model, golden.batch, torch.optim.SGD(model.parameters(), lr=1.0))
    assert torch.equal(model.logits.nan_to_num(7), before.nan_to_num(7))


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


def test_training_takes_the_written_out_optimizer_and_nothing_else(golden):
    """Two epochs of three steps, as a student writes them down."""
    torch.manual_seed(0)
    model = BertSentClassifier(golden.config)
    optimizer, losses = AdamW(model.parameters()), []
    for _ in range(2):
        rates = iter([0.01, 0.02, 0.01, 5.0])
        train_epoch(model, [golden.batch] * 3, optimizer, rates, watch=lambda loss, rate: losses.append((loss, rate)))
        assert next(rates) == 5.0  # no rate is lost between two epochs
    assert [rate for _, rate in losses] == [0.01, 0.02, 0.01] * 2
    assert losses[-1][0] < losses[0][0] and model.training


def test_the_file_of_the_step_is_short_and_knows_nothing_of_runs_or_of_a_faster_way():
    source = Path(training.__file__).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 170
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = [f"{getattr(node, 'module', '')}.{alias.name}" for node in nodes for alias in node.names]
    assert "minbert.batch.make_batch" in names
    assert not [name for name in names if "runs" in name or "fast" in name or "distributed" in name]
