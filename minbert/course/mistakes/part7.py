"""Known mistakes of part 7: the loss, one step, an epoch, predictions. Nearly all show in training only."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from minbert.course.mistakes import Around
from minbert.optimizer import clip as right_clip
from minbert.training import NotFinite, in_order, train_step

# The loss


def loss(of):
    """of  a function of (logits, labels, weight)"""

    def batch_loss(model, batch, weight=None, precision="fp32"):
        *inputs, labels = batch
        return of(model(*inputs), labels, weight)

    return batch_loss


def fewer(inputs, mode=None):
    """A wrong `batch_loss` that calls the model with fewer inputs, or in another mode."""

    def batch_loss(model, batch, weight=None, precision="fp32"):
        *given, labels = batch
        if mode is not None:
            model.train(mode)
        given = [given[0], None, given[2]] if isinstance(inputs, tuple) else given[:inputs]
        return right_loss(model(*given), labels, weight)

    return batch_loss


def right_loss(logits, labels, weight):
    return F.cross_entropy(logits, labels, weight)


def each(logits, labels, weight=None):
    return F.cross_entropy(logits, labels, weight, reduction="none")


def one_hot(logits, labels):
    return F.one_hot(labels, logits.size(1)).to(logits.dtype)


def uncounted(change):
    """With weights of classes, something else than their weighted mean."""
    return lambda x, y, w: right_loss(x, y, w) if w is None else change(x, y, w)


WEIGHTS = "With weights of classes, by what is the sum divided?"
LOSSES = {
    ("training.batch_loss", "Work the loss out by hand for two texts.", True): {
        "the model does not get the mask and the segments": fewer(1),
        "the model does not get the segments": fewer(2),
        "the model does not get the mask": fewer((0, 2)),
        "the loss is computed in evaluation mode": fewer(3, False),
        "the loss is summed, not averaged": loss(lambda x, y, w: F.cross_entropy(x, y, w, reduction="sum")),
        "the loss is divided by the classes as well": loss(lambda x, y, w: right_loss(x, y, w) / x.size(1)),
        "the loss is divided by the number of classes, not of texts": loss(
            lambda x, y, w: F.cross_entropy(x, y, w, reduction="sum") / x.size(1)
        ),
        "the softmax is taken twice": loss(lambda x, y, w: right_loss(x.softmax(-1), y, w)),
        "the loss is the probability, not its negative logarithm": loss(
            lambda x, y, w: F.nll_loss(x.softmax(-1), y, w)
        ),
        "the softmax is forgotten: the loss is minus the logit": loss(lambda x, y, w: F.nll_loss(x, y, w)),
        "the sign of the loss is wrong": loss(lambda x, y, w: -right_loss(x, y, w)),
        "the softmax runs over the batch": loss(lambda x, y, w: F.nll_loss(x.log_softmax(0), y, w)),
        "the logarithm is to the base 2": loss(lambda x, y, w: right_loss(x, y, w) / math.log(2)),
        "the loss is the squared difference of probabilities": loss(
            lambda x, y, w: (x.softmax(-1) - one_hot(x, y)).square().sum(-1).mean()
        ),
        "the loss is the mean squared difference of probabilities": loss(
            lambda x, y, w: F.mse_loss(x.softmax(-1), one_hot(x, y))
        ),
        "the loss is the mean squared difference of logits": loss(lambda x, y, w: F.mse_loss(x, one_hot(x, y))),
        "the loss is that of C yes-or-no questions (sigmoids)": loss(
            lambda x, y, w: F.binary_cross_entropy_with_logits(x, one_hot(x, y))
        ),
        "the labels are smoothed by 0.1": loss(lambda x, y, w: F.cross_entropy(x, y, w, label_smoothing=0.1)),
        "the labels are shifted by one class": loss(lambda x, y, w: right_loss(x, (y + 1) % x.size(1), w)),
        "the labels are in another order than the texts": loss(lambda x, y, w: right_loss(x, y.flip(0), w)),
        "the labels are shifted by one text": loss(lambda x, y, w: right_loss(x, y.roll(1), w)),
        "only the last text counts": loss(lambda x, y, w: right_loss(x[-1:], y[-1:], w)),
        "only the first text counts": loss(lambda x, y, w: right_loss(x[:1], y[:1], w)),
        "only the worst text counts": loss(lambda x, y, w: each(x, y, w).max()),
        "class 0 does not count, as if it were padding": loss(lambda x, y, w: F.cross_entropy(x, y, w, ignore_index=0)),
        "the weights of classes are ignored": loss(lambda x, y, w: right_loss(x, y, None)),
        "with weights of classes, the sum is divided by the texts, not by their weights": loss(
            lambda x, y, w: each(x, y, w).mean()
        ),
        "with weights of classes, the loss is summed": loss(uncounted(lambda x, y, w: each(x, y, w).sum())),
        "the weights of classes multiply the logits": loss(uncounted(lambda x, y, w: right_loss(x * w, y, None))),
        "the weights of classes divide": loss(uncounted(lambda x, y, w: right_loss(x, y, 1 / w))),
        "the weights of classes are squared": loss(uncounted(lambda x, y, w: right_loss(x, y, w * w))),
        "the weights are taken of the predicted class": loss(
            uncounted(lambda x, y, w: (each(x, y) * w[x.argmax(-1)]).sum() / w[x.argmax(-1)].sum())
        ),
    },
}


def balance(of):
    """of  a function of (counts [C], number of labels)"""

    def class_weights(labels, classes):
        return of(torch.bincount(torch.tensor(labels), minlength=classes).float(), len(labels))

    return class_weights


def present(counts, values, absent=0.0):
    return torch.where(counts > 0, values, torch.as_tensor(absent))


BALANCE = {
    ("training.class_weights", "Which class weighs more, a rare or a frequent one? And the mean?", True): {
        "frequent classes weigh more: the weights are the frequencies": balance(lambda n, size: n / size),
        "the weights are counts": balance(lambda n, size: n),
        "the weights are not divided by the number of classes": balance(
            lambda n, size: present(n, size / n.clamp(min=1))
        ),
        "the weights are one over the counts": balance(lambda n, size: present(n, 1 / n.clamp(min=1))),
        "the weights sum to 1": balance(
            lambda n, size: present(n, 1 / n.clamp(min=1)) / present(n, 1 / n.clamp(min=1)).sum()
        ),
        "the weights sum to C": balance(
            lambda n, size: len(n) * present(n, 1 / n.clamp(min=1)) / present(n, 1 / n.clamp(min=1)).sum()
        ),
        "the classes that occur are counted, not all": balance(
            lambda n, size: present(n, size / ((n > 0).sum() * n.clamp(min=1)))
        ),
        "a class that does not occur weighs as if it occurred once": balance(
            lambda n, size: size / (len(n) * n.clamp(min=1))
        ),
        "a class that does not occur weighs infinitely much": balance(lambda n, size: size / (len(n) * n)),
        "a class that does not occur weighs 1": balance(
            lambda n, size: present(n, size / (len(n) * n.clamp(min=1)), 1.0)
        ),
        "the largest count is divided, not the mean count": balance(
            lambda n, size: present(n, n.max() / n.clamp(min=1))
        ),
        "the weights are square roots": balance(lambda n, size: present(n, (size / (len(n) * n.clamp(min=1))).sqrt())),
        "one is added to each count": balance(lambda n, size: size / (len(n) * (n + 1))),
        "the weights are upside down: C n_c / n": balance(lambda n, size: len(n) * n / size),
        "every class weighs 1": balance(lambda n, size: torch.ones_like(n)),
    },
}

# The step


def each_value(parameters, most):
    parameters = list(parameters)
    norm = right_clip(parameters, math.inf)
    nn.utils.clip_grad_value_(parameters, most)
    return norm


def scaled(factor, each=False, last=False):
    """A wrong `clip`. factor  a function of (norm, most); each  for each weight by itself; last  whose norm returns"""

    def clip(parameters, most):
        grads = [p.grad for p in parameters if p.grad is not None]
        norm = torch.cat([grad.flatten() for grad in grads]).norm()
        norms = [grad.norm() for grad in grads]
        for grad, own in zip(grads, norms):
            grad.mul_(factor(own if each else norm, most))
        return norms[-1] if last else norm

    return clip


def only(pick):
    def clip(parameters, most):
        return right_clip([p for p in parameters if p.grad is not None][pick], most)

    return clip


def cap(norm, most):
    return (most / (norm + 1e-6)).clamp(max=1.0)


def norm_of(measure):
    """A wrong `clip` with another norm. measure  a function of all numbers of all gradients"""

    def clip(parameters, most):
        grads = [p.grad for p in parameters if p.grad is not None]
        norm = measure(torch.cat([grad.flatten() for grad in grads]))
        for grad in grads:
            grad.mul_(cap(norm, most))
        return norm

    return clip


def of_norms(combine):
    """A wrong `clip` that combines the norms of the weights' gradients otherwise."""

    def clip(parameters, most):
        grads = [p.grad for p in parameters if p.grad is not None]
        norm = combine(torch.stack([grad.norm() for grad in grads]))
        for grad in grads:
            grad.mul_(cap(norm, most))
        return norm

    return clip


