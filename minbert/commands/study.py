"""From labelled texts to the table of a paper: each COMMAND is small, and has a manual of its own."""

import importlib

from minbert.commands import common
from minbert.errors import UserError
from minbert.shell import called

WORDS = {  # word: the module of its command, and one line of help
    "doctor": ("minbert.commands.study_doctor", "what is wrong with the data, before anything is trained"),
    "folds": ("minbert.commands.study_folds", "divide the texts into folds, once, for every program that needs them"),
    "compare": ("minbert.commands.study_compare", "word lists, classic systems and BERTs on the same folds: a table"),
    "transfer": ("minbert.commands.study_transfer", "train on one label, test on another: is sentiment stance?"),
    "infer": ("minbert.commands.study_infer", "predicted labels and a random sample of true ones: shares, regressions"),
    "label": ("minbert.commands.study_label", "what to label next, how many are needed, which labels may be wrong"),
    "calibrate": ("minbert.commands.study_calibrate", "do the probabilities mean what they say?"),
    "search": ("minbert.commands.study_search", "which settings suit these texts: Optuna proposes, inner folds judge"),
    "errors": ("minbert.commands.study_errors", "what is wrong, what a second run fixed, and which words misled it"),
}


STATUS = "Exit status: 0 done, 2 a mistake that you can fix, with the reason."


def main(words):
    """Show the words, or run one of them. Raises UserError if there is none of that name."""
    word, *arguments = words or ["--help"]
    if word in ("--help", "-h", "help"):
        print(overview())
    elif word in WORDS:
        importlib.import_module(WORDS[word][0]).main(arguments)
    else:
        raise UserError(f"study has no {word}{common.nearest(word, WORDS)} (minbert study --help lists its commands)")


def overview():
    """The words, one line each."""
    lines = [f"  {word:9} {text}" for word, (_, text) in WORDS.items()]
    usage = f"usage: {called('study')} COMMAND [flags]"
    return "\n".join([usage, "", __doc__, "", *lines, "", "minbert study COMMAND --help shows a manual.", "", STATUS])
