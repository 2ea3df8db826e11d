"""What README.md and docs/ claim: code checks each number in prose, or a command measures it; links lead somewhere."""

import ast
import json
import math
import re
import signal
import statistics
import subprocess
import sys

import pytest
import torch

import minbert
from bench import accuracy, measure, pairs, study
from bench.page import MARKS
from data import translation
from minbert import BertForMaskedLM, Config, completions, cost, endpoint, families, size, tokenizer_json, tokenizers
from minbert.commands import study_infer
from minbert.course.parts import PARTS, WHOLE
from minbert.files.examples import read_examples
from minbert.metrics import NORMAL, wilson
from minbert.pretraining import corpus
from minbert.published import PUBLISHED
from minbert.runs import slices
from minbert.tokenizers import bpe_files
from minbert.weights import hub
from tests import test_seeds
from tests.conftest import ROOT
from tests.test_readme import PAGES, blocks

LINKED = [*PAGES, "CHANGELOG.md", "checkpoints/README.md", "tests/README.md"]
CARD, GPT2_CARD, TRANSLATE_CARD = (f"checkpoints/{tiny}/README.md" for tiny in ("tiny", "tiny-gpt2", "tiny-translate"))
LINKED += [CARD, GPT2_CARD, TRANSLATE_CARD]
NUMBERED = [*PAGES, "CHANGELOG.md", CARD, GPT2_CARD, TRANSLATE_CARD]  # pages in which every number is checked
MODEL = ("config", "embeddings", "attention", "encoder", "bert", "heads")


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def results(name):
    return json.loads((measure.RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def baseline(task):
    """What TF-IDF gets in a task on dev and test, as bench.accuracy shows it."""
    runs = [run for run in results("accuracy")["runs"] if (run["task"], run["system"]) == (task, "baseline")]
    return [accuracy.mean(runs, part) for part in ("dev", "test")]


def lines_of(*files):
    return sum(len(read(f"minbert/{file}.py").splitlines()) for file in files)


def tiny(*names):
    config = Config.from_json(hub.find("tiny") / "config.json")
    return [getattr(config, name) for name in names]


def positions():
    return tiny("max_position_embeddings")[0]


def pretraining(name="tiny"):
    """The record of the run that made a shipped model."""
    return json.loads((hub.find(name) / "pretraining.json").read_text(encoding="utf-8"))


def gpt2_sizes():
    """Layers, hidden size, heads, parameters, positions, tokens, megabytes."""
    folder = hub.find("tiny-gpt2")
    config, model = families.read_config(folder), families.load(folder, "causal")
    sizes = (config.num_hidden_layers, config.hidden_size, config.num_attention_heads)
    count = sum(weight.numel() for weight in model.parameters())
    megabytes = sum(path.stat().st_size for path in folder.iterdir() if path.suffix != ".md") / 1e6
    return *sizes, count, config.max_position_embeddings, config.vocab_size, megabytes


def gpt2_end():
    """The last entry of its history."""
    return pretraining("tiny-gpt2")["history"][-1]


def translate_sizes():
    """Layers, hidden size, heads, parameters, pieces of each language, positions, megabytes."""
    folder = hub.find("tiny-translate")
    model, tokenizer = families.load(folder, "translation"), tokenizers.from_pretrained(folder)
    config, count = model.config, sum(weight.numel() for weight in model.parameters())
    megabytes = sum(path.stat().st_size for path in folder.iterdir() if path.suffix != ".md") / 1e6
    sizes = (config.num_hidden_layers, config.hidden_size, config.num_attention_heads, count)
    return *sizes, len(tokenizer.source), len(tokenizer.target), config.max_position_embeddings, megabytes


def translate_run():
    """The record of the run that made tiny-translate."""
    return json.loads((hub.find("tiny-translate") / "translation.json").read_text(encoding="utf-8"))


def translate_training():
    """Epochs, steps, pairs in a step, minutes."""
    record = translate_run()
    epochs, size = (record["arguments"][name] for name in ("epochs", "batch_size"))
    minutes = sum(epoch["train_seconds"] for epoch in record["history"]) / 60
    return epochs, epochs * math.ceil(record["text"]["train_pairs"] / size), size, minutes


def held_out(number):
    return [figures for figures in pretraining()["history"] if "heldout_loss" in figures][number]


def rounded_up(number, step):
    """The next multiple of step above number."""
    return (number // step + 1) * step


def simulated(part, *case):
    """What bench/results/coverage.json has of a case."""
    found = json.loads(read("bench/results/coverage.json"))[part]
    return next(row for row in found if row["case"] == list(case))


def rejected(*case):
    return 100 * simulated("tests", *case)["share"]


def held(what):
    """Of labels alone and of the corrected estimate from 300 labels: the coverage in percent, then the SD."""
    rows = [simulated("infer", "uneven", what, way, 300) for way in ("labels alone", "tuned")]
    return (*(100 * row["share"] for row in rows), *(row["sd"] for row in rows))


def imdb_reviews():
    """How many labelled reviews bench.accuracy trains on."""
    text = ast.get_docstring(ast.parse(read("bench/accuracy.py")))
    return int(re.search(r"Of IMDB it takes\s+([\d,]+) reviews to train on", text)[1].replace(",", ""))


def torch_version(name):
    return results(name)["versions"]["torch"].partition("+")[0]


def parameters(name):
    return sum(weight.numel() for weight in BertForMaskedLM.from_pretrained(name, missing_head="new").parameters())


def classifier_sizes():
    """The parameters of a classifier of two classes on bert-base-uncased, and those of its last layer."""
    with torch.device("meta"):
        model = minbert.BertSentClassifier(Config(num_labels=2))
    return [sum(weight.numel() for weight in part.parameters()) for part in (model, model.classifier)]


def default(flag):
    """The default of a flag of `minbert train`, as its help shows it."""
    command = [sys.executable, "train_classifier.py", "--help"]
    text = " ".join(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())
    return re.search(rf"--{flag} [A-Z]+ .*?default: ([\d.]+)", text)[1]


def parts():
    return re.findall(r"^    (part\d): ", read("setup.cfg"), re.MULTILINE)


def forms_tried():
    from tests.files import test_formats

    return len(test_formats.READ) + len(test_formats.REFUSED)


def labels_tried():
    from tests.files import test_labels

    asked = sum(map(len, test_labels.LOOKS.values()))
    return asked + len(test_labels.TAKEN) + len(test_labels.WRITTEN) + len(test_labels.WORDS.split())


def models_tried():
    from tests import test_config, test_modules_json
    from tests.weights import test_folders, test_others

    lists = (test_config.REFUSED, test_config.PUBLISHED, test_modules_json.WAYS, test_modules_json.REFUSED)
    lists += (test_folders.KINDS, test_folders.OUTSIDE, test_others.OTHER_HEADS, test_others.UNFIT)
    return sum(map(len, lists))


def layouts_tried():
    from tests.weights import test_others, test_weights

    return len(test_others.OPTIONS) + len(test_weights.LAYOUTS)


def tokenizers_tried():
    from tests import test_tokenizer_files as tried

    return len(tried.HONOURED) + len(tried.REFUSED) + len(tried.SAID)


def places_tried():
    from tests.commands import test_places

    return len(test_places.NAMES), len(test_places.STREAMS) + len(test_places.MISSING)


def exports_tried():
    from tests.runs import test_onnx

    return len(test_onnx.KINDS), len(test_onnx.SIZES)


# A page, words with numbers in them, and what the numbers are by the code. {} is a number, written as the page does.
CHECKED = [
    (
        "docs/study.md",
        "four systems on {} of the reviews",
        lambda: len(read_examples(ROOT / "data/reviews/dev.csv").texts),
    ),
    (
        "docs/study.md",
        "| corrected t, 2 x 5 folds | {:.1f} |",
        lambda: rejected("corrected t", "2 x 5 folds", "offered", 200),
    ),
    (
        "docs/study.md",
        "| corrected t, 10 x 5 folds | {:.1f} |",
        lambda: rejected("corrected t", "10 x 5 folds", "offered", 200),
    ),
    ("docs/study.md", "one test set | {:.1f} |", lambda: rejected("McNemar", "exact", "offered", 400)),
    (
        "docs/study.md",
        "| plain t, 10 x 5 folds (not offered) | {:.1f} |",
        lambda: rejected("plain t", "10 x 5 folds", "not offered", 200),
    ),
    ("docs/study.md", "| 5 x 2 F (not offered) | {:.1f} |", lambda: rejected("5 x 2 F", "", "not offered", 200)),
    ("docs/study.md", "| share of a class | {:.1f} | {:.1f} | {:.3f} | {:.3f} |", lambda: held("prevalence")),
    ("docs/study.md", "| slope, linear | {:.1f} | {:.1f} | {:.3f} | {:.3f} |", lambda: held("lm slope")),
    ("docs/study.md", "| slope, logistic | {:.1f} | {:.1f} | {:.3f} | {:.3f} |", lambda: held("logit slope")),
    (
        "docs/study.md",
        "slope in {:.1f} % of the samples with 100 labels, and in {:.1f} % with 300",
        lambda: tuple(100 * simulated("designs", "unequal", "logit slope", "tuned", n)["share"] for n in (100, 300)),
    ),
    (
        "docs/study.md",
        "with 12 of them, it held the true value in {:.1f} % of the samples, and with 36, in {:.1f} %",
        lambda: tuple(100 * simulated("bootstrap", "bca", "F1", *case)["share"] for case in (("few", 100), ("", 300))),
    ),
    ("docs/study.md", "draws {:,} samples", lambda: json.loads(read("bench/results/coverage.json"))["repetitions"]),
    ("docs/study.md", "fewer than {} labels", lambda: study_infer.FEW_LABELS),
    *(
        (
            "docs/teaching.md",
            f"| {{}} | {part.title} | {', ' * (len(part.files) - 1)}| {{}} |",  # prose leaves the files out
            lambda part=part: (part.number, part.points),
        )
        for part in PARTS
    ),
    ("docs/teaching.md", f"| {WHOLE.title} | all of these | {{}} |", lambda: WHOLE.points),
    ("docs/teaching.md", "Parts {} to {} are graded", lambda: (PARTS[0].number, PARTS[-1].number)),
    (
        "docs/teaching.md",
        "The file needs Python {}.",
        lambda: re.search(r"Python (3\.\d+)", read("minbert/commands/grade.py"))[1],
    ),
    ("docs/use.md", "a {}% confidence interval", lambda: round(100 * statistics.NormalDist().cdf(NORMAL) * 2 - 100)),
    ("docs/use.md", "The {} commonest values", lambda: slices.MOST),
    ("docs/results.md", "fitted on the same files, gets {} / {}:", lambda: baseline("reviews")),
    ("docs/robustness.md", "The tests try {} inputs through both readers", lambda: forms_tried()),
    ("docs/robustness.md", "The tests try {} labels and sets of labels", lambda: labels_tried()),
    ("docs/robustness.md", "The tests try {} of them", lambda: models_tried()),
    ("docs/robustness.md", "The tests compare {} layouts", lambda: layouts_tried()),
    ("docs/robustness.md", "The tests try {} folders", lambda: tokenizers_tried()),
    ("docs/results.md", "more than {} characters", lambda: tokenizer_json.WORD_LIMITS[0]),
    ("docs/robustness.md", "The tests try {} names for each path, {} kinds of output", lambda: places_tried()),
    (
        "docs/robustness.md",
        "Training with numpy {}, the oldest",
        lambda: re.search(r"numpy >= (\S+)", read("setup.cfg"))[1],
    ),
    ("docs/robustness.md", "The tests export {} kinds of models", lambda: exports_tried()[0]),
    ("docs/robustness.md", "compute batches of {} sizes", lambda: exports_tried()[1]),
    ("README.md", "has under {} lines", lambda: rounded_up(lines_of(*MODEL), 100)),
    (
        "README.md",
        "has {} layers and {:.1f} million parameters",
        lambda: [*tiny("num_hidden_layers"), parameters("tiny") / 1e6],
    ),
    ("README.md", "Python {} or newer", lambda: re.search(r"python_requires = >=(\S+)", read("setup.cfg"))[1]),
    ("README.md", "IMDB, {:,} reviews", lambda: imdb_reviews()),
    ("docs/reading.md", "have under {} lines", lambda: rounded_up(lines_of(*MODEL), 100)),
    ("docs/reading.md", "the story in under {} lines", lambda: 40),  # a test in tests/commands holds it
    ("CONTRIBUTING.md", "and in under {} lines", lambda: 40),
    (
        "docs/use.md",
        "exit status {} when it is done, with {} after a mistake that you can fix, and with {} or {} when a signal",
        lambda: (0, 2, 128 + signal.SIGINT, 128 + signal.SIGTERM),  # tests/commands hold these
    ),
    ("docs/use.md", "in all for at most {} seconds", lambda: endpoint.LONGEST),
    ("docs/use.md", "with exit status {} or {}.", lambda: (128 + signal.SIGINT, 128 + signal.SIGTERM)),
    (
        "docs/weights.md",
        "{} layers, {:.1f} million parameters",
        lambda: MINILM and (Config.from_json(MINILM / "config.json").num_hidden_layers, encoder_size(MINILM) / 1e6),
    ),
    (
        "docs/results.md",
        "cut at {} tokens, those of IMDB at {} for",
        lambda: [accuracy.USUAL_LENGTH, accuracy.LENGTH["IMDB"]],
    ),
    ("docs/results.md", "{:,} code points", lambda: sum(not 0xD800 <= code <= 0xDFFF for code in range(0x110000))),
    ("docs/results.md", "IMDB, {:,} reviews", lambda: imdb_reviews()),
    (
        "docs/results.md",
        "Python {} and torch {} on",
        lambda: [re.match(r"\d+\.\d+", results("accuracy")["versions"]["python"])[0], torch_version("accuracy")],
    ),
    ("docs/size.md", "BERT-base has {:.0f} million", lambda: PUBLISHED["bert-base-uncased"].parameters / 1e6),
    ("docs/size.md", "and MT-NLG has {:.0f} billion", lambda: PUBLISHED["mt-nlg-530b"].parameters / 1e9),
    ("docs/size.md", "labels has {:,} parameters", lambda: counted("bert-base-uncased", "classifier")),
    ("docs/size.md", "vocabulary up to {:,} tokens", lambda: PUBLISHED["mt-nlg-530b"].sizes.V),
    ("docs/size.md", "running means: {} bytes for", lambda: state_of_training()),
    ("docs/size.md", "fp32, which takes {} bytes, too", lambda: state_of_training()),
    ("docs/size.md", "is {} by default, which", lambda: cost.UTILISATION),
    (
        "docs/robustness.md",
        "merges of more than {} MiB, a whole of more than {} MiB",
        lambda: (bpe_files.MAX_FILE >> 20, tokenizer_json.MAX_BYTES >> 20),
    ),
    *((test_seeds.PAGE, words, lambda numbers=numbers: numbers) for words, numbers in test_seeds.of_page()),
    (test_seeds.PAGE, "accuracy of 0.915 has a {}% interval from {:.3f} to {:.3f}.", lambda: (95, *wilson(183, 200))),
    (test_seeds.PAGE, "first three of {} numbers", lambda: Config().hidden_size),
    (
        test_seeds.PAGE,
        "bert-base-uncased has {:,} parameters, of which the last layer has {:,}.",
        lambda: classifier_sizes(),
    ),
    ("CHANGELOG.md", "## {}", lambda: minbert.__version__),
    (
        CARD,
        "It has {} layers, hidden size {}, {} heads, {:,} parameters, positions for {} tokens",
        lambda: [*tiny("num_hidden_layers", "hidden_size", "num_attention_heads"), parameters("tiny"), positions()],
    ),
    (CARD, "vocabulary ({:,} tokens", lambda: tiny("vocab_size")),
    (CARD, "the embeddings of the {:,} of its tokens", lambda: tiny("vocab_size")),
    (CARD, "It takes {:.1f} MB", lambda: sum(path.stat().st_size for path in hub.find("tiny").iterdir()) / 1e6),
    (CARD, "in {} bits.", lambda: 8 * (hub.find("tiny") / "model.safetensors").stat().st_size // parameters("tiny")),
    (CARD, "hidden words, for {:.0f} minutes", lambda: pretraining()["arguments"]["minutes"]),
    (
        CARD,
        "**Text:** {:,} texts, {:,} tokens",
        lambda: [pretraining()["text"]["texts"], pretraining()["text"]["tokens"]],
    ),
    (
        CARD,
        "{:,} texts were left out, since they share {} words in a row",
        lambda: [pretraining()["text"]["left_out"], corpus.NGRAM],
    ),
    (CARD, "masked LM on {:.0f} %", lambda: 100 * pretraining()["arguments"]["mask"]),
    (
        CARD,
        "{:.0f} minutes on {} cores",
        lambda: [pretraining()["arguments"]["minutes"], pretraining()["machine"]["threads"]],
    ),
    (CARD, "torch {}.", lambda: pretraining()["versions"]["torch"]),
    (
        CARD,
        "made {:,} steps and read {:.1f} million tokens",
        lambda: [pretraining()["history"][-1]["steps"], pretraining()["history"][-1]["tokens"] / 1e6],
    ),
    (CARD, "highest learning rate was {}.", lambda: pretraining()["arguments"]["lr"]),
    (
        CARD,
        "loss was {:.3f} nats and the accuracy {:.3f} on rows of 128",
        lambda: [held_out(-2)["heldout_loss"], held_out(-2)["heldout_accuracy"]],
    ),
    (
        CARD,
        "and {:.3f} and {:.3f} on rows of {} at the end",
        lambda: [
            *(held_out(-1)["heldout_loss"], held_out(-1)["heldout_accuracy"], pretraining()["arguments"]["max_length"]),
        ],
    ),
    (CARD, "All {} position vectors", lambda: positions()),
    (CARD, "six with {:,}.", lambda: tiny("vocab_size")),
    (CARD, "cut at {} tokens", lambda: positions()),
    (
        TRANSLATE_CARD,
        "It has {} layers in each stack, hidden size {}, {} heads, {:,} parameters, {} English and {} German pieces, "
        "and reads sentences of up to {} tokens. It takes {:.1f} MB, with the matrices stored in 8 bits.",
        translate_sizes,
    ),
    (TRANSLATE_CARD, "{} epochs, {:,} steps of {} pairs, in {:.0f} minutes", translate_training),
    (TRANSLATE_CARD, "torch {}", lambda: translate_run()["versions"]["torch"]),
    (
        TRANSLATE_CARD,
        "{:,} pairs to learn from, with up to {} English words",
        lambda: (translation.ROWS["train"], translation.LONGEST),
    ),
    (TRANSLATE_CARD, "Numbers from {} on", lambda: translation.SMALL + 1),
    (
        GPT2_CARD,
        "It has {} layers, hidden size {}, {} heads, {:,} parameters, positions for {} tokens and byte-level BPE with "
        "{:,} tokens. It takes {:.1f} MB, with the matrices stored in 8 bits.",
        gpt2_sizes,
    ),
    (
        GPT2_CARD,
        "**Text:** {:,} texts, {:,} tokens, where a file that is named three times counts three times. {:,} texts",
        lambda: [pretraining("tiny-gpt2")["text"][name] for name in ("texts", "tokens", "left_out")],
    ),
    (
        GPT2_CARD,
        "{:,} steps, {:.1f} million tokens: it read about half of the text, once. That took {:.0f} minutes",
        lambda: [gpt2_end()["steps"], gpt2_end()["tokens"] / 1e6, gpt2_end()["seconds"] / 60],
    ),
    (GPT2_CARD, "torch {}", lambda: pretraining("tiny-gpt2")["versions"]["torch"]),
    (
        GPT2_CARD,
        "Rows had {:.0f} tokens for the first six tenths of the run, then {}",
        lambda: [pretraining("tiny-gpt2")["arguments"]["max_length"] * part for part in (0.25, 1)],
    ),
    (GPT2_CARD, "one text in {}, up to {:,} tokens", lambda: [corpus.HELD_OUT, corpus.HELD_OUT_TOKENS]),
    (
        GPT2_CARD,
        "the loss was {:.3f} nats a token, which is a perplexity of {:.0f}, and the accuracy {:.3f}, on rows of {}",
        lambda: [
            *(gpt2_end()["heldout_loss"], math.exp(gpt2_end()["heldout_loss"]), gpt2_end()["heldout_accuracy"]),
            pretraining("tiny-gpt2")["arguments"]["max_length"],
        ],
    ),
]
# The same for numbers that are written as words.
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
SPELT = [
    (
        "README.md",
        "the mean of {} seeds",
        lambda: len({run["seed"] for run in results("accuracy")["runs"] if run["seed"]}),
    ),
    (
        "docs/results.md",
        "the mean of {} seeds",
        lambda: len({run["seed"] for run in results("accuracy")["runs"]} - {0}),
    ),
    ("docs/results.md", "for {} epochs. The dev file", lambda: pairs.SETTINGS["epochs"]),
    ("docs/results.md", "the head alone, for {} epochs", lambda: pairs.FROZEN_EPOCHS),
    ("README.md", "{} notebooks", lambda: len(list((ROOT / "examples").glob("*.ipynb")))),
    ("docs/use.md", "in {} places", lambda: len(minbert_probing().READOUTS)),
    ("docs/use.md", "the most probable tokens only, {} by default", lambda: commands_endpoint().TOP),
    ("docs/use.md", "if it has {} letters or more", lambda: commands_endpoint().BEGINNING),
    ("docs/use.md", "which has at most {} tokens", lambda: completions.TOKENS),
    ("docs/use.md", "asked again up to {} times", lambda: endpoint.TRIES - 1),
    ("docs/generation.md", "BERT has {} readouts", lambda: len(minbert_probing().READOUTS)),
    ("docs/use.md", "every {} minutes", lambda: int(float(default("save_minutes")))),
    ("docs/weights.md", "Of these names, {} are", lambda: sum(bool(known.sha256) for known in hub.KNOWN.values())),
    ("CONTRIBUTING.md", "The {} rules", lambda: len(re.findall(r"^\d\. \*\*", read("CONTRIBUTING.md"), re.MULTILINE))),
    ("CONTRIBUTING.md", "the {} parts", lambda: len(parts())),
]
# Numbers that only a measurement gives, and the command that repeats it.
TRIED = "minbert pretrain --teacher all-MiniLM-L6-v2 --inherit --layers N --vocab_size N, then minbert train"
MEASURED = {
    "docs/pages.md": {
        "a run with 10,000 predictions": "python -m bench.pages",
        "below 3 MB": "python -m bench.pages",
        "less than 100 ms": "python -m bench.pages",
        "not a share of 0": "a mask",
        "below 0.6 or, with more than two classes, less than 0.2": "python -m pytest tests/study/test_errors.py",
        "a probability of 0.9 need not be right 9 times in 10": "an example",
        "each row still sums to 1 (Clark et al. 2019, section 4.1)": "python -m pytest tests/pages/test_attention.py",
        "Jain & Wallace 2019": "a source",
        "Up to 64 tokens": "python -m pytest tests/pages/test_attention.py",
        "(up to 512 tokens) they are rounded": "python -m pytest tests/pages/test_attention.py",
        "square root is stored in 31 steps": "python -m pytest tests/pages/test_attention.py",
        "If a file would still be too large, minbert uses 15 steps": "python -m pytest tests/pages/test_attention.py",
        "of 12 heads at 512 tokens are a file of under 5 MB": "python -m pytest tests/pages/test_attention.py",
        "listens at 127.0.0.1": "an address",
        "a secret of 128 random bits": "python -m pytest tests/pages/test_play.py",
        "8765:127.0.0.1:8765": "an address",
    },
    "docs/study.md": {
        "tries 20 settings": "the flag in the same sentence",
        "Nadeau and Bengio (2003)": "a source",
        "says 80 %, is it right in 80 %": "an example",
        "Northcutt et al. 2021": "a source",
        "Egami et al. (2023)": "a source",
        "Angelopoulos et al. 2023": "a source",
        "in 5 % of the samples at most": "python -m bench.coverage",
        "tested at 5 %": "python -m bench.coverage",
        "A 95 % interval should hold the true value in 95 % of the samples. From 300": "python -m bench.coverage",
    },
    "README.md": {"less than 90 seconds": "make train"},
    "docs/results.md": {
        "0 differences": "python -m pytest tests/test_tokenizer.py",
        "5,500 awkward strings": "python -m pytest tests/test_tokenizer.py",
        "within 1e-5": "python -m pytest tests/test_golden.py",
        "within 1e-5 of those of sentence-transformers": "python -m pytest tests/test_similarity.py",
        "| | 0.8073 | | | 0.8081 |": "minbert similar --pairs sts-dev.csv",
        "within 1e-4": "python -m pytest tests/weights/test_real_weights.py",
        "| 81.1 / 82.1 | 97.1 / 94.1 | 57.4 / 64.0 | 54.8 / 62.8 |": "make train",
        "440 MB": "python -m pytest -m weights",
        "on 2 cores": "python -m bench.accuracy",
    },
    "docs/size.md": {
        "within 4 % of theirs": "python -m pytest tests/test_size.py",
        "within 0.4 %": "python -m pytest tests/test_size.py",
        "autograd kept within 5 %": "python -m pytest tests/test_size.py",
        "batch of 4 texts of 128 tokens, took 1,807 MB at its peak, and the formulas say 1,713": (
            "python -m tests.peak 12 768 4 128"
        ),
        "layers of width 256 and 32 such texts it took 1,328 MB instead of 995": "python -m tests.peak 12 256 32 128",
        "costs 4 T D more": "minbert size gpt2 --formulas",
        "reached on 2,240 A100": "python -m pytest tests/test_size.py",
        "Brown et al. 2020, table D.1), within 2 %": "python -m pytest tests/test_size.py",
        "Smith et al. 2022, section 2.4), within 1 %": "python -m pytest tests/test_size.py",
        "Narayanan et al. 2021), within 4 %": "python -m pytest tests/test_size.py",
        "Kaplan et al. 2020": "python -m pytest tests/test_size.py",
        "Korthikanti et al. 2022": "python -m pytest tests/test_size.py",
        "Kwon et al. 2023": "python -m pytest tests/test_size.py",
    },
    "docs/robustness.md": {
        "| 283 | 0 |": "make crash-test",
        "| 223 | 0 |": "make crash-test",
        "| 366 | 0 |": "make crash-test",
        "| 50,000 | 0 |": "make fuzz",
        "| 8,000 | 0 |": "make fuzz ARGS='bpe family-config gpt2-weights --count 3000'",
        "| 40,000 | 0 |": "make fuzz",
        "| 10,000 | 0 |": "make fuzz",
        "| 2,000 | 0 |": "make fuzz ARGS='folders --count 2000'",
        "| 20,000 | 0 |": "make fuzz ARGS='forms --count 20000'",
        "46 rows of a million": "make fuzz",
        "a million short rows | 307 | 319 |": "minbert predict --model FOLDER --text FILE --out FILE",
        "the fast tokenizer, 120,000 texts | 267 | 276 |": "fast.swap_in(tokenizer), random words",
        ", 450 prompts | 275 | 277 |": "probing.next_word and probing.fill_mask with tiny, a new prompt each",
        "2,000 training steps with 80 evaluations | 439 | 455 |": "runs.classifier.fit of 200 texts",
        "from 318 to 457 MB in 4,800": "model.predict_proba in a loop, 4 texts of up to 150 random words",
        "253 MB for 16,000": "the same with a model of hidden size 32 and 2,000 words",
        "from 293 to 319 MB in 24,000": "the same",
        "exit status 2": "python -m pytest tests/commands/test_mistakes.py",
    },
    GPT2_CARD: {
        "before 2011": "",
    },
    test_seeds.PAGE: {"A notebook asked GPT-3": "", "London has 9,787,426 inhabitants at the 2011 census": ""},
    CARD: {
        "the 50,000 unlabelled reviews of Maas et al. 2011": "",
        "Barbieri et al. 2020": "",
        "all 50,000 labelled IMDB": "",
        "before 2011": "",
        "in rows of 128, then of 512 for the last tenth": "checkpoints/tiny/pretraining.json",
        "one text in 20, up to 200,000 tokens": "checkpoints/tiny/pretraining.json",
        "on rows of 128, after": "checkpoints/tiny/pretraining.json",
        "first 2,500 training rows": TRIED,
        "layers 1 to 4": TRIED,
        "The rate was 1e-4 in both": TRIED,
        "20 MB hold six layers with few tokens, or four with 6,200": TRIED,
        "for 9 epochs. They reached 80.3 and 78.3": TRIED,
        "| the teacher, all 6 layers, 22,000 tokens | 86.1 | 85.1 / 80.8 |": TRIED,
        "| its layers 1 to 4, all tokens | 85.6 | 83.3 / 81.3 |": TRIED,
        "| its layers 1, 3, 4, 6, all tokens | 83.4 | |": TRIED,
        "| its layers 1, 2, 5, 6, all tokens | 82.7 | |": TRIED,
        "| its layers 3 to 6, all tokens | 78.7 | |": TRIED,
        "| layers 1 to 4, 6,200 tokens | 83.6 | 84.1 / 82.8 |": TRIED,
        "| all 6 layers, 8,000 tokens | 83.9 | 84.6 / 83.6 |": TRIED,
        "| layers 1 to 3, 10,800 tokens | 82.1 | 80.3 / 81.1 |": TRIED,
        "| layers 1 to 4, a vocabulary of its own of 6,000 tokens, 75 minutes at 3e-4 | 82.2 | 81.8 / 79.0 |": TRIED,
        "| 22,000 tokens, 14 minutes on one core, with the distance to the teacher | 85.1 | 84.3 / 81.1 |": TRIED,
        "| the same without the distance | 84.6 | 85.1 / 80.8 |": TRIED,
    },
    "CHANGELOG.md": {
        "the speed of 0.1.0": "",
        "## 0.1.0": "",
        "run of 0.1.0": "",
        "Finish it with 0.1.0": "",
        "0.1.0 always took oneDNN": "",
    },
}
# Names that hold a digit and claim nothing.
NAMES = (
    r"SST-[25]|chrF2|all-MiniLM-L6-v2|AVX-512"
    r"|SHA-256|CC0 1\.0|Apache-2\.0|part\d|bf16|int8|b?float(16|32)|8[ -]bits?|16 bits|F1"
    r"|GPT-[12]|tiny-gpt2|1_Pooling|2_Dense|top 5|bzip2|UTF-(8|16)|cp1252|numbers, from 1"
    r"|GPT-[12]|gpt2|finetuned-sst-2|1_Pooling|2_Dense|top 5|bzip2|UTF-(8|16)|cp1252|numbers, from 1"
    r"|GPT-3s?|MT-NLG 530B|fp32|BC5-(chem|disease)|BC2GM"
)
MINILM = None


@pytest.fixture(scope="module", autouse=True)
def find_minilm():
    global MINILM
    known = hub.KNOWN["all-MiniLM-L6-v2"]
    MINILM = hub.installed(known, tokenizer_only=False) or hub.cached(known, tokenizer_only=False)


def counted(name, head):
    return size.total(size.parameters(PUBLISHED[name].sizes, head))


def state_of_training():
    (found,) = {size.total(size.computed(lines, {"N": 1})) for lines in cost.STATE.values()}
    return found


def commands_endpoint():
    from minbert.commands import endpoint

    return endpoint


def minbert_probing():
    from minbert import probing

    return probing


def encoder_size(folder):
    return sum(weight.numel() for weight in minbert.BertModel.from_pretrained(folder).parameters())


def prose(page):
    """A page without code, without the targets of links, and without the tables that tests of their own compare."""
    text = re.sub(r"^```.*?^```", "", read(page), flags=re.DOTALL | re.MULTILINE)
    for begin, end in (MARKS, pairs.MARKS, study.MARKS):
        text = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", "", text, flags=re.DOTALL)
    text = "\n".join(line for line in text.splitlines() if not is_compared(line))
    text = re.sub(r"^ *\d+\. ", "", re.sub(r"`[^`]*`|\]\([^)]*\)", "", text), flags=re.MULTILINE)
    return " ".join(text.split())


def is_compared(line):
    if re.match(r"\| (dev|test.*|long) \| \d|\| .+\.( \|.*){3}", line):
        return True  # tests/test_tiny_translate.py compares these
    if line.startswith("> ") or (line.startswith("| ") and re.search(r'\[MASK\]|\| "', line)):
        return True  # tests/test_tiny.py compares these
    return line.startswith(("| TF-IDF", "| tiny, ", "| all-MiniLM-L6-v2, "))


@pytest.mark.parametrize("page, words, number", CHECKED)
def test_a_number_is_what_the_code_says(page, words, number):
    found = number()
    if found is None:
        pytest.skip("needs the weights of all-MiniLM-L6-v2")
    assert words.format(*(found if isinstance(found, (tuple, list)) else [found])).replace("`", "") in prose(page)


@pytest.mark.parametrize("page, words, number", SPELT)
def test_a_number_in_words_is_what_the_code_says(page, words, number):
    assert words.format(WORDS[number()]) in prose(page)


@pytest.mark.parametrize("page", NUMBERED)
def test_no_other_number_is_claimed(page):
    """A number in prose that no code checks and no command measures is a defect."""
    text, known = prose(page), set()
    patterns = [re.escape(words) for words in MEASURED.get(page, ())]
    for pattern in patterns:
        assert re.search(pattern, text), f"MEASURED names words that are not there: {pattern}"
    for there, words, _ in CHECKED:
        if there == page:
            patterns.append(
                r"-?[\d,.]*\d(?:e-\d+)?".join(map(re.escape, re.split(r"\{[^}]*\}", words.replace("`", ""))))
            )
    for pattern in (*patterns, NAMES):
        known |= {at for match in re.finditer(pattern, text) for at in range(match.start(), match.end())}
    others = [at for at in re.finditer(r"\d[\d.,]*", text) if at.start() not in known]
    assert [text[max(0, at.start() - 40) : at.end() + 30] for at in others] == []


def test_the_tables_of_accuracy_are_the_results():
    runs = results("accuracy")["runs"]
    names = {"TF-IDF, logistic regression": "baseline"}
    for model in ("tiny", "all-MiniLM-L6-v2"):
        ours = model.replace("all-MiniLM-L6-v2", "MiniLM")
        for words in ("flexible", "everything learns"):
            names[f"{model}, {words}"] = ours
        for words in ("frozen", "only the head learns"):
            names[f"{model}, {words}"] = f"{ours}, frozen"
    for page, lines in (("README.md", 4), ("docs/results.md", 5)):
        rows = [
            line.strip("| ").split(" | ")
            for line in read(page).splitlines()
            if line.startswith(("| TF-IDF", "| tiny, ", "| all-MiniLM-L6-v2, "))
        ]
        assert len(rows) == lines
        tasks = [
            task.split(",")[0]
            for task in re.search(r"^\| system \| (.*) \|$", read(page), re.MULTILINE)[1].split(" | ")
        ]
        assert set(tasks) <= set(accuracy.TASKS)
        for system, *cells in rows:
            for task, cell in zip(tasks, cells, strict=True):
                mine = [run for run in runs if (run["task"], run["system"]) == (task, names[system])]
                wanted = " / ".join(filter(None, (accuracy.mean(mine, part) for part in ("dev", "test")))) or "–"
                assert cell == (wanted if page != "README.md" else re.sub(r" \([\d.]+\)", "", wanted)), (system, task)


def test_the_awkward_strings_are_as_many_as_the_page_says(shared):
    import gzip

    with gzip.open(shared("reference/wordpiece-strings.jsonl.gz"), "rt") as file:
        assert sum(1 for _ in file) == 5500


def test_every_measured_number_names_a_command_that_exists():
    for page, found in MEASURED.items():
        for words, command in found.items():
            name = command.split()[-1] if command else page
            if name.startswith("tests/") or name.endswith(".md"):
                assert (ROOT / name).exists(), words
            elif command.startswith("make "):
                assert re.search(rf"^{command.split()[1]}:", read("Makefile"), re.MULTILINE), words


def test_the_readme_is_short():
    without_screen = re.sub(r"^```text.*?^```", "", read("README.md"), flags=re.DOTALL | re.MULTILINE)
    assert len(without_screen.splitlines()) <= 130


def anchors(page):
    heads = re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```", "", read(page), flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", LINKED)
def test_every_link_leads_to_a_file_and_a_heading(page):
    text = re.sub(r"^```.*?^```", "", read(page), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = ((ROOT / page).parent / path if path else ROOT / page).resolve()
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(str(file.relative_to(ROOT))), target


FILE = re.compile(r"`((?:[\w-]+/)*[\w-]+\.(?:py|md|cff|cfg|toml|svg)|(?:minbert|tests|bench|docs|data)/[\w/-]*)`")


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_exists(page):
    """Relative to the repository, to minbert/, or to the folder that a table is about."""
    for name in FILE.findall(read(page)):
        places = [ROOT, ROOT / "minbert", ROOT / "minbert" / "fast", ROOT / "minbert" / "course"]
        assert any((place / name).exists() for place in places), name


def test_the_tour_names_every_module():
    tour = set(re.findall(r"`([\w/]+\.py)`", read("docs/reading.md")))
    fast = read("docs/reading.md").partition("| file in `fast/` |")[2].partition("\n\n")[0]
    tour |= {f"fast/{name}" for name in re.findall(r"^\| `(\w+\.py)`", fast, re.MULTILINE)}
    folders = tuple(re.findall(r"`(\w+/\w+/)`", read("docs/reading.md")))  # such as course/probes/
    modules = {path.relative_to(ROOT / "minbert") for path in (ROOT / "minbert").rglob("*.py")}
    modules = {path for path in modules if not str(path).startswith(folders)}
    rooms = {path for path in modules if path.name == "__init__.py" and len(read(f"minbert/{path}").splitlines()) < 5}
    assert {str(path) for path in modules - rooms} - tour == set()


def test_the_readme_names_the_model_in_reading_order():
    named = re.findall(r"^\| \[(\w+)\.py\]", read("README.md"), re.MULTILINE)
    model = {path.stem for path in (ROOT / "minbert").glob("*.py")}
    assert set(named) <= model and named.index("embeddings") < named.index("attention") < named.index("heads")
    assert set(MODEL) <= set(named)


def test_every_command_has_its_line():
    from minbert.__main__ import COMMANDS

    for page in ("README.md", "docs/use.md"):
        used = {
            line.split()[1]
            for block in blocks(page, "bash")
            for line in block.splitlines()
            if line.startswith("minbert ")
        }
        assert used == set(COMMANDS), page


def test_every_format_has_its_row():
    from minbert.files.formats import FORMATS

    table = read("docs/use.md").partition("| format | for example |")[2].partition("\n\n")[0]
    assert len(table.strip().splitlines()) - 1 == len(FORMATS)


def test_the_picture_is_drawn_from_the_imports():
    done = subprocess.run([sys.executable, "docs/house.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stderr}the package has changed: run python docs/house.py"


def test_the_citation_is_valid_and_of_this_version():
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load(read("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == minbert.__version__ and citation["license"] == "MIT"
    assert all("name" in author or "family-names" in author for author in citation["authors"])


def test_the_changes_tell_where_each_module_went():
    from minbert.moved import GONE

    rows = re.findall(r"^\| `minbert\.(\w+)` \| (.*) \|$", read("CHANGELOG.md"), re.MULTILINE)
    assert {old for old, _ in rows} == set(GONE)
    for old, new in rows:
        assert not (ROOT / "minbert" / f"{old}.py").exists(), old
        for name in re.findall(r"`minbert\.([\w.]+)`", new):
            path = ROOT / "minbert" / name.replace(".", "/")
            assert path.is_dir() or path.with_suffix(".py").exists(), name


def test_the_pictures_of_the_readme_are_small():
    pictures = re.findall(r"\]\((docs/pictures/[^)]+)\)", read("README.md"))
    assert len(pictures) == 4
    for picture in pictures:
        assert (ROOT / picture).stat().st_size <= 150_000, picture