def norm_after(parameters, most):
    return torch.minimum(right_clip(parameters, most), torch.as_tensor(float(most)))


CLIPS = {
    ("optimizer.clip", "Two weights, gradients of norm 3 and 4: what comes out at most 1?", True): {
        "each number is clipped, not the norm": each_value,
        "the gradient is divided by its norm only": scaled(lambda norm, most: 1 / (norm + 1e-06)),
        "small gradients are scaled up": scaled(lambda norm, most: most / (norm + 1e-06)),
        "each weight's gradient is clipped to the norm by itself": [
            scaled(cap, each=True),
            scaled(cap, each=True, last=True),
        ],
        "the gradient is divided by its norm once too often": scaled(lambda norm, most: cap(norm, most) ** 2),
        "the norm is not clipped: nothing is scaled": scaled(lambda norm, most: 1.0),
        "only small gradients are scaled": scaled(lambda norm, most: (most / (norm + 1e-06)).clamp(min=1.0)),
        "the gradient is multiplied by the limit": scaled(lambda norm, most: most if norm > most else 1.0),
        "the gradient is set to 0 if its norm is too large": scaled(lambda norm, most: float(norm <= most)),
        "the norm is the sum of sizes (L1)": norm_of(lambda x: x.abs().sum()),
        "the norm is the largest size": norm_of(lambda x: x.abs().max()),
        "the norm is squared: the root is forgotten": norm_of(lambda x: x.square().sum()),
        "the norm is that of the mean square": norm_of(lambda x: x.square().mean().sqrt()),
        "the norms of the weights' gradients are added up": of_norms(torch.sum),
        "the norm is the largest of the weights' norms": of_norms(torch.max),
        "the norm is the mean of the weights' norms": of_norms(torch.mean),
        "the norm after clipping is returned": norm_after,
        "only the first weight's gradient is clipped": only(slice(0, 1)),
        "only the last weight's gradient is clipped": only(slice(-1, None)),
    },
}


