"""Part 6: AdamW and the learning rate. Several weights, five steps, gradients from tiny to large, odd settings."""

import numpy as np
import torch
from torch import nn

from minbert.course.probes import Probe, names, normal

STEPS = 5
SETTINGS = {"lr": 0.05, "beta1": 0.8, "beta2": 0.95, "eps": 0.01, "weight_decay": 0.3}


def inputs(rng, **more):
    """Two weights and their gradients, some of which are about as small as eps."""
    found = {"first": 2 * normal(rng, 3, 4), "second": 2 * normal(rng, 5)}
    for name, shape in (("first", (3, 4)), ("second", (5,))):
        size = 10.0 ** rng.uniform(-3, 0.3, (1, *shape))
        found[f"{name}_gradients"] = (size * normal(rng, STEPS, *shape)).astype(np.float32)
    found["second_gradients"][:, 1] = 0.0
    return found | SETTINGS | more


def one(rng, **more):
    found = inputs(rng)
    return {name: value[:1] if "gradients" in name else value for name, value in found.items()} | more


def settings(beta1, beta2, **others):
    return {"betas": (beta1, beta2)} | others


def take_steps(optimizer, weights, gradients):
    """One step for each row of gradients; a row of NaN stands for no gradient. Yields the number of the step."""
    for step in range(len(gradients[0])):
        for weight, rows in zip(weights, gradients):
            weight.grad = None if rows[step].isnan().all() else rows[step].clone()
        optimizer.step()
        yield step + 1


def ask(code, first, second, first_gradients, second_gradients, **options):
    """Yields the weights after each step, and the gradients, which a step leaves alone."""
    weights = [nn.Parameter(first), nn.Parameter(second)]
    optimizer = code.optimizer.AdamW(weights, **settings(**options))
    for step in take_steps(optimizer, weights, (first_gradients, second_gradients)):
        for name, weight in zip(("first", "second"), weights):
            yield f"{name} weight after step {step}", weight
    gradients = [weight.grad.abs().sum() if weight.grad is not None else torch.zeros(()) for weight in weights]
    yield "sums of the last gradients", torch.stack(gradients)


def ask_groups(code, first, second, first_gradients, second_gradients, **options):
    """Two groups of other settings, and a learning rate that changes."""
    weights = [nn.Parameter(first), nn.Parameter(second)]
    own = {"lr": 0.2, "weight_decay": 0.0, "eps": 0.1, "betas": (0.5, 0.9)}
    groups = [{"params": weights[:1]}, {"params": weights[1:]} | own]
    optimizer = code.optimizer.AdamW(groups, **settings(**options))
    for step in take_steps(optimizer, weights, (first_gradients, second_gradients)):
        for name, weight in zip(("first", "second"), weights):
            yield f"{name} weight after step {step}", weight
        for group in optimizer.param_groups:
            group["lr"] *= 1.5


def ask_alike(code, first, second, first_gradients, second_gradients, **options):
    """Two weights of one shape, with equal numbers at the start."""
    weights = [nn.Parameter(first.clone()), nn.Parameter(first.clone())]
    optimizer = code.optimizer.AdamW(weights, **settings(**options))
    for step in take_steps(optimizer, weights, (first_gradients, first_gradients.flip(1))):
        for name, weight in zip(("first", "second"), weights):
            yield f"{name} weight after step {step}", weight


def ask_defaults(code, first, second, first_gradients, second_gradients, **options):
    weights = [nn.Parameter(first), nn.Parameter(second)]
    optimizer = code.optimizer.AdamW(weights, lr=0.01, weight_decay=0.01)
    *_, last = take_steps(optimizer, weights, (first_gradients, second_gradients))
    yield f"first weight after step {last}", weights[0]


def ask_closure(code, first, second, first_gradients, second_gradients, **options):
    weight = nn.Parameter(first)
    optimizer = code.optimizer.AdamW([weight], **settings(**options))

    def closure():
        optimizer.zero_grad()
        loss = (weight * first_gradients[0]).sum()
        loss.backward()
        return loss

    loss = optimizer.step(closure)
    yield "weight", weight
    yield "what step returns", ["nothing" if loss is None else "a number"]
    yield "loss", torch.tensor(0.0) if loss is None else loss


def seldom(rng):
    """The first weight has no gradient in step 3, the second in steps 1, 2 and 4."""
    found = inputs(rng)
    found["first_gradients"][2] = np.nan
    found["second_gradients"][[0, 1, 3]] = np.nan
    return found


def ask_schedules(code, warmup, total):
    for name in ("linear", "constant"):
        rate = getattr(code.optimizer, name)
        yield name, torch.tensor([float(rate(step, warmup, total)) for step in range(total + 3)])
        yield f"{name}, no warm-up", torch.tensor([float(rate(step, 0, total)) for step in range(total + 3)])
        shares = [step / 16 for step in range(18)]
        yield f"option: {name}, in shares of the run", torch.tensor([float(rate(share, 0.25, 1)) for share in shares])


def ask_parameter_groups(code, weight_decay):
    sizes = {"embeddings": nn.Embedding(4, 3), "dense": nn.Linear(3, 5), "attention_norm": nn.LayerNorm(5)}
    model = nn.ModuleDict(sizes | {"classifier": nn.Linear(5, 2), "frozen": nn.Linear(2, 2)})
    model["frozen"].requires_grad_(False)
    known = {id(weight): name for name, weight in model.named_parameters()}
    groups = code.optimizer.parameter_groups(model, weight_decay)
    for kind, decays in (("decay", True), ("do not decay", False)):
        found = [known[id(p)] for group in groups if bool(group["weight_decay"]) == decays for p in group["params"]]
        yield f"weights that {kind}", names(found)
    yield "weight_decay", names({f"{group['weight_decay']:g}" for group in groups if group["params"]})


def schedule(rng):
    return {"warmup": int(rng.integers(3, 6)), "total": int(rng.integers(11, 16))}


PROBES = (
    Probe("AdamW, one step", one, ask),
    Probe("AdamW, one step, no decay", lambda rng: one(rng, weight_decay=0.0), ask),
    Probe("AdamW, five steps", inputs, ask),
    Probe("AdamW, groups and a changing rate", inputs, ask_groups),
    Probe("AdamW, weights that start alike", inputs, ask_alike),
    Probe("AdamW, a weight that seldom has a gradient", seldom, ask),
    Probe("option: AdamW, efficient", lambda rng: inputs(rng, efficient=True), ask),
    Probe("option: AdamW, correct_bias=False", lambda rng: inputs(rng, correct_bias=False), ask),
    Probe(
        "option: AdamW, efficient, correct_bias=False",
        lambda rng: inputs(rng, efficient=True, correct_bias=False),
        ask,
    ),
    Probe("AdamW, defaults", inputs, ask_defaults),
    Probe("AdamW, closure", inputs, ask_closure),
    Probe("schedules", schedule, ask_schedules),
    Probe("parameter_groups", lambda rng: {"weight_decay": 0.05}, ask_parameter_groups),
)
