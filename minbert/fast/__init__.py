"""The same results, faster. Each file here names its plain counterpart, and the tests hold the two equal.

`swap_in` is the one place where a choice is made: programs call it, the library does not.

    model, tokenizer = BertSentClassifier.from_pretrained("tiny"), BertTokenizer.from_pretrained("tiny")
    fast.swap_in(model)
    fast.swap_in(tokenizer)
"""

from torch import nn

from minbert.attention import MultiHeadAttention
from minbert.bert import BertModel
from minbert.embeddings import Embeddings
from minbert.encoder import Encoder, EncoderLayer, FeedForward
from minbert.encoding import Tokenizer
from minbert.fast import twins, wordpiece
from minbert.fast.dropout import Dropout
from minbert.fast.int8 import Int8Linear
from minbert.fast.linear import Linear
from minbert.heads import BertSentClassifier, MaskedLMHead
from minbert.tokenizer import BertTokenizer

# A plain class: its twin, a subclass with the same name, nothing new in its constructor, and another `forward`.
TWINS = {
    nn.Linear: Linear,
    nn.Dropout: Dropout,
    MultiHeadAttention: twins.MultiHeadAttention,
    FeedForward: twins.FeedForward,
    BertModel: twins.BertModel,
    BertSentClassifier: twins.BertSentClassifier,
    MaskedLMHead: twins.MaskedLMHead,
    BertTokenizer: wordpiece.BertTokenizer,
}
PLAIN = {twin: plain for plain, twin in TWINS.items()}
# What computes a token's vector from that vector alone, or has a twin that knows where the texts end.
NEED_NO_PADDING = {
    *(BertModel, Embeddings, Encoder, EncoderLayer, FeedForward, MultiHeadAttention),
    *(nn.Dropout, nn.Embedding, nn.LayerNorm, nn.Linear, nn.ModuleList, Int8Linear),
}


def swap_in(model):
    """Let a model or a tokenizer work by the twins, in place, and return it. A model's weights and hooks stay.

    Exact types only: a class of your own stays as it is, and a BertModel that contains one keeps the padding that your
    class may count on. Of the torch.nn layers only those of the encoder have a twin: what a head multiplies is small.
    """
    if isinstance(model, Tokenizer):
        return change(model, TWINS)
    for module in model.modules():
        if isinstance(module, BertModel):
            padded = not all(needs_no_padding(part) for part in module.modules())
            change(module, {plain: twin for plain, twin in TWINS.items() if not (padded and plain is BertModel)})
    return change(model, {head: TWINS[head] for head in (BertSentClassifier, MaskedLMHead)})


def needs_no_padding(module):
    return PLAIN.get(type(module), type(module)) in NEED_NO_PADDING


def swap_out(model):
    """Let a model or a tokenizer work the plain way again, in place, and return it."""
    if isinstance(model, wordpiece.BertTokenizer):
        model.forget()
    return change(model, PLAIN)


def change(model, classes):
    for module in [model] if isinstance(model, Tokenizer) else model.modules():
        module.__class__ = classes.get(type(module), type(module))
    return model
