"""What the scripts have in common: flags, and mistakes answered by one line."""

import argparse
import difflib
import logging
import os
import sys

import torch

from minbert import fast
from minbert.checkpoint import Stopped
from minbert.errors import UserError
from minbert.tokenizer import BertTokenizer


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

        args = super().parse_args([spell(argument) for argument in arguments])
        for name, value in vars(args).items():
            if value == "" or (isinstance(value, list) and "" in value):
                raise UserError(f"--{name} is empty")
        return args

    def error(self, message):
        flag = next((word for word in message.split() if word.startswith("--")), "")
        close = difflib.get_close_matches(flag, self._option_string_actions, n=1)
        hint = f"; did you mean {close[0]}?" if close and "unrecognized" in message else ""
        raise UserError(f"{message}{hint} (--help lists all flags)")


def number(kind, low, high=float("inf"), wanted=""):
    """A parser of numbers for argparse: low <= number < high."""

    def parse(text):
        value = kind(text)
        if not low <= value < high:
            raise argparse.ArgumentTypeError(f"{text} is not {wanted}")
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


def run(main):
    """Call main with the command line's words. Returns the exit status: 0 done, 2 something the user can put right, 130
    or 143 stopped by a signal.

    Mistakes are one line on stderr, without a traceback.
    """
    logger = logging.getLogger("minbert")
    level = logger.level
    fast.keep_memory()
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
