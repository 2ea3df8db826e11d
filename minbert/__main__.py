"""The command `minbert`, also `python -m minbert`. Only the chosen command is imported."""

import importlib
import os
import sys

import minbert
from minbert.commands import common
from minbert.errors import UserError

COMMANDS = {  # name: its module, and one line of help
    "train": ("minbert.commands.train", "train a classifier on labelled texts, and score it"),
    "predict": ("minbert.commands.predict", "label texts with a trained classifier: files of any size"),
    "probe": ("minbert.commands.probe", "ask a language model for missing words, next words, likelier sentences"),
    "generate": ("minbert.commands.generate", "let a GPT continue a text, and see how probable each token was"),
    "similar": ("minbert.commands.similar", "find passages that are like a query; compare pairs of texts"),
    "translate": ("minbert.commands.translate", "translate texts, see where a translator looks, and train one"),
    "pretrain": ("minbert.commands.pretrain", "make a BERT or a GPT-2 from text, or train one further"),
    "convert": ("minbert.commands.convert", "turn a course kit's one-file checkpoint into a model's folder"),
    "export": ("minbert.commands.export", "write a model as ONNX, for programs without Python or torch"),
    "study": ("minbert.commands.study", "compare systems on the same folds: the table of a paper, with intervals"),
    "page": ("minbert.commands.page", "show a run, a text's attention, or a model's every step: one HTML file"),
    "play": ("minbert.commands.play", "ask a model in the browser: a playground on this machine alone"),
    "handout": ("minbert.commands.handout", "make a folder for students, who write the parts of a BERT"),
    "grade": ("minbert.commands.grade", "grade what students handed in, out of reach of their code"),
    "size": ("minbert.commands.size", "count parameters, memory, FLOPs and hours, from BERT to MT-NLG 530B"),
    "doctor": ("minbert.commands.doctor", "show what this machine has and which way of computing is chosen"),
}
IN_SEVERAL_PROCESSES = ("train",)  # those that torchrun may start more than once for one job


def main(words=None):
    """Run `minbert WORDS`, by default the words of the command line. Returns the exit status."""
    words = sys.argv[1:] if words is None else words

    def program():
        return common.run(call, words)

    if words and words[0] in COMMANDS and in_several_processes(words[0]):
        from minbert.runs.parallel import together

        return together(program)
    return program()


def in_several_processes(name):
    """Whether torchrun has started several processes. For a command that runs in one, only torchrun's own mark counts:
    a batch system may set WORLD_SIZE for other programs."""
    said = os.environ.get("WORLD_SIZE", "1") not in ("", "1")
    return said and (name in IN_SEVERAL_PROCESSES or "TORCHELASTIC_RUN_ID" in os.environ)


def call(words):
    """Show the commands, or run one of them. Raises UserError if there is none of that name."""
    name, *arguments = words or ["--help"]
    if name in ("--help", "-h", "help"):
        print(overview())
    elif name == "--version":
        print(f"minbert {minbert.__version__}")
    elif name in COMMANDS:
        if name not in IN_SEVERAL_PROCESSES and in_several_processes(name):
            shards = "; --shard shares a file out" if name == "predict" else ""
            raise UserError(f"minbert {name} runs in one process: start it without torchrun{shards}")
        module, _ = COMMANDS[name]
        importlib.import_module(module).main(arguments)
    elif name.startswith("-"):
        raise UserError(f"{name} comes after a command: minbert COMMAND {name} ...; minbert --help lists the commands")
    else:
        raise UserError(f"there is no command {name}{common.nearest(name, COMMANDS)} (minbert --help lists them)")


def overview():
    """The commands, one line each."""
    lines = [f"  {name:9} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            f"minbert {minbert.__version__}: a BERT to read, to train and to ask",
            "",
            *lines,
            "",
            "minbert COMMAND --help shows a command's manual.",
            "minbert train, with nothing else, trains a small BERT on reviews that come with it.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
