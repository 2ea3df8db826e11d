"""Compare texts by the cosine of their vectors: which passages answer a question, how alike two sentences are.

    minbert similar --model all-MiniLM-L6-v2 --query "How do I get to the island?" --passages faq.txt
                                                    the passages most similar to the query; one per line
    minbert similar --query "Where are my keys?" --passages faq.csv --text_column text --title_column title --top 2
                                                    passages from a table, each read together with its title
    minbert similar --query - --passages faq.txt --json
                                                    one query per line of standard input
    minbert similar --passages faq.txt --out faq.npy
                                                    the vectors themselves, one for each row of the file
    minbert similar --pairs sts.csv --text_column sentence1 --pair_column sentence2
                                                    the cosine of the two texts in each row
    minbert similar --pairs sts.csv --text_column sentence1 --pair_column sentence2 --label_column similarity
                                                    how well the cosine ranks pairs that people have rated

minbert makes vectors as the model's folder says: pooling, length limit, prompts. Without modules.json, the file of
sentence-transformers, it follows config.json, or else takes the mean over all tokens. The default model, tiny, comes
with minbert.

Passages and pairs come from any file that training reads, or from standard input ("-"). The file may have any size:
memory does not grow with it. --out writes CSV. The columns are query, rank, cosine, row, title, text for passages, and
row, cosine, label, text, pair for pairs; row is the row's number in the file, from 1. If FILE ends in .npy, --out
writes the passages' vectors instead, as float32, for numpy.load.

The run stops at a row that has no text or is not readable. With --skip_bad_rows, minbert leaves such rows out and lists
them at the end; in a .npy file they are rows of zeros.

Exit status: 0 done, 2 a mistake that you can fix, with the reason.
"""

import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from minbert.atomic import atomic_write
from minbert.commands import common
from minbert.commands.predict import check_output, typed_lines
from minbert.commands.predict_files import BadRows, result
from minbert.errors import UserError

DEFAULT = "tiny"  # a model that is always there
TOP = 5
WIDTH, TITLE = 100, 30  # places of a line on the screen, and of the titles in it
HEADER = 128  # bytes of a .npy file, with the number of rows: written last, when that is known
FLAGS = {  # the flags that go with one question only
    "passages": ("query", "title_column", "top"),
    "pairs": ("pair_column", "label_column"),
}


def flags(parser):
    add = parser.add_argument
    add("--model", default=DEFAULT, metavar="NAME", help="an encoder: a folder or a name; default: tiny")
    add("--query", action="append", metavar="TEXT", help="a text to find passages for; may be repeated; -: one per "
        "line of standard input")  # fmt: skip
    add("--passages", metavar="FILE", help="texts, one per line, or a table or JSON; -: standard input")
    add("--title_column", metavar="NAME", help="column of titles: read title and passage as a pair")
    add("--top", type=common.natural, metavar="N", help=f"show N passages for each query; default: {TOP}")
    add("--pairs", metavar="FILE", help="a table or JSON with two texts in each row; -: standard input")
    add("--pair_column", metavar="NAME", help="column of the second text; --text_column has the first")
    add("--label_column", metavar="NAME", help="column of ratings, as numbers: print the rank correlation")
    common.add_file_flags(add)
    add("--json", action="store_true", help="print everything as JSON on standard output, and nothing else")
    add("--out", metavar="FILE", help="write CSV, or vectors if FILE ends in .npy")
    add(
        "--excel_safe",
        action="store_true",
        help="put an apostrophe before words that a spreadsheet takes for a formula",
    )
    add("--pooling", choices=("mean", "cls"), help="default: what the model's folder says, else mean")
    length = common.number(int, 3, wanted="3 or more")
    add("--max_length", type=length, metavar="N", help="cut texts to N tokens; default: what the folder says")
    add("--precision", **common.PRECISION)
    add("--device", **common.DEVICE)
    add("--plain", **common.PLAIN)
    add("--skip_bad_rows", action="store_true", help="leave bad rows out and list them; default: stop at the first")


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    directory: Path  # of the model
    rows: Iterator  # stream.Row, of the passages or pairs
    path: str  # where they are from
    device: object  # torch.device
    top: int
    # as the flags of the same names say
    model: str
    query: list | None  # ["-"]: the standard input
    passages: str | None
    pairs: str | None
    title_column: str | None
    label_column: str | None
    json: bool
    out: str | None
    excel_safe: bool
    pooling: str | None
    max_length: int | None
    precision: str
    plain: bool
    skip_bad_rows: bool

    @property
    def table(self):
        """Whether the vectors themselves are wanted."""
        return bool(self.out) and self.out.endswith(".npy")


