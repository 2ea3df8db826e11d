"""Make a BERT or a GPT-2 from text: learn a vocabulary, then train a language model, on a laptop or a GPU.

    python pretrain_lm.py --text reviews.txt.gz --minutes 60 --out checkpoints/mine
                                                            a small BERT of your own; the file has one text per line
    python pretrain_lm.py --text FILE ... --teacher all-MiniLM-L6-v2
                                                            the same, taught by a bigger encoder: better, and sooner
    python pretrain_lm.py --text FILE ... --model bert-base-uncased --minutes 60
                                                            train a BERT further, on the texts of your field
    python pretrain_lm.py --family gpt2 --text FILE ...
                                                            a small GPT-2, for `minbert generate`
    python pretrain_lm.py --resume checkpoints/mine         resume a run that was stopped

When the run is done, the folder (--out) is a model like any other: train and probe take it as --model checkpoints/mine.
A run saves its state there ten times on the way, every few minutes, and when Ctrl-C or SIGTERM stops it.
Exit status: 0 done, 2 a mistake that you can fix, with the reason, 130 or 143 stopped.
"""

from dataclasses import dataclass, fields
from pathlib import Path

from minbert.commands import common
from minbert.config import Config
from minbert.errors import UserError
from minbert.jsonfile import read_json
from minbert.pretraining.settings import Settings
from minbert.shell import advice, quote

SIZES = {"layers": 4, "hidden": 256, "heads": None, "vocab_size": 8000}  # of a new model
FAMILIES = "bert", "gpt2"
LEAST = 257  # tokens of a GPT-2
BERTS = "cased", "teacher", "inherit", "mask", "whole_words", "next_sentence"  # flags that a GPT-2 has no use for
LEARNING_RATES = {"new": 1e-3, "old": 1e-4}  # of a new model, of one that has learnt or inherited


