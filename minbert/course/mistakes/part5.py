"""Known mistakes of part 5: BERT's wiring, the pooler, the classifier, freezing."""

import torch
from torch import nn
from torch.nn import functional as F

from minbert.course.mistakes import Around, Mistake


def mistake(name, hint, place, function, within=False, fair=False):
    return Mistake(name, hint, {place: function}, within, fair)


# The pooler and BERT's wiring


def pool(name, function, fair=False):
    return mistake(
        name, "One token's vector, one layer, one tanh: which token?", "bert.BertModel.pool", function, fair=fair
    )


POOLER = (
    pool("the pooler's tanh is forgotten", lambda self, x: self.pooler(x[:, 0])),
    pool("the pooler's layer is forgotten", lambda self, x: x[:, 0].tanh()),
    pool("the pooler does nothing", lambda self, x: x[:, 0]),
    pool("the pooler reads the last token", lambda self, x: self.pooler(x[:, -1]).tanh(), fair=True),
    pool("the pooler reads the second token", lambda self, x: self.pooler(x[:, 1]).tanh()),
    pool("the pooler reads the mean of the tokens", lambda self, x: self.pooler(x.mean(1)).tanh(), fair=True),
    pool("the pooler reads the largest of each number", lambda self, x: self.pooler(x.amax(1)).tanh()),
    pool("the pooler reads the sum of the tokens", lambda self, x: self.pooler(x.sum(1)).tanh()),
    pool("the pooler takes the mean after its layer and tanh", lambda self, x: self.pooler(x).tanh().mean(1)),
    pool("the pooler takes tanh before its layer", lambda self, x: self.pooler(x[:, 0].tanh())),
    pool("the pooler takes tanh twice", lambda self, x: self.pooler(x[:, 0]).tanh().tanh()),
    pool("the pooler's activation is ReLU, not tanh", lambda self, x: self.pooler(x[:, 0]).relu()),
    pool("the pooler's activation is GELU, not tanh", lambda self, x: F.gelu(self.pooler(x[:, 0]))),
    pool("the pooler's activation is a sigmoid, not tanh", lambda self, x: self.pooler(x[:, 0]).sigmoid()),
    pool("the pooler reads the first text of the batch", lambda self, x: self.pooler(x[0]).tanh()[: len(x)]),
)


def without(**dropped):
    """BertModel.forward with some arguments replaced: without(causal=False)"""

    def make(right):
        def forward(self, input_ids, attention_mask=None, token_type_ids=None, causal=False, **options):
            given = {"attention_mask": attention_mask, "token_type_ids": token_type_ids, "causal": causal} | dropped
            return right(self, input_ids, **given, **options)

        return forward

    return Around(make)


def changed(change):
    """BertModel.forward with another output. change  (model, output, ids) -> nothing, in place"""

    def make(right):
        def forward(self, *inputs, **options):
            output = right(self, *inputs, **options)
            change(self, output, inputs[0])
            return output

        return forward

    return Around(make)


def pool_first_state(self, output, ids):
    if "hidden_states" in output:
        output["pooler_output"] = self.pool(output["hidden_states"][0])


def drop_first(self, output, ids):
    if "hidden_states" in output:
        output["hidden_states"] = output["hidden_states"][1:]


def repeat_last(self, output, ids):
    if "hidden_states" in output:
        output["hidden_states"] = (*output["hidden_states"][:-1], output["hidden_states"][-2])


WIRE = "Follow each argument of BertModel.forward to its place."
BERT = (
    mistake("BertModel ignores causal", WIRE, "bert.BertModel.forward", without(causal=False)),
    mistake("BertModel is always causal", WIRE, "bert.BertModel.forward", without(causal=True)),
    mistake("BertModel ignores the attention mask", WIRE, "bert.BertModel.forward", without(attention_mask=None)),
    mistake("BertModel ignores the segments", WIRE, "bert.BertModel.forward", without(token_type_ids=None)),
    mistake("the hidden states begin after the first layer", WIRE, "bert.BertModel.forward", changed(drop_first)),
    mistake("the last hidden state is left out", WIRE, "bert.BertModel.forward", changed(repeat_last)),
    mistake("the pooler reads the embeddings", WIRE, "bert.BertModel.forward", changed(pool_first_state)),
)

