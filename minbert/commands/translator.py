"""minbert translate --train: make a translator from pairs of texts. The flags and the manual are in translate.py."""

import signal
from dataclasses import dataclass
from pathlib import Path

from minbert.commands import common
from minbert.errors import Stopped, UserError
from minbert.shell import advice

DEFAULTS = {  # flags of training
    **{"epochs": 10, "batch_size": 64, "lr": 2e-3, "warmup": 0.1, "dropout": 0.1},
    **{"vocab_size": 4000, "layers": 2, "hidden": 128, "heads": 4, "max_length": 128},
}
OTHERS = ("train", "dev", "resume", "half", "int8", "save_minutes", *DEFAULTS)  # no value: for training alone
SETTLED = ("text_column", "pair_column", "out", "seed", "device", "format", "no_header", "encoding", "quoting", "plain")
COLUMNS = {"text_column": "source", "pair_column": "target"}  # of the pairs, if no flag names others
FOLDER = "runs/translator"


def flags(parser):
    share = common.number(float, 0, 1, "from 0 to below 1")
    add = parser.add_argument_group("training").add_argument
    add("--train", metavar="FILE", help="pairs to learn from: a table with columns source and target, or others by "
        "--text_column and --pair_column; --out is then a folder, default: " + FOLDER)  # fmt: skip
    add("--dev", metavar="FILE", help="more pairs, to see how well it goes")
    add("--vocab_size", type=common.natural, metavar="N", help="pieces for each language, at most; "
        f"default: {DEFAULTS['vocab_size']}")  # fmt: skip
    for name, text in (("layers", "layers of each stack"), ("hidden", "hidden size"), ("heads", "attention heads")):
        add(f"--{name}", type=common.natural, metavar="N", help=f"{text}; default: {DEFAULTS[name]}")
    add("--dropout", type=share, metavar="P", help=f"default: {DEFAULTS['dropout']}")
    add("--epochs", type=common.natural, metavar="N", help=f"default: {DEFAULTS['epochs']}")
    add("--batch_size", type=common.natural, metavar="N", help=f"pairs in a batch; default: {DEFAULTS['batch_size']}")
    add("--lr", type=common.number(float, 1e-12, 10.0, "above 0 and below 10"), metavar="RATE",
        help=f"the highest learning rate; default: {DEFAULTS['lr']}")  # fmt: skip
    add("--warmup", type=share, metavar="P", help="the share of the run in which the rate rises; default: "
        f"{DEFAULTS['warmup']}")  # fmt: skip
    add("--seed", **common.SEED)
    add("--half", action="store_true", help="store the weights as float16: half the size")
    add("--int8", action="store_true", help="store the matrices in 8 bits: a quarter of the size, for minbert alone")
    add("--save_minutes", type=common.number(float, 0, wanted="0 or more"), metavar="X",
        help="save the state of the run after each epoch and every X minutes; default: 10")  # fmt: skip
    add("--resume", metavar="FOLDER", help="resume the stopped run in FOLDER; takes no other flag")


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    arguments: dict  # the flags, as translation.json holds them
    folder: Path  # of the results
    device: object  # torch.device
    settings: object  # training.Settings
    how_to_resume: str  # a command line
    # as the flags of the same names say
    train: str
    dev: str | None
    text_column: str
    pair_column: str
    format: str | None
    no_header: bool
    encoding: str | None
    quoting: str | None
    vocab_size: int
    layers: int
    hidden: int
    heads: int
    max_length: int
    dropout: float
    seed: int
    plain: bool
    half: bool
    int8: bool
    save_minutes: float
    resume: str | None


def check(args, unset):
    """Refuse everything that can be refused before the work begins. Returns the Job.

    unset  the flags as they are where none is given
    """
    given = [name for name, value in vars(args).items() if value != getattr(unset, name)]
    if args.resume and given != ["resume"]:
        others = ", ".join(f"--{name}" for name in given if name != "resume")
        raise UserError(f"--resume goes on as the run began: leave out {others}")
    if foreign := [name for name in given if name not in (*OTHERS, *SETTLED)]:
        raise UserError(f"--{foreign[0]} is for translating: leave it out with --train")
    if args.half and args.int8:
        raise UserError("--half and --int8 are two ways to store the weights: give one")

    from minbert.pretraining import translator_stages as stages
    from minbert.runs import report, selftest
    from minbert.training import Settings

    if args.resume:
        folder, values = Path(args.resume), stages.resumed(Path(args.resume))
    else:
        folder, values = Path(args.out or FOLDER), {name: getattr(args, name) for name in (*OTHERS, *SETTLED)}
        values |= {name: value for name, value in (DEFAULTS | COLUMNS).items() if values[name] is None}
        values |= {"save_minutes": 10.0} if values["save_minutes"] is None else {}
        stages.check_folder(folder)
    if values["hidden"] % values["heads"] or values["hidden"] % 2:
        raise UserError(f"--hidden is {values['hidden']}, but must be even and {values['heads']} heads must divide it")
    for name in ("train", "dev"):
        if values[name]:
            common.readable(values[name])
    device = selftest.pick_device(values["device"])
    selftest.self_test(device, "fp32")
    chosen = {name: values[name] for name in ("epochs", "batch_size", "lr", "warmup", "seed")}
    decided = {
        "arguments": {name: value for name, value in values.items() if name not in ("out", "resume")},
        "folder": folder,
        "device": device,
        "settings": Settings(**chosen),
        "how_to_resume": advice("translate", "--resume", report.short(folder)),
        "resume": args.resume,
    }
    fields = {name: value for name, value in values.items() if name in Job.__dataclass_fields__}
    return Job(**fields | decided)


def run(job):
    """Pairs -> pieces and ids -> a trained translator; all of it in job.folder."""
    from minbert.fast.memory import retain_freed_memory
    from minbert.pretraining import translator_stages as stages
    from minbert.runs import report, state
    from minbert.training import set_seed

    retain_freed_memory()
    set_seed(job.seed)
    report.header(job.device)
    with state.claim(job.folder):
        try:
            tokenizer, data, facts = stages.prepare(job)
            model = stages.build(job, tokenizer)
            stages.write_record(job, facts)
            history = stages.train(job, model, data)
        except KeyboardInterrupt:  # not one that training has noted
            raise Stopped(signal.SIGINT, stages.stopped_early(job)) from None
        stages.finish(job, model, facts, history)
    folder = report.short(job.folder)
    report.say("use it: " + advice("translate", "--model", folder, "--sentence", facts["first"]))
