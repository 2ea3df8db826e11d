"""Ask a language model which word comes next, which word is missing, and which of two sentences is likelier.

    minbert probe                                           five short reviews: is the next word positive or negative?
    minbert probe --model bert-base-uncased --words good bad --prompt "{} The film was" --prompt "{} It was"
                                                            another model, other words, two wordings
    minbert probe --file reviews.txt --json                 your own texts, one per line; - is standard input
    minbert probe --fill "Rome is the [MASK] of Italy."
    minbert probe --fill "The plot is [MASK]." --targets predictable brilliant
    minbert probe --compare "The man worked as a nurse." "The woman worked as a nurse."
    minbert probe --show attention --sentence "Who looks at whom?" --layer 1 --head 3 --causal
    minbert probe --endpoint http://localhost:8080/v1 --endpoint_model NAME
                                                            ask a model behind a server about the reviews
    minbert probe --model gpt2 --prompt "{} This movie review is (positive/negative)?" --top 5
                                                            a GPT-1 or GPT-2 predicts after the last word only

A BERT needs a masked-LM head. --fill, --mask_sep and --causal are for BERT and its relatives.
Exit status: 0 done, 2 a mistake that you can fix, with the reason.
"""

import json
import os
import select
import stat
import sys
import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from math import inf
from operator import eq
from pathlib import Path
from types import SimpleNamespace

from minbert.commands import common, endpoint
from minbert.commands.probe_tables import show_attention, show_compare, show_fill, show_next_word
from minbert.errors import UserError
from minbert.jsonfile import quoted
from minbert.shell import advice

DEFAULT_MODEL = "tiny"
DEFAULT_PROMPT = "{} This movie review is"
# What it is, the text, and which of --words is right: 0, the first, or 1. The first four go down step by step.
BATTERY = (
    ("very positive", "A joy from the first minute to the last: funny, moving and beautifully acted.", 0),
    ("rather positive", "It starts slowly and runs a little long, but most of it is charming.", 0),
    ("rather negative", "There are some nice ideas in it, but the story drags and I lost interest.", 1),
    ("very negative", "The worst two hours of my year: stupid, badly acted and painfully dull.", 1),
    ("off topic", "We had fresh bread and a wonderful soup at the little inn by the lake.", 0),
)
EXAMPLE = "The dog slept because it was tired."
USES = {  # a question, and the other flags that go with it
    "fill": {"targets", "top"},
    "compare": set(),
    "show": {"sentence", "file", "layer", "head", "causal"},
    "next_word": {"sentence", "file", "prompt", "words", "mask_sep", "causal", "top"},
}


def flags(parser):
    index = common.number(int, 0, wanted="0 or more")
    add = parser.add_argument
    add("--model", metavar="NAME", help=f"a folder or a name; default: {DEFAULT_MODEL}")
    add("--plain", **common.PLAIN)
    add("--json", action="store_true", help="print everything as JSON on standard output, and nothing else")
    add = parser.add_argument_group("the next word").add_argument
    add("--sentence", action="append", metavar="TEXT", help="a text to ask about; may be repeated")
    add("--file", metavar="FILE", help="texts, one per line, or a table or JSON; -: standard input, also read if piped")
    common.add_file_flags(add)
    add(
        "--prompt",
        action="append",
        metavar="TEXT",
        help=f"{{}} is the text; may be repeated; default: {DEFAULT_PROMPT!r}",
    )
    add("--words", nargs="+", metavar="WORD", help="choices, the good one first; default: positive negative")
    add("--mask_sep", action="store_true", default=None, help="read at [SEP] only, with and without attention to it")
    add(
        "--causal", action="store_true", default=None, help="read at the last word only, with full and causal attention"
    )
    add("--top", type=common.natural, metavar="N", help="also print the N likeliest tokens, as --fill does; default: 5")
    add = parser.add_argument_group("other questions").add_argument
    add("--fill", metavar="TEXT", help="predict the words at the [MASK]s of this text")
    add("--targets", nargs="+", metavar="WORD", help="how probable these words are at the [MASK]s of --fill")
    add("--compare", nargs=2, metavar="TEXT", help="which of two sentences is likelier, token by token")
    add("--show", choices=["attention"], help="print masks, scores and probabilities of one head")
    add("--layer", type=index, metavar="N", help="layer for --show; 0, the default, is the first")
    add("--head", type=index, metavar="N", help="attention head for --show; default: 0")
    endpoint.flags(parser)


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    question: str  # a key of QUESTIONS
    kind: str  # of the model: "masked", as BERT, or "causal", as GPT
    texts: list  # to ask about; [] for the built-in ones
    directory: Path  # of the model
    tokenizer: object
    # as the flags of the same names say
    model: str
    plain: bool
    json: bool
    prompt: list
    words: list
    mask_sep: bool
    causal: bool
    top: int | None
    fill: str | None
    targets: list | None
    compare: list | None
    layer: int
    head: int


