"""Where each head of each layer looked while a model read a text: one HTML file that opens by a double click.

    minbert page --attention                                the model that comes with minbert, and an example
    minbert page --attention --model bert-base-uncased --text "The animal didn't cross the street because it was tired"
    minbert page --attention --text "Who was tired?" --pair "The animal was."
                                                            two texts, read as a pair
    minbert page --attention --model gpt2 --file text.txt --layers 0-3,11 --out gpt2.html
                                                            a text from a file, five of the layers
    minbert page --attention --text "A short text" --padding 3 --causal
                                                            with the masks that padding and a decoder need

The page shows all heads as pictures, and one of them as lines, as a matrix or as a table, by words or by tokens.
--model takes an encoder or a decoder, with or without a trained head, such as the folder of a run. Of a translator you
see the encoder. A text may have up to 512 tokens. The page loads nothing and sends nothing; it holds the text.

Attention is where a head looked, never why the model decided: for that see minbert study errors --evidence.
Exit status: 0 done, 2 a mistake that you can fix, with the reason.
"""

import re
from argparse import ArgumentTypeError
from dataclasses import dataclass
from pathlib import Path

from minbert.commands import common
from minbert.commands.predict import check_output
from minbert.errors import UserError

DEFAULT, OUT = "tiny", "attention.html"
EXAMPLE = "The animal didn't cross the street because it was too tired"


def numbers(text):
    """0-2,5 -> [0, 1, 2, 5]"""
    unread = ArgumentTypeError(f"{text!r:.40} is no list of layers: write 0-2,5")
    if not re.fullmatch(r"\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*", text, re.ASCII):
        raise unread
    ranges = [(int(first), int(last or first)) for first, _, last in (part.partition("-") for part in text.split(","))]
    if any(first > last for first, last in ranges):
        raise unread
    return sorted({number for first, last in ranges for number in range(first, last + 1)})


def flags(parser):
    index = common.number(int, 0, wanted="0 or more")
    add = parser.add_argument
    add("--model", default=DEFAULT, metavar="NAME", help=f"a folder or a name; default: {DEFAULT}")
    add("--text", "--sentence", metavar="TEXT", help=f"the text to read; default: {EXAMPLE!r}")
    add("--file", metavar="FILE", help="a file with the text, all of it; -: standard input")
    add("--encoding", metavar="NAME", help="of --file, such as cp1252; default: UTF-8, or UTF-16 if the file shows it")
    add("--pair", metavar="TEXT", help="a second text, read after the first")
    add("--causal", action="store_true", help="no token looks at later ones, as in a decoder")
    add("--padding", type=common.number(int, 0, 512, "from 0 to 511"), default=0, metavar="N", help="add N tokens of "
        "padding, which a mask hides; default: none")  # fmt: skip
    add("--layers", type=numbers, metavar="LIST", help="layers on the page, from 0, as in 0-2,5; default: all")
    add("--layer", type=index, metavar="N", help="of the head that is shown first; default: where words stand out most")
    add("--head", type=index, metavar="N", help="that head")
    add("--out", default=OUT, metavar="FILE", help=f"default: {OUT}")


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    directory: Path  # of the model
    model: str
    tokenizer: object
    text: str
    shown: dict  # pair, causal, padding, layers, layer, head: as attention_page takes them
    out: str


def check(args):
    """Refuse everything that can be refused before the work begins. Returns the Job."""
    if args.text and args.file:
        raise UserError("--text TEXT and --file FILE are two texts: give one of them")
    if args.encoding and not args.file:
        raise UserError("--encoding is for --file: leave it out")
    if args.out == "-":
        raise UserError("--out is a file, which a browser opens")

    from minbert import families
    from minbert.weights import hub

    directory = hub.find(args.model)
    family = families.of(directory)
    config = families.read_config(directory)
    if args.causal and "causal" in family.MODELS:
        raise UserError(f"--causal: {config.form.title} never looks at later words: leave it out")
    check_output(args.out, [*([args.file] if args.file else []), *directory.iterdir()])
    tokenizer = common.load_tokenizer(args.model, directory, config)
    shown = {name: getattr(args, name) for name in ("pair", "causal", "padding", "layers", "layer", "head")}
    text = read(args.file, args.encoding) if args.file else args.text or EXAMPLE
    return Job(directory, args.model, tokenizer, text, shown, args.out)


def read(path, encoding):
    """The whole text of a file."""
    from minbert.files import lines

    found, bad = lines.decode(lines.load(Path(path), encoding, format="lines"))
    for number, reason in bad.items():
        raise UserError(f"{path}:{number}: {reason}")
    return "\n".join(found)


def run(job):
    """A text -> its page."""
    from minbert import families
    from minbert.pages.attention import attention_page
    from minbert.runs import report

    model = families.load(job.directory, "base", random=False)
    with common.warnings_in_a_line():
        page = attention_page(model, job.tokenizer, job.text, name=Path(job.model).name, **job.shown)
    page.write(job.out)
    print(f"written to {report.short(job.out)}, {len(page.text) / 1000:,.0f} kB: open it in a browser")


def main(arguments):
    run(check(common.parse("page --attention", __doc__, flags, arguments)))
