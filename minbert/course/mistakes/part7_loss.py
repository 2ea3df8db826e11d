"""Known mistakes of part 7: the loss, weights of classes, probabilities."""

import math

import torch
from torch.nn import functional as F

from minbert.training import class_weights as right_weights

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


def in_precision(autocast, double):
    """double  what makes float32 of the logits"""

    def batch_loss(model, batch, weight=None, precision="fp32"):
        *inputs, labels = batch
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast and precision == "bf16"):
            logits = model(*inputs)
        return F.cross_entropy(double(logits), labels, weight=weight)

    return batch_loss


LOSSES = {
    ("training.batch_loss", "Work the loss out by hand for two texts.", True): {
        "the model does not get the mask and the segments": fewer(1),
        "the model does not get the segments": fewer(2),
        "the model does not get the mask": fewer((0, 2)),
        "the loss is computed in evaluation mode": fewer(3, False),
        "the precision is ignored: the model computes in float32": in_precision(False, torch.Tensor.float),
        "the loss is computed in bfloat16 if the model is": in_precision(True, lambda logits: logits),
        "the loss is summed, not averaged": loss(lambda x, y, w: F.cross_entropy(x, y, w, reduction="sum")),
        "the loss is divided by the texts once more": loss(lambda x, y, w: right_loss(x, y, w) / len(y)),
        "the loss is divided by the classes as well": [
            loss(lambda x, y, w: right_loss(x, y, w) / x.size(1)),
            loss(lambda x, y, w: each(x, y, w).mean() / x.size(1)),
        ],
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
        "the last text does not count": loss(lambda x, y, w: right_loss(x[:-1], y[:-1], w)),
        "the mean loss is multiplied by the number of texts": loss(lambda x, y, w: right_loss(x, y, w) * len(y)),
        "only the first text counts": loss(lambda x, y, w: right_loss(x[:1], y[:1], w)),
        "only the worst text counts": loss(lambda x, y, w: each(x, y, w).max()),
        "class 0 does not count, as if it were padding": loss(lambda x, y, w: F.cross_entropy(x, y, w, ignore_index=0)),
        "the weights of classes are ignored": loss(lambda x, y, w: right_loss(x, y, None)),
        "with weights of classes, the sum is divided by the texts, not by their weights": loss(
            lambda x, y, w: each(x, y, w).mean()
        ),
        "with weights of classes, the mean loss is multiplied by the mean weight": loss(
            uncounted(lambda x, y, w: right_loss(x, y, None) * w[y].mean())
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
        "the weights are whole numbers, by //": balance(lambda n, size: present(n, size // (len(n) * n.clamp(min=1)))),
        "one is added to each count": balance(lambda n, size: size / (len(n) * (n + 1))),
        "the weights are upside down: C n_c / n": balance(lambda n, size: len(n) * n / size),
        "the classes at the end that do not occur have no weight": lambda labels, classes: right_weights(
            labels, classes
        )[: max(labels) + 1],
        "every class weighs 1": balance(lambda n, size: torch.ones_like(n)),
    },
}

# The answer


def answer(of=lambda logits: logits.softmax(-1), mode=False, after="was", grads=False, inputs=3):
    """A wrong `predict_proba`.

    mode   in between; None: as before
    after  the mode afterwards: "was", "train", "eval", "other"
    """

    def predict_proba(self, *given):
        was = self.training
        if mode is not None:
            self.train(mode)
        with torch.set_grad_enabled(grads):
            found = of(self(*given[:inputs]))
        self.train({"was": was, "train": True, "eval": False, "other": not was}[after])
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
        "after the probabilities, the model is in the other mode": answer(after="other"),
        "after the probabilities, the model is always in training mode": answer(after="train"),
        "the probabilities keep gradients": answer(grads=True),
    },
}
KNOWN = LOSSES | BALANCE | PROBABILITIES
