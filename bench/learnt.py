"""What the bench makes: tokenizers learnt from its texts, and a GPT-2 and a Marian of random weights."""

import json
from pathlib import Path

import torch

from bench.peers import writing
from minbert.families.gpt2 import GPT2LMHeadModel
from minbert.families.marian import MarianForTranslation
from minbert.tokenizers import XLMRobertaTokenizer, bpe_files
from minbert.tokenizers.byte_bpe import END, LETTERS, WORD, ByteBPETokenizer


def learn_bpe(folder, rows, size):
    """Write a byte-level BPE learnt from texts, with as many tokens: the bytes, what the merges make, END."""
    from tokenizers import ByteLevelBPETokenizer as Learner

    learner = Learner()
    learner.train_from_iterator(rows, vocab_size=size - 1, min_frequency=2, show_progress=False)
    learner.save_model(str(folder))
    merges = bpe_files.read_merges(Path(folder, bpe_files.MERGES))
    tokens = [*(LETTERS[byte] for byte in range(256)), *dict.fromkeys(map("".join, merges)), END]
    ours = ByteBPETokenizer({token: id for id, token in enumerate(tokens)}, merges)
    ours.save_pretrained(folder)
    pattern = WORD.pattern.replace("}+", "}++").replace("]+", "]++")  # the same words, without looking back
    ranks = {ours.token_bytes[token].hex(): id for token, id in ours.vocab.items() if token != END}
    facts = {"pattern": pattern, "ranks": ranks, "special": {END: ours.vocab[END]}}
    Path(folder, "tiktoken.json").write_text(json.dumps(facts))


def learn_unigram(folder, rows, size):
    """Write a unigram model that SentencePiece learns from texts, with its usual rules, as XLM-RoBERTa's files."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(rows),
        model_prefix=str(Path(folder, "learnt")),
        vocab_size=size,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    XLMRobertaTokenizer.from_files(Path(folder, "learnt.model")).save_pretrained(folder)


def new_gpt(folder, layers, size):
    """Write a GPT-2 of random weights, with GPT-2's vocabulary."""
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": layers, "hidden_size": size, "num_attention_heads": size // 64}
    GPT2LMHeadModel(sizes | {"intermediate_size": 4 * size}).save_pretrained(folder)


def new_marian(folder, layers, size):
    """Write a Marian of random weights. It ends in the last place only, so all systems write as much."""
    torch.manual_seed(0)
    sizes = {"vocab_size": writing.MARIAN_WORDS, "hidden_size": size, "num_attention_heads": size // 64}
    sizes |= {"num_hidden_layers": layers, "intermediate_size": 4 * size, "decoder_layers": layers}
    sizes |= {"decoder_attention_heads": size // 64, "decoder_ffn_dim": 4 * size, "initializer_range": size**-0.5}
    model = MarianForTranslation(sizes)
    model.final_logits_bias.normal_()
    model.save_pretrained(folder)
