"""How a walk ends: in the probabilities of classes, or in the likeliest tokens of a masked language model."""

import torch

from minbert.losses import ONE
from minbert.pages.tables import FIRST, Writer
from minbert.probing import top_tokens

TOP = 5  # of the likeliest tokens


def class_steps(writer: Writer, model, head) -> tuple[dict, dict]:
    """The classifier: pooled vector, logits, probabilities."""
    number, config = writer.number, model.config
    labels = list(config.labels) or [f"class {at}" for at in range(config.num_labels)]
    pooled, logits = head.pooled[0], head.logits[0]
    columns = [str(at) for at in range(1, 1 + min(4, len(pooled)))]
    pooler, classifier = model.bert.pooler, model.classifier
    tables = {
        "pooled": writer.listed("", [("vector", pooled)], columns),
        "logits": writer.listed("", [("logits", logits)], labels),
        "pooler": writer.weights(pooler.weight, pooler.bias),
        "classifier": writer.weights(classifier.weight, classifier.bias),
    }
    sums = {"logit": (writer.dot(pooled, classifier.weight[0], classifier.bias[0], weight=True), number(logits[0]))}
    if config.pooling == "pooler":
        tables["linear"] = writer.listed("", [("before tanh", head.linear[0])], columns)
        sums["linear"] = (
            writer.dot(head.x[0], pooler.weight[0], pooler.bias[0], weight=True),
            number(head.linear[0, 0]),
        )
        sums["pooled"] = (f"tanh({number(head.linear[0, 0])})", number(pooled[0]))
    if head.p is not None:
        tables["probabilities"] = writer.listed("", [("p", head.p[0])], labels)
    if config.problem_type == ONE:
        exp = writer.listed("", [("exp", torch.cat([head.exp[0], head.total[0]]))], [*labels, "Σ"])
        tables["class_exp"] = exp
        sums["probability"] = (f"{number(head.exp[0, 0])} / {number(head.total[0, 0])}", number(head.p[0, 0]))
    return tables, sums


def guess_steps(writer: Writer, model, tokenizer, head) -> tuple[dict, dict, list]:
    """The masked-LM head at the token that the walk follows, and its likeliest tokens at all places."""
    at, number, columns = writer.row, writer.number, [str(place) for place in range(1, FIRST + 1)]
    steps = {"linear": head.dense, "activated": head.active, "normalised": head.norm.out}
    best = [top_tokens(logits, tokenizer, TOP) for logits in head.logits[0]]
    first = best[at][0]["id"]
    top = [(row["token"], torch.stack([head.logits[0, at, row["id"]], head.p[0, at, row["id"]]])) for row in best[at]]
    everywhere = [
        (label, [(row["token"], number(row["score"])) for row in rows]) for label, rows in zip(writer.labels, best)
    ]
    tables = {
        "guess": writer.listed("", [(name, x[0, at]) for name, x in steps.items()], columns),
        "top": writer.listed("token", top, ["logit", "probability"]),
    }
    decoder, bias = head.decoder[first], model.predictions.bias[first]
    logit = head.logits[0, at, first]
    total = head.logits[0, at].exp().sum()
    sums = {
        "logit": (writer.dot(head.norm.out[0, at], decoder, bias, weight=True), number(logit)),
        "probability": (f"exp({number(logit)}) / {number(total)}", number(head.p[0, at, first])),
    }
    return tables, sums, everywhere
