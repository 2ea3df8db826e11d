"""Known mistakes of part 6: AdamW, the learning rate, which weights decay. All show in training only."""

import math

import torch

from minbert.course.mistakes import Around
from minbert.optimizer import linear, parameter_groups


def adamw(
    first=True,
    second=True,
    swapped=False,
    betas=(0, 1),
    old=(0, 1),
    count=lambda t: t,
    count1=None,
    shared=None,
    lasting=(True, True),
    corrected=(False, False),
    times_corrections=False,
    l2=False,
    twice=False,
    decay="before",
    both=False,
    rate=lambda group: group["lr"] * group["weight_decay"],
    sign=1.0,
    move=lambda mean, root, eps: mean / (root + eps),
    mean=lambda old, grad, beta: beta * old + (1 - beta) * grad,
    square=lambda old, grad, beta, mean: beta * old + (1 - beta) * grad**2,
    inside=False,
    outside=False,
    start=lambda weight: torch.zeros_like(weight),
    group_of=lambda optimizer, group: group,
    no_gradient="skip",
    times=1,
    clear=False,
    honour=("efficient", "correct_bias", "second"),
    spoil=False,
    folded=False,
):
    """A wrong `AdamW.step`, written out from Loshchilov & Hutter 2019, algorithm 2.

    first, second  whether the two corrections are done, "other": with the other's beta
    count, count1  functions of t: the step that they are computed with, both or the first
    shared         what several weights share: "t", "m", "v", "all", "shape" (those of one shape); None: nothing
    lasting        whether m and v are kept from step to step;  corrected  whether it is their corrected values
    times_corrections  the corrections multiply, they do not divide
    betas          which beta each moment uses; old  which one keeps its old value
    decay          "before", "after", "never"; "gradient": inside the first moment only; "corrected":
                   added to the corrected first moment
    no_gradient    what a weight without gradient does: "skip", "decay", "count"; "zero": as if its gradient were 0;
                   "break": it ends its group
    inside         eps is inside the square root; folded  eps meets the uncorrected root
    """

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        notes = self.__dict__.setdefault("notes", {})
        for group in self.param_groups:
            used = group_of(self, group)
            (beta1, beta2), eps = used["betas"][::-1] if swapped else used["betas"], used["eps"]
            correct = [used["correct_bias"] or name not in honour for name in ("correct_bias", "second")]
            efficient = used["efficient"] and "efficient" in honour
            for weight in group["params"]:
                note = notes.setdefault({"all": 0, "shape": weight.shape}.get(shared, id(weight)), {})
                means = notes.setdefault("m", {}) if shared == "m" else note
                squares = notes.setdefault("v", {}) if shared == "v" else note
                clock = notes.setdefault("clock", {}) if shared == "t" else note
                grad = weight.grad
                if grad is None and no_gradient == "count":
                    clock["t"] = clock.get("t", 0) + 1
                if grad is None and no_gradient == "break":
                    break
                if grad is None and no_gradient == "decay":
                    weight -= rate(used) * weight
                if grad is None and no_gradient != "zero":
                    continue
                grad = torch.zeros_like(weight) if grad is None else grad
                plain = grad
                grad = grad + used["weight_decay"] * weight if l2 else grad
                for _ in range(times):
                    t = clock["t"] = clock.get("t", 0) + 1
                    in_mean = grad + used["weight_decay"] * weight if decay == "gradient" else grad
                    pair = beta1, beta2
                    keep = [pair[kept] / pair[used] for kept, used in zip(old, betas)]
                    m = mean(means.get("m", start(weight)) * keep[0], in_mean, pair[betas[0]])
                    v = square(squares.get("v", start(weight)) * keep[1], grad, pair[betas[1]], m)
                    correction1 = (
                        1 - (beta1 if first is True else beta2) ** (count1 or count)(t) if first and correct[0] else 1.0
                    )
                    correction2 = 1 - (beta2 if second is True else beta1) ** count(t) if second and correct[1] else 1.0
                    if times_corrections:
                        correction1, correction2 = 1 / correction1, 1 / correction2
                    means["m"] = (m / correction1 if corrected[0] else m) if lasting[0] else start(weight)
                    squares["v"] = (v / correction2 if corrected[1] else v) if lasting[1] else start(weight)
                    lowers = (twice or not l2) and decay in ("before", "after")
                    late = decay == "after" or (efficient and decay == "before")
                    if lowers and (both or not late):
                        weight -= rate(used) * weight
                    if efficient and inside:
                        step = math.sqrt(correction2) / correction1 * m / (v + eps).sqrt()
                    elif efficient or folded:
                        step = math.sqrt(correction2) / correction1 * move(m, v.sqrt(), eps)
                    elif inside:
                        root = (v / correction2 + eps).sqrt() if inside is True else (v + eps).sqrt() / correction2**0.5
                        step = m / correction1 / root
                    elif outside:
                        step = move(m / correction1, v.sqrt() / correction2, eps)
                    else:
                        drift = used["weight_decay"] * weight if decay == "corrected" else 0.0
                        step = move(m / correction1 + drift, (v / correction2).sqrt(), eps)
                    weight -= sign * used["lr"] * step
                    if lowers and (both or late):
                        weight -= rate(used) * weight
                if spoil and weight.grad is not None:
                    plain.mul_(1 - beta1)
                if clear:
                    weight.grad = None
        return loss

    return step


