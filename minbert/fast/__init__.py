"""The same results, faster. Each file here names its plain counterpart, and the tests hold the two equal.

`swap_in` is the one place where a choice is made: programs call it, the library does not.

    model, tokenizer = BertSentClassifier.from_pretrained("tiny"), BertTokenizer.from_pretrained("tiny")
    fast.swap_in(model)
    fast.swap_in(tokenizer)
"""

from torch import nn

from minbert.attention import MultiHeadAttention
from minbert.bert import BertModel
from minbert.decoder import CachedAttention, CausalLM, Decoder
from minbert.embeddings import Embeddings
from minbert.encoder import Encoder, EncoderLayer, FeedForward
from minbert.encoding import Tokenizer
from minbert.fast import decoder, reading, twins, wordpiece
from minbert.fast.decoder import for_writing as for_writing
from minbert.fast.dropout import Dropout
from minbert.fast.int8 import Int8Linear
from minbert.fast.linear import Linear
from minbert.fast.reading import for_reading as for_reading
from minbert.fast.threads import at_once as at_once
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
    CachedAttention: decoder.CachedAttention,
    Decoder: decoder.Decoder,
    CausalLM: decoder.CausalLM,
    BertTokenizer: wordpiece.BertTokenizer,
}
PLAIN = {twin: plain for plain, twin in TWINS.items()}  # and those that `twin_of` has made
PLAIN[reading.EncoderLayer] = EncoderLayer  # where `for_reading` was asked for
# What computes a token's vector from that vector alone, or has a twin that knows where the texts end.
NEED_NO_PADDING = {
    *(BertModel, Embeddings, Encoder, EncoderLayer, FeedForward, MultiHeadAttention),
    *(nn.Dropout, nn.Embedding, nn.LayerNorm, nn.Linear, nn.ModuleList, Int8Linear),
}
HEADS = BertSentClassifier, MaskedLMHead, CausalLM


def swap_in(model):
    """Let a model or a tokenizer work by the twins, in place, and return it. A model's weights and hooks stay.

    Exact types only, and those of minbert/families: a class of your own stays as it is, and a BertModel that contains
    one keeps the padding that your class may count on. Of the torch.nn layers only those of the encoder or decoder have
    a twin: what a head multiplies is small.
    """
    if isinstance(model, Tokenizer):
        return change(model, TWINS)
    for module in model.modules():
        if isinstance(module, BertModel):
            padded = not all(needs_no_padding(part) for part in module.modules())
            change(module, {plain: twin for plain, twin in TWINS.items() if plain is not BertModel})
            change_one(module, {} if padded else {type(module): twin_of(type(module))})
        elif isinstance(module, Decoder):
            change(module, TWINS | {type(module): twin_of(type(module))})
    heads = {type(module) for module in model.modules() if isinstance(module, HEADS)}
    return change(model, {head: twin_of(head) for head in heads})


def twin_of(kind):
    """The twin of a class. A class of another family says in its body which of ours computes the same way on its parts
    (`like`): then it is that class's twin on these parts. Any other class is its own twin."""
    like = vars(kind).get("like")
    if like not in TWINS:
        return TWINS.get(kind, kind)
    made = next((twin for twin, plain in PLAIN.items() if plain is kind), None)
    made = made or type(kind.__name__, (TWINS[like], kind), {"__module__": kind.__module__, "__doc__": kind.__doc__})
    PLAIN[made] = kind
    return made


def needs_no_padding(module):
    plain = PLAIN.get(type(module), type(module))
    return plain in NEED_NO_PADDING or "like" in vars(plain) or getattr(plain, "row_by_row", False)


def swap_out(model):
    """Let a model or a tokenizer work the plain way again, in place, and return it."""
    for part in [model] if isinstance(model, Tokenizer) else model.modules():
        if isinstance(part, (wordpiece.BertTokenizer, reading.EncoderLayer)):
            part.forget()
    return change(model, PLAIN)


def change(model, classes):
    for module in [model] if isinstance(model, Tokenizer) else model.modules():
        change_one(module, classes)
    return model


def change_one(module, classes):
    module.__class__ = classes.get(type(module), type(module))
