"""One small class for each kind of answer: what is learnt, the loss, the scores, and what is written to files.

    Classes  one class of a text                SST, MRPC, MNLI
    Number   a number for a text or a pair      STS-B, BIOSSES
    Several  any number of labels of a text     HoC
    Tags     a tag for each word                CoNLL-2003, BC5CDR
    Spans    an answer in a passage             SQuAD

Whoever trains or predicts asks a task, and never which task it is. TASKS is the one lookup.
"""

from minbert.config_json import architectures
from minbert.errors import UserError
from minbert.jsonfile import read_json
from minbert.tasks.classes import Classes
from minbert.tasks.number import Number
from minbert.tasks.several import Several
from minbert.tasks.spans import Spans
from minbert.tasks.tags import Tags
from minbert.tasks.task import NOTHING, Encoded, Task

__all__ = ["BY_PROBLEM", "NOTHING", "TASKS", "Encoded", "Task", "in_words", "learnt", "of_model"]

TASKS = {task.kind: task for task in (Classes(), Number(), Several(), Tags(), Spans())}
BY_PROBLEM = {task.problem: task for task in TASKS.values() if task.problem}  # problem_type in config.json
TITLES = {  # of scores, for people
    "accuracy": "accuracy",
    "exact_match": "exact match",
    "f1": "F1",
    "f1_with_answer": "F1 with an answer",
    "seen_without_answer": "seen without an answer",
    "exact_match_of_none": "exact match of always saying none",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "precision": "precision",
    "recall": "recall",
    "strict_micro_f1": "micro F1 read strictly",
    "word_macro_f1": "by word, macro F1",
    "right_words": "tags right",
    "right_words_of_o": "of always saying O",
    "matthews": "Matthews",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "error": "root mean squared error",
    "error_of_mean": "of always saying the mean",
    "exact": "all labels right",
    "exact_without_labels": "of always saying none",
}


def of_model(directory, problem: str) -> Task:
    """The task of the model in a folder. problem: the problem_type of its config, for a classifier of texts"""
    ends = tuple(architectures(directory / "config.json"))
    found = [task for task in TASKS.values() if not task.problem and any(name.endswith(task.of) for name in ends)]
    return found[0] if found else BY_PROBLEM[problem]


def learnt(directory) -> dict:
    """What a trained folder records of what it learnt: {} where nobody knows."""
    path = directory / "run.json"
    found = read_json(path).get("learnt", {}) if path.exists() else {}
    if not isinstance(found, dict) or not all(isinstance(value, bool) for value in found.values()):
        raise UserError(f"{path}: learnt should say true or false of each name")
    return found


def in_words(figures: dict) -> str:
    """'Pearson 0.8123  Spearman none': the scores among these figures that have a title; f1_PER is that of PER"""
    titles = {name: f"F1 of {name.removeprefix('f1_')}" for name in figures if name.startswith("f1_")} | TITLES
    shown = {titles[name]: value for name, value in figures.items() if name in titles}
    return "  ".join(f"{title} {'none' if value is None else f'{value:.4f}'}" for title, value in shown.items())
