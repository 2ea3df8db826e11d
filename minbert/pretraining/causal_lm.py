"""What is GPT-2's own in a pretraining run: byte-level BPE, each next token."""

from minbert.families.gpt2 import GPT2LMHeadModel
from minbert.pretraining import vocabulary
from minbert.pretraining.corpus import IdFile
from minbert.pretraining.objective import CausalObjective
from minbert.tokenizers.byte_bpe import LETTERS, ByteBPETokenizer

TRY = "generate", ("--prompt", "The film was")  # as in masked_lm
DROPOUTS = "hidden_dropout_prob", "attention_probs_dropout_prob", "embedding_dropout_prob"


def read_tokenizer(name):
    """As in masked_lm"""
    return ByteBPETokenizer.from_pretrained(name)


def learn_tokenizer(job, stream, count_words):
    """A tokenizer for the texts. The arguments are those of masked_lm."""
    counts = count_words(ByteBPETokenizer({letter: id for id, letter in enumerate(LETTERS.values())}, []))
    with vocabulary.progress(job.config.vocab_size) as watch:
        vocab, merges = vocabulary.learn_byte_bpe(counts, job.config.vocab_size, watch=watch)
    return ByteBPETokenizer(vocab, merges, max_length=job.settings.max_length)


def end_of_text(tokenizer):
    """As in masked_lm"""
    return tokenizer.eos_token_id


def build(job, **dropout):
    """As in masked_lm"""
    return GPT2LMHeadModel.from_pretrained(job.model, **dropout) if job.model else GPT2LMHeadModel(job.config)


def objective(job, model, tokenizer):
    """What to minimise."""
    return CausalObjective(model, job.settings)


def rows(path, tokenizer, length):
    """Packed text, cut into rows."""
    return IdFile(path, length)
