"""The benches of training."""

from pathlib import Path

from bench import texts
from bench.measure import System, peer, race, rows, save
from bench.prediction import of_peak
from minbert.batch import epoch_order

WORKS = {("sst", 8): 40, ("sst", 32): 20, ("cfimdb", 8): 10}  # data, batch: steps
STEPS, APART = 4, 1e-4  # without dropout: so many losses may lie so far apart
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
EPOCHS, FROZEN_TEXTS = 10, 1000


def contest(**options):
    """The systems that train, in float32."""
    return {
        "transformers, Trainer": peer("accelerate", "training.trainer", **options),
        "transformers, tuned loop": peer("transformers", "training.tuned", **options),
        "minbert": System("train", **options),
    }


def agree(work, **options):
    """Let all systems train without dropout on the same batches. Raises SystemExit where their losses lie apart."""
    found = race(contest(is_grouped=False, changes=NO_DROPOUT, **options), 0)
    losses = {name: system.warm["losses"] for name, system in found.items() if system}
    for name, values in losses.items():
        apart = max(abs(one - two) for one, two in zip(values, losses["minbert"], strict=True))
        if apart > APART:
            raise SystemExit(f"{work}: the losses of {name} are {apart:.1e} from ours, more than {APART}")


def train(folder, data, runs):
    """Flexible training, real tokens in a second."""
    lines, peaks, folder = [], {}, Path(folder, "pooler")
    for (name, size), steps in WORKS.items():
        work, (all_texts, labels) = f"train {name}, batch {size}", texts.numbered(data[f"{name}-train"])
        order = epoch_order(len(labels), 0, 1)[: steps * size]
        some, few = (
            texts.write(Path(folder, file), [all_texts[row] for row in rows_of], [labels[row] for row in rows_of])
            for file, rows_of in (("texts.jsonl", order), ("few.jsonl", order[: STEPS * size]))
        )
        options = {"folder": str(folder), "batch_size": size}
        agree(work, path=few, **options)
        found = {"peak": System("peak")} | contest(path=some, **options)
        found["minbert, bf16"] = System("train", path=some, precision="bf16", **options)
        peak = race(found, runs).pop("peak")
        more = rows(work, found)
        peaks[work] = of_peak(more, peak, folder, some, training=True)
        lines += more
    save("train", lines, peak_gflops=peaks)


def frozen(folder, data, runs):
    """Epochs with the encoder frozen."""
    some, labels = texts.numbered(data["sst-train"], FROZEN_TEXTS)
    path = texts.write(Path(folder, "texts.jsonl"), some, labels)
    options = {"folder": str(Path(folder, "pooler")), "path": path, "epochs": EPOCHS}
    contest = {
        "transformers, run again in each epoch": peer("transformers", "training.frozen", **options),
        "minbert": System("train_frozen", **options),
    }
    save("frozen", rows(f"train frozen, {EPOCHS} epochs", race(contest, min(runs, 3))))
