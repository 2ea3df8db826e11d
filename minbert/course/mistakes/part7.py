"""Known mistakes of part 7: the loss, one step, an epoch, predictions. Nearly all show in training only."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from minbert.course.mistakes import Around, Mistake
from minbert.optimizer import clip as right_clip
from minbert.training import NotFinite, in_order, train_step


def mistake(name, hint, place, function, within=True, fair=False):
    return Mistake(name, hint, {place: function}, within, fair)


# The loss


def loss(name, of, hint="Work the loss out by hand for two texts.", fair=False):
    """of  a function of (logits, labels, weight)"""

    def batch_loss(model, batch, weight=None, precision="fp32"):
        *inputs, labels = batch
        return of(model(*inputs), labels, weight)

    return mistake(name, hint, "training.batch_loss", batch_loss, fair=fair)


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
LOSSES = (
    loss("the loss is summed, not averaged", lambda x, y, w: F.cross_entropy(x, y, w, reduction="sum"), fair=True),
    loss("the loss is divided by the classes as well", lambda x, y, w: right_loss(x, y, w) / x.size(1)),
    loss(
        "the loss is divided by the number of classes, not of texts",
        lambda x, y, w: F.cross_entropy(x, y, w, reduction="sum") / x.size(1),
    ),
    loss("the softmax is taken twice", lambda x, y, w: right_loss(x.softmax(-1), y, w)),
    loss("the loss is the probability, not its negative logarithm", lambda x, y, w: F.nll_loss(x.softmax(-1), y, w)),
    loss("the softmax is forgotten: the loss is minus the logit", lambda x, y, w: F.nll_loss(x, y, w)),
    loss("the sign of the loss is wrong", lambda x, y, w: -right_loss(x, y, w)),
    loss("the softmax runs over the batch", lambda x, y, w: F.nll_loss(x.log_softmax(0), y, w)),
    loss("the logarithm is to the base 2", lambda x, y, w: right_loss(x, y, w) / math.log(2)),
    loss(
        "the loss is the squared difference of probabilities",
        lambda x, y, w: (x.softmax(-1) - one_hot(x, y)).square().sum(-1).mean(),
    ),
    loss(
        "the loss is the mean squared difference of probabilities",
        lambda x, y, w: F.mse_loss(x.softmax(-1), one_hot(x, y)),
    ),
    loss("the loss is the mean squared difference of logits", lambda x, y, w: F.mse_loss(x, one_hot(x, y))),
    loss(
        "the loss is that of C yes-or-no questions (sigmoids)",
        lambda x, y, w: F.binary_cross_entropy_with_logits(x, one_hot(x, y)),
    ),
    loss("the labels are smoothed by 0.1", lambda x, y, w: F.cross_entropy(x, y, w, label_smoothing=0.1)),
    loss("the labels are shifted by one class", lambda x, y, w: right_loss(x, (y + 1) % x.size(1), w)),
    loss("the labels are in another order than the texts", lambda x, y, w: right_loss(x, y.flip(0), w)),
    loss("the labels are shifted by one text", lambda x, y, w: right_loss(x, y.roll(1), w)),
    loss("only the last text counts", lambda x, y, w: right_loss(x[-1:], y[-1:], w)),
    loss("only the first text counts", lambda x, y, w: right_loss(x[:1], y[:1], w)),
    loss("only the worst text counts", lambda x, y, w: each(x, y, w).max()),
    loss("class 0 does not count, as if it were padding", lambda x, y, w: F.cross_entropy(x, y, w, ignore_index=0)),
    loss("the weights of classes are ignored", lambda x, y, w: right_loss(x, y, None), WEIGHTS),
    loss(
        "with weights of classes, the sum is divided by the texts, not by their weights",
        lambda x, y, w: each(x, y, w).mean(),
        WEIGHTS,
        True,
    ),
    loss("with weights of classes, the loss is summed", uncounted(lambda x, y, w: each(x, y, w).sum()), WEIGHTS),
    loss("the weights of classes multiply the logits", uncounted(lambda x, y, w: right_loss(x * w, y, None)), WEIGHTS),
    loss("the weights of classes divide", uncounted(lambda x, y, w: right_loss(x, y, 1 / w)), WEIGHTS),
    loss("the weights of classes are squared", uncounted(lambda x, y, w: right_loss(x, y, w * w)), WEIGHTS),
    loss(
        "the weights are taken of the predicted class",
        uncounted(lambda x, y, w: (each(x, y) * w[x.argmax(-1)]).sum() / w[x.argmax(-1)].sum()),
        WEIGHTS,
    ),
)


def balance(name, of):
    """of  a function of (counts [C], number of labels)"""

    def class_weights(labels, classes):
        counts = torch.bincount(torch.tensor(labels), minlength=classes).float()
        return of(counts, len(labels))

    return mistake(
        name,
        "Which class weighs more, a rare or a frequent one? And the mean?",
        "training.class_weights",
        class_weights,
    )


def present(counts, values, absent=0.0):
    return torch.where(counts > 0, values, torch.as_tensor(absent))


BALANCE = (
    balance("frequent classes weigh more: the weights are the frequencies", lambda n, size: n / size),
    balance("the weights are counts", lambda n, size: n),
    balance("the weights are not divided by the number of classes", lambda n, size: present(n, size / n.clamp(min=1))),
    balance("the weights are one over the counts", lambda n, size: present(n, 1 / n.clamp(min=1))),
    balance(
        "the weights sum to 1", lambda n, size: present(n, 1 / n.clamp(min=1)) / present(n, 1 / n.clamp(min=1)).sum()
    ),
    balance(
        "the weights sum to C",
        lambda n, size: len(n) * present(n, 1 / n.clamp(min=1)) / present(n, 1 / n.clamp(min=1)).sum(),
    ),
    balance(
        "the classes that occur are counted, not all",
        lambda n, size: present(n, size / ((n > 0).sum() * n.clamp(min=1))),
    ),
    balance(
        "a class that does not occur weighs as if it occurred once", lambda n, size: size / (len(n) * n.clamp(min=1))
    ),
    balance("a class that does not occur weighs infinitely much", lambda n, size: size / (len(n) * n)),
    balance("a class that does not occur weighs 1", lambda n, size: present(n, size / (len(n) * n.clamp(min=1)), 1.0)),
    balance("the largest count is divided, not the mean count", lambda n, size: present(n, n.max() / n.clamp(min=1))),
    balance("the weights are square roots", lambda n, size: present(n, (size / (len(n) * n.clamp(min=1))).sqrt())),
    balance("one is added to each count", lambda n, size: size / (len(n) * (n + 1))),
    balance("every class weighs 1", lambda n, size: torch.ones_like(n)),
)

# The step


def each_value(parameters, most):
    return nn.utils.clip_grad_value_([p for p in parameters if p.grad is not None], most) or torch.zeros(())


def scaled(factor, each=False):
    """A wrong `clip`. factor  a function of (norm, most); each  for each weight by itself"""

    def clip(parameters, most):
        grads = [p.grad for p in parameters if p.grad is not None]
        norm = torch.cat([grad.flatten() for grad in grads]).norm()
        for grad in grads:
            grad.mul_(factor(grad.norm() if each else norm, most))
        return norm

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


def sum_of_norms(parameters, most):
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = torch.stack([grad.norm() for grad in grads]).sum()
    for grad in grads:
        grad.mul_(cap(norm, most))
    return norm


def norm_after(parameters, most):
    return torch.minimum(right_clip(parameters, most), torch.as_tensor(float(most)))


def clipping(name, function, fair=False):
    return mistake(
        name, "Two weights, gradients of norm 3 and 4: what comes out at most 1?", "optimizer.clip", function, fair=fair
    )


CLIPS = (
    clipping("each number is clipped, not the norm", each_value, True),
    clipping("the gradient is divided by its norm only", scaled(lambda norm, most: 1 / (norm + 1e-6))),
    clipping("small gradients are scaled up", scaled(lambda norm, most: most / (norm + 1e-6))),
    clipping("each weight's gradient is clipped to the norm by itself", scaled(cap, each=True), True),
    clipping("the gradient is divided by its norm once too often", scaled(lambda norm, most: cap(norm, most) ** 2)),
    clipping("the norm is not clipped: nothing is scaled", scaled(lambda norm, most: 1.0)),
    clipping("only small gradients are scaled", scaled(lambda norm, most: (most / (norm + 1e-6)).clamp(min=1.0))),
    clipping("the gradient is multiplied by the limit", scaled(lambda norm, most: most if norm > most else 1.0)),
    clipping("the gradient is set to 0 if its norm is too large", scaled(lambda norm, most: float(norm <= most))),
    clipping("the norm is the sum of sizes (L1)", norm_of(lambda x: x.abs().sum())),
    clipping("the norm is the largest size", norm_of(lambda x: x.abs().max())),
    clipping("the norm is squared: the root is forgotten", norm_of(lambda x: x.square().sum())),
    clipping("the norm is that of the mean square", norm_of(lambda x: x.square().mean().sqrt())),
    clipping("the norms of the weights' gradients are added up", sum_of_norms),
    clipping("the norm after clipping is returned", norm_after),
    clipping("only the first weight's gradient is clipped", only(slice(0, 1))),
    clipping("only the last weight's gradient is clipped", only(slice(-1, None))),
)


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
            elif deed == "clip" and any(p.grad is not None for p in model.parameters()):
                norm = clip(model.parameters(), most(max_grad_norm) or math.inf)
            elif deed == "check" and not (loss.isfinite() and norm.isfinite()):
                raise NotFinite("not finite")
            elif deed == "step":
                optimizer.step()

    return update


def update(name, order="zero backward clip check step", hint="In which order: clear, backward, clip, step?", **how):
    return mistake(name, hint, "training.update", steps(order, **how))


UPDATES = (
    update("the gradient is not clipped", "zero backward check step"),
    update("the gradient is clipped after the step", "zero backward check step clip"),
    update("the gradient of the step before is not cleared", "backward clip check step"),
    update("gradients are cleared after the step, not before backward", "backward clip check step zero"),
    update("gradients are cleared between backward and step", "backward clip check zero step"),
    update("the step comes before backward: it is one step late", "step zero backward clip check"),
    update("the step comes before backward, with nothing to go by", "zero step backward clip check"),
    update("the step is forgotten", "zero backward clip check"),
    update("the step is taken twice", "zero backward clip check step step"),
    update("backward is forgotten", "zero clip check step"),
    update("backward runs twice: gradients are doubled", "zero backward backward clip check step"),
    update(
        "the gradient is clipped twice as hard",
        hint="What does max_grad_norm say?",
        most=lambda most: most and most / 2,
    ),
    update("the gradient is always clipped to 1", hint="What does max_grad_norm say?", most=lambda most: 1.0),
    update(
        "without max_grad_norm, the gradient is clipped to 1",
        hint="What does max_grad_norm None mean?",
        most=lambda most: most or 1.0,
    ),
    update("a loss that is not finite is not refused", "zero backward clip step", hint="What if the loss is NaN?"),
    update(
        "a loss that is not finite is refused after the step",
        "zero backward clip step check",
        hint="What if the loss is NaN?",
    ),
)


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


def step(name, hint, function):
    return mistake(name, hint, "training.train_step", function)


RETURN = "What does train_step return: of which weights, of how many texts?"
TRAIN_STEP = (
    step("train_step returns the loss after the step", RETURN, returning(loss_again)),
    step(
        "train_step returns the sum over the batch",
        RETURN,
        returning(lambda loss, model, batch, w: loss * len(batch[-1])),
    ),
    step("train_step returns nothing that counts: 0", RETURN, returning(lambda loss, model, batch, w: 0.0)),
    step("train_step does not hand on the weights of classes", "Follow each argument.", handed(weight=None)),
    step("train_step does not hand on max_grad_norm", "Follow each argument.", handed(max_grad_norm=1.0)),
    step("train_step never clips", "Follow each argument.", handed(max_grad_norm=None)),
    step("the step is taken in evaluation mode", "Is dropout on while the model learns?", in_mode(False)),
    step("train_step puts the model into training mode by itself", "Who sets the mode?", in_mode(True)),
    step("the model does not get the mask and the segments", "With what is the model called?", without_inputs(1)),
    step("the model does not get the segments", "With what is the model called?", without_inputs(2)),
)


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


def run(name, hint="For each batch: which rate, which mode, which step?", **how):
    return mistake(name, hint, "training.train_epoch", epoch(**how))


TRAIN_EPOCH = (
    run("an epoch leaves the model in evaluation mode: no dropout", mode=None),
    run("an epoch puts the model into evaluation mode", mode=False),
    run("each batch gets the rate of the batch before", rate=lambda seen, number: seen[max(0, number - 1)]),
    run("the rate is set after the step: it comes one step late", before=False),
    run("every batch gets the first rate", rate=lambda seen, number: seen[0]),
    run("the rate is never set", rate=lambda seen, number: 9.0),
    run("only the first group gets the rate", first_only=True),
    run("the rates add up", rate=lambda seen, number: sum(seen)),
    run("the rates multiply", rate=lambda seen, number: math.prod(seen)),
    run("the last batch is left out", batches=lambda stream: stream[:-1]),
    run("the first batch is left out", batches=lambda stream: stream[1:]),
    run("the batches run backwards", batches=lambda stream: stream[::-1]),
    run("only the first batch is used, again and again", batches=lambda stream: [stream[0]] * len(stream)),
    run("the mean of all losses so far is told", told=lambda losses, rate: (sum(losses) / len(losses), rate)),
    run("the sum of all losses so far is told", told=lambda losses, rate: (sum(losses), rate)),
    run("an epoch takes one rate too many", rates_first=True),
    run("an epoch does not hand on max_grad_norm", hand=lambda weight, most: (weight, 1.0)),
    run("an epoch never clips", hand=lambda weight, most: (weight, None)),
    run("an epoch does not hand on the weights of classes", hand=lambda weight, most: (None, most)),
)
RATES = (
    mistake(
        "set_rate reaches the first group only",
        "How many groups are there?",
        "training.set_rate",
        lambda optimizer, rate: optimizer.param_groups[0].update(lr=rate),
    ),
    mistake(
        "set_rate multiplies",
        "Is it a rate or a factor?",
        "training.set_rate",
        lambda optimizer, rate: [group.update(lr=group["lr"] * rate) for group in optimizer.param_groups],
    ),
    mistake(
        "set_rate reaches the last group only",
        "How many groups are there?",
        "training.set_rate",
        lambda optimizer, rate: optimizer.param_groups[-1].update(lr=rate),
    ),
)


def counted(name, of):
    """of  (settings, examples) -> the three numbers of steps"""
    return mistake(name, "Count the steps of a run of ten texts on paper.", "training.Settings.steps", of)


def warmup(settings, total):
    return math.ceil(total * settings.warmup) if settings.warmup < 1 else int(settings.warmup)


def three(settings, epoch):
    total = epoch * settings.epochs
    return epoch, total, warmup(settings, total)


COUNTS = (
    counted("the last, smaller batch is not counted", lambda self, n: three(self, n // self.batch_size)),
    counted("a step is counted too many", lambda self, n: three(self, n // self.batch_size + 1)),
    counted(
        "the warm-up is a share of an epoch, not of the run",
        lambda self, n: (
            *three(self, math.ceil(n / self.batch_size))[:2],
            warmup(self, math.ceil(n / self.batch_size)),
        ),
    ),
    counted(
        "the run has one epoch's steps",
        lambda self, n: (
            math.ceil(n / self.batch_size),
            math.ceil(n / self.batch_size),
            warmup(self, math.ceil(n / self.batch_size)),
        ),
    ),
    counted(
        "a warm-up of steps is taken for a share",
        lambda self, n: (
            *three(self, math.ceil(n / self.batch_size))[:2],
            math.ceil(math.ceil(n / self.batch_size) * self.epochs * self.warmup),
        ),
    ),
)

# Predictions


def ordered(change):
    """`in_order` wrong, in place"""
    return mistake(change[0], "Which text is the first answer for?", "training.in_order", change[1], within=False)


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


PREDICT = (
    ordered(("the answers stay in the order of reading", lambda order, found: torch.cat(found))),
    ordered(
        (
            "the answers are sorted by the order, not by its inverse",
            lambda order, found: torch.cat(found)[torch.tensor(order)],
        )
    ),
    ordered(("the answers come in reverse order", lambda order, found: in_order(order, found).flip(0))),
    ordered(("only the answers of the first batch come out", lambda order, found: found[0])),
    mistake("predictions are made with dropout", "In which mode is the model?", "training.read", reading(mode=True)),
    mistake("a prediction keeps gradients", "Who needs a gradient here?", "training.read", reading(grads=True)),
    mistake(
        "a prediction's model does not get the mask and the segments",
        "With what is the model called?",
        "training.read",
        reading(mask=False),
        within=False,
    ),
    mistake(
        "predictions are probabilities, not logits",
        "What does predict return?",
        "training.predict",
        Around(lambda right: lambda *given, **options: right(*given, **options).softmax(-1)),
        within=False,
    ),
    mistake(
        "features are logits",
        "What does features return?",
        "training.features",
        Around(lambda right: lambda model, data, *rest, **options: right(Features(model), data, *rest, **options)),
        within=False,
    ),
)


class Features(nn.Module):
    """A model whose features are its logits."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def features(self, *inputs):
        return self.model(*inputs)