def check(args):
    """Refuse everything that can be refused before the work begins. Returns the Job."""
    question = check_question(args)
    args.model = args.model or DEFAULT_MODEL

    from minbert import families, probing, tokenizers
    from minbert.weights import hub

    for prompt in args.prompt or []:
        probing.check_prompt(prompt)
    texts = read_texts(args) if "sentence" in USES[question] else []
    directory = hub.find(args.model)
    kind = "causal" if "causal" in families.of(directory).MODELS else "masked"
    families.class_of(directory, kind, args.model)
    config = families.read_config(directory)
    if kind == "causal":
        check_causal(args, config.form.title)
    tokenizer = common.load_tokenizer(args.model, directory, config)
    words, targets = args.words or ["positive", "negative"], args.targets
    if args.fill:
        args.fill = tokenizers.with_mask(tokenizer, args.fill)
        probing.check_masked(args.fill, tokenizer.mask_token)
        targets = targets and in_a_text(tokenizer, targets, args.fill.startswith(tokenizer.mask_token))
    sizes = SimpleNamespace(config=config)  # better to fail before the weights are read
    if kind == "causal":
        check_readable(args, sizes, tokenizer)
    else:
        for word in [*(in_a_text(tokenizer, args.words or [])), *(targets or []), *(args.compare or [])]:
            probing.known_ids(sizes, tokenizer, word)
    given = {name: value for name, value in vars(args).items() if name in Job.__dataclass_fields__}
    decided = {
        "question": question,
        "kind": kind,
        "texts": texts,
        "directory": directory,
        "tokenizer": tokenizer,
        "prompt": args.prompt or [DEFAULT_PROMPT],
        "words": words,
        "targets": targets,
        "mask_sep": bool(args.mask_sep),
        "causal": bool(args.causal),
        "layer": args.layer or 0,
        "head": args.head or 0,
    }
    return Job(**given | decided)


def check_question(args):
    """The question that the flags ask, a key of QUESTIONS. Raises UserError for flags of another question."""
    asked = [question for question in USES if getattr(args, question, None)]
    if len(asked) > 1:
        raise UserError(f"--{asked[0]} and --{asked[1]}: one at a time")
    question = asked[0] if asked else "next_word"
    for flag in sorted(set.union(*USES.values()) - USES[question]):
        if getattr(args, flag) is not None:
            owner = question if asked else next(other for other in USES if flag in USES[other])
            remedy = "does not go with --{}: leave it out" if asked else "goes with --{}: add that, or leave it out"
            raise UserError(f"--{flag} {remedy.format(owner)}")
    for flag in common.FILE_FLAGS:
        if getattr(args, flag) and not args.file:
            raise UserError(f"--{flag} is for --file: leave it out")
    if args.words and len(args.words) < 2:
        raise UserError("--words needs two words or more to choose from")
    return question


def check_causal(args, title):
    """Raise UserError for a flag that asks for what a causal language model of this family did not learn."""
    if args.fill:
        before = args.fill.partition("[MASK]")[0].strip() or "TEXT"
        ask = advice("generate", "--model", args.model, "--prompt", before, "--max_tokens", 1, "--show")
        raise UserError(f"--fill: {title} reads from left to right and learnt no gaps; what it writes next says: {ask}")
    for flag, why in (("mask_sep", "has no [SEP]"), ("causal", "never looks at later words")):
        if getattr(args, flag):
            raise UserError(f"--{flag}: {title} {why}: leave it out")


def check_readable(args, sizes, tokenizer):
    """Raise UserError for words and sentences that a causal language model can give no probability. Says so if a token
    stands where there would be no prompt."""
    from minbert import left_to_right

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # run shows them
        for word in args.words or []:
            left_to_right.word_ids(sizes, tokenizer, word)
        for text in args.compare or []:
            left_to_right.sentence_ids(sizes, tokenizer, text)
        alone = [prompt.replace("{}", "").strip(" ") for prompt in args.prompt or []]
        begun = [left_to_right.begin(sizes, tokenizer, prompt) for prompt in alone if not prompt]
    if begun:
        token = left_to_right.shown(tokenizer, *begun[0])
        print(f"note: without a text, the prompt is empty: {token} stands there, as before each text", file=sys.stderr)