def flags(parser):
    amount, share = common.number(float, 0.0, wanted="0 or more"), common.number(float, 0.0, 1.0, "from 0 to below 1")
    default = Settings()
    add = parser.add_argument_group("text").add_argument
    add("--text", nargs="+", metavar="FILE", help="UTF-8, plain or gzipped, one text per line; read again and again")
    add("--exclude", nargs="+", metavar="FILE", default=[], help="leave out texts that repeat one in these files")
    add(
        "--vocab_size",
        type=common.number(int, 10, 32_001, "from 10 to 32000"),
        metavar="N",
        help=f"size of the new vocabulary: WordPiece, or byte-level BPE for a GPT-2; default: {SIZES['vocab_size']}",
    )
    add("--cased", action="store_true", help="keep capital letters and accents")
    add = parser.add_argument_group("model").add_argument
    add("--family", choices=FAMILIES, help="of a new model; bert fills in hidden words, gpt2 continues; default: bert")
    for name, text in (("layers", "layers"), ("hidden", "hidden size"), ("heads", "attention heads")):
        usual = SIZES[name] or "hidden size / 64, or what divides it"
        add(f"--{name}", type=common.natural, metavar="N", help=f"{text}; default: {usual}")
    add(
        "--max_length",
        type=common.number(int, 8, wanted="8 or more"),
        default=default.max_length,
        metavar="N",
        help="tokens that the model can read at once; default: %(default)s",
    )
    add("--dropout", type=share, default=0.0, metavar="P", help="dropout in this run; default: %(default)s")
    add("--model", metavar="NAME", help="train this model further, with its sizes and vocabulary")
    add("--teacher", metavar="NAME", help="also learn from this bigger encoder")
    add(
        "--inherit",
        action="store_true",
        help="copy the teacher's first layers and the embeddings of its tokens that are commonest in the text; the new "
        "head learns five times as fast as these",
    )
    add = parser.add_argument_group("training").add_argument
    add(
        "--minutes",
        type=common.number(float, 0.01, wanted="0.01 or more"),
        metavar="M",
        help="train this long; default: 30",
    )
    add(
        "--steps",
        type=common.natural,
        metavar="N",
        help="train for N steps instead of --minutes: the same result on every run",
    )
    add(
        "--mask",
        type=common.number(float, 0.01, 1.0, "from 0.01 to below 1"),
        metavar="P",
        help=f"the share of the tokens to predict; default: {default.mask}",
    )
    add("--whole_words", action="store_true", help="hide all pieces of a word together")
    add("--next_sentence", action="store_true", help="also learn whether one text follows another")
    add(
        "--short",
        type=common.number(float, 0.0, 1.01, "from 0 to 1"),
        default=default.short,
        metavar="P",
        help="the share of the run with rows a quarter as long: cheaper, but the later positions learn only in "
        "the rest; default: %(default)s",
    )
    add(
        "--batch_tokens",
        type=common.natural,
        default=default.batch_tokens,
        metavar="N",
        help="tokens in a batch; default: %(default)s",
    )
    add(
        "--lr",
        type=common.number(float, 1e-12, 10.0, "above 0 and below 10"),
        metavar="RATE",
        help=f"the highest learning rate; default: {LEARNING_RATES['new']}, "
        f"with --model or --inherit {LEARNING_RATES['old']}",
    )
    add("--weight_decay", type=amount, default=default.weight_decay, metavar="X", help="default: %(default)s")
    add(
        "--warmup",
        type=share,
        default=default.warmup,
        metavar="P",
        help="the share of the run in which the rate rises; default: %(default)s",
    )
    add(
        "--precision",
        choices=("fp32", "bf16"),
        default=default.precision,
        help="bf16 is faster on GPUs and on CPUs with native bfloat16; default: %(default)s",
    )
    add("--seed", **common.SEED)
    add("--device", **common.DEVICE)
    add("--plain", **common.PLAIN)
    add = parser.add_argument_group("output").add_argument
    add("--out", metavar="FOLDER", help="a new or empty folder; default: runs/pretrained")
    add("--half", action="store_true", help="store the weights as float16: half the size")
    add(
        "--int8",
        action="store_true",
        help="store the matrices in 8 bits: a quarter of the size; only minbert reads them, as float32",
    )
    add(
        "--save_minutes",
        type=amount,
        default=10.0,
        metavar="X",
        help="save the state of the run every X minutes, and ten times on the way; default: %(default)s",
    )
    add("--resume", metavar="FOLDER", help="resume the stopped run in FOLDER; takes no other flag")


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    arguments: dict  # all flags but --resume, as pretraining.json holds them
    folder: Path  # of the results
    device: object  # torch.device
    settings: Settings
    config: Config | None  # the sizes of a new model
    how_to_resume: str  # a command line
    # as the flags of the same names say
    text: list
    exclude: list
    cased: bool
    family: str
    model: str | None
    teacher: str | None
    inherit: bool
    next_sentence: bool
    dropout: float
    seed: int
    plain: bool
    half: bool
    int8: bool
    save_minutes: float
    resume: str | None

    def swap(self, model):
        """The twin of a model or a tokenizer, unless --plain was given."""
        from minbert import fast

        return model if self.plain else fast.swap_in(model)


def check(args):
    """Refuse everything that can be refused before the work begins. Returns the Job."""
    from minbert.runs import report, selftest

    if args.resume:
        args = resume(args)
    else:
        complete(args)
    folder, device = Path(args.out), selftest.pick_device(args.device)
    if not args.resume:
        check_text(args)
        check_folder(folder)
        check_models(args)
    config = None if args.model else new_config(args)
    selftest.self_test(device, args.precision)
    given = {field.name: getattr(args, field.name, None) for field in fields(Job)}
    decided = {
        "arguments": {name: value for name, value in vars(args).items() if name != "resume"},
        "folder": folder,
        "device": device,
        "settings": Settings(
            **{field.name: getattr(args, field.name) for field in fields(Settings) if hasattr(args, field.name)}
        ),
        "config": config,
        "how_to_resume": advice("pretrain", "--resume", report.short(folder)),
    }
    return Job(**given | decided)