def uncorrected_mean(old, grad, beta):
    return beta * old + grad


def first_group(optimizer, group):
    return optimizer.param_groups[0]


def first_rate(optimizer, group):
    """The learning rate of the first step for ever."""
    rates = optimizer.__dict__.setdefault("rates", {})
    return group | {"lr": rates.setdefault(id(group), group["lr"])}


def defaults(optimizer, group):
    return group | {name: optimizer.defaults[name] for name in ("lr", "betas", "eps", "weight_decay")}


def momentum(m, root, eps):
    return m


MOMENTS = "Write m, v and the weight down after two steps."
STEP = {
    ("optimizer.AdamW.step", MOMENTS, True): {
        "the weight does not decay": adamw(decay="never"),
        "decay is part of the gradient (L2), not apart from it": adamw(l2=True),
        "decay is part of the mean of gradients, not of the square": adamw(decay="gradient"),
        "decay is added to the corrected mean, and divided by sqrt(v)": adamw(decay="corrected"),
        "decay is not multiplied by the learning rate": adamw(rate=lambda group: group["weight_decay"]),
        "decay is multiplied by the learning rate twice": adamw(
            rate=lambda group: group["lr"] ** 2 * group["weight_decay"]
        ),
        "decay makes weights larger": adamw(rate=lambda group: -group["lr"] * group["weight_decay"]),
        "decay comes after the step, on the weight that moved": adamw(decay="after"),
        "a weight without gradient decays": adamw(no_gradient="decay"),
        "a weight without gradient moves by its old mean": adamw(no_gradient="zero"),
        "after a weight without gradient, the rest of its group stays": adamw(no_gradient="break"),
        "steps without a gradient are counted": adamw(no_gradient="count"),
        "the bias is not corrected": adamw(first=False, second=False),
        "only the first moment's bias is corrected": adamw(second=False),
        "only the second moment's bias is corrected": adamw(first=False),
        "both corrections are by beta1": adamw(second="other"),
        "both corrections are by beta2": adamw(first="other"),
        "the corrections' betas are exchanged": adamw(first="other", second="other"),
        "t starts at 0: the first correction divides by 0": adamw(count=lambda t: t - 1),
        "decay comes twice: in the gradient (L2) and on the weight": adamw(l2=True, twice=True),
        "t counts by two": adamw(count=lambda t: 2 * t),
        "the first correction is that of the next step": adamw(count1=lambda t: t + 1),
        "t starts at 2": adamw(count=lambda t: t + 1),
        "every step begins anew: m, v and t are forgotten": adamw(
            mean=lambda old, grad, beta: (1 - beta) * grad,
            square=lambda old, grad, beta, m: (1 - beta) * grad**2,
            count=lambda t: 1,
        ),
        "the second correction stands outside the square root": adamw(outside=True),
        "t stays 1: the correction is always that of the first step": adamw(count=lambda t: 1),
        "t is shared by all weights: it counts weights, not steps": adamw(shared="t"),
        "the correction is by beta * t, not beta to the power of t": adamw(count=lambda t: t**2),
        "the step is taken twice": adamw(times=2),
        "m, v and t are shared by all weights": [adamw(shared="shape"), adamw(shared="all")],
        "m is shared by all weights": adamw(shared="m"),
        "v is shared by all weights": adamw(shared="v"),
        "beta1 and beta2 are exchanged": adamw(swapped=True),
        "m and v are kept by one beta, that of m": adamw(betas=(0, 0), old=(0, 0)),
        "m and v are kept by one beta, that of v": adamw(betas=(1, 1), old=(1, 1)),
        "m keeps its old by beta2": adamw(old=(1, 1)),
        "v keeps its old by beta1": adamw(old=(0, 0)),
        "m keeps no mean: it is the last gradient": adamw(mean=lambda old, grad, beta: grad),
        "v keeps no mean: it is the last gradient's square": adamw(square=lambda old, grad, beta, m: grad**2),
        "m lacks the factor 1 - beta1": adamw(mean=uncorrected_mean),
        "v lacks the factor 1 - beta2": adamw(square=lambda old, grad, beta, m: beta * old + grad**2),
        "m and v lack their factors 1 - beta": adamw(
            mean=uncorrected_mean, square=lambda old, grad, beta, m: beta * old + grad**2
        ),
        "m and v weigh old and new the other way round": adamw(
            mean=lambda old, grad, beta: (1 - beta) * old + beta * grad,
            square=lambda old, grad, beta, m: (1 - beta) * old + beta * grad**2,
        ),
        "m weighs old and new the other way round": adamw(mean=lambda old, grad, beta: (1 - beta) * old + beta * grad),
        "v weighs old and new the other way round": adamw(
            square=lambda old, grad, beta, m: (1 - beta) * old + beta * grad**2
        ),
        "v is the mean of the square of m, not of the gradient": adamw(
            square=lambda old, grad, beta, m: beta * old + (1 - beta) * m**2
        ),
        "v is the mean of the gradient's size, not of its square": adamw(
            square=lambda old, grad, beta, m: beta * old + (1 - beta) * grad.abs()
        ),
        "v is the sum of all squares (AdaGrad)": adamw(square=lambda old, grad, beta, m: old + grad**2),
        "v never falls (AMSGrad)": adamw(
            square=lambda old, grad, beta, m: torch.maximum(old, beta * old + (1 - beta) * grad**2)
        ),
        "m and v start at 1, not 0": adamw(start=torch.ones_like),
        "the step goes uphill": adamw(sign=-1.0),
        "the step does not divide by sqrt(v): momentum only": adamw(move=momentum),
        "the step divides by v, not by its square root": adamw(move=lambda m, root, eps: m / (root**2 + eps)),
        "the step is multiplied by sqrt(v), not divided": adamw(move=lambda m, root, eps: m * (root + eps)),
        "eps is inside the square root": [adamw(inside=True), adamw(inside="uncorrected")],
        "eps is forgotten": adamw(move=lambda m, root, eps: m / root),
        "eps is always 1e-8": adamw(move=lambda m, root, eps: m / (root + 1e-08)),
        "eps meets sqrt(v) before it is corrected": adamw(folded=True),
        "the settings of the first group are used for all weights": adamw(group_of=first_group),
        "the learning rate stays that of the first step": adamw(group_of=first_rate),
        "the settings of the constructor are used, not the group's": adamw(group_of=defaults),
        "efficient is ignored": adamw(honour=("correct_bias", "second")),
        "correct_bias is ignored": adamw(honour=("efficient",)),
        "correct_bias=False leaves out the first correction only": adamw(honour=("efficient", "correct_bias")),
        "correct_bias=False leaves out the second correction only": adamw(honour=("efficient", "second")),
        "the weight stays as it is: new numbers are computed, but not in place": adamw(sign=0.0, decay="never"),
        "the weight decays, but makes no step: its new numbers are not in place": adamw(sign=0.0),
        "m and v are not kept from step to step": adamw(lasting=(False, False)),
        "m is not kept from step to step": adamw(lasting=(False, True)),
        "v is not kept from step to step": adamw(lasting=(True, False)),
        "m and v are kept in their corrected form": adamw(corrected=(True, True)),
        "m is kept in its corrected form": adamw(corrected=(True, False)),
        "v is kept in its corrected form": adamw(corrected=(False, True)),
        "m and v are multiplied by their corrections, not divided": adamw(times_corrections=True),
        "the step goes along the gradient, not along m": adamw(mean=lambda old, grad, beta: grad, first=False),
        "decay comes before the step and after it": adamw(both=True),
        "the step forgets the gradients": adamw(clear=True),
        "the gradient is changed in place": adamw(spoil=True),
    },
    ("optimizer.AdamW.step", "What is the closure for?", True): {
        "the step is plain gradient descent": adamw(mean=lambda old, grad, beta: grad, move=momentum, first=False),
        "only the first group moves": Around(
            lambda right: (
                lambda self, closure=None: right(
                    type("One", (), {"param_groups": self.param_groups[:1], "state": self.state})(), closure
                )
            )
        ),
        "the closure is not called": Around(lambda right: lambda self, closure=None: right(self)),
        "the closure's loss is not returned": Around(
            lambda right: lambda self, closure=None: (right(self, closure), None)[1]
        ),
    },
}


