"""Ask a masked language model which word comes next, which word is missing, and which of two sentences is likelier.

    minbert probe                                           five short reviews: is the next word positive or negative?
    minbert probe --model bert-base-uncased --words good bad --prompt "{} The film was" --prompt "{} It was"
                                                            another model, other words, two wordings
    minbert probe --file reviews.txt --json                 your own texts, one a line; - is the standard input
    minbert probe --fill "Rome is the [MASK] of Italy."
    minbert probe --fill "The plot is [MASK]." --targets predictable brilliant
    minbert probe --compare "The man worked as a nurse." "The woman worked as a nurse."
    minbert probe --show attention --sentence "Who looks at whom?" --layer 1 --head 3 --causal
    minbert probe --endpoint http://localhost:8080/v1 --endpoint_model NAME
                                                            the reviews, asked of a model behind a server

The model needs a masked-LM head. Exit status: 0 done, 2 a mistake that you can fix, with the reason.
"""

import json
import os
import re
import select
import stat
import sys
import textwrap
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from math import inf
from operator import eq
from pathlib import Path
from types import SimpleNamespace

from minbert.commands import common, endpoint
from minbert.errors import UserError
from minbert.jsonfile import quoted
from minbert.wording import counted

DEFAULT_MODEL = "tiny"
DEFAULT_PROMPT = "{} This movie review is"
WIDTH = 100  # columns
# What it is, the text, and which of --words is right: 0, the first, or 1. The first four go down step by step.
BATTERY = (
    ("very positive", "A joy from the first minute to the last: funny, moving and beautifully acted.", 0),
    ("rather positive", "It starts slowly and runs a little long, but most of it is charming.", 0),
    ("rather negative", "There are some nice ideas in it, but the story drags and I lost interest.", 1),
    ("very negative", "The worst two hours of my year: stupid, badly acted and painfully dull.", 1),
    ("off topic", "We had fresh bread and a wonderful soup at the little inn by the lake.", 0),
)
EXAMPLE = "The dog slept because it was tired."
NOTES = {  # in the order of probing.READOUTS
    "at [SEP]": "no word is ever masked at [SEP] in training, so this is no prediction of the next word",
    "at [SEP], [SEP] hidden as a key": "no prediction either: it is still read at [SEP]",
    "at the last word, [SEP] dropped": "BERT learnt to name the word that stands there, not the next",
    "at a [MASK] appended": "what BERT was trained to do",
    "causal attention": "at the last word, looking back only, which BERT never did in training",
}
USES = {  # a question, and the other flags that go with it
    "fill": {"targets", "top"},
    "compare": set(),
    "show": {"sentence", "file", "layer", "head", "causal"},
    "next_word": {"sentence", "file", "prompt", "words", "mask_sep", "causal", "top"},
}