def steps(order="zero backward clip check step", most=lambda most: most, retain=1):
    """A wrong `update` with its deeds in another order, some left out, some done twice."""

    def update(model, loss, optimizer, max_grad_norm=1.0, clip=right_clip):
        norm = torch.zeros(())
        left = order.split().count("backward")
        for deed in order.split():
            if deed == "zero":
                optimizer.zero_grad()
            elif deed == "zero_model":
                model.zero_grad(set_to_none=False)
            elif deed == "backward":
                left -= 1
                loss.backward(retain_graph=left > 0)
            elif deed == "strict_clip" or (deed == "clip" and any(p.grad is not None for p in model.parameters())):
                norm = clip(model.parameters(), most(max_grad_norm) or math.inf)
            elif (deed == "check_loss" and not loss.isfinite()) or (
                deed == "check" and not (loss.isfinite() and norm.isfinite())
            ):
                raise NotFinite("not finite")
            elif deed == "step":
                optimizer.step()

    return update


UPDATES = {
    ("training.update", "In which order: clear, backward, clip, step?", True): {
        "the gradient is not clipped": [steps("zero backward check step"), steps(most=lambda most: None)],
        "the gradient is clipped after the step": steps("zero backward check step clip"),
        "the gradient of the step before is not cleared": steps("backward clip check step"),
        "gradients are cleared after the step, not before backward": steps("backward clip check step zero"),
        "gradients are cleared between backward and step": [
            steps("backward clip check zero step"),
            steps("backward zero strict_clip check step"),
        ],
        "the step comes before backward: it is one step late": steps("step zero backward clip check"),
        "the step comes before backward, with nothing to go by": steps("zero step backward clip check"),
        "the step is forgotten": steps("zero backward clip check"),
        "the step is taken twice": steps("zero backward clip check step step"),
        "backward is forgotten": steps("zero clip check step"),
        "backward runs twice: gradients are doubled": steps("zero backward backward clip check step"),
        "the gradient is clipped twice as hard": steps(most=lambda most: most and most / 2),
        "the gradient is always clipped to 1": steps(most=lambda most: 1.0),
        "without max_grad_norm, the gradient is clipped to 1": steps(most=lambda most: most or 1.0),
        "a loss that is not finite is not refused": steps("zero backward clip step"),
        "a gradient that is not finite is not refused": steps("zero backward clip check_loss step"),
        "a loss that is not finite is refused after the step": steps("zero backward clip step check"),
    },
}


