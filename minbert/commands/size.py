"""How large a model is: its parameters, the memory that it takes, FLOPs for a token, and hours to train it.

    minbert size bert-base-uncased --head classifier    a published model, by its name
    minbert size mt-nlg-530b --devices 2240 --recompute    the time of its training, on 2,240 A100
    minbert size runs/stance                            a folder of yours, or its config.json; of a trained classifier
                                                        the head counts, too, as training counted it
    minbert size gpt2 --formulas                        each formula in words, too, and where it is from
    minbert size                                        all published models that it knows

Each line shows its formula as minbert computes it, in letters that --formulas explains. Nothing is downloaded.

Memory is for training with AdamW, without what the libraries take. --precision bf16, the default, is mixed precision as
it is usual for large models, and stands for 16-bit numbers of other kinds, too. GB are 10^9 bytes.

Hours need the number of tokens to train on: --tokens, or what a published model learnt from. Then they follow from the
devices, their peak, and the part of the peak that is reached. The default of 0.3 is what MT-NLG reached.

Exit status: 0 done, 2 a mistake that you can fix, with the reason.
"""

import argparse
import difflib
import json
import math
import textwrap
from dataclasses import asdict, dataclass
from pathlib import Path

from minbert import cost, published, shipped, size
from minbert.commands import common
from minbert.errors import UserError
from minbert.wording import counted

HEADS = ("none", "classifier", "words")
TITLE, FORMULA, VALUE = 22, 36, 18  # places of a line's parts: 80 with their gaps


def positive(text):
    """A parser of numbers above 0, of any size, for argparse: 300e9, say."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


positive.__name__ = "number"


def hardware(text):
    """A key of HARDWARE, or TFLOPs a second, for argparse."""
    if text.lower() in cost.HARDWARE:
        return text.lower()
    try:
        return positive(text)
    except (ValueError, argparse.ArgumentTypeError):
        known = ", ".join(cost.HARDWARE)
        raise argparse.ArgumentTypeError(f"{text} is neither one of {known} nor a number of TFLOPs a second") from None


def flags(parser):
    add = parser.add_argument
    add("model", nargs="?", metavar="NAME|CONFIG", help="a published model, a folder or a config.json; default: list "
        "the published ones")  # fmt: skip
    add("--head", choices=HEADS, help="head of the model; default: that of a trained run; or else "
        "words if it generates text, or none")  # fmt: skip
    add(
        "--labels",
        type=common.natural,
        metavar="N",
        help="classes of a classifier; default: what its config says, or 2",
    )
    add("--batch_size", type=common.natural, default=16, metavar="N", help="texts in a batch; default: %(default)s")
    add("--max_length", type=common.natural, metavar="N", help="tokens of a text; default: the most that it reads")
    add("--precision", choices=cost.WIDTHS, default="bf16", help="default: %(default)s")
    add("--recompute", action="store_true", help="compute layers once more in the backward pass, and keep their inputs")
    add("--stored_attention", action="store_true", help="count stored attention weights, as plain code has them; "
        "without it, attention is fused, as in minbert's fast code and FlashAttention")  # fmt: skip
    add("--tokens", type=positive, metavar="N", help="tokens to train on, 300e9, say; an epoch counts each once")
    add("--hardware", type=hardware, default="a100", metavar="NAME|TFLOPS", help="v100, a100, h100, or the TFLOPs a "
        "second that a device computes at its peak; default: %(default)s")  # fmt: skip
    add("--devices", type=common.natural, default=1, metavar="N", help="default: %(default)s")
    add("--utilisation", type=positive, default=cost.UTILISATION, metavar="PART", help="the part of the peak that is "
        "reached; default: %(default)s, MT-NLG's")  # fmt: skip
    add("--formulas", action="store_true", help="explain letters and formulas, with their sources")
    add("--json", action="store_true", help="print everything as JSON on standard output, and nothing else")


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins. sizes: None: list the published models"""

    name: str | None = None
    sizes: size.Sizes | None = None
    known: published.Published | None = None
    head: str = ""
    batch: int = 0
    length: int = 0  # tokens of a text
    tokens: float | None = None
    device: str = ""  # in words
    peak: float = 0
    memory: float | None = None  # of a device, in bytes
    precision: str = "bf16"
    recompute: bool = False
    fused: bool = True
    devices: int = 1
    utilisation: float = 1
    formulas: bool = False
    json: bool = False
    trained: int | None = None  # parameters that minbert train has counted


