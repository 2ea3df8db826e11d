"""Translate texts, see how each word came about, and make a translator from pairs of texts.

    minbert translate --sentence "I saw twenty-one ships."
                                                    English into German by the small model that comes with minbert:
                                                    numbers, dates and times; may be repeated; -: standard input
    minbert translate --model Helsinki-NLP/opus-mt-en-es --text notes.txt --out notas.txt
                                                    a file, a text a line; an empty line stays empty
    minbert translate --sentence "I saw twenty-one ships." --show beams
                                                    the best translations with their scores
    minbert translate --sentence "I saw twenty-one ships." --show attention
                                                    at which pieces of the text each piece of the translation looked
    minbert translate --text test.tsv --text_column source --pair_column target
                                                    compare with right translations; or --gold FILE, one a line
    minbert translate --train pairs.tsv --dev dev.tsv --out runs/translator
                                                    learn from pairs: a table with the columns source and target
    minbert translate --resume runs/translator      resume training that was stopped

A translator is a Marian model, as the opus-mt models are. It reads one sentence at a time, so texts are split into
sentences, and their translations joined again. With --gold or --pair_column, minbert scores the translations: the share
that is exactly right, chrF, and BLEU if sacrebleu is installed.

Training saves its state after each epoch, every few minutes, and when Ctrl-C or SIGTERM stops it.
Exit status: 0 done, 2 a mistake that you can fix, with the reason, 130 or 143 training was stopped.
"""

import re
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from minbert.commands import common, translator
from minbert.commands.predict import check_output, typed_lines
from minbert.commands.predict_files import result
from minbert.errors import UserError
from minbert.wording import counted

DEFAULT = "tiny-translate"
TABLE = re.compile(r"\.(csv|tsv|jsonl?|parquet)(\.\w+)?$", re.IGNORECASE)  # names of files that are no plain lines
WINDOW = 64  # lines that are translated together
WIDTH, LOOKED = 80, 3  # of the screen; pieces shown beside one of the translation
FAINT = 0.05  # a smaller share of a look is not shown


def flags(parser):
    add = parser.add_argument
    add("--model", metavar="NAME", help=f"a translator: a folder or a name; default: {DEFAULT}")
    add("--sentence", action="append", metavar="TEXT", help="a text to translate; may be repeated; -: one per line of "
        "standard input")  # fmt: skip
    add("--text", metavar="FILE", help="texts, one per line, or a column of a table; -: standard input")
    common.add_file_flags(add)
    add("--out", metavar="FILE", help="write the translations there, one per line; of --train: a folder")
    add("--gold", metavar="FILE", help="the right translations, one per line: print scores")
    add("--pair_column", metavar="NAME", help="the column of the right translations in the table: print scores")
    add("--show", choices=("beams", "attention"), help="print more than the translation")
    add("--language", metavar="CODE", help="the target language, such as fra, if the model knows several")
    add("--beams", type=common.number(int, 1, 65, "from 1 to 64"), metavar="N", help="how many translations compete; 1 "
        "takes the likeliest piece each time; default: as the model's folder says, or else 4")  # fmt: skip
    add("--length_penalty", type=common.number(float, -100, 101, "from -100 to 100"), metavar="X", help="the power "
        "of the length; larger favours longer translations; default: as the folder says, or else 1")  # fmt: skip
    add("--max_length", type=common.number(int, 2, wanted="2 or more"), metavar="N", help="tokens of a translated "
        "sentence at most; of --train: of a text, and longer ones are left out")  # fmt: skip
    add("--device", **common.DEVICE)
    add("--plain", **common.PLAIN)
    translator.flags(parser)


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    directory: Path  # of the model
    model: str
    tokenizer: object
    texts: Iterable  # strings, as they come
    gold: list | None  # the right translations
    device: object  # torch.device
    language: str  # ">>fra<<", or ""
    search: dict  # beams, length_penalty, max_length: None is as the folder says
    show: str | None
    out: str