def efficient(
    move=lambda m, v, c1, c2, eps: c2**0.5 / c1 * m / (v.sqrt() + eps),
    decay="after",
    correct=None,
    share=lambda c1, c2: 1,
):
    """A wrong `update` that is right unless group["efficient"]."""

    def make(right):
        def update(weight, grad, step, mean, square, group):
            if not group["efficient"]:
                return right(weight, grad, step, mean, square, group)
            right(weight.clone(), grad, step, mean, square, group)
            corrects = group["correct_bias"] if correct is None else correct
            c1, c2 = (1 - beta**step if corrects else 1.0 for beta in group["betas"])
            keep = 1 - group["lr"] * group["weight_decay"] * share(c1, c2)
            weight *= keep if decay == "before" else 1.0
            weight -= group["lr"] * move(mean, square, c1, c2, group["eps"])
            weight *= keep if decay == "after" else 1.0

        return update

    return Around(make)


EFFICIENT = {
    ("optimizer.update", "Write out the two lines of the efficient form.", True): {
        "efficient: the root of the second correction is forgotten": efficient(
            lambda m, v, c1, c2, eps: c2 / c1 * m / (v.sqrt() + eps)
        ),
        "efficient: the corrections are upside down": efficient(
            lambda m, v, c1, c2, eps: c1 / c2**0.5 * m / (v.sqrt() + eps)
        ),
        "efficient: only the first correction is done": efficient(lambda m, v, c1, c2, eps: m / c1 / (v.sqrt() + eps)),
        "efficient: only the second correction is done": efficient(
            lambda m, v, c1, c2, eps: c2**0.5 * m / (v.sqrt() + eps)
        ),
        "efficient: the bias is not corrected": efficient(lambda m, v, c1, c2, eps: m / (v.sqrt() + eps)),
        "efficient: eps meets the corrected sqrt(v)": efficient(
            lambda m, v, c1, c2, eps: m / c1 / ((v / c2).sqrt() + eps)
        ),
        "efficient: eps is inside the square root": efficient(
            lambda m, v, c1, c2, eps: c2**0.5 / c1 * m / (v + eps).sqrt()
        ),
        "efficient: decay comes first": efficient(decay="before"),
        "efficient: decay is multiplied by the corrections, too": efficient(share=lambda c1, c2: c2**0.5 / c1),
        "efficient: the weight does not decay": efficient(decay="never"),
        "efficient: correct_bias is ignored": efficient(correct=True),
    },
}


