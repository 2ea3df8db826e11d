"""Known mistakes of part 7: clipping, one step, an epoch of steps. All show in training only."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from minbert.course.mistakes import Around
from minbert.optimizer import clip as right_clip
from minbert.training import NotFinite, train_step


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


def first_only(parameters, most):
    """The norm is that of all."""
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = torch.stack([grad.norm() for grad in grads]).norm()
    grads[0].mul_(cap(norm, most))
    return norm


def cap(norm, most):
    return (most / (norm + 1e-6)).clamp(max=1.0)


def clip_by(norm_of_all):
    """A wrong `clip` with another norm. norm_of_all  a function of the gradients"""

    def clip(parameters, most):
        grads = [p.grad for p in parameters if p.grad is not None]
        norm = norm_of_all(grads)
        for grad in grads:
            grad.mul_(cap(norm, most))
        return norm

    return clip


def norm_of(measure):
    """measure  a function of all numbers of all gradients"""
    return clip_by(lambda grads: measure(torch.cat([grad.flatten() for grad in grads])))


def of_norms(combine):
    """combine  a function of the norms of the weights' gradients"""
    return clip_by(lambda grads: combine(torch.stack([grad.norm() for grad in grads])))


def norm_of_weights(parameters, most):
    weights = [p for p in parameters if p.grad is not None]
    norm = torch.cat([p.detach().flatten() for p in weights]).norm()
    for weight in weights:
        weight.grad.mul_(cap(norm, most))
    return norm


def norm_after(parameters, most):
    return torch.minimum(right_clip(parameters, most), torch.as_tensor(float(most)))


CLIPS = {
    ("optimizer.clip", "Two weights, gradients of norm 3 and 4: what comes out at most 1?", True): {
        "each number is clipped, not the norm": each_value,
        "the gradient is divided by its norm only": scaled(lambda norm, most: 1 / (norm + 1e-06)),
        "a gradient whose norm is too large gets the norm 1, not the limit": scaled(
            lambda norm, most: 1 / norm if norm > most else 1.0
        ),
        "the limit of the norm is always 1": scaled(lambda norm, most: cap(norm, 1.0)),
        "the scale is upside down: norm / limit": scaled(lambda norm, most: (norm / most).clamp(max=1.0)),
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
        "the scale is returned, not the norm": lambda parameters, most: cap(right_clip(list(parameters), most), most),
        "the norm is that of the weights, not of their gradients": norm_of_weights,
        "only the first weight's gradient is clipped": [only(slice(0, 1)), first_only],
        "only the last weight's gradient is clipped": only(slice(-1, None)),
    },
}


def steps(order="zero backward clip check step", most=lambda most: most, error=NotFinite, unclipped=True):
    """A wrong `update` with its deeds in another order, some left out, some done twice.

    error      what is raised;  unclipped  False: without max_grad_norm, nothing is checked
    """

    def update(model, loss, optimizer, max_grad_norm=1.0, clip=right_clip):
        norm = torch.zeros(())
        left = order.split().count("backward")
        for deed in order.split():
            if deed == "zero":
                optimizer.zero_grad()
            elif deed == "backward":
                left -= 1
                loss.backward(retain_graph=left > 0)
            elif deed == "strict_clip" or (deed == "clip" and any(p.grad is not None for p in model.parameters())):
                norm = clip(model.parameters(), most(max_grad_norm) or math.inf)
            elif deed == "silent" and not (loss.isfinite() and norm.isfinite()):
                return
            elif (unclipped or max_grad_norm is not None) and (
                (deed in ("check", "check_loss") and not loss.isfinite())
                or (deed in ("check", "check_norm") and not norm.isfinite())
            ):
                raise error("not finite")
            elif deed == "step":
                optimizer.step()

    return update


UPDATES = {
    ("training.update", "In which order: clear, backward, clip, step?", True): {
        "the gradient is not clipped": [steps("zero backward check step"), steps(most=lambda most: None)],
        "the gradient is clipped after the step": [
            steps("zero backward check step clip"),
            steps("zero backward step clip check"),
        ],
        "the gradient of the step before is not cleared": steps("backward clip check step"),
        "the gradient is clipped before it is computed": steps("zero strict_clip backward check step"),
        "gradients are cleared after the step, not before backward": steps("backward clip check step zero"),
        "gradients are cleared between backward and step": [
            steps("backward clip check zero step"),
            steps("backward zero strict_clip check step"),
        ],
        "the step comes before backward: it is one step late": steps("step zero backward clip check"),
        "the step comes before backward, with nothing to go by": steps("zero step backward clip check"),
        "the step is forgotten": steps("zero backward clip check"),
        "the step is taken twice": steps("zero backward clip check step step"),
        "backward is forgotten": [steps("zero clip check step"), steps("zero strict_clip check step")],
        "backward runs twice: gradients are doubled": steps("zero backward backward clip check step"),
        "the gradient is clipped twice as hard": steps(most=lambda most: most and most / 2),
        "the gradient is always clipped to 1": steps(most=lambda most: 1.0),
        "without max_grad_norm, the gradient is clipped to 1": steps(most=lambda most: most or 1.0),
        "a loss that is not finite is not refused": steps("zero backward clip step"),
        "a gradient that is not finite is not refused": steps("zero backward clip check_loss step"),
        "only the gradient is checked, not the loss": steps("zero backward clip check_norm step"),
        "without max_grad_norm, nothing is checked": steps(unclipped=False),
        "what is not finite is refused, but not by NotFinite": [
            *(
                steps(error=error)
                for error in (ValueError, RuntimeError, Exception, FloatingPointError, ArithmeticError)
            ),
        ],
        "a loss that is not finite is passed over in silence": steps("zero backward clip silent step"),
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


def only_loss(model, batch, optimizer, weight=None, max_grad_norm=1.0, precision="fp32"):
    return loss_again(0.0, model, batch, weight)


TRAIN_STEP = {
    ("training.train_step", RETURN, True): {
        "train_step returns the loss after the step": returning(loss_again),
        "train_step returns the sum over the batch": returning(lambda loss, model, batch, w: loss * len(batch[-1])),
        "train_step returns nothing that counts: 0": returning(lambda loss, model, batch, w: 0.0),
        "train_step does not hand on the weights of classes": handed(weight=None),
        "train_step does not hand on max_grad_norm": handed(max_grad_norm=1.0),
        "train_step computes the loss, and changes nothing": only_loss,
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


KNOWN = CLIPS | UPDATES | TRAIN_STEP | TRAIN_EPOCH
