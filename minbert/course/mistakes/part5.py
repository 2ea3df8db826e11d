"""Known mistakes of part 5: BERT's wiring, the pooler, the classifier, freezing."""

import torch
from torch import nn
from torch.nn import functional as F

from minbert.course.mistakes import Around

# The pooler and BERT's wiring


def built(change):
    """A constructor, and something done after it."""

    def make(right):
        def __init__(self, config):
            right(self, config)
            change(self)

        return __init__

    return Around(make)


POOLER = {
    ("bert.BertModel.pool", "One token's vector, one layer, one tanh: which token?"): {
        "the pooler's tanh is forgotten": lambda self, x: self.pooler(x[:, 0]),
        "the pooler's layer is forgotten": lambda self, x: x[:, 0].tanh(),
        "the pooler does nothing": lambda self, x: x[:, 0],
        "the pooler reads the last token": lambda self, x: self.pooler(x[:, -1]).tanh(),
        "the pooler reads the second token": lambda self, x: self.pooler(x[:, 1]).tanh(),
        "the pooler reads the mean of the tokens": lambda self, x: self.pooler(x.mean(1)).tanh(),
        "the pooler reads the largest of each number": lambda self, x: self.pooler(x.amax(1)).tanh(),
        "the pooler reads the sum of the tokens": lambda self, x: self.pooler(x.sum(1)).tanh(),
        "the pooler takes the mean after its layer and tanh": lambda self, x: self.pooler(x).tanh().mean(1),
        "the pooler takes tanh before its layer": lambda self, x: self.pooler(x[:, 0].tanh()),
        "the pooler takes tanh twice": lambda self, x: self.pooler(x[:, 0]).tanh().tanh(),
        "the pooler's activation is ReLU, not tanh": lambda self, x: self.pooler(x[:, 0]).relu(),
        "the pooler's activation is GELU, not tanh": lambda self, x: F.gelu(self.pooler(x[:, 0])),
        "the pooler's activation is a sigmoid, not tanh": lambda self, x: self.pooler(x[:, 0]).sigmoid(),
        "the pooler reads all tokens, not the first one": lambda self, x: self.pooler(x).tanh(),
        "the pooler reads all tokens of the first text": lambda self, x: self.pooler(x[0]).tanh(),
        "the pooler reads the first text of the batch": lambda self, x: self.pooler(x[0]).tanh()[: len(x)],
    },
}


def without(**dropped):
    """BertModel.forward with some arguments replaced: without(causal=False)"""

    def make(right):
        def forward(self, input_ids, attention_mask=None, token_type_ids=None, causal=False, **options):
            given = {"attention_mask": attention_mask, "token_type_ids": token_type_ids, "causal": causal} | dropped
            return right(self, input_ids, **given, **options)

        return forward

    return Around(make)


def written_out(combine=lambda padding, causal: padding & causal, pooled=lambda embedded, x: x):
    """BertModel.forward written out. combine  makes the mask of two; pooled  what the pooler reads"""

    def forward(self, ids, mask=None, segments=None, causal=False, output_hidden_states=False, output_attentions=False):
        shown = (torch.ones_like(ids) if mask is None else mask).bool()[:, None, None]
        earlier = torch.ones(ids.size(1), ids.size(1)).tril().bool()
        embedded = self.embeddings(ids, segments)
        states, attentions = [embedded] if output_hidden_states else None, [] if output_attentions else None
        x = self.encoder(embedded, combine(shown, earlier) if causal else shown, states, attentions)
        output = {"last_hidden_state": x, "pooler_output": self.pool(pooled(embedded, x))}
        output |= {"hidden_states": tuple(states)} if output_hidden_states else {}
        return output | ({"attentions": tuple(attentions)} if output_attentions else {})

    return forward


def changed(change):
    """BertModel.forward with another output. change  (model, output, ids) -> nothing, in place"""

    def make(right):
        def forward(self, *inputs, **options):
            output = right(self, *inputs, **options)
            change(self, output, inputs[0])
            return output

        return forward

    return Around(make)


def drop_first(self, output, ids):
    if "hidden_states" in output:
        output["hidden_states"] = output["hidden_states"][1:]


def repeat_last(self, output, ids):
    if "hidden_states" in output:
        output["hidden_states"] = (*output["hidden_states"][:-1], output["hidden_states"][-2])