def check(args):
    """Refuse everything that can be refused before the work begins. Returns the Job."""
    if args.model is None:
        return Job(json=args.json)
    if args.utilisation > 1:
        raise UserError(f"--utilisation is {args.utilisation:g}, but it is a part of the peak: 1 at most")
    name, sizes, known = find(args.model)
    trained = counted_by_training(args.model)
    head = args.head or ("classifier" if trained else "words" if sizes.writes else "none")
    if args.labels:
        if head != "classifier":
            raise UserError(f"--labels is for --head classifier, not for --head {head}")
        sizes = size.Sizes(**asdict(sizes) | {"C": args.labels})
    size.lines_of(sizes, head)
    longest = sizes.most or sizes.P
    if args.max_length and args.max_length > longest:
        raise UserError(f"--max_length is {args.max_length}, but {name} has {longest} positions")
    if args.hardware in cost.HARDWARE:
        device, memory = args.hardware.upper(), cost.HARDWARE[args.hardware].memory
        peak = cost.HARDWARE[args.hardware].peak[args.precision]
    else:
        device, memory, peak = "device", None, args.hardware * 1e12
    return Job(
        name=name,
        sizes=sizes,
        known=known,
        head=head,
        batch=args.batch_size,
        length=args.max_length or longest,
        tokens=args.tokens or (known and known.tokens),
        device=device,
        peak=peak,
        memory=memory,
        precision=args.precision,
        recompute=args.recompute,
        fused=not args.stored_attention,
        devices=args.devices,
        utilisation=args.utilisation,
        formulas=args.formulas,
        json=args.json,
        trained=trained,
    )


def find(name):
    """A name, a folder or a config.json -> the name to show, Sizes, Published or None. Raises UserError if there is
    none, or if the config's family has no formulas."""
    path, here = Path(name), shipped.folder("checkpoints") / name
    if not path.exists():
        if found := published.find(name):
            return found[0], found[1].sizes, found[1]
        if "/" in name or not (here / "config.json").exists():
            names = [*published.PUBLISHED, *published.ALIASES]
            close = difflib.get_close_matches(name.rpartition("/")[2].lower(), names, n=3, cutoff=0.5)
            meant = f"; did you mean {' or '.join(close)}?" if close else ""
            nowhere = f"{name} is no folder or config.json, and not among the published models{meant}"
            raise UserError(f"{nowhere} (minbert size lists them)")
        path = here
    return name, size.of(read(path / "config.json" if path.is_dir() else path)), None


def counted_by_training(name):
    """How many parameters the record of a run in a folder counts; None where there is none."""
    from minbert.jsonfile import read_json

    record = Path(name) / "run.json"
    known = read_json(record) if record.is_file() else {}
    return known.get("model", {}).get("parameters", {}).get("in all")


def read(path):
    """A file like config.json -> the Config of its family"""
    from minbert.families import FAMILIES
    from minbert.jsonfile import quoted, read_json

    kind = read_json(path).get("model_type") or "bert"  # early files of BERT do not say it
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise UserError(f"{path}: model_type is {quoted(kind)}, but minbert knows {', '.join(FAMILIES)}")
    return FAMILIES[kind].CONFIG.from_json(path)


@dataclass(frozen=True)
class Table:
    """Some rows under a title. unit: a key of UNITS"""

    title: str
    unit: str
    rows: list
    add_up: bool = True


UNITS = {  # a value as it is shown
    "": lambda value: f"{value:,.0f}",
    "GB": lambda value: f"{value / 1e9:,.3f} GB",
    "billion": lambda value: f"{value / 1e9:,.3f} billion",
    "time": lambda value: f"{value:,.2f}" if value >= 1 else f"{value:.4f}",
}


def tables(job):
    """All that is computed about a model."""
    sizes, head, where = job.sizes, job.head, f"{counted(job.batch, 'text')} of {counted(job.length, 'token')}"
    batch = (sizes, head, job.batch, job.length, job.precision)
    forward, training = cost.flops(sizes, head, job.length, job.recompute)
    found = [
        Table(f"Parameters, head: {head}", "", size.parameters(sizes, head)),
        Table(f"Memory to train in {job.precision}, {where}", "GB",
              cost.training_memory(*batch, recompute=job.recompute, fused=job.fused)),
        Table(f"Memory to predict in {job.precision}, {where}", "GB", cost.prediction_memory(*batch, fused=job.fused)),
        Table(f"FLOPs of a token, forward, in a text of {job.length}", "billion", forward),
        Table("FLOPs of a token, training", "billion", training),
    ]  # fmt: skip
    if job.tokens:
        rows = cost.duration(job.tokens, size.total(training), job.devices, job.peak, job.utilisation)
        what = f"{job.tokens:,.0f} tokens on {job.devices:,} x {job.device}"
        reached = f"{job.utilisation:.1%} of {job.peak / 1e12:g} TFLOPs"
        found.append(Table(f"Time for {what}, {reached}", "time", rows, add_up=False))
    if job.memory:
        rows = [cost.fewest_devices(sizes, head, job.memory)]
        found.append(Table(f"Devices of {job.memory / 1e9:g} GB", "", rows, add_up=False))
    return found