def check(args):
    """Refuse everything that can be refused before the work begins. Returns the Job, here or of translator.py."""
    unset = common.parse("translate", __doc__, flags, [])
    if args.train or args.resume:
        return translator.check(args, unset)
    for name in (*translator.OTHERS, "seed"):
        if name != "max_length" and getattr(args, name) != getattr(unset, name):
            raise UserError(f"--{name} is for training: leave it out, or give --train FILE")
    if bool(args.sentence) == bool(args.text):
        asked = "two questions: ask one of them" if args.text else "what is translated: give one of them"
        raise UserError(f"--sentence TEXT and --text FILE are {asked} (--help lists all flags)")
    check_scores(args)

    from minbert import families
    from minbert.runs import selftest
    from minbert.weights import hub

    model = args.model or DEFAULT
    directory = hub.find(model)
    families.class_of(directory, "translation", model)
    config = families.read_config(directory)
    if args.out:
        check_output(args.out, [*([args.text] if args.text else []), *directory.iterdir()])
    limit = config.max_position_embeddings
    if args.max_length and args.max_length > limit + 1:
        raise UserError(f"--max_length is {args.max_length}, but {model} has {limit} positions: give {limit} or less")
    device = selftest.pick_device(args.device)
    selftest.self_test(device, "fp32", learns=False)
    texts, gold = read_texts(args)
    return Job(
        directory=directory,
        model=model,
        tokenizer=common.load_tokenizer(model, directory, config),
        texts=texts,
        gold=gold,
        device=device,
        language=f">>{args.language.strip('<>')}<<" if args.language else "",
        search={name: getattr(args, name) for name in ("beams", "length_penalty", "max_length")},
        show=args.show,
        out=args.out or "-",
    )


def check_scores(args):
    """Raise UserError for flags that do not go together."""
    if args.sentence:
        for name in ("pair_column", *common.FILE_FLAGS):
            if getattr(args, name):
                raise UserError(f"--{name} is for --text: leave it out")
        if args.gold:
            raise UserError("--gold is for --text: leave it out")
        if "-" in args.sentence and len(args.sentence) > 1:
            raise UserError("--sentence - reads all texts from the standard input: leave the others out")
    if args.text and TABLE.search(args.text) and not (args.text_column or args.format):
        raise UserError(f"{args.text} looks like a table: name a column with --text_column, or pass --format lines")
    if args.pair_column and not args.text_column:
        raise UserError("--pair_column needs --text_column NAME, the column of the texts")
    if args.gold and args.pair_column:
        raise UserError("--gold and --pair_column are two sources of right translations: give one")
    if args.gold == "-" and args.text == "-":
        raise UserError("--text and --gold cannot both be the standard input: name a file")
    if args.plain:
        raise UserError("--plain is for training: a translator has one way of computing")


def read_texts(args):
    """The texts, and the right translations or None. A line is a text, unless the flags name a column or a format."""
    if args.sentence:
        return (typed() if args.sentence == ["-"] else args.sentence), None
    how = {name: getattr(args, name) for name in common.FILE_FLAGS}
    if not args.text_column:
        how["format"] = args.format or "lines"
    if args.pair_column:
        rows = list(read_rows(args.text, beside={"pair": args.pair_column}, **how))
        return [row.text for row in rows], [row.beside[0] for row in rows]
    texts = (row.text for row in read_rows(args.text, **how))
    if not args.gold:
        return texts, None
    texts, gold = list(texts), [row.text for row in read_rows(args.gold, format="lines", encoding=args.encoding)]
    if len(texts) != len(gold):
        raise UserError(f"{args.text} has {counted(len(texts), 'text')}, but {args.gold} {counted(len(gold), 'line')}")
    return texts, gold


def read_rows(path, **how):
    """The rows of a file; one without text is an empty one. Raises UserError for one that cannot be read."""
    from minbert.files import stream

    for row in stream.read_rows(path, **how)[1]:
        if row.problem not in (None, "empty line", stream.EMPTY):
            raise UserError(f"{path}:{row.line}: {row.problem}")
        yield row


def typed():
    """The lines of the standard input. Raises UserError for one that cannot be read."""
    for number, (line, problem) in enumerate(typed_lines(), start=1):
        if problem:
            raise UserError(f"line {number} of the standard input: {problem}")
        yield line