def check(args):
    """Refuse everything that can be refused before the work begins. Returns the Job."""
    check_question(args)
    if int8 := args.precision.startswith("int8"):
        if args.device not in ("auto", "cpu"):
            raise UserError("--precision int8 is for a CPU: leave --device out")
        if args.plain:
            raise UserError("--plain computes in float32 or bfloat16: leave out --plain or --precision int8")

    from minbert import families, modules_json, similarity
    from minbert.bert import BertModel
    from minbert.files import stream
    from minbert.runs import selftest
    from minbert.weights import hub

    device = selftest.pick_device("cpu" if int8 else args.device)
    path = args.passages or args.pairs
    how = (args.text_column, args.format, args.no_header, args.encoding, args.quoting)
    beside = {word: getattr(args, f"{word}_column") for word in ("title", "pair", "label")}
    beside = {word: name for word, name in beside.items() if name}
    rows = stream.read_rows(path, *how, beside=beside)[1]
    directory = hub.find(args.model)
    if args.out:
        check_output(args.out, [path, *directory.iterdir()])
    if not issubclass(families.class_of(directory, "base", args.model), BertModel):
        raise UserError(similarity.no_encoder(args.model))
    config = families.read_config(directory)
    modules_json.read_recipe(directory, args.pooling, ["Dense"])  # which may be a classifier, and that is left out
    common.fits(args.max_length, args.model, config)
    selftest.self_test(device, args.precision, learns=False)
    rows = map(check_pair if args.pairs else check_passage, rows)
    given = {name: value for name, value in vars(args).items() if name in Job.__dataclass_fields__}
    decided = {"directory": directory, "rows": rows, "path": path, "device": device, "top": args.top or TOP}
    return Job(**given | decided)


def check_question(args):
    """Raise UserError unless the flags ask one question: about passages, or about pairs."""
    if bool(args.passages) == bool(args.pairs):
        asked = "two questions: ask one of them" if args.pairs else "what is compared: give one of them"
        raise UserError(f"--passages FILE and --pairs FILE are {asked} (--help lists all flags)")
    kind, other = ("pairs", "passages") if args.pairs else ("passages", "pairs")
    if given := [f"--{name}" for name in FLAGS[other] if getattr(args, name) is not None]:
        raise UserError(f"{', '.join(given)} is for --{other}: leave it out with --{kind}")
    vectors = bool(args.out) and args.out.endswith(".npy")
    if args.out == "-":
        raise UserError("--out is a file; --json writes to the standard output")
    if kind == "pairs" and not args.pair_column:
        raise UserError("--pairs needs --pair_column NAME, the column of the second text")
    if kind == "pairs" and vectors:
        raise UserError(f"{args.out}: vectors are written for --passages; for --pairs, name a CSV file")
    if kind == "passages" and not args.query and not vectors:
        raise UserError("--passages needs --query TEXT, or --out FILE.npy for the vectors alone")
    if args.query and "-" in args.query and len(args.query) > 1:
        raise UserError("--query - reads all queries from the standard input: leave the others out")
    if args.query == ["-"] and args.passages == "-":
        raise UserError("--query and --passages cannot both be the standard input: name a file")

    from minbert.files.examples import BLANK

    for text in args.query or []:
        if not text.strip(BLANK):
            raise UserError(f"--query {text!r} holds no text")