# What the classifier reads


def reading(**how):
    """A wrong `BertSentClassifier.pool`: for "pooler", "cls" and "mean" a function of (output, mask) each"""
    right = {"pooler": lambda output, mask: output["pooler_output"], "cls": lambda output, mask: last(output)[:, 0]}
    right["mean"] = lambda output, mask: mean(last(output), mask)

    def wrong(self, output, attention_mask=None):
        return (right | how)[self.config.pooling](output, attention_mask)

    return wrong


def last(output):
    return output["last_hidden_state"]


def ones(x, mask):
    return torch.ones(x.shape[:2]) if mask is None else mask.to(x.dtype)


def mean(x, mask, change=lambda weight: weight, count=lambda weight: weight.sum(1)):
    weight = change(ones(x, mask))
    return (x * weight[:, :, None]).sum(1) / count(weight)[:, None].clamp(min=1)


def without_first(weight):
    return torch.cat([torch.zeros_like(weight[:, :1]), weight[:, 1:]], 1)


def without_last(weight):
    return F.pad(weight, (0, 1))[:, 1:] * weight


def pooling(name, hint, fair=False, **how):
    return mistake(name, hint, "heads.BertSentClassifier.pool", reading(**how), fair=fair)


READ, MEAN = "Which vector stands for the whole text?", "Which tokens are summed, and by what is divided?"
READING = (
    pooling("the first token's vector is read, not the pooler's", READ, pooler=lambda o, m: last(o)[:, 0]),
    pooling("the mean of the tokens is read, not the pooler's output", READ, pooler=lambda o, m: mean(last(o), m)),
    pooling("the mean of all places is read, not the pooler's output", READ, pooler=lambda o, m: last(o).mean(1)),
    pooling("the pooler's output is read, not the first token's vector", READ, cls=lambda o, m: o["pooler_output"]),
    pooling("the last token's vector is read, not the first's", READ, cls=lambda o, m: last(o)[:, -1]),
    pooling("the second token's vector is read, not the first's", READ, cls=lambda o, m: last(o)[:, 1]),
    pooling("the pooler's output is read, not the mean", READ, mean=lambda o, m: o["pooler_output"]),
    pooling("the first token's vector is read, not the mean", READ, mean=lambda o, m: last(o)[:, 0]),
    pooling("padding counts in the mean", MEAN, mean=lambda o, m: last(o).mean(1)),
    pooling(
        "the mean divides by all places, not by the real tokens",
        MEAN,
        mean=lambda o, m: mean(last(o), m, count=lambda weight: weight.sum(1) * 0 + weight.size(1)),
    ),
    pooling(
        "the mean divides by the longest text's tokens",
        MEAN,
        mean=lambda o, m: mean(last(o), m, count=lambda weight: weight.sum(1).max().expand(len(weight))),
    ),
    pooling(
        "the tokens are summed, not averaged", MEAN, mean=lambda o, m: mean(last(o), m, count=lambda w: w[:, 0] * 0 + 1)
    ),
    pooling("the mean is of padding, not of tokens", MEAN, mean=lambda o, m: mean(last(o), m if m is None else 1 - m)),
    pooling("the mean leaves out [CLS]", MEAN, True, mean=lambda o, m: mean(last(o), m, without_first)),
    pooling("the mean leaves out the last token", MEAN, mean=lambda o, m: mean(last(o), m, without_last)),
    pooling("the mean runs over a token's numbers", MEAN, mean=lambda o, m: last(o).mean(-1)),
    pooling("the largest of each number is read, not the mean", READ, mean=lambda o, m: last(o).amax(1)),
    pooling(
        "the largest of each number among the real tokens is read, not the mean",
        READ,
        mean=lambda o, m: last(o).masked_fill(~ones(last(o), m).bool()[:, :, None], -torch.inf).amax(1),
    ),
    pooling(
        "padding is set to 0 and counts in the mean and without a mask nothing does",
        MEAN,
        mean=lambda o, m: mean(last(o), torch.zeros(last(o).shape[:2]) if m is None else m),
    ),
)


