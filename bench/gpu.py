"""A bert-base shape with random weights on a GPU, in bfloat16: ours and transformers, one run of each in turn."""

import statistics
import time

import numpy as np
import torch
from torch.nn import functional as F

from bench.measure import rounded, save, table
from bench.scale import BASE
from minbert import BertSentClassifier, Config, UserError, fast, training
from minbert.batch import batches
from minbert.fast.optimizer import clip, fused_adamw
from minbert.optimizer import parameter_groups
from minbert.runs import selftest


def texts(number, vocab_size, longest):
    """Random ids of 16 to longest tokens, as the tokenizer would return them."""
    rng = np.random.default_rng(0)
    ids = [rng.integers(5, vocab_size, length).tolist() for length in rng.integers(16, longest + 1, number)]
    return {
        "input_ids": ids,
        "token_type_ids": [[0] * len(row) for row in ids],
        "attention_mask": [[1] * len(row) for row in ids],
    }


def timed(work, device):
    def wait():
        if device == "cuda":
            torch.cuda.synchronize()

    wait()
    begin = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - begin


def ours(config, rows, labels, batch_size, device):
    """{task: function}"""
    model = fast.swap_in(BertSentClassifier(config).to(device))
    optimizer = fused_adamw(parameter_groups(model, 0.01), 1e-5)
    data = training.Data(rows, labels)

    def train():
        model.train()
        for batch in batches(rows, labels, range(len(labels)), batch_size):
            loss = training.batch_loss(model, batch.to(device), precision="bf16")
            training.update(model, loss, optimizer, clip=clip)

    return {"predict": lambda: training.predict(model, data, device, "bf16"), "train": train}


def theirs(config, rows, labels, batch_size, device):
    """{task: function} of transformers with SDPA, bfloat16 autocast and the fused optimizer."""
    import transformers

    sizes = {name: getattr(config, name) for name in BASE}
    model = transformers.BertForSequenceClassification(
        transformers.BertConfig(**sizes, num_labels=config.num_labels, attn_implementation="sdpa")
    ).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def stream(labels):
        return (batch.to(device) for batch in batches(rows, labels, range(len(rows["input_ids"])), batch_size))

    @torch.inference_mode()
    def predict():
        model.eval()
        with training.autocast(device, "bf16"):
            return torch.cat([model(*batch[:3]).logits.float().cpu() for batch in stream(None)])

    def train():
        model.train()
        for batch in stream(labels):
            with training.autocast(device, "bf16"):
                logits = model(*batch[:3]).logits
            loss = F.cross_entropy(logits.float(), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    return {"predict": predict, "train": train}


def peak(device, size):
    """GFLOP/s of a large bfloat16 product."""
    x = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    return 2 * size**3 / min(timed(lambda: x @ x, device) for _ in range(10)) / 1e9


def main(runs=5, device="cuda", sizes=BASE, number=4096, batch_size=64, size=8192, name="gpu"):
    """Measure, print a table and save it. Raises UserError where there is no GPU."""
    selftest.pick_device(device)
    config = Config(**sizes, num_labels=2)
    if config.hidden_size % 8:
        raise UserError("choose a hidden size that 8 divides: a GPU's matrix units want it")
    rows = texts(number, config.vocab_size, min(256, config.max_position_embeddings))
    labels = [row % 2 for row in range(number)]
    lengths = np.array([len(row) for row in rows["input_ids"]])
    hidden, wide = config.hidden_size, config.intermediate_size
    cost = lengths * 2 * (4 * hidden * hidden + 2 * hidden * wide) + 4 * lengths**2 * hidden
    forward = config.num_hidden_layers * cost.sum() / 1e9
    systems = {
        "transformers": theirs(config, rows, labels, batch_size, device),
        "minbert": ours(config, rows, labels, batch_size, device),
    }
    seconds = {(task, name): [] for task in ("predict", "train") for name in systems}
    peaks = []
    for _ in range(runs + 1):
        peaks.append(peak(device, size))
        for task, system in seconds:
            seconds[task, system].append(timed(systems[system][task], device))
    found = []
    for (task, system), values in seconds.items():
        median = statistics.median(values[1:])
        share = forward * (3 if task == "train" else 1) / median / max(peaks)
        row = {"work": task, "system": system, "tokens_per_second": int(lengths.sum()) / median, "of_peak": share}
        found.append(row | {"ratio": statistics.median(seconds[task, "transformers"][1:]) / median})
    lines = [
        (row["work"], row["system"], rounded(row["tokens_per_second"]), f"{row['ratio']:.2f}", f"{row['of_peak']:.0%}")
        for row in found
    ]
    print(table(["work", "system", "tokens per second", "ratio", "of the peak"], lines))
    gpu = torch.cuda.get_device_name() if device == "cuda" else device
    save(name, found, of=gpu, device=gpu, peak_gflops=max(peaks))
