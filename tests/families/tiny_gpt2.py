"""A GPT-2 with random weights and 40 positions, whose byte-level BPE knows nine merges: for tests of whole programs."""

import torch

from minbert.families.gpt2 import GPT2LMHeadModel
from minbert.tokenizers.byte_bpe import END, LETTERS, ByteBPETokenizer

MERGES = [("Ġ", "f"), ("Ġf", "i"), ("Ġfi", "l"), ("Ġfil", "m"), ("Ġ", "w"), ("Ġw", "a"), ("Ġwa", "s"), ("t", "h")]
MERGES += [("e", "r")]


def write(folder, seed=0, **changes):
    """Write the folder of the model and its tokenizer. Returns both."""
    tokens = [*(LETTERS[byte] for byte in range(256)), *map("".join, MERGES), END]
    tokenizer = ByteBPETokenizer({token: id for id, token in enumerate(tokens)}, MERGES)
    sizes = {"vocab_size": len(tokens), "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3}
    sizes |= {"intermediate_size": 40, "max_position_embeddings": 40, "initializer_range": 0.5}
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(sizes | {"eos_token_id": len(tokens) - 1, "bos_token_id": len(tokens) - 1} | changes)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return model, tokenizer