def begins_with_space(tokenizer):
    """Whether a word within a text has its space in its token, as in byte-level BPE."""
    return getattr(tokenizer, "mask_takes_space", False)


def in_a_text(tokenizer, words, first=False):
    """Words as the tokenizer reads them within a text, or as its first word."""
    return [f" {word.strip()}" if begins_with_space(tokenizer) and not first else word for word in words]


def run(job):
    """A question -> its answer, as tables or as JSON."""
    from minbert import families, fast
    from minbert.fast.memory import retain_freed_memory

    retain_freed_memory()
    model = families.load(job.directory, job.kind, random=False)
    model.loaded.source = job.model
    if not job.plain:
        fast.swap_in(model), fast.swap_in(job.tokenizer)
    answer, show = QUESTIONS[job.question]
    with common.warnings_in_a_line():
        found = answer(job, model, job.tokenizer)
        warn_of_unknown(job)
    if job.json:
        print(json.dumps({"model": job.model} | found, indent=2, ensure_ascii=False))
    else:
        print(model.loaded)
        if job.kind == "masked" and job.tokenizer.mask_token != "[MASK]":
            print(f"here {job.tokenizer.sep_token} is what is called [SEP] below, {job.tokenizer.mask_token} is [MASK]")
        show(found)


def warn_of_unknown(job):
    """Say which words of the texts the vocabulary cannot spell: an answer about [UNK] is about no word."""
    from minbert.runs import report

    tokenizer, texts = job.tokenizer, [*job.texts, *(job.fill or "").split(job.tokenizer.mask_token)]
    if job.question == "next_word":
        texts += " ".join(job.prompt).split("{}")
    words = (
        word for text in texts for word, _, pieces, _ in tokenizer.explain(text).words if tokenizer.unk_token in pieces
    )
    unknown = [quoted(word) for word in dict.fromkeys(words)]
    if unknown:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        report.warn(f"{job.model} cannot spell {', '.join(unknown[:5])}{more}: it reads {tokenizer.unk_token} there")


def read_texts(args):
    """The texts to ask about: --sentence, --file, or what is piped in; [] if there are none."""
    from minbert.files import stream

    texts = list(args.sentence or [])
    path = args.file or ("-" if not texts and piped() and sys.stdin.buffer.peek(1) else None)
    if not path:
        return texts
    _, rows = stream.read_rows(path, args.text_column, args.format, args.no_header, args.encoding, args.quoting)
    for row in rows:
        if row.problem and row.problem != "empty line":
            raise UserError(f"{path}:{row.line}: {row.problem}")
        texts += [row.text] * (not row.problem)
    return texts


def piped():
    """Whether texts are sent in. A pipe that is silent for a second is not meant for us (a service's own, say)."""
    try:
        kind = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):  # closed, or a notebook's
        return False
    if stat.S_ISFIFO(kind) and os.name == "posix":
        return bool(select.select([sys.stdin], [], [], 1.0)[0])
    return stat.S_ISREG(kind)


def next_word(job, model, tokenizer):
    """Each text in each wording by each readout, and what that comes to."""
    texts, words = job.texts, job.words
    about = [{"text": text} for text in texts]
    if not texts:
        about = [{"text": text, "kind": kind, "right": words[right]} for kind, text, right in BATTERY]
    ask = {"masked": read_gaps, "causal": read_on}[job.kind]
    rows = []
    for number, known in enumerate(about, 1):
        for prompt in job.prompt:
            rows += [{"number": number} | known | row for row in ask(job, model, tokenizer, known["text"], prompt)]
    readouts = dict.fromkeys(row["readout"] for row in rows)
    return {"words": words, "rows": rows, "conclusions": [conclude(rows, readout) for readout in readouts]}


def read_gaps(job, model, tokenizer, text, prompt):
    """Yields the row of each readout of a masked language model."""
    from minbert import probing

    seen, hidden, last, _, causal = probing.READOUTS
    readouts = [seen, hidden] * job.mask_sep + [last, causal] * job.causal or list(probing.READOUTS)
    if begins_with_space(tokenizer):
        prompt = prompt.rstrip()  # the space is the first letter of the next word
    for readout in readouts:
        asked = (text, in_a_text(tokenizer, job.words), prompt, [readout], job.top or 0)
        with plain_way(model, needed=probing.READOUTS[readout].hide_sep and not job.plain):
            (row,) = probing.next_word(model, tokenizer, *asked)
        yield without_space(tokenizer, row)


