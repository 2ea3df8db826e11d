"""What training takes in memory, beside what minbert size says.

    python -m tests.peak 12 768 4 128    layers, width, texts, tokens: a BERT in fp32 on this CPU (Linux)

Prints the bytes that autograd keeps for the backward pass, and the largest size of the process in three steps, without
its size before the model was made. Each stands beside its formula. A heavy process of its own: no test runs it.
"""

import sys
from pathlib import Path

import torch

from minbert import BertSentClassifier, Config, cost, fast, size
from minbert.optimizer import AdamW


def kept(model, forward):
    """The bytes that autograd keeps of a forward pass, each tensor once, and no parameters."""
    own, found, alive = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}, {}, []

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        alive.append(tensor)  # or its place in memory would be used again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(found.values())


def prepared(layers, width, texts, tokens):
    """A classifier that is to be trained, the function that computes its loss, and what the formulas say of it."""
    torch.manual_seed(0)
    config = Config(
        vocab_size=2000,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 64),
        intermediate_size=4 * width,
    )
    model = fast.swap_in(BertSentClassifier(config).train())
    ids, labels = torch.randint(5, 2000, (texts, tokens)), torch.zeros(texts, dtype=torch.long)
    rows = cost.training_memory(size.of(config), "classifier", texts, tokens, "fp32", fused=True)
    return model, lambda: model(ids, torch.ones_like(ids), labels=labels)["loss"], rows


def memory(what):
    """A line of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(what))


def main(words):
    shape = [int(word) for word in words]
    model, loss, _ = prepared(1, 64, 2, 8)
    loss().backward()  # what the libraries take once
    before = memory("VmRSS")
    model, loss, rows = prepared(*shape)
    optimizer = AdamW(model.parameters(), lr=1e-5)
    for _ in range(3):
        loss().backward()
        optimizer.step()
        optimizer.zero_grad()
    peak = memory("VmHWM") - before
    formula = size.total(row for row in rows if row.title.startswith("kept"))
    print(f"kept:  {kept(model, loss) / 1e6:8.1f} MB, by the formula {formula / 1e6:8.1f}")
    print(f"peak:  {peak / 1e6:8.1f} MB, by the formula {size.total(rows) / 1e6:8.1f}")


if __name__ == "__main__":
    main(sys.argv[1:])