def check_passage(row):
    """A row whose title alone holds text is a passage, too."""
    from minbert.files import stream
    from minbert.files.examples import BLANK

    titled = row.problem == stream.EMPTY and any(cell.strip(BLANK) for cell in row.beside)
    return row._replace(problem=None) if titled else row


def check_pair(row):
    """A row is bad if the second text is empty, or the label, if there is one, is no number."""
    from minbert.files.examples import BLANK

    pair, *label = row.beside or ("",)
    problem = row.problem or (None if pair.strip(BLANK) else "empty pair")
    if label and not problem:
        try:
            problem = None if math.isfinite(float(label[0])) else "the label is not a finite number"
        except ValueError:
            problem = f"the label is not a number: {label[0]!r:.40}" if label[0] else "empty label"
    return row._replace(problem=problem)


def run(job):
    """Passages -> the nearest to each query; or pairs -> their cosines."""
    from minbert.fast.memory import retain_freed_memory

    retain_freed_memory()
    reader = Reader(job)
    found = compare(job, reader) if job.pairs else search(job, reader)
    if job.json:
        recipe = reader.recipe
        facts = {"model": job.model, "pooling": recipe.pooling, "max_length": reader.longest}
        print(json.dumps(facts | found, indent=2, ensure_ascii=False))
    reader.report()


class Reader:
    """The model with its tokenizer; turns rows and texts into vectors, and counts what passes."""

    def __init__(self, job):
        from minbert import families, fast, similarity
        from minbert.runs import precision

        self.config = families.read_config(job.directory)
        self.job, self.bad = job, BadRows(job.path)
        self.rows = self.read = self.cut = 0  # the number of the last row; texts and pairs; those of them cut
        self.tokenizer = common.load_tokenizer(job.model, job.directory, self.config)
        model = families.load(job.directory, "base", random=False)
        self.recipe = similarity.recipe_of(model, job.pooling)
        if job.max_length:
            self.recipe = self.recipe._replace(max_length=job.max_length)
        self.longest = similarity.longest(model, self.tokenizer, self.recipe)
        self.say_what_is_special()
        if not job.plain:
            fast.for_reading(fast.swap_in(model)), fast.swap_in(self.tokenizer)
        self.precision = precision.settle(model, job.precision, job.device)
        self.model = model.to(job.device)
        self.begin = time.perf_counter()

    def say_what_is_special(self):
        """Notes on what one might not expect, on stderr."""
        from minbert import modules_json, similarity

        notes, job, recipe = [], self.job, self.recipe
        if not (job.directory / modules_json.FILE).exists() and not job.pooling and not similarity.stated(self.config):
            how = "no file of it says how its vectors are made, so they are the mean over all tokens"
            notes.append(f"{job.model} may not have been trained to compare texts: {how}")
        elif recipe.similarity != "cosine":
            notes.append(f"{job.model} was trained for another similarity than the cosine: {recipe.similarity}")
        for role, words in recipe.prompts.items():
            if role == ("" if job.pairs else role) and (role or job.pairs):
                notes.append(f"the folder of {job.model} has these words put before a {role or 'text'}: {words!r:.80}")
        for note in notes:
            print(f"note: {note}", file=sys.stderr)

    def vectors(self, texts, pairs=None, role="", bar=None):
        """[N, D], as similarity.vectors"""
        from minbert import fast, similarity, training
        from minbert.tasks.task import beginning

        columns = [texts] if pairs is None else [texts, pairs]
        columns = [[beginning(text, self.tokenizer, self.longest) for text in column] for column in columns]
        columns += [None] if pairs is None else []
        encoding, cut = similarity.encode(self.model, self.tokenizer, *columns, self.recipe, role)
        self.cut += cut
        how = fast.at_once(self.model, encoding)
        return similarity.read(self.model, encoding, self.recipe, self.precision, bar or training.no_bar, **how)

    def windows(self):
        """Groups of good rows, each with a tqdm bar's function to watch them being read."""
        from tqdm import tqdm

        from minbert.files import stream

        def counted():
            for row in self.job.rows:
                self.rows = row.number
                yield row

        def watch(batches, total):
            for batch in batches:
                yield batch
                bar.update(len(batch))

        with tqdm(unit=" rows", unit_scale=True, leave=False, disable=None) as bar:
            for window in stream.windows(counted(), self.bad.add):
                if self.bad.count and not self.job.skip_bad_rows:
                    raise UserError(f"{self.bad}\nFix these rows, or leave bad rows out with --skip_bad_rows.")
                if window:
                    self.read += len(window)
                    yield window, watch
        if not self.read:
            more = f"{self.bad}\nNo row is left." if self.bad.count else f"{self.job.path}: there are no rows"
            raise UserError(more)

    def report(self):
        """What was done, on stderr."""
        from minbert.runs import report

        if self.cut:
            report.warn(f"{self.cut} texts were longer than {self.longest} tokens and were cut")
        if self.bad.count:
            report.warn(str(self.bad))
        kind = "pairs" if self.job.pairs else "passages"
        seconds = time.perf_counter() - self.begin
        print(f"{self.read} {kind} read in {seconds:.1f} s; {self.bad.count} left out", file=sys.stderr)
        if self.job.out:
            print(f"written to {report.short(self.job.out)}", file=sys.stderr)


