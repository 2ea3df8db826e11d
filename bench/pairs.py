"""How well models compare two texts, beside the peers: similarity from 0 to 5 (STS-B), duplicate questions (Quora).

    python -m bench.pairs --data FOLDER                                 everything that is not yet in the results
    python -m bench.pairs --data FOLDER --tasks STS-B --systems minbert --seeds 1 2 3

FOLDER holds sts/sts-train.csv, sts/sts-dev.csv and quora/quora-dev.csv as the Stanford course kit lays them out. The
model is all-MiniLM-L6-v2; all training is in bfloat16, on both sides. The systems:

STS-B, trained on the train file. The dev file is scored once, after the last epoch: no score chooses anything.
    cosine                  of the two sentence vectors, nothing learnt: minbert's, and sentence-transformers'
    Trainer, its defaults   transformers' Trainer and BertForSequenceClassification as they come
    Trainer, same settings  the same with minbert's head, its start, and SETTINGS
    minbert                 minbert train with SETTINGS, reading the mean of all tokens
Quora, split by bench.pair_files so that no question is in two parts. Dev chooses C, and the epoch of a frozen run.
    counted words, TF-IDF   of both questions as one text, as minbert train shows it
    compared words, TF-IDF  of each question: what the two share and where they differ, see `compared_words`
    minbert, frozen         only the head learns, for FROZEN_EPOCHS
    minbert                 one epoch of everything
Prints Markdown tables, mean (SD over seeds), and writes them into docs/results.md between its two marks. Writes
bench/results/pairs.json after each run.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from bench import trainer
from bench.measure import RESULTS, machine, table
from bench.pair_files import LABELS, counts, files, rows
from minbert import BertModel, BertTokenizer, similarity, vectors
from minbert.commands import train
from minbert.metrics import f1, pearson, spearman
from minbert.runs.baseline import GRID, words
from minbert.weights import hub

PATH = RESULTS / "pairs.json"
MODEL = "all-MiniLM-L6-v2"
FIGURES = {
    "STS-B": {"pearson": "Pearson", "spearman": "Spearman"},
    "Quora": {"accuracy": "accuracy", "f1": "F1 of duplicates"},
}
# Of STS-B: what minbert train takes for a model of this size if nothing is said.
SETTINGS = {"epochs": 3, "lr": 1e-4, "batch_size": 16, "weight_decay": 0.01, "warmup": 0.1, "hidden_dropout_prob": 0.3}
FROZEN_EPOCHS = 10
PAGE = Path(__file__).parent.parent / "docs" / "results.md"
MARKS = "<!-- made by python -m bench.pairs: -->", "<!-- until here -->"


def minbert(task, paths, seed, folder, **more):
    """The scores on the test file, of one run of minbert train with these flags and more."""
    flags = {"text_column": "sentence1", "pair_column": "sentence2", "label_column": "label", **paths}
    flags |= {"label_kind": "number" if task == "STS-B" else "class", "model": MODEL, "pooling": "mean"}
    flags |= {"precision": "bf16", "seed": seed, "out": folder, **more}
    command = ["--no_baseline", *(word for name, value in flags.items() for word in (f"--{name}", str(value)))]
    train.main(command)
    scores = json.loads((folder / "run.json").read_text(encoding="utf-8"))["scores"]["test"]
    if task == "Quora":
        scores["f1"] = scores["table"]["duplicate"]["f1-score"]
    return {name: scores[name] for name in FIGURES[task]}


def trained_by_peer(paths, seed, folder, settings=None):
    """Pearson and Spearman of transformers' Trainer on STS-B. settings: SETTINGS, or None for its own defaults"""
    data = {part: [(*texts, float(number)) for *texts, number in rows(path, "label")] for part, path in paths.items()}
    predicted = trainer.predictions(hub.find(MODEL), data, seed, folder, SETTINGS["epochs"], settings)
    return correlations([number for *_, number in data["test"]], predicted)


def correlations(gold, predicted):
    return {"pearson": pearson(gold, predicted), "spearman": spearman(gold, predicted)}


def cosine(paths, peer=False):
    """Pearson and Spearman of the cosine of two sentence vectors. peer: those of sentence-transformers"""
    directory = hub.find(MODEL)
    *texts, numbers = map(list, zip(*rows(paths["test"], "label")))
    if peer:
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(directory), device="cpu")
        found = [torch.from_numpy(model.encode(side, show_progress_bar=False)) for side in texts]
    else:
        model, tokenizer = BertModel.from_pretrained(directory), BertTokenizer.from_pretrained(directory)
        found = [vectors(model, tokenizer, side) for side in texts]
    return correlations(list(map(float, numbers)), similarity.cosine_of_pairs(*found).tolist())