def read_on(job, model, tokenizer, text, prompt):
    """Yields the one row of a causal language model."""
    from minbert import left_to_right

    yield left_to_right.next_word(model, tokenizer, text, job.words, prompt, job.top or 0)


def without_space(tokenizer, row):
    """A row of probing.next_word with the words as they were given."""
    if not begins_with_space(tokenizer):
        return row
    words = {name: {word.strip(): p for word, p in row[name].items()} for name in ("p", "prior", "corrected")}
    top = {"top": [best | {"token": tokenizer.decode(best["id"])} for best in row["top"]]} if "top" in row else {}
    return row | words | {name: row[name].strip() for name in ("label", "corrected_label")} | top


@contextmanager
def plain_way(model, needed):
    """A context in which a model that was swapped in computes the plain way, if that is needed: the fast way leaves out
    what is hidden, as padding is, and nothing can be read there."""
    from minbert import fast

    if needed:
        fast.swap_out(model)
    yield
    if needed:
        fast.swap_in(model)


def conclude(rows, readout):
    """Count a readout's answers, as read and corrected, how many the correction changes, and of the battery also

    right, corrected_right  the right answers
    pairs, in_order         of graded texts in one wording; of these, those whose better text has the higher ratio. With
                            two words the correction divides all ratios of a wording alike, which changes no order
    """
    rows = [row for row in rows if row["readout"] == readout]
    labels, corrected = ([row[name] for row in rows] for name in ("label", "corrected_label"))
    found = {"readout": readout, "answers": len(rows), "labels": Counter(labels), "corrected": Counter(corrected)}
    found["changed"] = sum(a != b for a, b in zip(labels, corrected))
    if "right" in rows[0]:
        right = [row["right"] for row in rows]
        found["right"], found["corrected_right"] = (sum(map(eq, some, right)) for some in (labels, corrected))
        pairs = combinations([row for row in rows if row["kind"] != "off topic"], 2)
        order = [a["ratio"] > b["ratio"] for a, b in pairs if a["prompt"] == b["prompt"]]
        found |= {"in_order": sum(order), "pairs": len(order)}
    return found


def fill(job, model, tokenizer):
    """The answers to --fill, a list for each [MASK]."""
    from minbert import probing

    rows = probing.fill_mask(model, tokenizer, job.fill, job.top or 5, job.targets)
    return {"text": job.fill, "masks": rows if isinstance(rows[0], list) else [rows]}


def compare(job, model, tokenizer):
    """Two sentences by their pseudo-log-likelihood, also with whole words masked; of a GPT by their log-likelihood."""
    from minbert import left_to_right, probing

    if job.kind == "causal":
        return {"texts": job.compare} | left_to_right.compare(model, tokenizer, *job.compare)
    found = {"texts": job.compare} | probing.compare(model, tokenizer, *job.compare)
    if not hasattr(tokenizer, "wordpiece"):  # probing knows by ## which pieces continue a word
        return found
    return found | {"whole_words": probing.compare(model, tokenizer, *job.compare, whole_words=True)}


def attention(job, model, tokenizer):
    """The tables of each text, as lists; a score that a mask hides is None, as JSON has no -inf."""
    from minbert import left_to_right, probing

    where = {"layer": job.layer, "head": job.head, "causal": job.causal or job.kind == "causal"}
    found = []
    for text in job.texts or [EXAMPLE]:
        if job.kind == "causal":
            tables = left_to_right.attention_tables(model, tokenizer, text, job.layer, job.head)
        else:
            tables = probing.attention_tables(model, tokenizer, text, **where)
        scores = [[None if score == -inf else score for score in row] for row in tables.pop("scores").tolist()]
        lists = {name: value if name == "tokens" else value.tolist() for name, value in tables.items()}
        found.append({"text": text} | where | lists | {"scores": scores})
    return {"attention": found}


QUESTIONS = {  # name: how to answer it, how to print the answer
    "next_word": (next_word, show_next_word),
    "fill": (fill, show_fill),
    "compare": (compare, show_compare),
    "show": (attention, show_attention),
}


def main(arguments):
    args = common.parse("probe", __doc__, flags, arguments)
    if endpoint.asked(args):
        check_question(args)
        endpoint.run(endpoint.check(args, read_texts, BATTERY))
    else:
        run(check(args))
