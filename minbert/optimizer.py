"""How weights move: AdamW written out, clipping, and the learning rate over the course of a run."""

import math

import torch


class AdamW(torch.optim.Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2; Adam: Kingma & Ba 2015, algorithm 1).

    For each weight w with gradient g at step t:

        m = beta1 m + (1 - beta1) g            the recent mean of the gradient
        v = beta2 v + (1 - beta2) g^2          and of its square
        w = w - lr * weight_decay * w          decay, apart from the gradient
        w = w - lr * m^ / (sqrt(v^) + eps)     with m^ = m / (1 - beta1^t), v^ = v / (1 - beta2^t)

    efficient=True is the form of the course kits (Kingma & Ba, end of section 2): the two corrections are folded into
    the step size, so that eps meets sqrt(v) uncorrected, and decay comes last. correct_bias=False leaves them out.
    """

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, efficient=False, correct_bias=True
    ):
        for name, value, legal in (
            ("lr", lr, lr >= 0),
            ("betas", betas, all(0 <= beta < 1 for beta in betas)),
            ("eps", eps, eps >= 0),
            ("weight_decay", weight_decay, weight_decay >= 0),
        ):
            if not legal:
                raise ValueError(f"{name} cannot be {value}")
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, settings | {"efficient": efficient, "correct_bias": correct_bias})

    @torch.no_grad()
    def step(self, closure=None):
        """Move every weight that has a gradient. closure: computes the loss again, returned (for torch's interface)."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    state = self.state[weight]
                    if not state:
                        state.update(step=0, mean=torch.zeros_like(weight), square=torch.zeros_like(weight))
                    state["step"] += 1
                    update(weight, weight.grad, group=group, **state)
        return loss


def update(weight, grad, step, mean, square, group):
    """One step of one weight, in place; mean and square are m and v above."""
    lr, (beta1, beta2), decay = group["lr"], group["betas"], group["lr"] * group["weight_decay"]
    mean.mul_(beta1).add_(grad, alpha=1 - beta1)
    square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    correction1 = 1 - beta1**step if group["correct_bias"] else 1.0
    correction2 = 1 - beta2**step if group["correct_bias"] else 1.0
    if group["efficient"]:
        weight.addcdiv_(mean, square.sqrt().add_(group["eps"]), value=-lr * math.sqrt(correction2) / correction1)
        weight.mul_(1 - decay)
    else:
        weight.mul_(1 - decay)
        denominator = square.sqrt().div_(math.sqrt(correction2)).add_(group["eps"])
        weight.addcdiv_(mean, denominator, value=-lr / correction1)


def clip(parameters, max_norm):
    """Scale all gradients down together if their norm is above max_norm. Returns the norm before, a scalar tensor."""
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.stack([grad.norm() for grad in grads]).norm()  # of all of them as one long vector
    scale = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    for grad in grads:
        grad.mul_(scale)
    return norm


def parameter_groups(model, weight_decay):
    """The trainable weights in two groups for AdamW: matrices decay, biases and norms do not (google-research/bert)."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]


def linear(step, warmup, total):
    """The share of the peak learning rate at step 0, 1, ...: up from 0 over the warm-up, then down to 0 at the end.

    The three may be numbers of steps, or shares of the run, total being 1.
    """
    if step < warmup:
        return step / warmup
    return (total - step) / (total - warmup) if step < total else 0.0


def constant(step, warmup, total):
    """The same share all along, after the warm-up."""
    return step / warmup if step < warmup else 1.0


SCHEDULES = {"linear": linear, "constant": constant}