def show(job):
    """A model's tables, in 80 columns."""
    known, wide = job.known, TITLE + FORMULA + VALUE + 4
    number = size.total(size.parameters(job.sizes, job.head))
    unused = {letter for letter, used in (("S", job.sizes.S), ("C", job.head == "classifier")) if not used}
    letters = ", ".join(f"{letter}={value}" for letter, value in job.sizes.letters.items() if letter not in unused)
    print(*textwrap.wrap(f"{job.name}: {letters}", wide, subsequent_indent="  "), sep="\n")
    if known and known.parameters:
        off = f"{known.parameters / number - 1:+.1%} from the count below" if job.head in ("none", "words") else ""
        print(*textwrap.wrap(f"published: {known.parameters:,.0f} parameters ({known.source}) {off}", wide), sep="\n")
    if job.trained and job.trained != number:
        other = "a head of another kind, or weights beside it, are not in the count below"
        said = f"minbert train counted {job.trained:,} parameters in this run, as run.json says: {other}"
        print(*textwrap.wrap(said, wide), sep="\n")
    if known and job.tokens == known.tokens and known.tokens:
        print(*textwrap.wrap(f"learnt from {known.tokens:,.0f} tokens ({known.lesson})", wide), sep="\n")
    for table in tables(job):
        print()
        written = UNITS[table.unit]
        value = written(size.total(table.rows)) if table.add_up else ""
        *more, title = textwrap.wrap(table.title, wide if not value else wide - VALUE - 1)
        print(*more, f"{title:<{wide - VALUE - 1}} {value:>{VALUE}}".rstrip(), sep="\n")
        for row in table.rows:
            first, *more = textwrap.wrap(row.formula, FORMULA)
            print(f"  {row.title:<{TITLE}} {first:<{FORMULA}} {written(row.value):>{VALUE}}")
            for line in more:
                print(f"  {'':<{TITLE}} {line}")
            if job.formulas:
                print(*textwrap.wrap(row.words, wide, initial_indent="      ", subsequent_indent="      "), sep="\n")
    if job.formulas:
        print("\nLetters")
        for letter, words in size.LETTERS.items():
            print(f"  {letter}  {words}")
        print("\nSources")
        for number, source in enumerate(cost.SOURCES, 1):
            print(
                *textwrap.wrap(f"[{number}] {source}", wide, initial_indent="  ", subsequent_indent="      "), sep="\n"
            )
    elif not job.tokens:
        print("\n--tokens N adds the hours of a training, --formulas explains.")


def facts(job):
    """The same for --json."""
    found = [
        {"title": table.title, "unit": "bytes" if table.unit == "GB" else ""}
        | ({"total": size.total(table.rows)} if table.add_up else {})
        | {"rows": [row._asdict() for row in table.rows]}
        for table in tables(job)
    ]
    known = job.known and {key: value for key, value in asdict(job.known).items() if key != "sizes"}
    return {
        "name": job.name,
        "family": job.sizes.family,
        "letters": job.sizes.letters,
        "published": known,
        "tables": found,
    }


def overview():
    """The published models: [{name, family, parameters, published, source}, ...]"""
    for name, known in published.PUBLISHED.items():
        head = "words" if known.sizes.writes else "none"
        number = size.total(size.parameters(known.sizes, head))
        family = {"family": known.sizes.family, "layers": known.sizes.L, "width": known.sizes.D}
        yield {"name": name, **family, "parameters": number, "published": known.parameters, "source": known.source}


def run(job):
    """Print one model's tables, or all models."""
    if job.json:
        print(json.dumps(facts(job) if job.sizes else list(overview()), indent=2))
    elif job.sizes:
        show(job)
    else:
        print("Parameters as they are counted here, and in millions as published\n")
        print(f"{'name':<34} {'L':>4} {'D':>6} {'parameters':>17} {'published':>14}")
        for row in overview():
            said = f"{row['published'] / 1e6:,.1f}" if row["published"] else ""
            sizes = f"{row['layers']:>4} {row['width']:>6} {row['parameters']:>17,}"
            print(f"{row['name']:<34} {sizes} {said:>14}".rstrip())


def main(arguments):
    run(check(common.parse("size", __doc__, flags, arguments)))