WIRE = "Follow each argument of BertModel.forward to its place."
BERT = {
    ("bert.BertModel.__init__", "In which mode is a new model?"): {
        "a new BertModel starts in training mode": built(lambda self: nn.Module.train(self)),
    },
    ("bert.BertModel.forward", WIRE): {
        "causal, BertModel forgets the padding": written_out(lambda padding, causal: causal),
        "causal, a token may look at what is earlier or is no padding": written_out(
            lambda padding, causal: padding | causal
        ),
        "without a mask, everything is padding for BertModel": Around(
            lambda right: (
                lambda self, ids, mask=None, *rest, **options: right(
                    self, ids, torch.zeros_like(ids) if mask is None else mask, *rest, **options
                )
            )
        ),
        "BertModel ignores causal": without(causal=False),
        "BertModel is always causal": without(causal=True),
        "BertModel ignores the attention mask": without(attention_mask=None),
        "BertModel ignores the segments": without(token_type_ids=None),
        "the hidden states begin after the first layer": changed(drop_first),
        "the last hidden state is left out": changed(repeat_last),
        "the pooler reads the embeddings": written_out(pooled=lambda embedded, x: embedded),
    },
}

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


READ = "Which vector stands for the whole text?"


def pool_with_dropout(name):
    return Around(
        lambda right: lambda self, output, mask=None: right(self, output | {name: self.dropout(output[name])}, mask)
    )


READING = {
    ("heads.BertSentClassifier.pool", READ): {
        "the first token's vector is read, not the pooler's": reading(pooler=lambda o, m: last(o)[:, 0]),
        "the mean of the tokens is read, not the pooler's output": reading(pooler=lambda o, m: mean(last(o), m)),
        "the mean of all places is read, not the pooler's output": reading(pooler=lambda o, m: last(o).mean(1)),
        "the pooler's output is read, not the first token's vector": reading(cls=lambda o, m: o["pooler_output"]),
        "the last token's vector is read, not the first's": reading(cls=lambda o, m: last(o)[:, -1]),
        "the first text's tokens are read, not each text's first token": reading(cls=lambda o, m: last(o)[0]),
        "the second token's vector is read, not the first's": reading(cls=lambda o, m: last(o)[:, 1]),
        "mean and first token are exchanged": reading(
            mean=lambda o, m: last(o)[:, 0], cls=lambda o, m: mean(last(o), m)
        ),
        "pooler and first token are exchanged": reading(
            pooler=lambda o, m: last(o)[:, 0], cls=lambda o, m: o["pooler_output"]
        ),
        "the pooler's output is read, not the mean": reading(mean=lambda o, m: o["pooler_output"]),
        "the first token's vector is read, not the mean": reading(mean=lambda o, m: last(o)[:, 0]),
        "the pooler's output comes after dropout": pool_with_dropout("pooler_output"),
        "the last hidden states come after dropout": pool_with_dropout("last_hidden_state"),
        "padding counts in the mean": reading(mean=lambda o, m: last(o).mean(1)),
        "the mean divides by all places, not by the real tokens": reading(
            mean=lambda o, m: mean(last(o), m, count=lambda weight: weight.sum(1) * 0 + weight.size(1))
        ),
        "the mean divides by the tokens of all texts": reading(
            mean=lambda o, m: mean(last(o), m, count=lambda weight: weight.sum().expand(len(weight)))
        ),
        "the mean is of the first places, as many as there are tokens": reading(
            mean=lambda o, m: mean(last(o), None if m is None else m.sort(1, descending=True).values)
        ),
        "a text without a token gets NaN": reading(
            mean=lambda o, m: (last(o) * ones(last(o), m)[:, :, None]).sum(1) / ones(last(o), m).sum(1, keepdim=True)
        ),
        "the mean divides by the longest text's tokens": reading(
            mean=lambda o, m: mean(last(o), m, count=lambda weight: weight.sum(1).max().expand(len(weight)))
        ),
        "the tokens are summed, not averaged": reading(
            mean=lambda o, m: mean(last(o), m, count=lambda w: w[:, 0] * 0 + 1)
        ),
        "the mean is of padding, not of tokens": reading(mean=lambda o, m: mean(last(o), m if m is None else 1 - m)),
        "padding is summed, but not counted": reading(
            mean=lambda o, m: last(o).sum(1) / ones(last(o), m).sum(1, keepdim=True).clamp(min=1)
        ),
        "the mean sums without [CLS], but counts it": reading(
            mean=lambda o, m: mean(last(o), m, without_first, count=lambda weight: weight.sum(1) + 1)
        ),
        "the mean leaves out [CLS]": reading(mean=lambda o, m: mean(last(o), m, without_first)),
        "the mean leaves out the last token": reading(mean=lambda o, m: mean(last(o), m, without_last)),
        "the mean leaves out [CLS] and the last token": reading(
            mean=lambda o, m: mean(last(o), m, lambda weight: without_first(without_last(weight)))
        ),
        "the mean runs over a token's numbers": reading(mean=lambda o, m: last(o).mean(-1)),
        "the largest of each number is read, not the mean": reading(mean=lambda o, m: last(o).amax(1)),
        "the largest of each number among the real tokens is read, not the mean": reading(
            mean=lambda o, m: last(o).masked_fill(~ones(last(o), m).bool()[:, :, None], -torch.inf).amax(1)
        ),
        "padding is set to 0 and counts in the mean and without a mask nothing does": reading(
            mean=lambda o, m: mean(last(o), torch.zeros(last(o).shape[:2]) if m is None else m)
        ),
    },
}