def flags(parser):
    index = common.number(int, 0, wanted="0 or more")
    add = parser.add_argument
    add("--model", metavar="NAME", help=f"a folder or a known name; default: {DEFAULT_MODEL}")
    add("--plain", **common.PLAIN)
    add("--json", action="store_true", help="everything as JSON on the standard output, and nothing else there")
    add = parser.add_argument_group("the next word").add_argument
    add("--sentence", action="append", metavar="TEXT", help="a text to ask about; again for more")
    add(
        "--file", metavar="FILE", help="texts, one a line, or a table or JSON; -: the standard input, read too if piped"
    )
    common.add_file_flags(add)
    add("--prompt", action="append", metavar="TEXT", help=f"again for more wordings; default: {DEFAULT_PROMPT!r}")
    add("--words", nargs="+", metavar="WORD", help="to choose from, the good one first; default: positive negative")
    add("--mask_sep", action="store_true", default=None, help="read at [SEP] only, with and without attention to it")
    add("--causal", action="store_true", default=None, help="read at the last word only; full and causal attention")
    add("--top", type=common.natural, metavar="N", help="also the N most probable tokens; for --fill always; default 5")
    add = parser.add_argument_group("other questions").add_argument
    add("--fill", metavar="TEXT", help="which words stand at its [MASK]s")
    add("--targets", nargs="+", metavar="WORD", help="how probable these are at the [MASK]s of --fill")
    add("--compare", nargs=2, metavar="TEXT", help="which of two sentences is likelier, token by token")
    add("--show", choices=["attention"], help="masks, scores and probabilities of one head, as tables")
    add("--layer", type=index, metavar="N", help="of --show; 0, the default, is the first")
    add("--head", type=index, metavar="N", help="of --show; default: 0")
    endpoint.flags(parser)


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    question: str  # a key of QUESTIONS
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

    from minbert import families, probing
    from minbert.weights import hub

    for prompt in args.prompt or []:
        probing.check_prompt(prompt)
    texts = read_texts(args) if "sentence" in USES[question] else []
    directory = hub.find(args.model)
    families.class_of(directory, "masked", args.model)
    config = families.read_config(directory)
    tokenizer = common.load_tokenizer(args.model, directory, config)
    words, targets = args.words or ["positive", "negative"], args.targets
    if args.fill:
        args.fill = with_mask(tokenizer, args.fill)
        probing.check_masked(args.fill, tokenizer.mask_token)
        targets = targets and in_a_text(tokenizer, targets, args.fill.startswith(tokenizer.mask_token))
    for word in [*(in_a_text(tokenizer, args.words or [])), *(targets or []), *(args.compare or [])]:
        probing.known_ids(SimpleNamespace(config=config), tokenizer, word)  # better to fail before the weights are read
    given = {name: value for name, value in vars(args).items() if name in Job.__dataclass_fields__}
    decided = {
        "question": question,
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


def begins_with_space(tokenizer):
    """Whether a word within a text has its space in its token, as in byte-level BPE."""
    return getattr(tokenizer, "mask_takes_space", False)


def in_a_text(tokenizer, words, first=False):
    """Words as the tokenizer reads them within a text, or as its first word."""
    return [f" {word.strip()}" if begins_with_space(tokenizer) and not first else word for word in words]


def with_mask(tokenizer, text):
    """The text with the model's own mask token for [MASK]. The space before it belongs to the token that is missing."""
    text = text.replace("[MASK]", tokenizer.mask_token)
    if begins_with_space(tokenizer):
        text = re.sub(rf"\s+{re.escape(tokenizer.mask_token)}", lambda _: tokenizer.mask_token, text)
    return text


def run(job):
    """A question -> its answer, as tables or as JSON."""
    from minbert import families, fast
    from minbert.fast.memory import retain_freed_memory

    retain_freed_memory()
    model = families.load(job.directory, "masked")
    model.loaded.source = job.model
    if not job.plain:
        fast.swap_in(model), fast.swap_in(job.tokenizer)
    answer, show = QUESTIONS[job.question]
    found = answer(job, model, job.tokenizer)
    warn_of_unknown(job)
    if job.json:
        print(json.dumps({"model": job.model} | found, indent=2, ensure_ascii=False))
    else:
        print(model.loaded)
        if job.tokenizer.mask_token != "[MASK]":
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
    from minbert import probing

    texts, words = job.texts, job.words
    about = [{"text": text} for text in texts]
    if not texts:
        about = [{"text": text, "kind": kind, "right": words[right]} for kind, text, right in BATTERY]
    seen, hidden, last, _, causal = probing.READOUTS
    readouts = [seen, hidden] * job.mask_sep + [last, causal] * job.causal or list(probing.READOUTS)
    rows = []
    for number, known in enumerate(about, 1):
        for prompt in job.prompt:
            if begins_with_space(tokenizer):
                prompt = prompt.rstrip()  # the space is the first letter of the next word
            for readout in readouts:
                asked = (known["text"], in_a_text(tokenizer, words), prompt, [readout], job.top or 0)
                with plain_way(model, needed=probing.READOUTS[readout].hide_sep and not job.plain):
                    (row,) = probing.next_word(model, tokenizer, *asked)
                rows.append({"number": number} | known | without_space(tokenizer, row))
    return {"words": words, "rows": rows, "conclusions": [conclude(rows, readout) for readout in readouts]}


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


def table(header, rows):
    from minbert.runs import report

    report.table(header, rows)


def show_next_word(found):
    rows, words = found["rows"], found["words"]
    for row in {row["number"]: row for row in rows}.values():
        print(f"{row['number']:4}  {row['kind'] + ': ' if 'kind' in row else ''}{row['text']}")
    prompts = list(dict.fromkeys(row["prompt"] for row in rows))
    letters = {prompt: chr(97 + at) * (len(prompts) > 1) for at, prompt in enumerate(prompts)}
    for prompt, letter in letters.items():
        print(f"{letter:>4}  {prompt}")
    print(f"ratio: P({words[0]}) to the best other; none: P without a text; corrected: P / none, as shares")
    for conclusion in found["conclusions"]:
        mine = [row for row in rows if row["readout"] == conclusion["readout"]]
        print(f"\n{conclusion['readout']}: {NOTES[conclusion['readout']]}")
        lines = []
        for row in mine:
            best = row["corrected_label"]
            figures = [*row["p"].values(), row["ratio"], row["label"], f"{best} {row['corrected'][best]:.2f}"]
            lines.append([f"{row['number']}{letters[row['prompt']]}", *figures])
        for row in {row["prompt"]: row for row in mine}.values():
            prior = [*row["prior"].values(), row["prior_ratio"], max(words, key=row["prior"].get), ""]
            lines.append([f"none {letters[row['prompt']]}", *prior])
        table(["text", *(f"P({word})" for word in words), "ratio", "label", "corrected"], lines)
        if "top" in mine[0]:
            tops = [[f"{best['token'].strip()} {best['score']:.3g}" for best in row["top"]] for row in mine]
            covered = [sum(best["score"] for best in row["top"]) for row in mine]
            ranks = [f"top {rank}" for rank in range(1, len(tops[0]) + 1)]
            table(["text", *ranks, "in all"], [[line[0], *top, p] for line, top, p in zip(lines, tops, covered)])
    show_conclusions(found["conclusions"], len(words))


def show_conclusions(conclusions, choices):
    """The counts, and what they say and do not say."""
    answers, battery, lines = conclusions[0]["answers"], "right" in conclusions[0], []
    for found in conclusions:
        cells = [
            ", ".join(f"{label} {count}" for label, count in found[name].items()) for name in ("labels", "corrected")
        ]
        if battery:
            cells = [f"{found[name]} of {answers}" for name in ("right", "corrected_right")]
            cells.append(f"{found['in_order']} of {counted(found['pairs'], 'pair')}")
        lines.append([found["readout"], *cells])
    print("\nwhat to conclude")
    table(["readout", *(["right", "right, corrected", "in order"] if battery else ["as read", "corrected"])], lines)
    changed, asked = sum(found["changed"] for found in conclusions), answers * len(lines)
    said = [f"Dividing by what the wording prefers without a text changes {changed} of {asked} answers."]
    stuck = [
        f"{found['readout']} ({next(iter(found['labels']))})" for found in conclusions if len(found["labels"]) == 1
    ]
    if stuck and answers > 1:
        said.append(f"As read, the same answer whatever the text: {'; '.join(stuck)}.")
    if any(found["readout"].startswith("at [SEP]") for found in conclusions):
        said.append("What wins at [SEP] is not what BERT expects next: it was never trained to name a word there.")
    if battery:
        guess = f"Guessing gets {answers / choices:.3g} of {answers} right"
        said.append(f"{guess}: so few texts show how a readout behaves, not how good a model is.")
    for sentence in said:
        print(textwrap.fill(sentence, WIDTH, initial_indent="  - ", subsequent_indent="    "))


def fill(job, model, tokenizer):
    """The answers to --fill, a list for each [MASK]."""
    from minbert import probing

    rows = probing.fill_mask(model, tokenizer, job.fill, job.top or 5, job.targets)
    return {"text": job.fill, "masks": rows if isinstance(rows[0], list) else [rows]}


def show_fill(found):
    for rows in found["masks"]:
        cells = [[f"{row['score']:.4g}", str(row["id"]), row["token"].strip(), row["sequence"]] for row in rows]
        table(["score", "id", "token", "sequence"], cells)


def compare(job, model, tokenizer):
    """Two sentences by their pseudo-log-likelihood, also with whole words masked."""
    from minbert import probing

    found = {"texts": job.compare} | probing.compare(model, tokenizer, *job.compare)
    if not hasattr(tokenizer, "wordpiece"):  # probing knows by ## which pieces continue a word
        return found
    return found | {"whole_words": probing.compare(model, tokenizer, *job.compare, whole_words=True)}


def show_compare(found):
    cells = []
    for (one, p), (two, q) in ([side or ("", None) for side in pair] for pair in found["rows"]):
        cells.append([one, p, two, q, None if None in (p, q) else p - q])
    p, q = found["scores"]
    table(["first", "log P", "second", "log P", "difference"], [*cells, ["in all", p, "", q, p - q]])
    print("equally likely" if p == q else f"likelier: {found['texts'][found['preferred']]}")
    whole = found.get("whole_words", found)
    if whole["scores"] != found["scores"]:
        print("with a word's later pieces masked too: {:.1f} and {:.1f}".format(*whole["scores"]), end="")
        print(f", likelier: {found['texts'][whole['preferred']]}")


def attention(job, model, tokenizer):
    """The tables of each text, as lists; a score that a mask hides is None, as JSON has no -inf."""
    from minbert import probing

    where = {"layer": job.layer, "head": job.head, "causal": job.causal}
    found = []
    for text in job.texts or [EXAMPLE]:
        tables = probing.attention_tables(model, tokenizer, text, **where)
        scores = [[None if score == -inf else score for score in row] for row in tables.pop("scores").tolist()]
        lists = {name: value if name == "tokens" else value.tolist() for name, value in tables.items()}
        found.append({"text": text} | where | lists | {"scores": scores})
    return {"attention": found}


def show_attention(found):
    for one in found["attention"]:
        tokens, where = one["tokens"], f"of layer {one['layer']}, head {one['head']}"
        unused = "" if one["causal"] else "; not used here, see --causal"
        print(f"\n{one['text']}")
        for title, name, form in (
            ("padding mask: 1 if the column may be looked at", "padding_mask", "d"),
            (f"causal mask: 1 if the row may look at the column{unused}", "causal_mask", "d"),
            (f"raw scores {where}: how well the row's query meets the column's key", "scores", ".2f"),
            (f"probabilities {where}: how much the row looks at the column", "probabilities", ".2f"),
        ):
            print(f"\n{title}")
            cells = [["-inf" if cell is None else f"{cell:{form}}" for cell in row] for row in one[name]]
            header = ["", *tokens]
            if name == "probabilities":
                header.append("sum")
                cells = [[*row, f"{sum(numbers):.3f}"] for row, numbers in zip(cells, one[name])]
            table(header, [[token, *row] for token, row in zip(tokens if len(cells) > 1 else [""], cells)])


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