def forward(
    before=lambda self, x: self.dropout(x),
    linear=lambda self, x: self.classifier(x),
    after=lambda self, x: x,
    inputs=lambda ids, mask, segments: (ids, mask, segments),
):
    """A wrong `BertSentClassifier.forward`."""

    def wrong(self, input_ids, attention_mask=None, token_type_ids=None):
        x = self.features(*inputs(input_ids, attention_mask, token_type_ids))
        return after(self, linear(self, before(self, x)))

    return wrong


def classify(name, hint, within=False, fair=False, **how):
    return mistake(name, hint, "heads.BertSentClassifier.forward", forward(**how), within, fair)


def features(name, hint, function, within=False):
    return mistake(name, hint, "heads.BertSentClassifier.features", function, within)


def always(self, x):
    return F.dropout(x, self.dropout.p)


def encoder_dropout(self, x):
    return F.dropout(x, self.config.hidden_dropout_prob, self.training)


DROP, LOGITS, ARGUMENTS = "Between which two does dropout stand?", "What is a logit?", "What does BertModel get?"
LOGITS_OF = (
    classify("the logits are log-probabilities", LOGITS, after=lambda self, x: x.log_softmax(-1)),
    classify("the logits are probabilities", LOGITS, after=lambda self, x: x.softmax(-1)),
    classify("the logits are sigmoids", LOGITS, after=lambda self, x: x.sigmoid()),
    classify("the logits go through tanh", LOGITS, after=lambda self, x: x.tanh()),
    classify("the logits go through ReLU", LOGITS, after=lambda self, x: x.relu()),
    classify("the linear layer's bias is left out", LOGITS, linear=lambda self, x: x @ self.classifier.weight.T),
    classify("the linear layer reads a tanh of its input", LOGITS, before=lambda self, x: self.dropout(x).tanh()),
    classify("the linear layer reads a ReLU of its input", LOGITS, before=lambda self, x: self.dropout(x).relu()),
    classify(
        "the classifier does not hand on the segments", ARGUMENTS, inputs=lambda ids, mask, segments: (ids, mask, None)
    ),
    classify(
        "the classifier does not hand on the mask", ARGUMENTS, inputs=lambda ids, mask, segments: (ids, None, segments)
    ),
    classify("mask and segments are exchanged", ARGUMENTS, inputs=lambda ids, mask, segments: (ids, segments, mask)),
    features(
        "the mean does not get the mask",
        ARGUMENTS,
        lambda self, ids, mask=None, segments=None: self.pool(self.bert(ids, mask, segments)),
    ),
    features(
        "the encoder does not get the mask",
        ARGUMENTS,
        lambda self, ids, mask=None, segments=None: self.pool(self.bert(ids, None, segments), mask),
    ),
    classify("there is no dropout before the linear layer", DROP, True, before=lambda self, x: x),
    classify(
        "dropout falls on the logits", DROP, True, before=lambda self, x: x, after=lambda self, x: self.dropout(x)
    ),
    classify("dropout falls on the logits as well", DROP, True, after=lambda self, x: self.dropout(x)),
    classify("dropout is on in evaluation", DROP, True, before=always),
    classify("dropout comes twice", DROP, True, before=lambda self, x: self.dropout(self.dropout(x))),
    classify("dropout is that of the encoder, not classifier_dropout", DROP, True, before=encoder_dropout),
    classify(
        "the linear layer learns, but nothing before it: its input is detached",
        "Which way does a gradient go?",
        True,
        before=lambda self, x: self.dropout(x).detach(),
    ),
    features(
        "the features come after dropout",
        DROP,
        lambda self, *inputs: self.dropout(self.pool(self.bert(*inputs), inputs[1] if len(inputs) > 1 else None)),
        True,
    ),
)

# Freezing and modes


def built(change):
    """The classifier's constructor, and something done after it."""

    def make(right):
        def __init__(self, config):
            right(self, config)
            change(self)

        return __init__

    return Around(make)


def froze(name, change, hint="List the names of the weights with requires_grad."):
    return mistake(name, hint, "heads.BertSentClassifier.__init__", built(change), within=True)


def mode(name, function):
    hint = "Print the names of all modules that are in training mode."
    return mistake(name, hint, "heads.BertSentClassifier.train", function, within=True)


def frozen(self):
    return self.config.option == "pretrain"