def forward(
    before=lambda self, x: self.dropout(x),
    linear=lambda self, x: self.classifier(x),
    after=lambda self, x: x,
    inputs=lambda ids, mask, segments: (ids, mask, segments),
    always=None,
    loss=F.cross_entropy,
    answer=lambda loss, logits: {"loss": loss, "logits": logits},
):
    """A wrong `BertSentClassifier.forward`. loss, answer  with labels: the loss, and what comes out"""

    def wrong(self, input_ids, attention_mask=None, token_type_ids=None, labels=None):
        given = inputs(input_ids, attention_mask, token_type_ids)
        x = always(self.bert(*given)) if always else self.features(*given)
        logits = after(self, linear(self, before(self, x)))
        return logits if labels is None else answer(loss(logits, labels), logits)

    return wrong


def always_on(self, x):
    return F.dropout(x, self.dropout.p)


def if_not_frozen(self, x):
    return x if frozen(self) else self.dropout(x)


def encoder_dropout(self, x):
    return F.dropout(x, self.config.hidden_dropout_prob, self.training)


DROP, LOGITS, ARGUMENTS = "Between which two does dropout stand?", "What is a logit?", "What does BertModel get?"
LOGITS_OF = {
    ("heads.BertSentClassifier.forward", LOGITS): {
        "the logits are log-probabilities": forward(after=lambda self, x: x.log_softmax(-1)),
        "the logits are probabilities": forward(after=lambda self, x: x.softmax(-1)),
        "the logits are sigmoids": forward(after=lambda self, x: x.sigmoid()),
        "the logits go through tanh": forward(after=lambda self, x: x.tanh()),
        "the logits go through ReLU": forward(after=lambda self, x: x.relu()),
        "the linear layer's bias is left out": forward(linear=lambda self, x: x @ self.classifier.weight.T),
        "the linear layer reads a tanh of its input": forward(before=lambda self, x: self.dropout(x).tanh()),
        "the linear layer reads a ReLU of its input": forward(before=lambda self, x: self.dropout(x).relu()),
        "the classifier does not hand on the segments": forward(inputs=lambda ids, mask, segments: (ids, mask, None)),
        "the classifier does not hand on the mask": forward(inputs=lambda ids, mask, segments: (ids, None, segments)),
        "the pooler's output is always read, whatever config.pooling says": forward(
            always=lambda output: output["pooler_output"]
        ),
        "the first token's vector is always read, whatever config.pooling says": forward(
            always=lambda output: last(output)[:, 0]
        ),
        "with labels, the loss is summed, not averaged": forward(
            loss=lambda x, y: F.cross_entropy(x, y, reduction="sum")
        ),
        "with labels, the softmax is taken twice": forward(loss=lambda x, y: F.cross_entropy(x.softmax(-1), y)),
        "with labels, only the loss comes out": forward(answer=lambda loss, logits: loss),
        "with labels, loss and logits come out as a pair, not under their names": forward(
            answer=lambda loss, logits: (loss, logits)
        ),
        "labels are ignored": forward(answer=lambda loss, logits: logits),
        "mask and segments are exchanged": forward(inputs=lambda ids, mask, segments: (ids, segments, mask)),
    },
    ("heads.BertSentClassifier.features", ARGUMENTS): {
        "the mean does not get the mask": lambda self, ids, mask=None, segments=None: self.pool(
            self.bert(ids, mask, segments)
        ),
        "the encoder does not get the mask": lambda self, ids, mask=None, segments=None: self.pool(
            self.bert(ids, None, segments), mask
        ),
    },
    ("heads.BertSentClassifier.forward", DROP, True): {
        "there is no dropout before the linear layer": forward(before=lambda self, x: x),
        "with a frozen encoder, there is no dropout before the linear layer": forward(before=if_not_frozen),
        "dropout falls on the logits": forward(before=lambda self, x: x, after=lambda self, x: self.dropout(x)),
        "dropout falls on the logits as well": forward(after=lambda self, x: self.dropout(x)),
        "dropout is on in evaluation": forward(before=always_on),
        "dropout comes twice": forward(before=lambda self, x: self.dropout(self.dropout(x))),
        "dropout is that of the encoder, not classifier_dropout": forward(before=encoder_dropout),
        "the linear layer learns, but nothing before it: its input is detached": forward(
            before=lambda self, x: self.dropout(x).detach()
        ),
    },
    ("heads.BertSentClassifier.features", DROP, True): {
        "the features come after dropout": lambda self, *inputs: self.dropout(
            self.pool(self.bert(*inputs), inputs[1] if len(inputs) > 1 else None)
        ),
    },
}