def complete(args):
    """Refuse flags that contradict each other, and fill in what follows from the others."""
    if not args.text:
        raise UserError("--text is missing: name a file of texts, one a line")
    if args.minutes and args.steps:
        raise UserError("--minutes and --steps are two budgets: give one")
    args.minutes = args.minutes or (None if args.steps else 30.0)
    if args.model:
        for name in ("family", *SIZES, "cased"):
            if getattr(args, name):
                raise UserError(f"--{name} is settled by {quote('--model', args.model)}: leave one of them out")
    if args.inherit:
        for name in ("hidden", "heads", "cased", "model"):
            if getattr(args, name):
                raise UserError(
                    f"--inherit starts a new model with the sizes and capitals of the teacher: leave --{name} out"
                )
        if not args.teacher:
            raise UserError("--inherit needs a teacher to inherit from: name one with --teacher")
    args.family = args.family or (its_family(args.model) if args.model else "bert")
    if args.family == "gpt2":
        for name in BERTS:
            if getattr(args, name):
                raise UserError(f"--{name} is for a BERT, not for a GPT-2, which learns each next token: leave it out")
        if args.vocab_size and args.vocab_size < LEAST:
            raise UserError(f"--vocab_size: a GPT-2's is at least {LEAST}, for 256 bytes and the end of a text")
    else:
        args.mask = args.mask or Settings().mask
    if args.half and args.int8:
        raise UserError("--half and --int8 are two ways to store the weights: give one")
    args.lr = args.lr or LEARNING_RATES["old" if args.model or args.inherit else "new"]
    args.out = args.out or "runs/pretrained"


def its_family(name):
    """The family of a named model. Raises UserError if it cannot go on learning here."""
    from minbert.weights import hub

    directory = hub.find(name)
    kind = read_json(directory / "config.json").get("model_type")
    if kind in FAMILIES:
        return kind
    Config.from_json(directory / "config.json")  # refuses what is no BERT, in words
    return "bert"


def resume(args):
    """The arguments the resumed run was started with."""
    from minbert.pretraining.record import PACKED, RECORD, read_record, tidy
    from minbert.runs.state import STATE

    folder, defaults = Path(args.resume), common.parse("pretrain", __doc__, flags, [])
    given = [f"--{name}" for name, value in vars(args).items() if value != getattr(defaults, name)]
    if len(given) > 1:
        given.remove("--resume")
        raise UserError(f"--resume goes on as the run began: leave out {', '.join(given)}")
    record = read_record(folder)
    if record is None:
        raise UserError(f"{folder} holds no {RECORD}: no run of pretrain_lm.py began there")
    if record["finished"]:
        tidy(folder)  # it may have been killed before it could do so
        raise UserError(f"the run in {folder} is done; go on with {quote('--model', folder, '--text', 'FILE')}")
    missing = [name for name in (STATE, *PACKED) if not (folder / name).exists()]
    if STATE in missing:
        raise UserError(f"the run in {folder} was stopped before it first saved its state: begin again")
    if missing:
        raise UserError(f"{folder} has lost {' and '.join(missing)}: begin again in another folder")
    args.family = "bert"  # which runs of an earlier version do not say
    for name, value in record["arguments"].items():
        setattr(args, name, value)
    args.out = args.resume  # wherever it was when the run began
    return args


def check_text(args):
    """Raise UserError if a file of texts is not there."""
    for path in [*args.text, *args.exclude]:
        if not Path(path).is_file():
            reason = "is a folder; name a file in it" if Path(path).is_dir() else "there is no such file"
            raise UserError(f"{path}: {reason}")


