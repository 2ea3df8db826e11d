"""A page that takes a sentence through a model, step by step, with all of its numbers: a lecture in a file.

    minbert page --walk --sentence "Your cat is a lovely cat"    through the shipped model
    minbert page --walk --sentence "The film was [MASK]." --layer 2 --head 3
                                                   a guess at [MASK]; another head than the first one of the first layer
    minbert page --walk --toy                      a model so small that a pocket calculator can follow it
    minbert page --walk --worksheet --out sheet.html
                                                   the same for paper: empty cells to fill in, and a key

The file opens by a double click, without a network. Its steps are text, words, pieces, ids, embeddings, attention,
network, and what the model says: each with its table, a sum that is written out, and the line of code that does it. In
the page, results can be hidden, and a quiz asks for those of the token that it follows.

--model is a BERT with WordPiece, with a classifier or with a masked-LM head. The numbers of the page are compared with
those that the model computes by itself; if they differ, no page is written.

Exit status: 0 done, 2 a mistake that you can fix, with the reason.
"""

from dataclasses import dataclass

from minbert.commands import common
from minbert.errors import UserError
from minbert.wording import counted

EXAMPLE = "Your cat is a lovely cat"
DEFAULT_MODEL = "tiny"


def flags(parser):
    index = common.number(int, 0, wanted="0 or more")
    add = parser.add_argument
    add("--sentence", "--text", default=EXAMPLE, metavar="TEXT", help="default: %(default)r")
    add("--model", metavar="NAME", help=f"a folder or a name; default: {DEFAULT_MODEL}")
    add("--toy", action="store_true", help="a model of four numbers for each token, to compute by hand")
    add("--worksheet", action="store_true", help="the toy's walk with empty cells, and a key: for paper")
    add("--layer", type=index, default=0, metavar="N", help="the layer to look into; default: 0, the first")
    add("--head", type=index, default=0, metavar="N", help="its attention head; default: 0")
    add("--out", default="walk.html", metavar="FILE", help="default: %(default)s")


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    model: object
    tokenizer: object
    # as the flags of the same names say
    sentence: str
    worksheet: bool
    layer: int
    head: int
    out: str


def check(args):
    """Refuse everything that can be refused before the work begins. Returns the Job."""
    by_hand = args.toy or args.worksheet
    if by_hand and args.model:
        raise UserError(f"{'--toy' if args.toy else '--worksheet'} brings a model of its own: leave --model out")
    model, tokenizer = toy_model() if by_hand else load(args.model or DEFAULT_MODEL)
    return Job(model, tokenizer, args.sentence, args.worksheet, args.layer, args.head, args.out)


def toy_model():
    """The model to compute by hand, and its tokenizer."""
    from minbert.pages import toy

    return toy.model(), toy.tokenizer()


def load(name):
    """A model with its classifier, or else with its masked-LM head, and its tokenizer."""
    from minbert import families
    from minbert.weights import hub

    directory = hub.find(name)
    family = families.of(directory)
    if family is not families.bert:
        raise UserError(f"{name} is a {family.CONFIG.form.title}, but the steps of this page are those of BERT")
    tokenizer = common.load_tokenizer(name, directory, families.read_config(directory))
    try:
        return families.load(name, "classifier", missing_head="error"), tokenizer
    except UserError:
        return families.load(name, "masked"), tokenizer


def run(job):
    """The sentence -> the file."""
    from minbert.pages.walk import walk_page

    page = walk_page(job.model, job.tokenizer, job.sentence, job.layer, job.head, job.worksheet)
    page.write(job.out)
    steps, kilobytes = counted(len(page.values["steps"]), "step"), len(page.text.encode()) / 1000
    print(f"{job.out}: {steps}, {kilobytes:.0f} kB; open it in a browser")


def main(arguments):
    run(check(common.parse("page", __doc__, flags, arguments)))