# Freezing and modes


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


def head_dropout_not_encoder(self, mode=True):
    nn.Module.train(self, mode)
    self.dropout.train(mode and not frozen(self))
    return self


def mode_of(child):
    """Of the frozen encoder, only one child is in evaluation mode."""

    def train(self, mode=True):
        nn.Module.train(self, mode)
        getattr(self.bert, child).train(mode and not frozen(self))
        return self

    return train


def modules_only(self, mode=True):
    for child in self.children():
        child.train(mode and not (frozen(self) and child is self.bert))
    return self


def itself_only(self, mode=True):
    self.training = mode
    if frozen(self):
        self.bert.eval()
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


FREEZING = {
    ("heads.BertSentClassifier.__init__", "List the names of the weights with requires_grad.", True): {
        "the encoder is not frozen": built(lambda self: self.bert.requires_grad_(True)),
        "the encoder is frozen in flexible too": built(lambda self: self.bert.requires_grad_(False)),
        "the options pretrain and flexible are exchanged": built(exchanged),
        "the linear layer is frozen with the encoder": built(
            lambda self: self.classifier.requires_grad_(not frozen(self))
        ),
        "the linear layer is frozen, not the encoder": built(
            lambda self: (self.bert.requires_grad_(True), self.classifier.requires_grad_(not frozen(self)))
        ),
        "the whole model is frozen in flexible too": built(lambda self: self.requires_grad_(False)),
        "the pooler is not frozen with the encoder": built(lambda self: self.bert.pooler.requires_grad_(True)),
        "the embeddings are not frozen with the encoder": built(lambda self: self.bert.embeddings.requires_grad_(True)),
        "only the embeddings are frozen": built(
            lambda self: (self.bert.encoder.requires_grad_(True), self.bert.pooler.requires_grad_(True))
        ),
        "only the layers are frozen": built(
            lambda self: (self.bert.embeddings.requires_grad_(True), self.bert.pooler.requires_grad_(True))
        ),
        "only the pooler is frozen": built(
            lambda self: (self.bert.encoder.requires_grad_(True), self.bert.embeddings.requires_grad_(True))
        ),
        "the layers are not frozen with the rest of the encoder": built(
            lambda self: self.bert.encoder.requires_grad_(True)
        ),
        "the embeddings are frozen in flexible too": built(lambda self: self.bert.embeddings.requires_grad_(False)),
        "the pooler is frozen in flexible too": built(lambda self: self.bert.pooler.requires_grad_(False)),
        "the bias of the linear layer is frozen": built(lambda self: self.classifier.bias.requires_grad_(False)),
        "a new model starts in training mode": [
            built(lambda self: nn.Module.train(self)),
            built(lambda self: (nn.Module.train(self), self.bert.eval())),
        ],
        "without classifier_dropout there is no dropout": built(dropout_of(lambda self: 0.0)),
        "without classifier_dropout it is 0.1, not the encoder's": built(dropout_of(lambda self: 0.1)),
    },
    ("heads.BertSentClassifier.train", "Print the names of all modules that are in training mode.", True): {
        "the frozen encoder is in training mode": lambda self, mode=True: set_mode(self, mode, mode),
        "the encoder is always in evaluation mode": lambda self, mode=True: set_mode(self, mode, False),
        "with a frozen encoder, train() leaves everything in evaluation mode": head_off,
        "with a frozen encoder, train() does nothing": [
            keeps_head,
            lambda self, mode=True: self if frozen(self) else set_mode(self, mode, mode),
        ],
        "with a frozen encoder, only its embeddings are in evaluation mode": mode_of("embeddings"),
        "with a frozen encoder, only its layers are in evaluation mode": mode_of("encoder"),
        "with a frozen encoder, only its pooler is in evaluation mode": mode_of("pooler"),
        "with a frozen encoder, the head's dropout is off, and not the encoder's": head_dropout_not_encoder,
        "train() reaches the model itself, but not its modules": itself_only,
        "train() reaches the modules, but not the model itself": modules_only,
        "with a frozen encoder, the dropout before the linear layer is off": head_dropout_only,
        "eval() leaves the encoder in training mode": lambda self, mode=True: set_mode(self, mode, not frozen(self)),
        "train(False) is training mode": lambda self, mode=True: set_mode(self, True, not frozen(self)),
        "train() does nothing": lambda self, mode=True: self,
        "train() returns nothing": returns_nothing,
        "flexible's encoder is in evaluation mode, and pretrain's in training mode": lambda self, mode=True: set_mode(
            self, mode, mode and frozen(self)
        ),
    },
}


KNOWN = POOLER | BERT | READING | LOGITS_OF | FREEZING
