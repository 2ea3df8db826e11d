"""A small translator that learns in seconds: numbers from 21 to 99, in which tens and units change places."""

from functools import cache

from data import translation
from minbert.families.marian import MarianForTranslation
from minbert.families.marian_config import MarianConfig
from minbert.pretraining import translator
from minbert.training import Settings, set_seed

NUMBERS = [n for n in range(21, 100) if n % 10]
HELD_OUT = [n for n in NUMBERS if n % 7 == 2]
SIZE = {"vocab_size": 50, "layers": 1, "hidden": 32, "heads": 2, "max_length": 32}
RUN = {"epochs": 30, "batch_size": 16, "lr": 0.01, "warmup": 0.1, "seed": 1}


def columns(numbers):
    return [translation.english(n) for n in numbers], [translation.german(n) for n in numbers]


def learnt_from():
    return columns([n for n in NUMBERS if n not in HELD_OUT])


def write_pairs(path, numbers):
    """A table as the command reads it."""
    rows = [("source", "target"), *zip(*columns(numbers))]
    path.write_text("".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8")


def new_model(tokenizer):
    """With the sizes of SIZE, as translator_stages.build makes it."""
    return MarianForTranslation(
        MarianConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            decoder_layers=1,
            decoder_attention_heads=2,
            decoder_ffn_dim=64,
            max_position_embeddings=32,
            initializer_range=32**-0.5,
            hidden_dropout_prob=0.1,
        )
    )


@cache
def trained():
    """(model, tokenizer, history) of a run in this process; learnt once for all tests."""
    set_seed(1)
    texts = learnt_from()
    tokenizer = translator.learn_tokenizer(*texts, SIZE["vocab_size"], SIZE["max_length"])
    train, dev = (translator.encode(tokenizer, *part, SIZE["max_length"])[0] for part in (texts, columns(HELD_OUT)))
    model = new_model(tokenizer)
    history = translator.begin(model, train, dev, Settings(**RUN)).train()
    return model, tokenizer, history