def tfidf(paths, compared=False):
    """Accuracy and F1 on the test file; C is chosen on dev. compared: see `compared_words`; else both as one text"""
    parts = {part: list(zip(*rows(path, "label"))) for part, path in paths.items()}
    names = sorted(LABELS.values())
    gold = {part: list(map(names.index, labels)) for part, (_, _, labels) in parts.items()}
    if compared:
        predicted = compared_words({part: columns[:2] for part, columns in parts.items()}, gold)
    else:
        joined = {part: list(map(" ".join, zip(*columns[:2]))) for part, columns in parts.items()}
        predicted = words(joined, gold, names, largest=float("inf")).predicted["test"]
    right = sum(one == two for one, two in zip(gold["test"], predicted))
    positive = names.index("duplicate")
    return {"accuracy": right / len(predicted), "f1": f1(gold["test"], predicted, positive)}


def compared_words(texts, gold):
    """Predictions for test of a logistic regression on |a - b| and a * b, TF-IDF of words and word pairs of each text.

    texts  {part: (firsts, seconds)}
    """
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit([*texts["train"][0], *texts["train"][1]])
    features = {}
    for part, sides in texts.items():
        a, b = map(words.transform, sides)
        features[part] = hstack([abs(a - b), a.multiply(b)]).tocsr()
    models = [
        LogisticRegression(C=c, solver="liblinear", max_iter=1000, random_state=0).fit(features["train"], gold["train"])
        for c in GRID
    ]
    best = max(models, key=lambda model: model.score(features["dev"], gold["dev"]))
    return best.predict(features["test"]).tolist()


# What is called with paths, seed, folder
SYSTEMS = {
    "STS-B": {
        "cosine, sentence-transformers": lambda paths, *rest: cosine(paths, peer=True),
        "cosine, minbert": lambda paths, *rest: cosine(paths),
        "Trainer, its defaults": trained_by_peer,
        "Trainer, same settings": lambda *rest: trained_by_peer(*rest, SETTINGS),
        "minbert": lambda *rest: minbert("STS-B", *rest, **SETTINGS),
    },
    "Quora": {
        "counted words, TF-IDF": lambda paths, *rest: tfidf(paths),
        "compared words, TF-IDF": lambda paths, *rest: tfidf(paths, compared=True),
        "minbert, frozen": lambda *rest: minbert("Quora", *rest, option="pretrain", epochs=FROZEN_EPOCHS),
        "minbert": lambda *rest: minbert("Quora", *rest, epochs=1),
    },
}
DRAW_NOTHING = ("cosine", "counted", "compared")  # how the names of these systems begin


def mean(runs, figure):
    """[run, ...] -> mean (SD) of a figure, to four digits; a dash if there is none"""
    if not runs:
        return "–"
    values = [run["score"][figure] for run in runs]
    return f"{statistics.mean(values):.4f}" + (f" ({statistics.stdev(values):.4f})" if len(values) > 1 else "")


def page(record):
    """The tables, a row for each system; above them the rows that were read."""
    found = []
    for task, systems in SYSTEMS.items():
        runs = {
            name: [run for run in record["runs"] if (run["task"], run["system"]) == (task, name)] for name in systems
        }
        lines = [(name, len(mine), *(mean(mine, figure) for figure in FIGURES[task])) for name, mine in runs.items()]
        count = ", ".join(f"{part} {number:,}" for part, number in record["rows"][task].items())
        found += [f"{task}, pairs: {count}.", table(["system", "runs", *FIGURES[task].values()], lines)]
    return "\n\n".join(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = list(dict.fromkeys(name for systems in SYSTEMS.values() for name in systems))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument("--systems", nargs="+", choices=names, default=names)
    parser.add_argument("--seeds", nargs="+", type=int, default=(1, 2, 3))
    args = parser.parse_args()
    record = json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {"rows": {}, "runs": []}
    with tempfile.TemporaryDirectory() as folder:
        for task in args.tasks:
            paths = files(task, args.data, Path(folder))
            record["rows"][task] = counts(paths)
            for system in [name for name in SYSTEMS[task] if name in args.systems]:
                for seed in (0,) if system.startswith(DRAW_NOTHING) else args.seeds:
                    if any((run["task"], run["system"], run["seed"]) == (task, system, seed) for run in record["runs"]):
                        continue
                    begin = time.perf_counter()
                    score = SYSTEMS[task][system](paths, seed, Path(folder) / f"{task}-{system}-{seed}")
                    seconds = round(time.perf_counter() - begin)
                    run = {"task": task, "system": system, "seed": seed, "score": score, "seconds": seconds}
                    record = {"machine": machine(), "rows": record["rows"], "runs": [*record["runs"], run]}
                    PATH.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(text := page(record))
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    if begin:
        PAGE.write_text(f"{before}{begin}\n{text}\n{MARKS[1]}{rest.partition(MARKS[1])[2]}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
