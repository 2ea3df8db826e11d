"""Let a GPT continue a text, and show how probable each token was and which others were likely.

    minbert generate --prompt "The film was"        with tiny-gpt2, a small model of reviews, part of minbert
    minbert generate --model gpt2 --prompt "The film was" --temperature 0 --max_tokens 20
                                                    always take the most probable token
    minbert generate --model gpt2 --prompt "The film was" --temperature 0.5 --top_p 0.8 --n 5 --seed 42
                                                    five continuations
    minbert generate --model gpt2 --file reviews.txt --prompt "{} This movie review is" --max_tokens 1 --show
                                                    each line takes the place of {}; tables of probabilities
    minbert generate --model gpt2 --file prompts.txt --stop "\\n" --json
                                                    one prompt per line; continuations end before a line end

With the same --seed, a continuation stays the same, however many you ask for and whatever other prompts there are. All
probabilities shown are the model's own, at temperature 1, before --top_k and --top_p cut anything.
Exit status: 0 done, 2 a mistake that you can fix, with the reason.
"""

import itertools
import json
import math
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from minbert.commands import common
from minbert.errors import UserError
from minbert.wording import counted

DEFAULT_MODEL = "tiny-gpt2"
SETTINGS = ("temperature", "top_k", "top_p", "repetition_penalty", "n", "seed", "top")
DEFAULT = 50  # new tokens
ROWS = 16  # continuations that are written side by side
ENDS = {
    "stop": "a stop string",
    "end": "the model's end of text",
    "length": "the limit",
    "full": "the model's last position",
}
ESCAPES = {"\\n": "\n", "\\t": "\t", "\\\\": "\\"}


def flags(parser):
    more = common.number(float, 0, wanted="0 or more")
    add = parser.add_argument
    add("--model", default=DEFAULT_MODEL, metavar="NAME", help="a GPT-1 or GPT-2: a folder or a name; default: "
        "%(default)s")  # fmt: skip
    add("--prompt", action="append", metavar="TEXT", help="a text to continue; may be repeated; default: from nothing")
    add("--file", metavar="FILE", help="prompts, one per line, or a table or JSON; -: standard input. With --prompt, "
        "each text takes the place of {} in it")  # fmt: skip
    common.add_file_flags(add)
    add("--json", action="store_true", help="print everything as JSON on standard output, and nothing else")
    add("--show", action="store_true", help="print the tokens with their probabilities, in a terminal in colours")
    add("--top", type=common.natural, default=5, metavar="N", help="likely tokens in each row of --show; default: 5")
    add("--device", **common.DEVICE)
    add("--plain", **common.PLAIN)
    add = parser.add_argument_group("how long").add_argument
    add("--max_tokens", type=common.natural, metavar="N", help="at most N new tokens; default: 50")
    add("--max_length", type=common.natural, metavar="N", help="at most N tokens, including the prompt's")
    add("--stop", action="append", metavar="TEXT", help="end before this text; \\n is a line end; may be repeated")
    add = parser.add_argument_group("which tokens").add_argument
    add("--temperature", type=more, default=1.0, metavar="T", help="0: always take the best token; default: 1")
    add("--top_k", type=common.number(int, 0, wanted="0 or more"), default=0, metavar="K",
        help="draw from the K best tokens; default: 0, from all")  # fmt: skip
    add("--top_p", type=common.number(float, 0, math.nextafter(1, 2), "from 0 to 1"), default=1.0, metavar="P",
        help="draw from the fewest tokens whose probabilities add up to P; default: 1, from all")  # fmt: skip
    add("--repetition_penalty", type=common.number(float, math.ulp(0.0), wanted="more than 0"), default=1.0,
        metavar="R", help="above 1: tokens that are already there become less likely; default: 1")  # fmt: skip
    add("--n", type=common.natural, default=1, metavar="N", help="continuations of each prompt; default: 1")
    add("--seed", **common.SEED | {"default": 0})


