"""Ours and the peers, side by side: the same texts, weights and threads, one run of each in turn, medians.

    python -m bench                        everything but scale, memory and gpu, then one table
    python -m bench bpe generate search    byte-level BPE, what a GPT-2 writes, and a translator's beam search
    python -m bench unigram                unigram tokenizers
    python -m bench tokenize predict       some of it; the table is made from all results there are
    python -m bench latency whole          one sentence at a time, and whole processes
    python -m bench scale                  time and memory against length, batch, rows and size of the model
    python -m bench memory --minutes 60    memory of minbert predict over as many lines as it reads in that time
    python -m bench gpu                    training and prediction of a bert-base shape on a GPU
    python -m bench table                  the table alone
    python -m bench --texts 20 --runs 1    a trial: prints the table and keeps nothing

The weights are those of all-MiniLM-L6-v2; those of `generate` and `search` are random. The data are SST, CFIMDB and
TweetEval, in --data; the reviews in data/ stand in for those that are not there. Only real tokens count, so padding
makes a system slower. What a peer gives is compared with ours: ids, logits, losses, labels.
"Of the peak" is the cost of the real tokens, divided by the speed that the machine's faster matrix library reaches in
the same run. A ratio compares a system with the strongest peer that does the same work in the same precision.
Writes bench/results/PROCESSOR/NAME.json, and the tables into docs/speed.md between its two marks.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

import torch

from bench import gpu, learning, measure, page, prediction, scale, texts, tokens
from minbert import BertSentClassifier, BertTokenizer
from minbert.files.examples import read_examples
from minbert.files.labels import LabelSet
from minbert.weights import hub

BENCHES = {"tokenize": tokens.tokenize, "bpe": tokens.bpe, "unigram": tokens.unigram, "predict": prediction.predict}
BENCHES |= {"latency": prediction.latency, "whole": prediction.whole, "train": learning.train}
BENCHES |= {"frozen": learning.frozen, "generate": tokens.generate, "search": tokens.search}
NEED_NO_BERT = {"bpe", "unigram", "generate", "search", "scale", "memory", "table", "gpu"}


def prepare(folder, classes):
    """all-MiniLM-L6-v2 with a classifier, for each pooling a folder that all systems read."""
    directory = hub.find(prediction.MODEL)
    for pooling in ("pooler", "mean"):
        place = Path(folder, pooling)
        torch.manual_seed(0)
        BertSentClassifier.from_pretrained(directory, num_labels=classes, pooling=pooling).save_pretrained(place)
        BertTokenizer.from_pretrained(directory).save_pretrained(place)
        shutil.copy(directory / "tokenizer.json", place)
        prediction.convert(place)


def main():
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = (*BENCHES, "scale", "memory", "gpu", "table")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    default = Path(os.environ.get("MINBERT_REFERENCE", texts.ROOT.parent / "shared"), "data")
    parser.add_argument("--data", default=str(default), metavar="FOLDER", help="with sst/, cfimdb/ and tweeteval/")
    parser.add_argument("--runs", type=int, metavar="N", help="of each system; default: 5, of scale 1")
    parser.add_argument("--minutes", type=float, metavar="N", help="of memory; default: 60")
    parser.add_argument("--texts", type=int, metavar="N", help="a trial on N texts of each kind: nothing is kept")
    args = parser.parse_args()
    if unknown := set(args.names) - set(names):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(names)}")
    chosen = args.names or list(BENCHES)
    if args.minutes and "memory" not in chosen:
        parser.error("--minutes is of memory: name it")
    if args.texts and (others := set(chosen) - set(BENCHES)):
        parser.error(f"--texts is not of {', '.join(sorted(others))}")
    data = texts.find_data(args.data)
    with tempfile.TemporaryDirectory() as folder:
        if args.texts:
            texts.MOST, measure.RESULTS = args.texts, Path(folder, "results")
        if set(chosen) - NEED_NO_BERT:
            prepare(folder, len(LabelSet.collect(read_examples(data["sst-train"])).names))
        for name in chosen:
            print(f"{name} ...", file=sys.stderr)
            if name in BENCHES:
                BENCHES[name](folder, data, args.runs or 5)
            elif name == "scale":
                scale.main(args.runs or 1)
            elif name == "memory":
                scale.memory(folder, data, args.minutes or 60)
            elif name == "gpu":
                gpu.main(args.runs or 5)
        print(page.page())
        if not args.texts:
            page.write()


if __name__ == "__main__":
    main()
