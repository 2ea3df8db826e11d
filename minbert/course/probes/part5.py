"""Part 5: BERT's wiring, its pooler, and the classifier, frozen and not. Embeddings and encoder are stand-ins."""

import functools

import numpy as np
import torch
from torch import nn

from minbert.course.probes import Probe, lengths, linears, names, normal, real, replaced

B, T, D, C, V = 3, 6, 8, 4, 19
SIZES = {"hidden_size": D, "num_attention_heads": 2, "intermediate_size": 5, "vocab_size": V, "num_hidden_layers": 2}


class Embeddings(nn.Module):
    """A token's vector, and the segment; dropout as in the real ones."""

    def __init__(self, table):
        super().__init__()
        self.token = nn.Embedding.from_pretrained(table, freeze=False)
        self.dropout = nn.Dropout(0.3)

    def forward(self, input_ids, token_type_ids=None):
        segment = 0.0 if token_type_ids is None else 0.7 * token_type_ids[:, :, None]
        return self.dropout(self.token(input_ids) + segment)


class Encoder(nn.Module):
    """The mean of what the mask shows, added to each token; one weight that can learn."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.9))

    def forward(self, x, mask, hidden_states=None, attentions=None):
        weights = mask.to(x.dtype).expand(x.size(0), 1, x.size(1), x.size(1))
        weights = weights / weights.sum(-1, keepdim=True).clamp(min=1)
        for _ in range(2):
            x = self.scale * x + weights[:, 0] @ x
            if hidden_states is not None:
                hidden_states.append(x)
            if attentions is not None:
                attentions.append(weights)
        return x


def inputs(rng, **more):
    segments = np.array([[int(at >= row + 2) for at in range(T)] for row in range(B)])
    found = {"input_ids": rng.integers(1, V, (B, T)), "attention_mask": lengths(T - 1, T - 4, T - 2, width=T)}
    found |= {"token_type_ids": segments, "table": normal(rng, V, D)}
    return found | linears(rng, pooler=(D, D), classifier=(C, D)) | more


def masked(attention_mask):
    return lambda rng: inputs(rng, attention_mask=attention_mask)


def gaps():
    """Padding in the middle, in front, and behind."""
    mask = lengths(T, T, T - 2, gap=(0, 2))
    mask[1, :2] = 0
    return mask


def stand_in(bert, table, weights):
    bert.embeddings, bert.encoder = Embeddings(table), Encoder()
    bert.pooler.load_state_dict({name: weights[f"pooler.{name}"] for name in ("weight", "bias")})
    return bert.eval()


def build(code, table, weights, **changes):
    settings = {"num_labels": C, "hidden_dropout_prob": 0.3, "classifier_dropout": 0.45} | changes
    model = code.heads.BertSentClassifier(code.config.Config(**SIZES, **settings))
    learns = {name: any(p.requires_grad for p in child.parameters()) for name, child in model.bert.named_children()}
    stand_in(model.bert, table, weights)
    for name, child in model.bert.named_children():
        child.requires_grad_(learns.get(name, True))
    model.classifier.load_state_dict({name: weights[f"classifier.{name}"] for name in ("weight", "bias")})
    model.eval()
    return model


def with_masks(ask):
    """The masks are the work of part 3."""

    def padding(attention_mask):
        return attention_mask.bool()[:, None, None]

    def causal(length, device=None):
        places = torch.arange(length, device=device)
        return places[None] <= places[:, None]

    @functools.wraps(ask)
    def wrapped(code, **arguments):
        with replaced(code.bert, padding_mask=padding, causal_mask=causal):
            yield from ask(code, **arguments)

    return wrapped


def ask_pool(code, input_ids, attention_mask, token_type_ids, table, **weights):
    bert = stand_in(code.bert.BertModel(code.config.Config(**SIZES)), table, weights)
    yield "pooler_output", bert.pool(table[input_ids])


@with_masks
def ask_bert(code, input_ids, attention_mask, token_type_ids, table, causal=False, **weights):
    bert = stand_in(code.bert.BertModel(code.config.Config(**SIZES)), table, weights)
    output = bert(input_ids, attention_mask, token_type_ids, causal, output_hidden_states=True, output_attentions=True)
    yield "last_hidden_state", real(output["last_hidden_state"], attention_mask)
    yield "pooler_output", output["pooler_output"]
    yield "hidden_states", torch.stack([real(state, attention_mask) for state in output["hidden_states"]])
    yield "attentions", torch.stack(list(output["attentions"]))
    yield "last_hidden_state, no mask given", bert(input_ids)["last_hidden_state"]
    yield "what comes out if nothing more is asked for", names(bert(input_ids))
    yield "modules in training mode at the start", names(modes(code.bert.BertModel(code.config.Config(**SIZES))))


def ask_pooling(code, input_ids, attention_mask, token_type_ids, table, **weights):
    x = table[input_ids]
    output = {"last_hidden_state": x, "pooler_output": x.cos().sum(1)}
    for pooling in ("pooler", "cls", "mean"):
        model = build(code, table, weights, pooling=pooling)
        yield f"pooling {pooling}", model.pool(output, attention_mask)
        yield f"option: pooling {pooling}, no mask", model.pool(output)


def ask_mean(code, input_ids, attention_mask, token_type_ids, table, **weights):
    model = build(code, table, weights, pooling="mean")
    yield "mean", model.pool({"last_hidden_state": table[input_ids]}, attention_mask)


@with_masks
def ask_labels(code, input_ids, attention_mask, token_type_ids, table, **weights):
    """What comes out with labels; a loss or logits that are missing are 0."""
    output = build(code, table, weights)(input_ids, attention_mask, token_type_ids, torch.tensor([1, 0, 3]))
    named = output if isinstance(output, dict) else {}
    yield "what comes out", names(named or [type(output).__name__, *map(str, getattr(output, "shape", ()))])
    for name in ("loss", "logits"):
        yield name, named.get(name, torch.zeros(()))


@with_masks
def ask_logits(code, input_ids, attention_mask, token_type_ids, table, training=False, option="flexible", **weights):
    for pooling in ("pooler", "mean"):
        model = build(code, table, weights, pooling=pooling, option=option)
        model.train(training)
        yield f"logits, pooling {pooling}", model(input_ids, attention_mask, token_type_ids)
        yield f"features, pooling {pooling}", model.features(input_ids, attention_mask, token_type_ids)


@with_masks
def ask_defaults(code, input_ids, attention_mask, token_type_ids, table, **weights):
    model = build(code, table, weights, classifier_dropout=None, hidden_dropout_prob=0.6)
    model.train()
    yield "logits", model(input_ids)
    fresh = code.heads.BertSentClassifier(code.config.Config(**SIZES, initializer_range=0.5))
    yield "modules in training mode at the start", names(modes(fresh))
    layers = {name: layer for name, layer in fresh.named_modules() if isinstance(layer, (nn.Linear, nn.Embedding))}
    biases = {name: layer.bias for name, layer in layers.items() if getattr(layer, "bias", None) is not None}
    yield "biases that are not 0 at the start", names(name for name, bias in biases.items() if bias.any())
    own = {name: layer.weight for name, layer in layers.items() if "encoder" not in name}  # which is others' work
    spreads = {name: weight.std().item() for name, weight in own.items() if weight.numel() > 20}
    yield "the spread of new weights", names(f"{name} {about(spread)}" for name, spread in spreads.items())


def about(spread):
    return next((f"about {value}" for value in (0.02, 0.5, 1.0) if 0.7 < spread / value < 1.4), "another")


def modes(model):
    return [name or "the model itself" for name, module in model.named_modules() if module.training]


def ask_modes(code, input_ids, attention_mask, token_type_ids, table, option, **weights):
    model = build(code, table, weights, option=option)
    answers = [model.train()]
    yield "modules in training mode after train()", names(modes(model))
    model.eval()
    yield "modules in training mode after eval()", names(modes(model))
    nn.Module.train(model)
    answers.append(model.train(True))
    yield "modules in training mode after train(True)", names(modes(model))
    answers.append(model.train(False))
    yield "modules in training mode after train(False)", names(modes(model))
    yield "what train() returns", ["the model" if one is model else str(one) for one in answers]


def learning(model):
    """Names of the modules that may learn, "some of" where not all of their weights may."""
    for name, module in [*model.bert.named_children(), ("classifier", model.classifier)]:
        learns = [weight.requires_grad for weight in module.parameters()]
        if any(learns):
            yield name if all(learns) else f"some of {name}"


@with_masks
def ask_step(code, input_ids, attention_mask, token_type_ids, table, option, **weights):
    """Two steps of gradient descent."""
    model = build(code, table, weights, option=option)
    model.train()
    fresh = code.heads.BertSentClassifier(code.config.Config(**SIZES, option=option))
    yield "weights that may learn", names(learning(fresh))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    for step in (1, 2):
        logits = model(input_ids, attention_mask, token_type_ids)
        yield f"logits of step {step}", logits
        model.zero_grad()
        nn.functional.cross_entropy(logits, torch.tensor([1, 0, 3])).backward()
        with torch.no_grad():
            for weight in model.parameters():
                if weight.grad is not None:
                    weight -= 0.5 * weight.grad
    after = model.state_dict()
    yield "weights that moved", names(name for name in before if not torch.equal(before[name], after[name]))
    for name in ("classifier.weight", "classifier.bias", "bert.pooler.weight", "bert.embeddings.token.weight"):
        yield f"{name} after two steps", after[name]


PROBES = (
    Probe("BertModel.pool", inputs, ask_pool),
    Probe("BertModel", inputs, ask_bert),
    Probe("BertModel, causal", lambda rng: inputs(rng, causal=True), ask_bert),
    Probe("BertSentClassifier.pool", inputs, ask_pooling),
    Probe("BertSentClassifier", inputs, ask_logits),
    Probe("BertSentClassifier, training", lambda rng: inputs(rng, training=True), ask_logits),
    Probe("BertSentClassifier, frozen", lambda rng: inputs(rng, option="pretrain"), ask_logits),
    Probe(
        "BertSentClassifier, frozen, training", lambda rng: inputs(rng, option="pretrain", training=True), ask_logits
    ),
    Probe("BertSentClassifier, defaults", inputs, ask_defaults),
    Probe("flexible, modes", lambda rng: inputs(rng, option="flexible"), ask_modes),
    Probe("pretrain, modes", lambda rng: inputs(rng, option="pretrain"), ask_modes),
    Probe("flexible, two steps", lambda rng: inputs(rng, option="flexible"), ask_step),
    Probe("pretrain, two steps", lambda rng: inputs(rng, option="pretrain"), ask_step),
    Probe("option: the mean, with gaps", masked(gaps()), ask_mean),
    Probe("option: a text without a token", masked(lengths(T - 1, 0, T - 3, width=T)), ask_mean),
    Probe("option: BertSentClassifier, labels", inputs, ask_labels),
)