@dataclass(frozen=True)
class Prompt:
    text: str
    ids: list  # as the model reads them
    begun: bool  # whether the end of a text was put in front, because there was no prompt
    max_tokens: int


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    prompts: list
    directory: Path
    tokenizer: object
    device: object  # torch.device
    end: int | None  # the token at which the model ends its texts
    stop: list
    stream: bool  # show each token when it is there
    colours: bool
    # as the flags of the same names say
    model: str
    json: bool
    show: bool
    plain: bool
    top: int
    max_tokens: int | None
    max_length: int | None
    temperature: float
    top_k: int
    top_p: float
    repetition_penalty: float
    n: int
    seed: int


def check(args):
    """Refuse everything that can be refused before the work begins. Returns the Job."""
    if args.max_tokens and args.max_length:
        raise UserError("--max_tokens counts new tokens, --max_length the prompt's too: give one of them")
    for flag in common.FILE_FLAGS:
        if getattr(args, flag) and not args.file:
            raise UserError(f"--{flag} is for --file: leave it out")
    if args.file and any("{}" not in prompt for prompt in args.prompt or []):
        raise UserError("with --file, --prompt needs a {}, the place of each text")

    from minbert import families
    from minbert.runs import selftest
    from minbert.weights import hub

    texts = read_texts(args)
    directory = hub.find(args.model)
    families.class_of(directory, "causal", args.model)
    config = families.read_config(directory)
    tokenizer = common.load_tokenizer(args.model, directory, config)
    prompts = [read_prompt(number, text, tokenizer, config, args) for number, text in enumerate(texts, 1)]
    given = {name: value for name, value in vars(args).items() if name in Job.__dataclass_fields__}
    terminal = not args.json and sys.stdout.isatty()
    decided = {
        "prompts": prompts,
        "directory": directory,
        "tokenizer": tokenizer,
        "device": selftest.pick_device(args.device),
        "end": end_of_text(tokenizer, config),
        "stop": [unescape(text) for text in args.stop or []],
        "stream": terminal and not args.show and len(prompts) == args.n == 1,
        "colours": terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb",
    }
    return Job(**given | decided)


def read_texts(args):
    """The prompts as texts; [""] if there is neither --prompt nor --file."""
    from minbert.files import stream

    if not args.file:
        return args.prompt or [""]
    how = args.text_column, args.format, args.no_header, args.encoding, args.quoting
    texts = []
    for row in stream.read_rows(args.file, *how)[1]:
        if row.problem and row.problem != "empty line":
            raise UserError(f"{args.file}:{row.line}: {row.problem}")
        texts += [] if row.problem else [prompt.replace("{}", row.text) for prompt in args.prompt or ["{}"]]
    return texts


def end_of_text(tokenizer, config):
    """The id at which the model ends its texts: as its config says, or else its tokenizer; None if neither does."""
    stated = config.eos_token_id
    return tokenizer.eos_token_id if stated is None or stated >= len(tokenizer) else stated


def read_prompt(number, text, tokenizer, config, args):
    """A text -> a Prompt. Raises UserError, naming it, if the model cannot go on with it."""
    from minbert import generation

    ids, begun = tokenizer(text, add_special_tokens=False)["input_ids"], False
    if not ids and tokenizer.eos_token_id is not None:
        ids, begun = [tokenizer.eos_token_id], True
    elif not ids:
        raise UserError(f"the prompt is empty, and {args.model} has no token to begin with: give --prompt")
    limit = args.max_tokens or (args.max_length or len(ids) + DEFAULT) - len(ids)
    try:
        if limit < 1:
            raise UserError(
                f"the prompt has {counted(len(ids), 'token')}: --max_length {args.max_length} leaves none for more"
            )
        generation.check_prompts([ids], config)
    except UserError as error:
        raise UserError(f"prompt {number}: {error}") from None
    return Prompt(text, ids, begun, limit)