def straight(step, warmup, total):
    return (total - step) / (total - warmup) if step < total else 0.0


def up(step, warmup, then):
    return step / warmup if step < warmup else then


RATE = "Write down the share at step 0, at the end of the warm-up, and at the end."
SCHEDULES = {
    ("optimizer.linear", RATE, True): {
        "the linear schedule has no warm-up": lambda s, w, t: max(0.0, (t - s) / t),
        "the linear schedule starts to fall without a warm-up's climb": lambda s, w, t: (
            1.0 if s < w else straight(s, w, t)
        ),
        "the warm-up is one step ahead": [
            lambda s, w, t: min(1.0, (s + 1) / w) if s < w else straight(s, w, t),
            lambda s, w, t: (s + 1) / w if s < w else straight(s, w, t),
        ],
        "the schedule is one step late": lambda s, w, t: linear(max(0, s - 1), w, t),
        "the schedule is one step ahead": lambda s, w, t: linear(s + 1, w, t),
        "the rate falls over all steps, not over those after the warm-up": lambda s, w, t: up(
            s, w, max(0.0, (t - s) / t)
        ),
        "the rate falls from step 0 on, by total - warmup steps": lambda s, w, t: (
            s / w if s < w else 1 - s / (t - w) if s < t else 0.0
        ),
        "the rate falls over `total` steps, from the end of the warm-up on": lambda s, w, t: up(
            s, w, max(0.0, 1 - (s - w) / t)
        ),
        "the rate falls during the warm-up, too": lambda s, w, t: straight(s, w, t),
        "the rate is one step's fall too low": lambda s, w, t: up(s, w, (t - s - 1) / (t - w) if s < t else 0.0),
        "the warm-up's first step has a share of its own, 1 / warmup": lambda s, w, t: (
            max(s, 1) / w if s < w else straight(s, w, t)
        ),
        "the schedule counts whole steps: shares of the run go wrong": lambda s, w, t: (
            s / max(1, w) if s < w else max(0.0, (t - s) / max(1, t - w))
        ),
        "the rate rises to 1 and falls to 0 by whole steps (//)": lambda s, w, t: (
            s // w if s < w else (t - s) // (t - w) if s < t else 0.0
        ),
        "the rate goes below 0 after the end": lambda s, w, t: up(s, w, (t - s) / (t - w)),
        "the linear schedule does not fall": lambda s, w, t: up(s, w, 1.0),
        "the schedule falls as a cosine": lambda s, w, t: up(
            s, w, 0.5 * (1 + math.cos(math.pi * min(1.0, (s - w) / (t - w))))
        ),
        "the rate ends one step before the end": lambda s, w, t: up(s, w, max(0.0, (t - 1 - s) / (t - 1 - w))),
        "the rate ends one step after the end": lambda s, w, t: up(s, w, max(0.0, (t + 1 - s) / (t + 1 - w))),
        "the rate falls in half the time": lambda s, w, t: up(s, w, max(0.0, 1 - 2 * (s - w) / (t - w))),
        "the rate falls with the square": lambda s, w, t: up(s, w, straight(s, w, t) ** 2),
        "the rate falls from the first step as well as climbing": lambda s, w, t: (
            min(1.0, s / w if w else 1.0) * max(0.0, (t - s) / t)
        ),
    },
}