def search(job, reader):
    """Find the passages nearest to each query, and show or write them. Returns what --json shows."""
    from minbert import similarity

    queries = read_queries(job)
    vectors = reader.vectors(queries, role="query")
    reader.begin = time.perf_counter()
    nearest = similarity.Nearest(vectors, job.top)
    with vector_table(job, reader) as add:
        for window, watch in reader.windows():
            titles = [row.beside[0] for row in window] if job.title_column else None
            texts = [row.text for row in window]
            columns = (texts, None) if titles is None else (titles, texts)
            found = reader.vectors(*columns, role="document", bar=watch)
            nearest.add(found, window)
            add(window, found)
    answers = [
        {"query": query, "passages": [passage(cosine, row, job) for cosine, row in rows]}
        for query, rows in zip(queries, nearest.found)
    ]
    if job.out and not job.table:
        write_passages(job, answers)
    elif not job.json:
        for answer in answers:
            show(answer, len(answers) > 1)
    return {"passages": reader.read, "left_out": reader.bad.count, "queries": answers}


def read_queries(job):
    """The queries; those that hold no text are named and left out. Raises UserError if there is none on the input."""
    from minbert.files.examples import BLANK
    from minbert.runs import report

    if job.query != ["-"]:
        return job.query or []
    queries = []
    for number, (text, problem) in enumerate(typed_lines(), start=1):
        if problem or not text.strip(BLANK):
            report.warn(f"line {number} of the standard input: {problem or 'empty text'}: left out")
        else:
            queries.append(text.strip())
    if not queries:
        raise UserError("the standard input holds no query")
    return queries


def passage(cosine, row, job):
    """A passage as --json shows it."""
    title = {"title": row.beside[0]} if job.title_column else {}
    return {"cosine": rounded(cosine), "row": row.number, "line": row.line} | title | {"text": row.text}


def rounded(value):
    return float(f"{value:.9g}")


@contextmanager
def vector_table(job, reader):
    """A function that writes rows' vectors, if a table of vectors is wanted; rows that were left out become zeros.

    Version 1.0 of https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, written as the rows come.
    """
    if not job.table:
        yield lambda rows, vectors: None
        return
    count, width = 0, reader.model.config.hidden_size

    def zeros_up_to(number):
        nonlocal count
        for _ in range(count, number):
            file.write(bytes(4 * width))
        count = max(count, number)

    def add(rows, vectors):
        nonlocal count
        for row, vector in zip(rows, vectors.numpy()):
            zeros_up_to(row.number - 1)
            file.write(vector.astype("<f4").tobytes())
            count += 1

    with atomic_write(job.out) as new, open(new, "wb") as file:
        file.write(bytes(HEADER))
        yield add
        zeros_up_to(reader.rows)
        words = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, {width}), }}"
        begin = b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little")
        file.seek(0)
        file.write(begin + f"{words:{HEADER - 11}}\n".encode("ascii"))


