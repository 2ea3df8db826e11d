"""What the scripts have in common: flags, and mistakes answered by one line."""

import argparse
import difflib
import logging
import os
import re
import sys
from pathlib import Path

import torch

from minbert.errors import UserError
from minbert.fast.memory import retain_freed_memory
from minbert.files.lines import file_errors
from minbert.runs.state import Stopped
from minbert.tokenizer import BertTokenizer

MOST = 10**9  # of anything that is counted on a command line; torch counts no further than 2^63


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake is answered by one line, and --batch-size is --batch_size.

    prog         the script's name
    description  its docstring, which is its manual
    """

    def __init__(self, prog, description):
        super().__init__(
            prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )

    def parse_args(self, arguments):
        def spell(argument):
            flag, equals, value = argument.partition("=")
            return "--" + flag[2:].replace("-", "_") + equals + value if flag.startswith("--") else argument

        self.words = [spell(argument) for argument in arguments]
        args = super().parse_args(self.words)
        for name, value in vars(args).items():
            if value == "" or (isinstance(value, list) and "" in value):
                raise UserError(f"--{name} is empty")
        return args

    def error(self, message):
        flags, hint = self._option_string_actions, ""
        unknown = [word for word in self.words if re.match(r"--?[a-zA-Z_]+(=|$)", word)]
        unknown = [word for word in unknown if word.partition("=")[0] not in flags]
        wrong = re.match(r"argument (--\w+): invalid choice: '(.*?)' ", message)
        if unknown:
            if "unrecognized" not in message:  # what is missing may be there, but misspelt
                message = f"unrecognized arguments: {' '.join(unknown)}"
            hint = nearest("--" + unknown[0].partition("=")[0].lstrip("-"), flags)
        elif wrong:
            hint = nearest(wrong[2], flags[wrong[1]].choices)
        raise UserError(f"{message}{hint} (--help lists all flags)")


def nearest(word, known):
    """'; did you mean WORD?' of those known, or nothing if none of them is like it."""
    begin = [other for other in known if len(word) > 3 and other.startswith(word)]
    close = begin or difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.7)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def number(kind, low, high=float("inf"), wanted=""):
    """A parser of numbers for argparse: low <= number < high, and below MOST."""

    def parse(text):
        value = kind(text)
        if not low <= value < high:
            raise argparse.ArgumentTypeError(f"{text} is not {wanted}")
        if value >= MOST:
            raise argparse.ArgumentTypeError(f"{text} is too large")
        return value

    parse.__name__ = "whole number" if kind is int else "number"  # argparse: "invalid whole number value: 'x'"
    return parse


natural = number(int, 1, wanted="1 or more")


def load_tokenizer(name, directory, config):
    """The tokenizer of the model called name. Raises UserError if it has tokens for which the model has no vectors."""
    tokenizer = BertTokenizer.from_pretrained(directory)
    if len(tokenizer) > config.vocab_size:
        sizes = f"vocab.txt has {len(tokenizer)} tokens, but the model has vectors for {config.vocab_size}"
        raise UserError(f"{name}: {sizes}")
    return tokenizer


def readable(path):
    """Raise UserError, as read_examples would, if there is no such file or it may not be read. Reads nothing."""
    path = Path(path)
    with file_errors(path):
        if path.is_file() or path.is_dir() or not path.exists():  # a pipe that is opened twice may lose its writer
            path.open("rb").close()


def fits(length, name, config):
    """Raise UserError if --max_length is more than the model called name can read."""
    if length and length > config.max_position_embeddings:
        positions = f"{name} has {config.max_position_embeddings} positions"
        raise UserError(f"--max_length is {length}, but {positions}: give {config.max_position_embeddings} or less")


def run(main):
    """Call main with the command line's words. Returns the exit status: 0 done, 2 something the user can put right, 130
    or 143 stopped by a signal.

    Mistakes are one line on stderr, without a traceback.
    """
    logger = logging.getLogger("minbert")
    level = logger.level
    retain_freed_memory()
    sys.stdout.reconfigure(errors="backslashreplace")  # an old terminal may lack the characters of a label
    try:
        logger.setLevel(logging.ERROR)  # what was loaded is printed in its place
        main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # who reads, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except torch.OutOfMemoryError:
        print("error: the GPU's memory is full; a smaller --batch_size or --max_length needs less", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "can't allocate memory" not in str(error):
            raise
        print("error: the memory is full; a smaller --batch_size or --max_length needs less", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, say
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        number, advice = stopped.args
        print(f"\nstopped{advice}", file=sys.stderr)
        return 128 + number
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    finally:
        logger.setLevel(level)
    return 0