def set_mode(self, mode, bert):
    nn.Module.train(self, mode)
    self.bert.train(bert)
    return self


def head_off(self, mode=True):
    nn.Module.train(self, mode and not frozen(self))
    return self


def keeps_head(self, mode=True):
    """Frozen, train() reaches nothing but the encoder."""
    return set_mode(self, mode, mode and not frozen(self)) if not frozen(self) or not mode else self


def head_dropout_only(self, mode=True):
    nn.Module.train(self, mode)
    if frozen(self):
        self.bert.eval()
        self.dropout.eval()
    return self


def returns_nothing(self, mode=True):
    set_mode(self, mode, mode and not frozen(self))


def exchanged(self):
    self.bert.requires_grad_(frozen(self))


def dropout_of(value):
    def change(self):
        if self.config.classifier_dropout is None:
            self.dropout.p = value(self)

    return change


FREEZING = (
    froze("the encoder is not frozen", lambda self: self.bert.requires_grad_(True)),
    froze("the encoder is frozen in flexible too", lambda self: self.bert.requires_grad_(False)),
    froze("the options pretrain and flexible are exchanged", exchanged),
    froze("the linear layer is frozen with the encoder", lambda self: self.classifier.requires_grad_(not frozen(self))),
    froze("the whole model is frozen in flexible too", lambda self: self.requires_grad_(False)),
    froze("the pooler is not frozen with the encoder", lambda self: self.bert.pooler.requires_grad_(True)),
    froze("the embeddings are not frozen with the encoder", lambda self: self.bert.embeddings.requires_grad_(True)),
    froze(
        "only the embeddings are frozen",
        lambda self: (self.bert.encoder.requires_grad_(True), self.bert.pooler.requires_grad_(True)),
    ),
    froze(
        "only the pooler is frozen",
        lambda self: (self.bert.encoder.requires_grad_(True), self.bert.embeddings.requires_grad_(True)),
    ),
    froze(
        "the layers are not frozen with the rest of the encoder", lambda self: self.bert.encoder.requires_grad_(True)
    ),
    froze("the embeddings are frozen in flexible too", lambda self: self.bert.embeddings.requires_grad_(False)),
    froze("the pooler is frozen in flexible too", lambda self: self.bert.pooler.requires_grad_(False)),
    froze("the bias of the linear layer is frozen", lambda self: self.classifier.bias.requires_grad_(False)),
    froze("a new model starts in training mode", lambda self: nn.Module.train(self), "In which mode is a new model?"),
    froze(
        "without classifier_dropout there is no dropout",
        dropout_of(lambda self: 0.0),
        "What does classifier_dropout None mean?",
    ),
    froze(
        "without classifier_dropout it is 0.1, not the encoder's",
        dropout_of(lambda self: 0.1),
        "What does classifier_dropout None mean?",
    ),
    mode("the frozen encoder is in training mode", lambda self, mode=True: set_mode(self, mode, mode)),
    mode("the encoder is always in evaluation mode", lambda self, mode=True: set_mode(self, mode, False)),
    mode("with a frozen encoder, train() leaves everything in evaluation mode", head_off),
    mode("with a frozen encoder, train() does nothing", keeps_head),
    mode("with a frozen encoder, the dropout before the linear layer is off", head_dropout_only),
    mode("eval() leaves the encoder in training mode", lambda self, mode=True: set_mode(self, mode, not frozen(self))),
    mode("train(False) is training mode", lambda self, mode=True: set_mode(self, True, not frozen(self))),
    mode("train() does nothing", lambda self, mode=True: self),
    mode("train() returns nothing", returns_nothing),
    mode(
        "flexible's encoder is in evaluation mode, and pretrain's in training mode",
        lambda self, mode=True: set_mode(self, mode, mode and frozen(self)),
    ),
)
START = (
    mistake(
        "weights start with 0.02, not with initializer_range",
        "Print the spread of new weights.",
        "bert.initialize",
        Around(lambda right: lambda module, std: right(module, 0.02)),
    ),
    mistake(
        "weights start as torch's layers do",
        "Print the spread of new weights.",
        "bert.initialize",
        lambda module, std: None,
    ),
)
MISTAKES = POOLER + BERT + READING + LOGITS_OF + FREEZING + START
