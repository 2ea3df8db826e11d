"""`minbert probe --endpoint`: the questions about the next word, asked of a model behind an OpenAI-compatible server.

The server tells the few most probable tokens only. A word has the probability of those of them that are the word, or
are its first three letters or more and fit no other word; upper and lower case and the spaces around do not matter. If
none of them is, the word is below the least probable one that came back.
"""

import json
import math
import os
import re
import sys
import textwrap
import time
from dataclasses import dataclass
from itertools import combinations

from minbert.commands import common
from minbert.commands.generate import written
from minbert.errors import UserError

FLAGS = ("endpoint", "endpoint_model", "endpoint_api", "endpoint_timeout")
WITH = ("sentence", "file", *common.FILE_FLAGS, "prompt", "words", "top", "json")  # these go with it
PROMPT = "{{}} This movie review is ({})?"
TOP = 5
BEGINNING = 3  # letters of a word that a token must have, to count for it
MARKS = str.maketrans("▁ĠĊ", "   ")  # how some servers write the spaces and line ends in tokens
WIDTH = 100  # columns


def flags(parser):
    add = parser.add_argument_group("a model behind an OpenAI-compatible server").add_argument
    add("--endpoint", metavar="URL", help="address such as https://host/v1; minbert sends the texts there. The key "
        "comes from MINBERT_ENDPOINT_KEY or OPENAI_API_KEY")  # fmt: skip
    add("--endpoint_model", metavar="NAME", help="the model's name on the server")
    add(
        "--endpoint_api", choices=("auto", "completions", "chat"), help="default: auto, chat if completions are missing"
    )
    add("--endpoint_timeout", type=common.number(float, math.ulp(0.0), 86401, "more than 0, and at most a day"),
        metavar="SECONDS", help="the longest wait for an answer; default: 60")  # fmt: skip


def asked(args):
    """Whether a flag of this file is among the arguments."""
    return any(getattr(args, name) is not None for name in FLAGS)


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    endpoint: object  # endpoint.Endpoint
    about: list  # {"text": ...} of each text; of the built-in ones also their kind, and which word is right
    words: list
    prompt: list
    top: int
    json: bool


def check(args, read_texts, battery):
    """Refuse everything that can be refused before anything is sent. Returns the Job.

    read_texts  args -> the texts to ask about, [] for the built-in ones
    battery     these: [(kind, text, number of the right word), ...]
    """
    for name, value in vars(args).items():
        if value is not None and value is not False and name not in (*FLAGS, *WITH):
            raise UserError(f"--{name} does not go with --endpoint: leave it out")
    for name in FLAGS[:2]:
        if getattr(args, name) is None:
            raise UserError(f"a model behind a server needs --endpoint URL and --endpoint_model NAME: add --{name}")
    words = [word.strip() for word in args.words or ["positive", "negative"]]
    if "" in words or len({word.lower() for word in words}) < len(words):
        raise UserError(f"--words needs words that differ in more than upper case, not {', '.join(words)}")
    for prompt in args.prompt or []:
        if prompt.count("{}") != 1:
            raise UserError(f"the prompt {prompt!r} needs one {{}}, for the text")

    from minbert.endpoint import Endpoint, read_key

    how = {"api": args.endpoint_api or "auto", "timeout": args.endpoint_timeout or 60.0}
    how |= {"say": note, "sleep": time.sleep}
    endpoint = Endpoint(args.endpoint, args.endpoint_model, *read_key(os.environ), **how)
    about = [{"text": text} for text in read_texts(args)]
    if not about:
        about = [{"text": text, "kind": kind, "right": words[right]} for kind, text, right in battery]
    prompt = args.prompt or [PROMPT.format("/".join(words))]
    return Job(endpoint, about, words, prompt, args.top or TOP, args.json)


def note(sentence):
    progress("")
    print(f"note: {sentence}", file=sys.stderr, flush=True)


