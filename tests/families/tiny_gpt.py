"""A GPT-2 and a GPT-1 with random weights and 40 positions: for tests of whole programs."""

import torch

from minbert.families.gpt import OpenAIGPTLMHeadModel
from minbert.families.gpt2 import GPT2LMHeadModel
from minbert.tokenizers.byte_bpe import END, LETTERS, ByteBPETokenizer
from minbert.tokenizers.word_bpe import GPTTokenizer

MERGES = [("Ġ", "f"), ("Ġf", "i"), ("Ġfi", "l"), ("Ġfil", "m"), ("Ġ", "w"), ("Ġw", "a"), ("Ġwa", "s"), ("t", "h")]
MERGES += [("e", "r")]
SIZES = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96}
SIZES |= {"max_position_embeddings": 40, "initializer_range": 0.5}


def write(folder, seed=0, **changes):
    """Write the folder of a GPT-2 and its byte-level BPE, which knows nine merges. Returns both."""
    tokens = [*(LETTERS[byte] for byte in range(256)), *map("".join, MERGES), END]
    tokenizer = ByteBPETokenizer({token: id for id, token in enumerate(tokens)}, MERGES)
    torch.manual_seed(seed)
    ends = {"eos_token_id": len(tokens) - 1, "bos_token_id": len(tokens) - 1}
    model = GPT2LMHeadModel(SIZES | {"vocab_size": len(tokens), "intermediate_size": 40} | ends | changes)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return model, tokenizer


def write_gpt1(folder, seed=0):
    """The same with a GPT-1, whose words are the, film and was."""
    letters = [letter + end for letter in "thefilmwas" for end in ("", "</w>")]
    merges = [("t", "h"), ("th", "e</w>"), ("f", "i"), ("fi", "l"), ("fil", "m</w>"), ("w", "a"), ("wa", "s</w>")]
    tokens = ["<unk>", *dict.fromkeys(letters), *map("".join, merges)]
    tokenizer = GPTTokenizer({token: id for id, token in enumerate(tokens)}, merges)
    torch.manual_seed(seed)
    model = OpenAIGPTLMHeadModel(SIZES | {"vocab_size": len(tokens)})
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return model, tokenizer
