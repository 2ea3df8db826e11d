"""A Marian with large random weights, biases and norms included, so that none of them can be left out unseen."""

import torch

from minbert.families.marian import MarianForTranslation

SIZES = {"vocab_size": 43, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 21}
SIZES |= {"decoder_layers": 3, "decoder_attention_heads": 2, "decoder_ffn_dim": 17, "max_position_embeddings": 32}
PAD, END = SIZES["vocab_size"] - 1, 0


def new(seed=0, ending=2.5, model_class=MarianForTranslation, **changes):
    """A model. ending: how much likelier an end is than the weights make it"""
    torch.manual_seed(seed)
    model = model_class(SIZES | {"hidden_dropout_prob": 0.0} | changes).requires_grad_(False)
    for name, parameter in model.named_parameters():
        parameter.normal_(std=0.35)
        if name.endswith("norm.weight"):
            parameter.mul_(0.3).add_(1.0)
    if model_class is MarianForTranslation:
        model.final_logits_bias.normal_(std=0.5)[0, END] += ending
    return model


def texts(lengths=(9, 5, 8), seed=0, vocab=SIZES["vocab_size"]):
    """Random ids [B, S] with an end and padding, and their mask"""
    torch.manual_seed(seed)
    mask = torch.tensor([[1] * length + [0] * (max(lengths) - length) for length in lengths])
    ids = torch.randint(1, vocab - 1, mask.shape)
    for row, length in enumerate(lengths):
        ids[row, length - 1] = END
    return ids * mask + (vocab - 1) * (1 - mask), mask