def check_folder(folder):
    """Raise UserError if a new run would write over something."""
    from minbert.pretraining.record import read_record
    from minbert.runs.state import STATE

    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, not a folder")
    record = read_record(folder)
    if record and not record["finished"]:
        if (folder / STATE).exists():
            ways = f"go on with {quote('--resume', folder)}, or delete it to begin again"
            raise UserError(f"{folder} holds a stopped run: {ways}")
    elif folder.exists() and any(path.suffix != ".new" for path in folder.glob("[!.]*")):  # .new: of a killed run
        raise UserError(f"{folder} is not empty, and would be written over: name another folder with --out")


def check_models(args):
    """Raise UserError for a model or a teacher that cannot be used."""
    from minbert.families import gpt2
    from minbert.tokenizer import SPECIAL
    from minbert.weights import hub

    for name in filter(None, (args.model, args.teacher)):
        directory = hub.find(name)
        config_class = gpt2.CONFIG if args.family == "gpt2" else Config
        config = config_class.from_json(directory / "config.json")
        tokenizer = common.load_tokenizer(name, directory, config)
        if args.inherit and set(tokenizer.added) - set(SPECIAL):
            raise UserError(
                f"--inherit: {name} has added tokens, or special ones with other names than {' '.join(SPECIAL)}"
            )
        if name == args.model or args.inherit:
            common.fits(args.max_length, name, config)
        if args.inherit:
            for flag, most in (("layers", config.num_hidden_layers), ("vocab_size", config.vocab_size)):
                if (getattr(args, flag) or SIZES[flag]) > most:
                    raise UserError(f"--{flag}: {name} has {most} to inherit, not {getattr(args, flag) or SIZES[flag]}")


def new_config(args):
    """The sizes of a new model."""
    if args.inherit:
        from minbert.weights import hub

        return Config.from_json(hub.find(args.teacher) / "config.json").change(
            vocab_size=args.vocab_size or SIZES["vocab_size"],
            num_hidden_layers=args.layers or SIZES["layers"],
            max_position_embeddings=args.max_length,
            pooling="pooler" if args.next_sentence else "mean",
            hidden_dropout_prob=args.dropout,
            attention_probs_dropout_prob=args.dropout,
        )
    hidden = args.hidden or SIZES["hidden"]
    sizes = {
        "vocab_size": args.vocab_size or SIZES["vocab_size"],
        "hidden_size": hidden,
        "num_hidden_layers": args.layers or SIZES["layers"],
        "num_attention_heads": args.heads or next(n for n in range(max(1, hidden // 64), 0, -1) if hidden % n == 0),
        "intermediate_size": 4 * hidden,
        "max_position_embeddings": args.max_length,
        "hidden_dropout_prob": args.dropout,
        "attention_probs_dropout_prob": args.dropout,
    }
    if args.family == "gpt2":
        from minbert.families.gpt_config import GPT2Config

        end = sizes["vocab_size"] - 1  # <|endoftext|> is the last token
        return GPT2Config(**sizes, embedding_dropout_prob=args.dropout, eos_token_id=end, bos_token_id=end)
    return Config(**sizes, pooling="pooler" if args.next_sentence else "mean")  # a pooler is trained by its task alone


def run(job):
    """Text -> a vocabulary and packed ids -> a trained model; all of it in job.folder."""
    from minbert.fast.memory import retain_freed_memory
    from minbert.pretraining import stages
    from minbert.runs import report, state
    from minbert.training import set_seed

    retain_freed_memory()
    set_seed(job.seed)
    report.header(job.device)
    with state.claim(job.folder):
        with stages.clearing(job.folder):
            tokenizer, text = stages.prepared(job) if job.resume else stages.prepare(job)
            objective = stages.build(job, tokenizer)
            stages.write_record(job, text)
            history = stages.train(job, objective, tokenizer)
        stages.finish(job, objective.model, text, history)
    folder = report.short(job.folder)
    report.say("use it: " + advice("train", "--model", folder, "--train", "FILE", "--dev", "FILE"))
    command, way = stages.KINDS[job.family].TRY
    report.say("        " + advice(command, "--model", folder, *way))


def main(arguments):
    run(check(common.parse("pretrain", __doc__, flags, arguments)))