def groups(decays, keeps=lambda p: p.requires_grad):
    """A wrong `parameter_groups`. decays  a function of (weight, its module); keeps  which weights are handed on"""

    def parameter_groups(model, weight_decay):
        weights = [p for p in model.parameters() if keeps(p)]
        owner = {id(p): module for module in model.modules() for p in module.parameters(recurse=False)}
        return [
            {"params": [p for p in weights if decays(p, owner[id(p)])], "weight_decay": weight_decay},
            {"params": [p for p in weights if not decays(p, owner[id(p)])], "weight_decay": 0.0},
        ]

    return parameter_groups


def all_twice(model, weight_decay):
    """Biases and norms are in both groups."""
    weights = [p for p in model.parameters() if p.requires_grad]
    plain = [p for p in weights if p.ndim <= 1]
    return [{"params": weights, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


def both_decay(model, weight_decay):
    return [group | {"weight_decay": weight_decay} for group in parameter_groups(model, weight_decay)]


def is_norm(module):
    return isinstance(module, torch.nn.LayerNorm)


GROUPS = {
    ("optimizer.parameter_groups", "Print the names in each group.", True): {
        "every weight decays, biases and norms too": [groups(lambda p, module: True), all_twice, both_decay],
        "no weight decays": groups(lambda p, module: False),
        "norms decay, biases do not": groups(lambda p, module: p.ndim > 1 or (is_norm(module) and p is module.weight)),
        "the norms' biases decay": groups(lambda p, module: p.ndim > 1 or (is_norm(module) and p is module.bias)),
        "biases decay, norms do not": groups(lambda p, module: not is_norm(module)),
        "the embeddings do not decay": groups(
            lambda p, module: p.ndim > 1 and (not isinstance(module, torch.nn.Embedding))
        ),
        "biases and norms decay, matrices do not": groups(lambda p, module: p.ndim <= 1),
        "frozen weights are handed to the optimizer": groups(lambda p, module: p.ndim > 1, lambda p: True),
        "the linear layers do not decay": groups(
            lambda p, module: p.ndim > 1 and isinstance(module, torch.nn.Embedding)
        ),
        "matrices are left out": groups(lambda p, module: False, lambda p: p.requires_grad and p.ndim <= 1),
        "biases and norms are left out": groups(lambda p, module: True, lambda p: p.requires_grad and p.ndim > 1),
    },
}
KNOWN = STEP | EFFICIENT | SCHEDULES | GROUPS