def returning(change):
    """train_step with another answer. change  (loss before, model, batch, weight) -> number"""

    def make(right):
        def train_step(model, batch, optimizer, weight=None, max_grad_norm=1.0, precision="fp32"):
            loss = right(model, batch, optimizer, weight, max_grad_norm, precision)
            return change(loss, model, batch, weight)

        return train_step

    return Around(make)


def loss_again(loss, model, batch, weight):
    *inputs, labels = batch
    return F.cross_entropy(model(*inputs), labels, weight).item()


def handed(**changes):
    """train_step that hands something else on."""

    def make(right):
        def train_step(model, batch, optimizer, weight=None, max_grad_norm=1.0, precision="fp32"):
            given = {"weight": weight, "max_grad_norm": max_grad_norm, "precision": precision}
            return right(model, batch, optimizer, **(given | changes))

        return train_step

    return Around(make)


def in_mode(mode):
    def make(right):
        def train_step(model, *rest, **options):
            was = model.training
            model.train(mode)
            loss = right(model, *rest, **options)
            model.train(was)
            return loss

        return train_step

    return Around(make)


def without_inputs(count):
    """train_step that calls the model with the first inputs only."""

    def make(right):
        def train_step(model, batch, *rest, **options):
            return right(model, (*batch[:count], batch[-1]), *rest, **options)

        return train_step

    return Around(make)


RETURN = "What does train_step return: of which weights, of how many texts?"
TRAIN_STEP = {
    ("training.train_step", RETURN, True): {
        "train_step returns the loss after the step": returning(loss_again),
        "train_step returns the sum over the batch": returning(lambda loss, model, batch, w: loss * len(batch[-1])),
        "train_step returns nothing that counts: 0": returning(lambda loss, model, batch, w: 0.0),
        "train_step does not hand on the weights of classes": handed(weight=None),
        "train_step does not hand on max_grad_norm": handed(max_grad_norm=1.0),
        "train_step never clips": handed(max_grad_norm=None),
        "the step is taken in evaluation mode": in_mode(False),
        "train_step puts the model into training mode by itself": in_mode(True),
        "the model does not get the mask and the segments": without_inputs(1),
        "the model does not get the segments": without_inputs(2),
    },
}