def run(job):
    """Texts -> translations, or pairs -> a translator."""
    if isinstance(job, translator.Job):
        translator.run(job)
        return

    from minbert import families, translation
    from minbert.fast.memory import retain_freed_memory
    from minbert.runs import report

    retain_freed_memory()
    model = families.load(job.directory, "translation", random=False)
    if model.loaded.unknown:
        report.warn(model.loaded)
    model = model.to(job.device)
    begin, lines, tokens, cut, found = time.perf_counter(), 0, 0, 0, []
    with result(job.out) as file:
        for some in windows(job.texts, 1 if job.search["beams"] == 1 and job.out == "-" else WINDOW):
            for sentences in translation.translate(model, job.tokenizer, some, job.language, **job.search):
                text = translation.joined(sentences, job.tokenizer)
                write(job, model, sentences, text, file)
                lines += 1
                tokens += sum(len(sentence.beams[0][1]) for sentence in sentences)
                cut += any(sentence.cut for sentence in sentences)
                found += [text] if job.gold else []
    if not lines:
        raise UserError("there is no text to translate")
    seconds = time.perf_counter() - begin
    report_work(job, model, lines, tokens, cut, seconds)
    if job.gold:
        print(scores(found, job.gold), file=sys.stderr if job.out == "-" else sys.stdout)


def windows(texts, size):
    """Lists of `size` texts, the last with fewer."""
    some = []
    for text in texts:
        some.append(text)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


def write(job, model, sentences, text, file):
    """A translation on a line of its own, or what --show asks for."""
    from minbert import translation

    if not job.show:
        file.write(f"{text}\n")
    for sentence in sentences if job.show else []:
        file.write(f"{sentence.text}\n")
        if job.show == "beams":
            for score, ids in sentence.beams:
                file.write(f"  {score:8.4f}  {translation.decode(job.tokenizer, ids)}\n")
        else:
            file.writelines(f"{line}\n" for line in looks(job, model, sentence))
    file.flush()


def looks(job, model, sentence):
    """A line for each piece of the translation: at which pieces of the text it looked, and for how much of its look."""
    from minbert import translation
    from minbert.metrics import places

    written = [job.tokenizer.show(id).strip() for id in sentence.beams[0][1]]
    pieces = [job.tokenizer.show(id).strip() for id in sentence.ids]
    wide = min(max(map(places, written)), WIDTH // 3)
    for piece, shares in zip(written, translation.looks(model, sentence)):
        best = sorted(enumerate(shares.tolist()), key=lambda pair: -pair[1])[:LOOKED]
        line = "  " + piece + " " * (wide - places(piece)) + " "
        for at, share in best:
            shown = f" {pieces[at]} {share:.0%}"
            if share >= FAINT and places(line + shown) <= WIDTH:
                line += shown + " "
        yield line.rstrip()


def report_work(job, model, lines, tokens, cut, seconds):
    """What was done, on stderr."""
    from minbert.runs import report

    if cut:
        limit = model.config.max_position_embeddings
        report.warn(f"{counted(cut, 'line')} had a sentence longer than {limit} tokens, and it was cut")
    beams = job.search["beams"] or model.search.beams
    speed = f"{seconds:.1f} s ({tokens / seconds:,.0f} tokens/s)"
    print(f"{counted(lines, 'line', form=',')}, {counted(beams, 'beam')}, {speed}", file=sys.stderr)
    if job.out != "-":
        print(f"written to {report.short(job.out)}", file=sys.stderr)


def scores(found, gold):
    """'1,000 translations: exact 0.990, chrF 99.8, BLEU 99.5 (sacrebleu)'"""
    from minbert.chrf import chrf

    told = [(one, two) for one, two in zip(found, gold) if one or two]  # an empty line that stays empty is no success
    exact = sum(one == two for one, two in told) / max(1, len(told))
    said = f"{counted(len(told), 'translation', form=',')}: exact {exact:.3f}, chrF {chrf(found, gold):.1f}"
    try:
        import sacrebleu
    except ImportError:
        return f"{said}; BLEU needs sacrebleu, which is not installed"
    return f"{said}, BLEU {sacrebleu.corpus_bleu(found, [gold]).score:.1f}"


def main(arguments):
    run(check(common.parse("translate", __doc__, flags, arguments)))
