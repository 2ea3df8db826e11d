"""Part 7: from logits to the loss, the step and the answer. The model is a stand-in of two weights with dropout."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from minbert.course.probes import Probe, gradient, lengths, names, normal, refusal

B, T, D, C, V = 5, 4, 6, 3, 11


class Model(nn.Module):
    """Token vectors, dropout, their mean over real tokens, a linear layer: the shape of a classifier."""

    def __init__(self, table, weight):
        super().__init__()
        self.table, self.weight = nn.Parameter(table.clone()), nn.Parameter(weight.clone())
        self.unused = nn.Parameter(torch.ones(2))
        self.dropout = nn.Dropout(0.3)
        self.seen = []

    def features(self, input_ids, attention_mask=None, token_type_ids=None):
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        segments = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        places = 1 + 0.1 * torch.arange(input_ids.size(1)) + 0.5 * segments
        x = self.table[input_ids] * (mask * places)[:, :, None]
        return self.dropout(x.sum(1) / mask.sum(1, keepdim=True).clamp(min=1))

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        return self.features(input_ids, attention_mask, token_type_ids) @ self.weight


def inputs(rng, sizes=(B,), **more):
    """A batch for each of `sizes`, of so many texts."""
    found = {"table": normal(rng, V, D, scale=2.0), "weight": normal(rng, D, C, scale=2.0)}
    for number, size in enumerate(sizes):
        segments = np.array([[int(at > row) for at in range(T)] for row in range(size)])
        found |= {f"ids{number}": rng.integers(1, V, (size, T)), f"segments{number}": segments}
        found |= {f"mask{number}": lengths(*[T, *rng.integers(1, T + 1, size - 1)])}
        found |= {f"labels{number}": rng.permutation(np.arange(size) % C)}
    return found | more


def several(rng, **more):
    return inputs(rng, (B, 3, 4), **more)


def batches(given):
    count = sum(name.startswith("ids") for name in given)
    return [tuple(given[f"{name}{at}"] for name in ("ids", "mask", "segments", "labels")) for at in range(count)]


def class_weight(balanced):
    return torch.tensor([0.4, 2.5, 1.1]) if balanced else None


def ask_loss(code, table, weight, balanced=False, **given):
    model = Model(table, weight).eval()
    loss = code.training.batch_loss(model, batches(given)[0], class_weight(balanced))
    yield "loss", loss
    loss.backward()
    yield "gradient", gradient(model.weight)


def ask_bfloat16(code, table, weight, **given):
    model = Model(table, weight).eval()
    seen = []

    def forward(*inputs):
        logits = model(*inputs)
        seen.append(str(logits.dtype))
        return logits

    loss = code.training.batch_loss(forward, batches(given)[0], None, "bf16")
    yield "the model computes in", names(seen)
    yield "the loss is computed in", [str(loss.dtype)]


def ask_step(code, table, weight, balanced=False, max_grad_norm=0.0, momentum=0.0, training=False, **given):
    """A step for each batch, with plain gradient descent."""
    model = Model(table, weight).train(training)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=momentum)
    for number, batch in enumerate(batches(given), start=1):
        options = {"weight": class_weight(balanced), "max_grad_norm": max_grad_norm or None}
        options = options if max_grad_norm >= 0 else {}  # the defaults
        yield f"loss of step {number}", float(code.training.train_step(model, batch, optimizer, **options))
        yield f"weight after step {number}", model.weight
        yield f"table after step {number}", model.table
    yield "gradient at the end", gradient(model.weight)


def ask_update(code, table, weight, max_grad_norm, factor=1.0, **given):
    """The loss of one batch is handed to `update`; a gradient is left over from before."""
    model = Model(table, weight).eval()
    optimizer, passes = Counting(model.parameters(), lr=0.3), []
    model.weight.register_hook(lambda gradient: passes.append(gradient))
    *ids, labels = batches(given)[0]
    model.weight.grad, model.table.grad = torch.ones_like(weight), torch.ones_like(table)
    code.training.update(model, factor * F.cross_entropy(model(*ids), labels), optimizer, max_grad_norm)
    yield "weight", model.weight
    yield "table", model.table
    yield "gradient of weight", gradient(model.weight)
    yield "steps and passes backward", torch.tensor([float(optimizer.steps), float(len(passes))])


class Counting(torch.optim.SGD):
    steps = 0

    def step(self, closure=None):
        self.steps += 1
        return super().step(closure)


def ask_refusals(code, table, weight, **given):
    for what, spoil, *most in (
        ("loss is NaN", lambda x: x * torch.nan),
        ("loss is infinite", lambda x: x * torch.inf),
        ("loss is infinite, its gradient is not", lambda x: x + torch.inf),
        ("gradient is NaN", lambda x: (0 * x).sqrt()),
        ("gradient is NaN, and max_grad_norm None", lambda x: (0 * x).sqrt(), None),
    ):
        model = Model(table, weight).eval()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
        loss = spoil(model(*batches(given)[0][:-1]).square().mean())
        yield f"the {what}", [refusal(code.training.update, model, loss, optimizer, *most)]
        yield f"the {what}: weight", model.weight


def ask_clip(code, first, second, third, max_norm):
    weights = [nn.Parameter(torch.zeros_like(x)) for x in (first, second, third)] + [nn.Parameter(torch.zeros(2))]
    for weight, given in zip(weights, (first, second, third)):
        weight.grad = given
    norm = code.optimizer.clip(weights, max_norm)
    for number, weight in enumerate(weights[:3], start=1):
        yield f"gradient {number}", weight.grad
    yield "option: the norm that is returned", norm


def clipping(scale, max_norm):
    def draw(rng):
        shapes = {"first": (2, 3), "second": (4,), "third": (1, 2, 2)}
        return {name: normal(rng, *shape, scale=scale) for name, shape in shapes.items()} | {"max_norm": max_norm}

    return draw


def ask_epoch(code, table, weight, rates, training=False, **given):
    """There are more rates than batches."""
    model, watched, rates = Model(table, weight).train(training), [], iter(rates.tolist())
    groups = [{"params": [model.table]}, {"params": [model.weight], "momentum": 0.5}]
    optimizer = torch.optim.SGD(groups, lr=9.0)
    options = {"max_grad_norm": 2.0, "watch": lambda *told: watched.append(list(told))}
    code.training.train_epoch(model, batches(given), optimizer, rates, class_weight(True), **options)
    yield "losses that are told", torch.tensor([loss for loss, _ in watched])
    yield "option: rates that are told", torch.tensor([rate for _, rate in watched])
    yield "rates that are left", torch.tensor(list(rates))
    yield "weight", model.weight
    yield "table", model.table
    yield "the model's mode", ["training" if model.training else "evaluation"]


def epoch(rng):
    return several(rng, rates=np.array([0.3, 0.1, 0.4, 0.2]))


def ask_rate(code, rate):
    weights = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": weights[:1]}, {"params": weights[1:], "lr": 0.5}], lr=0.1)
    code.training.set_rate(optimizer, rate)
    yield "rates", torch.tensor([group["lr"] for group in optimizer.param_groups])


def ask_class_weights(code, labels, classes):
    yield "class weights", code.training.class_weights(labels.tolist(), classes).float()


def labelled(rng):
    return {"labels": rng.permutation([0] * 5 + [1] + [3] * 3), "classes": 5}


def ask_steps(code, examples):
    for batch_size, epochs, warmup in ((8, 3, 0.1), (7, 2, 5.0), (9, 2, 1.0), (examples, 1, 0.0)):
        settings = code.training.Settings(epochs=epochs, batch_size=batch_size, lr=0.1, warmup=warmup)
        yield f"steps, batches of {batch_size}", torch.tensor([float(count) for count in settings.steps(examples)])


def ask_predict(code, table, weight, text_sizes, training=True, **given):
    """Texts of several lengths. The answers come in the order of the texts."""
    model = Model(table, weight).train(training)
    rows = [[1 + (7 * row + at) % (V - 1) for at in range(size)] for row, size in enumerate(text_sizes.tolist())]
    segments = [[int(2 * at > len(row)) for at in range(len(row))] for row in rows]
    encoding = {"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows], "token_type_ids": segments}
    logits = code.training.predict(model, code.training.Data(encoding, None))
    yield "logits", logits
    yield "a gradient is kept", ["yes" if logits.requires_grad else "no"]
    yield "features", code.training.features(model, code.training.Data(encoding, None))


def ask_in_order(code, order, rows):
    yield "rows", code.training.in_order(order.tolist(), list(rows.split(3)))


def shuffled(rng):
    return {"order": rng.permutation(10), "rows": normal(rng, 10, 2)}


def ask_answer(code, table, weight, training, **given):
    """`predict_proba` of a model that is in training mode, or not."""
    model = Model(table, weight).train(training)
    model.config = code.config.Config()
    probabilities = code.heads.BertSentClassifier.predict_proba(model, *batches(given)[0][:-1])
    yield "probabilities", probabilities
    yield "the model's mode afterwards", names(["training" if model.training else "evaluation"])
    yield "a gradient is kept", ["yes" if probabilities.requires_grad else "no"]


PROBES = (
    Probe("batch_loss", inputs, ask_loss),
    Probe("batch_loss, weights of classes", lambda rng: inputs(rng, balanced=True), ask_loss),
    Probe("train_step, not clipped", lambda rng: several(rng), ask_step),
    Probe("train_step, clipped", lambda rng: several(rng, max_grad_norm=0.7), ask_step),
    Probe("option: train_step, defaults", lambda rng: several(rng, max_grad_norm=-1.0), ask_step),
    Probe("train_step, weights of classes", lambda rng: several(rng, balanced=True), ask_step),
    Probe("train_step, training", lambda rng: several(rng, training=True, momentum=0.5, max_grad_norm=3.0), ask_step),
    Probe("update, clipped", lambda rng: inputs(rng, max_grad_norm=0.5), ask_update),
    Probe("update, small gradient", lambda rng: inputs(rng, max_grad_norm=50.0), ask_update),
    Probe("update, refusals", inputs, ask_refusals),
    Probe("clip, large gradients", clipping(5.0, 1.5), ask_clip),
    Probe("clip, small gradients", clipping(0.1, 1.5), ask_clip),
    Probe("train_epoch", epoch, ask_epoch),
    Probe("train_epoch, in training mode before", lambda rng: epoch(rng) | {"training": True}, ask_epoch),
    Probe("set_rate", lambda rng: {"rate": 0.7}, ask_rate),
    Probe("class_weights", labelled, ask_class_weights),
    Probe("steps of a run", lambda rng: {"examples": int(rng.integers(300, 400))}, ask_steps),
    Probe("predict", lambda rng: inputs(rng, text_sizes=np.array([3, 700, 1, 9, 500, 9, 2, 40])), ask_predict),
    Probe("in_order", shuffled, ask_in_order),
    Probe("predict_proba, evaluation", lambda rng: inputs(rng, training=False), ask_answer),
    Probe("predict_proba, training", lambda rng: inputs(rng, training=True), ask_answer),
    Probe("option: batch_loss, bfloat16", inputs, ask_bfloat16),
)