def epoch(
    mode=True,
    rate=lambda rates, number: rates[number],
    before=True,
    first_only=False,
    batches=lambda batches: batches,
    told=lambda losses, rate: (losses[-1], rate),
    hand=lambda weight, most: (weight, most),
    rates_first=False,
):
    """A wrong `train_epoch`. told  what is told of a batch: a function of (losses so far, rate)"""

    def train_epoch(
        model, stream, optimizer, rates, weight=None, max_grad_norm=1.0, precision="fp32", watch=lambda loss, rate: None
    ):
        if mode is not None:
            model.train(mode)
        losses, seen = [], []
        pairs = zip(rates, batches(stream)) if rates_first else zip(batches(stream), rates)
        for number, pair in enumerate(pairs):
            batch, given = pair[::-1] if rates_first else pair
            seen.append(given)
            used = rate(seen, number)
            groups = optimizer.param_groups[:1] if first_only else optimizer.param_groups

            def set_rates(groups=groups, used=used):
                for group in groups:
                    group["lr"] = used

            set_rates() if before else None
            weights, most = hand(weight, max_grad_norm)
            losses.append(train_step(model, batch, optimizer, weights, most, precision))
            set_rates() if not before else None
            watch(*told(losses, used))

    return train_epoch


TRAIN_EPOCH = {
    ("training.train_epoch", "For each batch: which rate, which mode, which step?", True): {
        "an epoch leaves the model in evaluation mode: no dropout": epoch(mode=None),
        "an epoch puts the model into evaluation mode": epoch(mode=False),
        "each batch gets the rate of the batch before": epoch(rate=lambda seen, number: seen[max(0, number - 1)]),
        "the rate is set after the step: it comes one step late": epoch(before=False),
        "every batch gets the first rate": epoch(rate=lambda seen, number: seen[0]),
        "the rate is never set": epoch(rate=lambda seen, number: 9.0),
        "only the first group gets the rate": epoch(first_only=True),
        "the rates add up": epoch(rate=lambda seen, number: sum(seen)),
        "the rates multiply": epoch(rate=lambda seen, number: math.prod(seen)),
        "the last batch is left out": epoch(batches=lambda stream: stream[:-1]),
        "the first batch is left out": epoch(batches=lambda stream: stream[1:]),
        "the batches run backwards": epoch(batches=lambda stream: stream[::-1]),
        "only the first batch is used, again and again": epoch(batches=lambda stream: [stream[0]] * len(stream)),
        "the mean of all losses so far is told": epoch(told=lambda losses, rate: (sum(losses) / len(losses), rate)),
        "the sum of all losses so far is told": epoch(told=lambda losses, rate: (sum(losses), rate)),
        "an epoch takes one rate too many": epoch(rates_first=True),
        "an epoch does not hand on max_grad_norm": epoch(hand=lambda weight, most: (weight, 1.0)),
        "an epoch never clips": epoch(hand=lambda weight, most: (weight, None)),
        "an epoch does not hand on the weights of classes": epoch(hand=lambda weight, most: (None, most)),
    },
}
RATES = {
    ("training.set_rate", "How many groups are there?", True): {
        "set_rate reaches the first group only": lambda optimizer, rate: optimizer.param_groups[0].update(lr=rate),
        "set_rate multiplies": lambda optimizer, rate: [
            group.update(lr=group["lr"] * rate) for group in optimizer.param_groups
        ],
        "set_rate reaches the last group only": lambda optimizer, rate: optimizer.param_groups[-1].update(lr=rate),
    },
}


def warmup(settings, total):
    return math.ceil(total * settings.warmup) if settings.warmup < 1 else int(settings.warmup)


def three(settings, epoch):
    total = epoch * settings.epochs
    return epoch, total, warmup(settings, total)