def progress(text):
    """In a terminal, a line that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def run(job):
    """Questions -> answers, as tables or as JSON. What came back before a failure is shown before the error."""
    questions = [(number, known, prompt) for number, known in enumerate(job.about, 1) for prompt in job.prompt]
    if not job.endpoint.local:
        key = job.endpoint.variable and f", with the key in {job.endpoint.variable}"
        many = f"{len(questions)} question{'s' * (len(questions) > 1)}"
        note(f"the texts leave this machine, in {many} to {job.endpoint.host}{key}")
    rows, stopped = [], None
    for at, (number, known, prompt) in enumerate(questions, 1):
        progress(f"question {at} of {len(questions)} ...")
        try:
            answer = job.endpoint.ask(prompt.replace("{}", known["text"]), job.top)
        except (UserError, KeyboardInterrupt) as error:
            stopped = error
            break
        rows.append({"number": number} | known | {"prompt": prompt} | read(answer, job.words, job.top))
    progress("")
    if rows:
        found = {"model": job.endpoint.model, "endpoint": job.endpoint.url, "api": job.endpoint.api}
        found |= {"words": job.words, "questions": len(questions), "rows": rows, "conclusion": conclude(rows)}
        if job.json:
            print(json.dumps(found, indent=2, ensure_ascii=False))
        else:
            show(found)
    if stopped:
        if len(questions) > 1 and isinstance(stopped, UserError):
            raise UserError(f"question {at} of {len(questions)}: {stopped}") from None
        raise stopped


def read(answer, words, top):
    """An Answer -> the figures of a row; None for what the server does not tell

    p        {word: probability of the next word, or None if it is below `below`}
    below    the smallest probability above 0 that came back at the place
    ratio    P(the first word) / P(the best other)
    at       the place: the first token with a letter or a digit; 0 is the first of all
    top      the `top` most probable tokens there; covered: their probability in all
    log_p    the natural logarithm of the probability of the answer, of all its tokens
    label    the word that wins; without figures the one with which the answer begins
    """
    if not answer.steps:
        first = re.search(r"\w+", answer.text.lower())
        label = next((word for word in words if first and word.lower() == first[0]), None)
        none = dict.fromkeys(("below", "ratio", "at", "top", "covered", "log_p"))
        return {"answer": answer.text, "p": dict.fromkeys(words), "label": label} | none
    at = next((at for at, step in enumerate(answer.steps) if re.search(r"[^\W_]", step.token)), len(answer.steps) - 1)
    tokens = [(token, math.exp(log_p)) for token, log_p in answer.steps[at].top]
    p = share(tokens, words)
    first, *others = p.values()
    both = first is not None and None not in others
    best = [{"token": token, "p": p} for token, p in tokens[:top]]
    return {
        "answer": answer.text,
        "p": p,
        "below": min((p for _, p in tokens if p > 0), default=1.0),
        "ratio": first / max(others) if both and max(others) > 0 else None,
        "label": max((word for word in words if p[word]), key=p.get, default=None),
        "at": at,
        "top": best,
        "covered": sum(one["p"] for one in best),
        "log_p": sum(step.log_p for step in answer.steps),
    }


def share(tokens, words):
    """[(token, p), ...] -> {word: the sum of p of the tokens that count for it, None if there is none}"""
    spelt, found = {word.lower(): word for word in words}, dict.fromkeys(words)
    for token, p in tokens:
        token = token.translate(MARKS).strip().lower()
        begun = [word for word in spelt if len(token) >= BEGINNING and word.startswith(token)]
        fits = [token] if token in spelt else begun
        if len(fits) == 1:
            found[spelt[fits[0]]] = (found[spelt[fits[0]]] or 0.0) + p
    return found


def bounds(row):
    """The least and the most that the ratio of a row can be: equal if all its words came back; None without figures"""
    if row["below"] is None:
        return None
    low, high = ([p if p is not None else bound for p in row["p"].values()] for bound in (0.0, row["below"]))
    return low[0] / max(high[1:]) if max(high[1:]) else math.inf, high[0] / max(low[1:]) if max(low[1:]) else math.inf


def conclude(rows):
    """Count the answers, and of the battery also

    right     the right ones
    in_order  pairs of graded texts in one wording whose better text has the higher ratio, of as many `pairs`;
              `undecided` are those in which a word is below what came back, so that either could be higher
    """
    found = {"answers": len(rows)}
    if "right" in rows[0]:
        graded = [row for row in rows if row["kind"] != "off topic" and row["below"] is not None]
        pairs = [(bounds(a), bounds(b)) for a, b in combinations(graded, 2) if a["prompt"] == b["prompt"]]
        found["right"] = sum(row["label"] == row["right"] for row in rows)
        found |= {"in_order": sum(a[0] > b[1] for a, b in pairs), "pairs": len(pairs)}
        found["undecided"] = sum(a[1] > b[0] and b[1] > a[0] and not a[0] > b[1] for a, b in pairs)
    return found


def show(found):
    """The rows as tables, as those of a model that is here."""
    from minbert.commands.probe_tables import list_questions
    from minbert.completions import ROUTES
    from minbert.runs.columns import table

    rows, words = found["rows"], found["words"]
    print(f"{found['model']} at {found['endpoint']}, asked by {ROUTES[found['api']]}")
    letters = list_questions(rows)
    names = [f"{row['number']}{letters[row['prompt']]}" for row in rows]
    told = [(name, row) for name, row in zip(names, rows) if row["below"] is not None]
    silent = [(name, row) for name, row in zip(names, rows) if row["below"] is None]
    if told:
        show_figures(told, words, table)
    if silent:
        say("The server gives no log-probabilities here, so there are no figures: this is what it wrote.")
        table(
            ["text", "label", "answer"], [[name, row["label"] or "?", written(row["answer"])] for name, row in silent]
        )
    show_conclusion(found["conclusion"], len(words), found["questions"])


def show_figures(told, words, table):
    """The tables of rows with figures."""
    say(
        "P: of the words in upper and lower case, and of their beginnings; below: less than any token that came back; "
        f"ratio: P({words[0]}) to the best other"
    )
    lines = []
    for name, row in told:
        cells = [f"below {percent(row['below'])}" if p is None else percent(p) for p in row["p"].values()]
        lines.append([name, *cells, ratio(*bounds(row)), row["label"] or "none"])
    table(["text", *(f"P({word})" for word in words), "ratio", "label"], lines)
    say("The likeliest tokens at the place of the word, and the whole answer.")
    ranks, lines = range(max(len(row["top"]) for _, row in told)), []
    for name, row in told:
        tops = [f"{written(one['token'])} {percent(one['p'])}" for one in row["top"]]
        tops += [""] * (len(ranks) - len(tops))
        lines.append(
            [name, f"{row['at'] + 1}.", *tops, percent(row["covered"]), f"{row['log_p']:.2f}", written(row["answer"])]
        )
    table(["text", "token", *(f"top {rank + 1}" for rank in ranks), "in all", "log P", "answer"], lines)


def show_conclusion(found, choices, questions):
    """The counts in words."""
    if "right" not in found:
        return
    print(f"\nright: {found['right']} of {found['answers']}", end="")
    if found["pairs"]:
        unsure = f", and {found['undecided']} cannot be told" if found["undecided"] else ""
        print(f"; in order: {found['in_order']} of {found['pairs']} pairs{unsure}", end="")
    print()
    if found["answers"] == questions:
        guess = f"Guessing gets {found['answers'] / choices:.3g} of {found['answers']} right"
        print(f"{guess}: so few texts show how a model answers, not how good it is.")


def say(sentence):
    print("\n" + textwrap.fill(sentence, WIDTH))


def percent(p):
    return f"{100 * p:.4g} %"


def ratio(low, high):
    """The ratio between two bounds, as a cell"""
    if low == high:
        return f"{low:.3g}"
    return f"above {low:.3g}" if low else f"below {high:.3g}" if high < math.inf else "?"
