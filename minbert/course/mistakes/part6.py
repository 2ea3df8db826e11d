"""Known mistakes of part 6: AdamW, the learning rate, which weights decay. All show in training only."""

import math

import torch

from minbert.course.mistakes import Around, Mistake
from minbert.optimizer import constant, linear


def adamw(
    first=True,
    second=True,
    swapped=False,
    count=lambda t: t,
    shared=None,
    l2=False,
    decay="before",
    rate=lambda group: group["lr"] * group["weight_decay"],
    sign=1.0,
    move=lambda mean, root, eps: mean / (root + eps),
    mean=lambda old, grad, beta: beta * old + (1 - beta) * grad,
    square=lambda old, grad, beta, mean: beta * old + (1 - beta) * grad**2,
    inside=False,
    start=lambda weight: torch.zeros_like(weight),
    group_of=lambda optimizer, group: group,
    no_gradient="skip",
    times=1,
    clear=False,
    honour=("efficient", "correct_bias"),
    spoil=False,
    folded=False,
):
    """A wrong `AdamW.step`, written out from Loshchilov & Hutter 2019, algorithm 2.

    first, second  whether the two corrections are done; count  a function of t, the step that they are computed with
    shared         what several weights share: "t", "all", "shape" (those of one shape); None: nothing
    decay          "before", "after", "never", "gradient": inside the first moment only, or "update": inside the fraction
    no_gradient    what a weight without gradient does: "skip", "decay", "zero": as if its gradient were 0, "count"
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
            correct = used["correct_bias"] or "correct_bias" not in honour
            efficient = used["efficient"] and "efficient" in honour
            for weight in group["params"]:
                note = notes.setdefault({"all": 0, "shape": weight.shape}.get(shared, id(weight)), {})
                clock = notes.setdefault("clock", {}) if shared == "t" else note
                grad = weight.grad
                if grad is None and no_gradient == "count":
                    clock["t"] = clock.get("t", 0) + 1
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
                    m = note["m"] = mean(note["m"] if "m" in note else start(weight), in_mean, beta1)
                    v = note["v"] = square(note["v"] if "v" in note else start(weight), grad, beta2, m)
                    correction1 = 1 - beta1 ** count(t) if first and correct else 1.0
                    correction2 = 1 - beta2 ** count(t) if second and correct else 1.0
                    lowers = not l2 and decay in ("before", "after")
                    late = decay == "after" or (efficient and decay == "before")
                    if lowers and not late:
                        weight -= rate(used) * weight
                    if efficient or folded:
                        step = math.sqrt(correction2) / correction1 * move(m, v.sqrt(), eps)
                    elif inside:
                        step = m / correction1 / (v / correction2 + eps).sqrt()
                    else:
                        step = move(m / correction1, (v / correction2).sqrt(), eps)
                    step = step + used["weight_decay"] * weight if decay == "update" else step
                    weight -= sign * used["lr"] * step
                    if lowers and late:
                        weight -= rate(used) * weight
                if spoil and weight.grad is not None:
                    plain.mul_(1 - beta1)
                if clear:
                    weight.grad = None
        return loss

    return step


def step(name, hint, fair=False, **how):
    return Mistake(name, hint, {"optimizer.AdamW.step": adamw(**how)}, True, fair)


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


DECAY, BIAS, MOMENTS = (
    "Write the weight's change without a gradient.",
    "Which t is it in the first step?",
    "Write m and v down after two steps.",
)
STATE, EPS, SETTINGS = "Whose m is this?", "Where does eps stand?", "Where does each setting come from in this step?"
STEP = (
    step("the weight does not decay", DECAY, decay="never"),
    step("decay is part of the gradient (L2), not apart from it", DECAY, True, l2=True),
    step("decay is part of the mean of gradients, not of the square", DECAY, decay="gradient"),
    step("decay is not multiplied by the learning rate", DECAY, rate=lambda group: group["weight_decay"]),
    step(
        "decay is multiplied by the learning rate twice",
        DECAY,
        rate=lambda group: group["lr"] ** 2 * group["weight_decay"],
    ),
    step("decay makes weights larger", DECAY, rate=lambda group: -group["lr"] * group["weight_decay"]),
    step("decay comes after the step, on the weight that moved", DECAY, True, decay="after"),
    step("decay is taken of the weight's old value, with the step", DECAY, decay="update"),
    step("a weight without gradient decays", "What happens to a weight without a gradient?", no_gradient="decay"),
    step(
        "a weight without gradient moves by its old mean",
        "What happens to a weight without a gradient?",
        no_gradient="zero",
    ),
    step("steps without a gradient are counted", "What happens to a weight without a gradient?", no_gradient="count"),
    step("the bias is not corrected", BIAS, first=False, second=False),
    step("only the first moment's bias is corrected", BIAS, second=False),
    step("only the second moment's bias is corrected", BIAS, first=False),
    step("t starts at 2", BIAS, count=lambda t: t + 1),
    step("t stays 1: the correction is always that of the first step", BIAS, count=lambda t: 1),
    step("t is shared by all weights: it counts weights, not steps", BIAS, shared="t"),
    step("the correction is by beta * t, not beta to the power of t", BIAS, count=lambda t: t**2),
    step("the step is taken twice", "Print how far a weight moves.", times=2),
    step("m and v are shared by all weights of one shape", STATE, shared="shape"),
    step("beta1 and beta2 are exchanged", MOMENTS, swapped=True),
    step("m keeps no mean: it is the last gradient", MOMENTS, mean=lambda old, grad, beta: grad),
    step("v keeps no mean: it is the last gradient's square", MOMENTS, square=lambda old, grad, beta, m: grad**2),
    step("m lacks the factor 1 - beta1", MOMENTS, mean=uncorrected_mean),
    step("v lacks the factor 1 - beta2", MOMENTS, square=lambda old, grad, beta, m: beta * old + grad**2),
    step(
        "m weighs old and new the other way round", MOMENTS, mean=lambda old, grad, beta: (1 - beta) * old + beta * grad
    ),
    step(
        "v weighs old and new the other way round",
        MOMENTS,
        square=lambda old, grad, beta, m: (1 - beta) * old + beta * grad**2,
    ),
    step(
        "v is the mean of the square of m, not of the gradient",
        MOMENTS,
        square=lambda old, grad, beta, m: beta * old + (1 - beta) * m**2,
    ),
    step(
        "v is the mean of the gradient's size, not of its square",
        MOMENTS,
        square=lambda old, grad, beta, m: beta * old + (1 - beta) * grad.abs(),
    ),
    step("v is the sum of all squares (AdaGrad)", MOMENTS, square=lambda old, grad, beta, m: old + grad**2),
    step(
        "v never falls (AMSGrad)",
        MOMENTS,
        square=lambda old, grad, beta, m: torch.maximum(old, beta * old + (1 - beta) * grad**2),
    ),
    step("m and v start at 1, not 0", MOMENTS, start=torch.ones_like),
    step("the step goes uphill", "Which way is down?", sign=-1.0),
    step("the step does not divide by sqrt(v): momentum only", "What divides m?", move=momentum),
    step(
        "the step divides by v, not by its square root",
        "What divides m?",
        move=lambda m, root, eps: m / (root**2 + eps),
    ),
    step(
        "the step is multiplied by sqrt(v), not divided", "What divides m?", move=lambda m, root, eps: m * (root + eps)
    ),
    step("eps is inside the square root", EPS, inside=True),
    step("eps is forgotten", EPS, move=lambda m, root, eps: m / root),
    step("eps is always 1e-8", EPS, move=lambda m, root, eps: m / (root + 1e-8)),
    step("eps meets sqrt(v) before it is corrected", EPS, True, folded=True),
    step("the settings of the first group are used for all weights", SETTINGS, group_of=first_group),
    step("the learning rate stays that of the first step", SETTINGS, group_of=first_rate),
    step("the settings of the constructor are used, not the group's", SETTINGS, group_of=defaults),
    step("efficient is ignored", SETTINGS, honour=("correct_bias",)),
    step("correct_bias is ignored", SETTINGS, honour=("efficient",)),
    step("the step forgets the gradients", "Who clears gradients?", clear=True),
    step("the gradient is changed in place", "Print a gradient before and after the step.", spoil=True),
    Mistake(
        "the step is plain gradient descent",
        "What are m and v for?",
        {"optimizer.AdamW.step": adamw(mean=lambda old, grad, beta: grad, move=momentum, first=False)},
        True,
    ),
    Mistake(
        "only the first group moves",
        SETTINGS,
        {
            "optimizer.AdamW.step": Around(
                lambda right: (
                    lambda self, closure=None: right(
                        type("One", (), {"param_groups": self.param_groups[:1], "state": self.state})(), closure
                    )
                )
            )
        },
        True,
    ),
    Mistake(
        "the closure is not called",
        "What is the closure for?",
        {"optimizer.AdamW.step": Around(lambda right: lambda self, closure=None: right(self))},
        True,
    ),
    Mistake(
        "the closure's loss is not returned",
        "What is the closure for?",
        {"optimizer.AdamW.step": Around(lambda right: lambda self, closure=None: (right(self, closure), None)[1])},
        True,
    ),
)


def schedule(name, hint, wrong, which="linear"):
    """wrong  (step, warmup, total) -> share"""

    def rate(step, warmup, total):
        return wrong(step, warmup, total)

    rate.__name__ = which
    return Mistake(name, hint, {f"optimizer.{which}": rate}, True)


def straight(step, warmup, total):
    return (total - step) / (total - warmup) if step < total else 0.0


def up(step, warmup, then):
    return step / warmup if step < warmup else then


RATE = "Write down the share at step 0, at the end of the warm-up, and at the end."
SCHEDULES = (
    schedule("the linear schedule has no warm-up", RATE, lambda s, w, t: max(0.0, (t - s) / t)),
    schedule(
        "the linear schedule starts to fall without a warm-up's climb",
        RATE,
        lambda s, w, t: 1.0 if s < w else straight(s, w, t),
    ),
    schedule(
        "the warm-up is one step ahead", RATE, lambda s, w, t: min(1.0, (s + 1) / w) if s < w else straight(s, w, t)
    ),
    schedule("the schedule is one step late", RATE, lambda s, w, t: linear(max(0, s - 1), w, t)),
    schedule("the schedule is one step ahead", RATE, lambda s, w, t: linear(s + 1, w, t)),
    schedule(
        "the rate falls over all steps, not over those after the warm-up",
        RATE,
        lambda s, w, t: up(s, w, max(0.0, (t - s) / t)),
    ),
    schedule("the rate goes below 0 after the end", RATE, lambda s, w, t: up(s, w, (t - s) / (t - w))),
    schedule("the linear schedule does not fall", RATE, lambda s, w, t: up(s, w, 1.0)),
    schedule(
        "the schedule falls as a cosine",
        RATE,
        lambda s, w, t: up(s, w, 0.5 * (1 + math.cos(math.pi * min(1.0, (s - w) / (t - w))))),
    ),
    schedule(
        "the rate ends one step before the end", RATE, lambda s, w, t: up(s, w, max(0.0, (t - 1 - s) / (t - 1 - w)))
    ),
    schedule(
        "the rate ends one step after the end", RATE, lambda s, w, t: up(s, w, max(0.0, (t + 1 - s) / (t + 1 - w)))
    ),
    schedule("the rate falls in half the time", RATE, lambda s, w, t: up(s, w, max(0.0, 1 - 2 * (s - w) / (t - w)))),
    schedule("the rate falls with the square", RATE, lambda s, w, t: up(s, w, straight(s, w, t) ** 2)),
    schedule(
        "the rate falls from the first step as well as climbing",
        RATE,
        lambda s, w, t: min(1.0, s / w if w else 1.0) * max(0.0, (t - s) / t),
    ),
    schedule("the constant schedule has no warm-up", RATE, lambda s, w, t: 1.0, "constant"),
    schedule("the constant schedule falls", RATE, linear, "constant"),
    schedule(
        "the constant schedule ends at the end", RATE, lambda s, w, t: constant(s, w, t) if s < t else 0.0, "constant"
    ),
    schedule(
        "the constant schedule's warm-up is one step ahead",
        RATE,
        lambda s, w, t: min(1.0, (s + 1) / w) if s < w else 1.0,
        "constant",
    ),
)


def groups(name, decays, keeps=lambda p: p.requires_grad):
    def wrong(model, weight_decay):
        weights = [p for p in model.parameters() if keeps(p)]
        named = dict(model.named_modules())
        owner = {id(p): module for module in named.values() for p in module.parameters(recurse=False)}
        return [
            {"params": [p for p in weights if decays(p, owner[id(p)])], "weight_decay": weight_decay},
            {"params": [p for p in weights if not decays(p, owner[id(p)])], "weight_decay": 0.0},
        ]

    return Mistake(name, "Print the names in each group.", {"optimizer.parameter_groups": wrong}, True)


def is_norm(module):
    return isinstance(module, torch.nn.LayerNorm)


GROUPS = (
    groups("every weight decays, biases and norms too", lambda p, module: True),
    groups("no weight decays", lambda p, module: False),
    groups("norms decay, biases do not", lambda p, module: p.ndim > 1 or (is_norm(module) and p is module.weight)),
    groups("the norms' biases decay", lambda p, module: p.ndim > 1 or (is_norm(module) and p is module.bias)),
    groups("biases decay, norms do not", lambda p, module: not is_norm(module)),
    groups("the embeddings do not decay", lambda p, module: p.ndim > 1 and not isinstance(module, torch.nn.Embedding)),
    groups("biases and norms decay, matrices do not", lambda p, module: p.ndim <= 1),
    groups("frozen weights are handed to the optimizer", lambda p, module: p.ndim > 1, lambda p: True),
    groups("biases and norms are left out", lambda p, module: True, lambda p: p.requires_grad and p.ndim > 1),
)
MISTAKES = STEP + SCHEDULES + GROUPS