def answer(
    name, hint, of=lambda logits: logits.softmax(-1), mode=False, after="was", grads=False, inputs=3, within=False
):
    """A wrong `predict_proba`. after  the mode afterwards: "was", "train", "eval" """

    def predict_proba(self, *given):
        was = self.training
        if mode is not None:
            self.train(mode)
        with torch.set_grad_enabled(grads):
            found = of(self(*given[:inputs]))
        self.train({"was": was, "train": True, "eval": False}[after])
        return found

    return mistake(name, hint, "heads.BertSentClassifier.predict_proba", predict_proba, within)


P, MODE = "What must the numbers of a row sum to?", "Print model.training before, in between, and afterwards."
PROBABILITIES = (
    answer("the probabilities are logits", P, lambda x: x),
    answer("the probabilities are log-probabilities", P, lambda x: x.log_softmax(-1)),
    answer("the probabilities are sigmoids", P, torch.sigmoid),
    answer("the softmax of the probabilities runs over the batch", P, lambda x: x.softmax(0)),
    answer("the softmax of the probabilities is taken twice", P, lambda x: x.softmax(-1).softmax(-1)),
    answer("the probabilities are the logits' shares of their sum", P, lambda x: x / x.sum(-1, keepdim=True)),
    answer("the probabilities are exponentials that are not divided by their sum", P, torch.exp),
    answer("the probabilities are 1 for the best class and 0 for the others", P, lambda x: one_hot(x, x.argmax(-1))),
    answer("the best class comes out, not probabilities", P, lambda x: x.argmax(-1)),
    answer("the best probability comes out, not that of each class", P, lambda x: x.softmax(-1).amax(-1)),
    answer("the probabilities do not see the mask and the segments", "With what is the model called?", inputs=1),
    answer("the probabilities do not see the segments", "With what is the model called?", inputs=2),
    answer("probabilities are computed with dropout", MODE, mode=None, within=True),
    answer("probabilities are always computed in training mode", MODE, mode=True, within=True),
    answer("after the probabilities, the model stays in evaluation mode", MODE, after="eval", within=True),
    answer("after the probabilities, the model is always in training mode", MODE, after="train", within=True),
    answer("the probabilities keep gradients", "Who needs a gradient here?", grads=True, within=True),
)
MISTAKES = LOSSES + BALANCE + CLIPS + UPDATES + TRAIN_STEP + TRAIN_EPOCH + RATES + COUNTS + PREDICT + PROBABILITIES
