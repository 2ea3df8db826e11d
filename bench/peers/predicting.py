"""Peers of prediction. Each is a function of a folder that bench.peers.convert has seen to; it returns one that reads a
batch, a list of lists of ids, and gives logits [B, C]."""

import itertools
import os
import time
from pathlib import Path

import numpy as np

from bench.serve import load, timed

LONGEST = 512  # tokens


def threads():
    return int(os.environ["OMP_NUM_THREADS"])


def padded(batch):
    """Lists of ids -> what a model reads, int64 [B, T] each."""
    ids = np.zeros((len(batch), max(map(len, batch))), np.int64)
    mask = np.zeros_like(ids)
    for row, values in enumerate(batch):
        ids[row, : len(values)] = values
        mask[row, : len(values)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def transformers(folder, is_compiled=False):
    import torch

    from bench.peers.convert import classifier

    model = classifier(folder)
    if is_compiled:
        model = torch.compile(model, dynamic=True)

    @torch.inference_mode()
    def read(batch):
        return model(*map(torch.from_numpy, padded(batch).values())).numpy()

    return read


def compiled(folder):
    return transformers(folder, is_compiled=True)


def onnxruntime(folder, file="fp32.onnx"):
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads()
    session = onnxruntime.InferenceSession(str(Path(folder, file)), settings)
    return lambda batch: session.run(None, padded(batch))[0]


def onnxruntime_int8(folder):
    return onnxruntime(folder, "int8.onnx")


def openvino(folder):
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads(), "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(str(Path(folder, "plain.onnx")), "CPU", settings)
    return lambda batch: model(padded(batch))[0]


def ctranslate2(folder, kind="float32"):
    """It takes ids without padding; the linear layer, and the mean, are numpy's."""
    import ctranslate2

    encoder = ctranslate2.Encoder(str(Path(folder, "ctranslate2")), compute_type=kind, intra_threads=threads())
    head, is_mean = np.load(Path(folder, "head.npz")), Path(folder, "modules.json").exists()
    weight, bias = head["weight"].T, head["bias"]

    def read(batch):
        output = encoder.forward_batch(batch)
        if is_mean:
            x, mask = np.array(output.last_hidden_state), padded(batch)["attention_mask"][:, :, None]
            vectors = (x * mask).sum(axis=1) / mask.sum(axis=1)
        else:
            vectors = np.array(output.pooler_output)
        return vectors.astype(np.float32) @ weight + bias

    return read


def ctranslate2_int8(folder):
    return ctranslate2(folder, "int8")


def encoder(folder):
    """texts -> ids, by the tokenizers library on its default threads."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(folder, "tokenizer.json")))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST)
    return lambda texts: [found.ids for found in tokenizer.encode_batch_fast(texts)]


def predict(peer, folder, path, size=32, is_sorted=True, **options):
    """All texts in batches: of ids prepared beforehand, and how long their tokenizing takes."""
    data, read, encode = load(path), globals()[peer](folder), encoder(folder)
    ids, logits = data.ids, [None] * len(data.ids)

    def work():
        order = sorted(range(len(ids)), key=lambda row: -len(ids[row])) if is_sorted else range(len(ids))
        for start in range(0, len(ids), size):
            rows = order[start : start + size]
            for row, values in zip(rows, read([ids[row] for row in rows])):
                logits[row] = values

    def run():
        figures = timed(work) | {"tokenizing": timed(lambda: encode(data.texts))["seconds"]}
        return figures | {"tokens": sum(map(len, ids)), "logits": np.stack(logits).tolist()}

    return run


def encode_sentences(folder, path, **options):
    """sentence-transformers tokenizes too, sorts by length, and knows the mean alone."""
    from sentence_transformers import SentenceTransformer

    data, model = load(path), SentenceTransformer(folder, device="cpu")
    model.max_seq_length = LONGEST
    logits = []

    def work():
        logits[:] = model.encode(data.texts, batch_size=32, show_progress_bar=False).tolist()

    def run():
        return timed(work) | {"tokens": sum(map(len, data.ids)), "logits": list(logits), "tokenizing": 0.0}

    return run


def latency(peer, folder, path, **options):
    """Text by text, each from the text to the logits: seconds of each."""
    texts, read, encode = load(path).texts, globals()[peer](folder), encoder(folder)
    return lambda: one_by_one(texts, lambda text: read(encode([text])))


def one_by_one(texts, answer):
    """The seconds of each text, and the logits. answer: text -> logits [1, C]"""
    ends, logits = [time.perf_counter()], []
    for text in texts:
        logits.append(answer(text)[0].tolist())
        ends.append(time.perf_counter())
    return {"seconds": ends[-1] - ends[0], "each": [b - a for a, b in itertools.pairwise(ends)], "logits": logits}