def unescape(text):
    r"""The two letters \n, as a shell hands them over -> a line end; \t and \\ likewise"""
    return re.sub(r"\\[nt\\]", lambda match: ESCAPES[match[0]], text)


def run(job):
    """Prompts -> continuations, as text, as tables or as JSON."""
    from minbert import families, fast, generation
    from minbert.fast.memory import retain_freed_memory

    retain_freed_memory()
    model = families.load(job.directory, "causal", random=False).to(job.device)
    if not job.plain:
        fast.for_writing(fast.swap_in(model))
    model.loaded.source = job.model
    if job.show and not job.json:
        print(model.loaded)
    say_what_is_special(job)
    settings = {name: getattr(job, name) for name in SETTINGS}
    settings |= {"stop": job.stop, "end": job.end}
    settings |= {"decode": job.tokenizer.decode, "known": len(job.tokenizer)}
    if job.stream:
        settings["watch"] = Screen(job.stop).show
    answers = []
    for some in groups(job.prompts, max(1, ROWS // job.n)):
        limit = some[0].max_tokens
        made = generation.generate_all(model, [prompt.ids for prompt in some], limit, **settings)
        for prompt, continuations in zip(some, made):
            answers.append(answer(prompt, continuations, job.tokenizer))
            if not job.json:
                show(answers[-1], len(answers), job)
    if job.json:
        said = {name: getattr(job, name) for name in (*SETTINGS, "max_tokens", "max_length", "stop")}
        print(json.dumps({"model": job.model, "settings": said, "prompts": answers}, indent=2, ensure_ascii=False))


def groups(prompts, size):
    """Prompts that follow one another and have the same limit, at most `size` together."""
    for _, same in itertools.groupby(prompts, key=lambda prompt: prompt.max_tokens):
        same = list(same)
        yield from (same[at : at + size] for at in range(0, len(same), size))


def say_what_is_special(job):
    """Notes on what one might not expect, on stderr."""
    note = []
    if any(prompt.begun for prompt in job.prompts):
        note.append(f"an empty prompt: {job.tokenizer.eos_token} is put in front, as before each text in training")
    if job.max_length:
        note.append(f"--max_length {job.max_length} counts the prompt's tokens, too; --max_tokens only new ones")
    if job.tokenizer.decode(job.tokenizer(" a", add_special_tokens=False)["input_ids"]) == " a" and any(
        prompt.text.endswith(" ") for prompt in job.prompts
    ):
        note.append("a prompt ends in a space, but this model's words begin with theirs: it expects half a word there")
    for line in note:
        print(f"note: {line}", file=sys.stderr)


def answer(prompt, continuations, tokenizer):
    """A prompt and what was written after it, as it stands in JSON."""
    return {
        "prompt": prompt.text,
        "ids": prompt.ids,
        "continuations": [
            {
                "text": made.text,
                "ended_by": made.finish,
                "log_p": sum(step.log_p for step in made.steps),
                "coverage": sum(step.coverage for step in made.steps) / len(made.steps),
                "tokens": [
                    {"id": step.id, "token": tokenizer.show(step.id), "log_p": step.log_p}
                    | {"top": [{"id": id, "token": tokenizer.show(id), "p": p} for id, p in step.top]}
                    for step in made.steps
                ],
            }
            for made in continuations
        ],
    }


class Screen:
    """A continuation in a terminal, each token as soon as it is certain."""

    def __init__(self, stop):
        self.stop, self.shown = stop, ""

    def show(self, number, made):
        """Write what is new. Half a character and what may become a stop string wait for the next token."""
        text = made.text if made.finish else certain(made.text, self.stop)
        if text.startswith(self.shown):  # what it began with stays, but for other tokenizers' spaces
            print(text[len(self.shown) :], end="", flush=True)
            self.shown = text


def certain(text, stop):
    """The text without half a character at its end, and without what a stop string may begin with."""
    from minbert.generation import HALF

    text = text.rstrip(HALF)
    begun = [at for at in range(len(text)) if any(word.startswith(text[at:]) for word in stop)]
    return text[: begun[0]] if begun else text


def show(found, number, job):
    """One prompt's continuations: text alone, or with its probabilities."""
    many = len(job.prompts) > 1 or job.n > 1
    for which, made in enumerate(found["continuations"], 1):
        if many:
            print(f"-- prompt {number}, continuation {which}")
        if job.show:
            show_tokens(found, made, job)
        elif not job.stream:
            print(made["text"])
        else:
            print()
        if not job.show:
            print(f"ended by: {ENDS[made['ended_by']]}", file=sys.stderr)


def show_tokens(found, made, job):
    """The text in colours, a row for each token, and the sums."""
    from minbert.runs import report

    if job.colours:
        print(found["prompt"] + "".join(paint(text, p) for text, p in pieces(made, job.tokenizer)))
        print("probability:", *(paint(f" {p:.0%} ", p) for p in (0, 0.25, 0.5, 0.75, 1)))
    else:
        print(found["prompt"] + made["text"])
    rows = []
    for at, step in enumerate(made["tokens"], 1):
        top = [f"{written(one['token'])} {percent(one['p'])}" for one in step["top"]]
        rows.append([f"{at:2}  {written(step['token'])}", percent(math.exp(step["log_p"])), *top])
    header = ["token", "P", *(f"likely {rank}" for rank in range(1, len(rows[0]) - 1))]
    report.table(header, rows)
    tokens = counted(len(rows), "token")
    covered = f"{percent(made['coverage'])} of the probability within the top {len(rows[0]) - 2}"
    print(f"Total: {made['log_p']:.2f} logprob on {tokens}, {covered} (the model's own, before anything is cut)")
    print(f"{describe(job)}; ended by: {ENDS[made['ended_by']]}")


def pieces(made, tokenizer):
    """[(text, p), ...]: what each token adds to the text; half a character goes to the token that completes it."""
    from minbert.generation import HALF

    found, before, ids = [], "", [step["id"] for step in made["tokens"]]
    for length, step in enumerate(made["tokens"], 1):
        text = made["text"] if length == len(ids) else tokenizer.decode(ids[:length]).rstrip(HALF)
        text = text[: len(made["text"])]
        found.append((text[len(before) :], math.exp(step["log_p"])))
        before = text
    return found


def paint(text, p):
    """A text on a colour from red, p = 0, over yellow to green, p = 1. Line ends stay bare."""
    red, green = min(5, round(10 * (1 - p))), min(5, round(10 * p))
    colour = f"\x1b[30;48;5;{16 + 36 * red + 6 * green}m"
    return "\n".join(f"{colour}{line}\x1b[0m" if line else "" for line in text.split("\n"))


def written(token):
    """A token between quotes, so that its spaces show; what cannot be printed by its code"""
    return "'" + "".join(char if char.isprintable() else repr(char)[1:-1] for char in token) + "'"


def percent(p):
    return f"{100 * p:.2f} %"


def describe(job):
    """'temperature 0.5, top-p 0.8, at most 50 tokens, seed 0'"""
    said = [f"temperature {job.temperature:g}{' (the best token always)' if job.temperature == 0 else ''}"]
    said += [f"top-k {job.top_k}"] if job.top_k else []
    said += [f"top-p {job.top_p:g}"] if job.top_p < 1 else []
    said += [f"repetition penalty {job.repetition_penalty:g}"] if job.repetition_penalty != 1 else []
    limit = counted(job.max_length or job.max_tokens or DEFAULT, "token") + " with the prompt" * bool(job.max_length)
    return ", ".join([*said, f"at most {limit}", f"seed {job.seed}"])


def main(arguments):
    run(check(common.parse("generate", __doc__, flags, arguments)))
