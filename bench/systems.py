"""Our side of what is measured. A function sets the work up and returns one that does it once, as bench.serve says."""

import numpy as np
import torch

from bench.peers import writing
from bench.peers.predicting import one_by_one
from bench.serve import checks, load, timed
from minbert import BertSentClassifier, BertTokenizer, families, fast, tokenizers, training
from minbert.batch import epoch_order
from minbert.fast.int8 import quantize
from minbert.fast.linear import multiply
from minbert.generation import generate_all
from minbert.heads import BertModel
from minbert.runs import classifier
from minbert.search import beam_search

LENGTH = 512


def encoding(ids):
    """Ids without padding, as a tokenizer returns them."""
    ones, zeros = ([[number] * len(row) for row in ids] for number in (1, 0))
    return {"input_ids": ids, "token_type_ids": zeros, "attention_mask": ones}


def count(ids):
    return sum(map(len, ids))


# The machine itself


def peak(**options):
    """The most multiplications that it does, in GFLOP/s, by either of torch's libraries."""
    size = 2048

    def run():
        found = {}
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            x = torch.randn(size, size).to(dtype)
            ways = [lambda x=x: x @ x]
            if dtype == torch.float32 and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
                ways.append(lambda x=x: multiply(x, x))
            seconds = [timed(way)["seconds"] for way in ways for _ in range(5)]
            found[name] = 2 * size**3 / min(seconds) / 1e9
        return {"seconds": 0.0, **found}

    return run


# Tokenizing


def forget_words(tokenizer):
    """No word is known from before; what is made once for a vocabulary is there."""
    tokenizer.forget()
    tokenizer(["made"])


def tokenize(folder, path, warm=True, **options):
    """All texts of a file, by the tokenizer of a folder, whatever its kind; cold: no word is known from before."""
    texts, tokenizer = load(path).texts, fast.swap_in(tokenizers.from_pretrained(folder))
    size = sum(len(text.encode()) for text in texts)

    def run():
        if not warm:
            forget_words(tokenizer)
        ids = []
        figures = timed(lambda: ids.extend(tokenizer(texts)["input_ids"]))
        return figures | {"bytes": size, "checks": checks(ids)}

    return run


# Writing, with a cache of keys and values; the best token always


def write(folder, batch_size, threads, **options):
    torch.set_num_threads(threads)
    model = fast.for_writing(fast.swap_in(families.load(folder, "causal", random=False)))
    prompts = writing.prompts_of(model.config.vocab_size, batch_size)

    def work():
        return [made.ids for (made,) in generate_all(model, prompts, max_tokens=writing.WRITTEN, temperature=0)]

    return writing.written(work, threads)


# Translating, by beam search


def search(folder, batch_size, threads, **options):
    torch.set_num_threads(threads)
    model = fast.swap_in(families.load(folder, "translation", random=False))
    texts = writing.texts_to_translate(batch_size)

    def work():
        return [
            results[0][1] for results in beam_search(model, *texts, beams=writing.BEAMS, max_length=writing.WRITTEN)
        ]

    return writing.written(work, threads)


# Prediction


def classify(folder, precision):
    """The classifier of a folder, fast, and its tokenizer."""
    model = BertSentClassifier.from_pretrained(folder, random=False)
    if precision == "int8":
        quantize(model)
    return fast.for_reading(fast.swap_in(model)), fast.swap_in(BertTokenizer.from_pretrained(folder))


def predict(folder, path, precision="fp32", **options):
    """Of ids prepared beforehand, and how long their tokenizing takes when no word is known from before."""
    data, (model, tokenizer) = load(path), classify(folder, precision)
    rows = training.Data(encoding(data.ids), None)

    def run():
        logits = []
        figures = timed(lambda: logits.extend(classifier.predict(model, rows, precision=precision).tolist()))
        forget_words(tokenizer)
        tokenizing = timed(lambda: tokenizer(data.texts, truncation=True, max_length=LENGTH))["seconds"]
        return figures | {"tokenizing": tokenizing, "tokens": count(data.ids), "logits": logits}

    return run


def latency(folder, path, precision="fp32", **options):
    """Text by text, each from the text to the logits."""
    texts, (model, tokenizer) = load(path).texts, classify(folder, precision)

    def answer(text):
        rows = tokenizer([text], truncation=True, max_length=LENGTH)
        return classifier.predict(model, training.Data(rows, None), precision=precision)

    return lambda: one_by_one(texts, answer)


# Training


def train(folder, path, batch_size, precision="fp32", changes=None, **options):
    """Steps of flexible training, through the texts of a file in their order; the losses of the steps.

    changes  of the model's config
    """
    data = load(path)
    settings = training.Settings(
        epochs=1, batch_size=batch_size, lr=5e-5, weight_decay=0.0, warmup=0.0, precision=precision, seed=0
    )
    order = epoch_order(len(data.ids), settings.seed, 1).argsort()  # the run shuffles them back
    rows = training.Data(encoding([data.ids[row] for row in order]), [data.labels[row] for row in order])
    model = fast.swap_in(BertSentClassifier.from_pretrained(folder, **(changes or {})))
    torch.manual_seed(0)

    def run():
        loop, losses = classifier.begin(model, rows, None, settings), []
        figures = timed(lambda: loop.train(watch=lambda progress, figures, rate: losses.append(figures["loss"])))
        return figures | {"tokens": count(data.ids), "losses": losses}

    return run


def train_frozen(folder, path, epochs, **options):
    """--option pretrain: the encoder reads each text once."""
    data, settings = load(path), training.Settings(epochs=epochs, batch_size=32, lr=1e-3)
    rows = training.Data(encoding(data.ids), data.labels)

    def run():
        model = fast.swap_in(BertSentClassifier.from_pretrained(folder, option="pretrain"))
        return timed(lambda: classifier.fit(model, rows, None, settings)) | {"tokens": count(data.ids) * epochs}

    return run


# Cost against size, on random ids


def shaped(model, length, batch_size=32, texts=256, task="predict", precision="fp32", **options):
    """Texts of one length through a known model, or one of random weights and the sizes in model."""
    changes = {"num_labels": 2, "option": "pretrain" if task == "frozen" else "flexible"}
    if isinstance(model, str):
        model = BertSentClassifier.from_pretrained(model, **changes)
    else:
        model = BertSentClassifier(model | changes)
    fast.swap_in(model)
    if task == "predict":
        fast.for_reading(model)
    rng = np.random.default_rng(0)
    ids = rng.integers(5, model.config.vocab_size, (texts, length)).tolist()
    data = training.Data(encoding(ids), (rng.random(texts) < 0.5).astype(int).tolist())
    settings = training.Settings(epochs=1, batch_size=batch_size, lr=1e-5, precision=precision)

    def work():
        if task == "predict":
            classifier.predict(model, data, precision=precision)
        else:
            classifier.fit(model, data, None, settings)

    return lambda: timed(work) | {"tokens": texts * length}


def flops(folder, ids, training=False, first_only=False):
    """Of the encoder, for a token of these texts: two for each weight of a matrix, and attention's.

    first_only  in the last layer only keys and values are computed for all tokens, and the rest for each text's first
    """
    config = BertModel.from_pretrained(folder).config
    size, wide, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    lengths = np.array([len(row) for row in ids])
    token, whole = 2 * (4 * size * size + 2 * size * wide), layers - 1 if first_only else layers
    forward = whole * (lengths * token + 4 * lengths**2 * size).sum()
    if first_only:
        forward += (lengths * 4 * size * size + token - 4 * size * size + 4 * lengths * size).sum()
    return float(forward) * (3 if training else 1) / lengths.sum()