COUNTS = {
    ("training.Settings.steps", "Count the steps of a run of ten texts on paper.", True): {
        "the last, smaller batch is not counted": lambda self, n: three(self, n // self.batch_size),
        "a step is counted too many": lambda self, n: three(self, n // self.batch_size + 1),
        "the warm-up is a share of an epoch, not of the run": lambda self, n: (
            *three(self, math.ceil(n / self.batch_size))[:2],
            warmup(self, math.ceil(n / self.batch_size)),
        ),
        "the run has one epoch's steps": lambda self, n: (
            math.ceil(n / self.batch_size),
            math.ceil(n / self.batch_size),
            warmup(self, math.ceil(n / self.batch_size)),
        ),
        "a warm-up of steps is taken for a share": lambda self, n: (
            *three(self, math.ceil(n / self.batch_size))[:2],
            math.ceil(math.ceil(n / self.batch_size) * self.epochs * self.warmup),
        ),
    },
}

# Predictions


def reading(mode=False, grads=False, finish=lambda x: x, mask=True):
    """A wrong `read`."""

    def make(right):
        def read(model, function, data, device, precision, bar):
            def wrong(*inputs):
                model.train(mode)
                with torch.set_grad_enabled(grads):
                    return finish(function(*inputs) if mask else function(inputs[0]))

            return right(model, wrong, data, device, precision, bar)

        return read

    return Around(make)


PREDICT = {
    ("training.in_order", "Which text is the first answer for?"): {
        "the answers stay in the order of reading": lambda order, found: torch.cat(found),
        "the answers are sorted by the order, not by its inverse": lambda order, found: torch.cat(found)[
            torch.tensor(order)
        ],
        "the answers come in reverse order": lambda order, found: in_order(order, found).flip(0),
        "only the answers of the first batch come out": lambda order, found: found[0],
    },
    ("training.read", "In which mode is the model?", True): {
        "predictions are made with dropout": reading(mode=True),
        "a prediction keeps gradients": reading(grads=True),
    },
    ("training.read", "With what is the model called?"): {
        "a prediction's model does not get the mask and the segments": reading(mask=False),
    },
    ("training.predict", "What does predict return?"): {
        "predictions are probabilities, not logits": Around(
            lambda right: lambda *given, **options: right(*given, **options).softmax(-1)
        ),
    },
    ("training.features", "What does features return?"): {
        "features are logits": Around(
            lambda right: lambda model, data, *rest, **options: right(Features(model), data, *rest, **options)
        ),
    },
}


class Features(nn.Module):
    """A model whose features are its logits."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def features(self, *inputs):
        return self.model(*inputs)


def answer(of=lambda logits: logits.softmax(-1), mode=False, after="was", grads=False, inputs=3):
    """A wrong `predict_proba`. mode  in between, None: as before; after  the mode afterwards: "was", "train", "eval" """

    def predict_proba(self, *given):
        was = self.training
        if mode is not None:
            self.train(mode)
        with torch.set_grad_enabled(grads):
            found = of(self(*given[:inputs]))
        self.train({"was": was, "train": True, "eval": False}[after])
        return found

    return predict_proba


P, MODE = "What must the numbers of a row sum to?", "Print model.training before, in between, and afterwards."
PROBABILITIES = {
    ("heads.BertSentClassifier.predict_proba", P): {
        "the probabilities are logits": answer(lambda x: x),
        "the probabilities are log-probabilities": answer(lambda x: x.log_softmax(-1)),
        "the probabilities are sigmoids": answer(torch.sigmoid),
        "the softmax of the probabilities runs over the batch": answer(lambda x: x.softmax(0)),
        "the softmax of the probabilities is taken twice": answer(lambda x: x.softmax(-1).softmax(-1)),
        "the probabilities are the logits' shares of their sum": answer(lambda x: x / x.sum(-1, keepdim=True)),
        "the probabilities are exponentials that are not divided by their sum": answer(torch.exp),
        "the probabilities are 1 for the best class and 0 for the others": answer(lambda x: one_hot(x, x.argmax(-1))),
        "the best class comes out, not probabilities": answer(lambda x: x.argmax(-1)),
        "the best probability comes out, not that of each class": answer(lambda x: x.softmax(-1).amax(-1)),
        "the probabilities do not see the mask and the segments": answer(inputs=1),
        "the probabilities do not see the segments": answer(inputs=2),
    },
    ("heads.BertSentClassifier.predict_proba", MODE, True): {
        "probabilities are computed with dropout": answer(mode=None),
        "probabilities are always computed in training mode": answer(mode=True),
        "after the probabilities, the model stays in evaluation mode": answer(after="eval"),
        "after the probabilities, the model is always in training mode": answer(after="train"),
        "the probabilities keep gradients": answer(grads=True),
    },
}
KNOWN = LOSSES | BALANCE | CLIPS | UPDATES | TRAIN_STEP | TRAIN_EPOCH | RATES | COUNTS | PREDICT | PROBABILITIES