def write_passages(job, answers):
    from minbert.runs import report

    with result(job.out) as file:
        write = report.csv_writer(file, job.excel_safe)
        title = ["title"] if job.title_column else []
        write(["query", "rank", "cosine", "row", *title, "text"])
        for answer in answers:
            for rank, found in enumerate(answer["passages"], start=1):
                cells = [found[name] for name in ("cosine", "row", *title, "text")]
                write([answer["query"], rank, *cells])


def show(answer, several):
    """The passages of one query, a line for each: the cosine, the title, and as much of the text as fits."""
    if several:
        print(shorten(answer["query"], WIDTH))
    titles = [shorten(found.get("title", ""), TITLE) for found in answer["passages"]]
    wide = max(map(count_places, titles))
    for found, title in zip(answer["passages"], titles):
        title += " " * (wide - count_places(title) + 2) if wide else ""
        print(f"{found['cosine']:7.3f}  {title}{shorten(found['text'], WIDTH - 9 - count_places(title))}")


def count_places(text):
    from minbert.metrics import places

    return places(text)


def shorten(text, width):
    """A text on one line, cut to a width, after a word if one ends near there; then it ends in dots."""
    from minbert.runs.findings import on_one_line

    line = on_one_line(text[: 4 * width])
    if len(text) <= 4 * width and count_places(line) <= width:
        return line
    end = min(len(line), width - 4)
    while count_places(line[:end]) > width - 4:
        end -= 1
    space = line.rfind(" ", end // 2, end + 1)
    return line[: end if space < 0 else space].rstrip() + " ..."


def compare(job, reader):
    """The cosine of each pair, shown or written, and how well it ranks them. Returns what --json shows."""
    from minbert import similarity
    from minbert.runs import report

    cosines, labels, found = [], [], []
    with result(job.out) if job.out else nullcontext() as file:
        write = report.csv_writer(file, job.excel_safe) if job.out else None
        if write:
            write(["row", "cosine", *["label"] * bool(job.label_column), "text", "pair"])
        for window, watch in reader.windows():
            first = reader.vectors([row.text for row in window], bar=watch)
            second = reader.vectors([row.beside[0] for row in window])
            for row, value in zip(window, similarity.cosine_of_pairs(first, second).tolist()):
                pair, *label = row.beside
                label = [float(cell) for cell in label]
                cosines.append(value)
                labels += label
                if write:
                    write([row.number, rounded(value), *label, row.text, pair])
                if job.json:
                    found.append({"row": row.number, "cosine": rounded(value)} | ({"label": label[0]} if label else {}))
                elif not job.label_column and not job.out:
                    half = (WIDTH - 12) // 2
                    print(f"{value:7.3f}  {shorten(row.text, half)}  /  {shorten(pair, half - 4)}")
    rho = rank_correlation(cosines, labels) if job.label_column else None
    if job.label_column and not job.json:
        said = "none, as one side is constant" if rho is None else f"{rho:.4f}"
        print(f"{len(cosines)} pairs: Spearman of the cosine with {job.label_column} {said}")
    facts = {"count": len(cosines), "left_out": reader.bad.count}
    facts |= {"spearman": rho} if job.label_column else {}
    return facts | {"pairs": found}


def rank_correlation(cosines, labels):
    """Spearman's rank correlation, or None if one side is constant."""
    from minbert.metrics import spearman

    return spearman(labels, cosines)


def main(arguments):
    run(check(common.parse("similar", __doc__, flags, arguments)))
