"""Make a BERT from text: a vocabulary, then masked-language-model training, on a laptop or a GPU.

    python pretrain_lm.py --text reviews.txt.gz --minutes 60 --out checkpoints/mine
                                                            a small BERT of your own, from texts, one a line
    python pretrain_lm.py --text FILE ... --teacher all-MiniLM-L6-v2
                                                            the same, taught by a bigger encoder: better sooner
    python pretrain_lm.py --text FILE ... --model bert-base-uncased --minutes 60
                                                            go on with a BERT, on the texts of your field
    python pretrain_lm.py --resume checkpoints/mine         go on with a run that was stopped

The folder (--out) is a model like any other when the run is done: --model checkpoints/mine in train_classifier.py and
probe_lm.py. Exit status: 0 done, 2 something you can put right, with the reason.
"""

import json
import platform
from contextlib import suppress
from pathlib import Path

import torch
from tqdm import tqdm

import minbert
from minbert import fast, training
from minbert.atomic import atomic_write
from minbert.bert import BertModel
from minbert.commands import common
from minbert.config import Config
from minbert.errors import UserError
from minbert.fast.memory import retain_freed_memory
from minbert.files.examples import read_examples
from minbert.format import FORMAT, KEY, check_format
from minbert.heads import BertForMaskedLM, BertForPreTraining
from minbert.pretraining import corpus, fit, objective, vocabulary
from minbert.pretraining.teacher import Teacher
from minbert.runs import plots, report, selftest, state
from minbert.runs.state import LOCK, STATE
from minbert.tokenizer import SPECIAL, BertTokenizer
from minbert.weights import hub

RECORD = "pretraining.json"
PACKED = ("train.ids", "heldout.ids")
SIZES = {"layers": 4, "hidden": 256, "heads": None, "vocab_size": 8000}  # of a new model
LEARNING_RATES = {"new": 1e-3, "old": 1e-4}  # of a new model, of one that has learnt already


def parse(arguments):
    parser = common.Parser("pretrain", __doc__)
    amount, share = common.number(float, 0.0, wanted="0 or more"), common.number(float, 0.0, 1.0, "from 0 to below 1")
    default = fit.Settings()
    add = parser.add_argument_group("text").add_argument
    add("--text", nargs="+", metavar="FILE", help="UTF-8, plain or gzipped, one text a line; read again and again")
    add("--exclude", nargs="+", metavar="FILE", default=[], help="leave out texts that repeat these: a test set's, say")
    add(
        "--vocab_size",
        type=common.number(int, 10, 32_001, "from 10 to 32000"),
        metavar="N",
        help=f"WordPiece tokens to learn; default: {SIZES['vocab_size']}",
    )
    add("--cased", action="store_true", help="keep capital letters and accents")
    add = parser.add_argument_group("model").add_argument
    for name, text in (("layers", "encoder layers"), ("hidden", "hidden size"), ("heads", "attention heads")):
        usual = SIZES[name] or "hidden size / 64, or what divides it"
        add(f"--{name}", type=common.natural, metavar="N", help=f"{text}; default: {usual}")
    add(
        "--max_length",
        type=common.number(int, 8, wanted="8 or more"),
        default=default.max_length,
        metavar="N",
        help="tokens that the model can read at once; default: %(default)s",
    )
    add("--dropout", type=share, default=0.0, metavar="P", help="while pretraining; default: %(default)s")
    add("--model", metavar="NAME", help="go on with this model, its sizes and its vocabulary, instead of a new one")
    add("--teacher", metavar="NAME", help="a bigger encoder to learn from as well")
    add = parser.add_argument_group("training").add_argument
    add("--minutes", type=common.number(float, 0.01, wanted="0.01 or more"), metavar="M", help="default: 30")
    add("--steps", type=common.natural, metavar="N", help="instead of --minutes: the same result on every run")
    add(
        "--mask",
        type=common.number(float, 0.01, 1.0, "from 0.01 to below 1"),
        default=default.mask,
        metavar="P",
        help="the share of the tokens to ask for; default: %(default)s",
    )
    add("--whole_words", action="store_true", help="hide words with all their pieces")
    add("--next_sentence", action="store_true", help="also learn whether one text follows another")
    add(
        "--short",
        type=common.number(float, 0.0, 1.01, "from 0 to 1"),
        default=default.short,
        metavar="P",
        help="the share of the run with rows a quarter as long: cheaper, but what is left must do to learn the later "
        "places; default: %(default)s",
    )
    add("--batch_tokens", type=common.natural, default=default.batch_tokens, metavar="N", help="default: %(default)s")
    add(
        "--lr",
        type=common.number(float, 1e-12, 10.0, "above 0 and below 10"),
        metavar="RATE",
        help=f"the highest; default: {LEARNING_RATES['new']}, with --model {LEARNING_RATES['old']}",
    )
    add("--weight_decay", type=amount, default=default.weight_decay, metavar="X", help="default: %(default)s")
    add("--warmup", type=share, default=default.warmup, metavar="P", help="a share of the run; default: %(default)s")
    add(
        "--precision",
        choices=("fp32", "bf16"),
        default=default.precision,
        help="bf16 is faster on GPUs and on processors that multiply it; default: %(default)s",
    )
    add(
        "--seed",
        type=common.number(int, 0, 2**32, "from 0 to 4294967295"),
        default=default.seed,
        metavar="N",
        help="default: %(default)s",
    )
    add("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="default: %(default)s")
    add = parser.add_argument_group("output").add_argument
    add("--out", metavar="FOLDER", help="new, or empty; default: runs/pretrained")
    add("--half", action="store_true", help="store the weights as float16: half the size")
    add("--resume", metavar="FOLDER", help="go on with the run that was stopped in FOLDER; with no other flag")
    args = parser.parse_args(arguments)
    if args.resume:
        given = [f"--{name}" for name, value in vars(args).items() if value != parser.get_default(name)]
        if len(given) > 1:
            given.remove("--resume")
            raise UserError(f"--resume goes on as the run began: leave out {', '.join(given)}")
        return resumed(args)
    if not args.text:
        raise UserError("--text is missing: name a file of texts, one a line")
    if args.minutes and args.steps:
        raise UserError("--minutes and --steps are two budgets: give one")
    args.minutes = args.minutes or (None if args.steps else 30.0)
    if args.model:
        for name in (*SIZES, "cased"):
            if getattr(args, name):
                raise UserError(f"--{name} is settled by --model {args.model}: leave one of them out")
    args.lr = args.lr or LEARNING_RATES["old" if args.model else "new"]
    args.out = args.out or "runs/pretrained"
    return args


def resumed(args):
    """The arguments with which the run began whose folder is to be resumed."""
    folder = Path(args.resume)
    record = read_record(folder)
    if record is None:
        raise UserError(f"{folder} holds no {RECORD}: no run of pretrain_lm.py began there")
    if record["finished"]:
        tidy(folder)  # it may have been killed before it could do so
        raise UserError(f"the run in {folder} is done; go on with --model {folder} --text FILE")
    missing = [name for name in (STATE, *PACKED) if not (folder / name).exists()]
    if STATE in missing:
        raise UserError(f"the run in {folder} was stopped before it first saved its state: begin again")
    if missing:
        raise UserError(f"{folder} has lost {' and '.join(missing)}: begin again in another folder")
    for name, value in record["arguments"].items():
        setattr(args, name, value)
    args.out = args.resume  # wherever it was when the run began
    return args


def check(args, folder):
    """Raise UserError for what a new run would fail of after the text has been read."""
    for path in [*args.text, *args.exclude]:
        if not Path(path).is_file():
            what = "is a folder; name a file in it" if Path(path).is_dir() else "there is no such file"
            raise UserError(f"{path}: {what}")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, not a folder")
    record = read_record(folder)
    if record and not record["finished"]:
        if (folder / STATE).exists():
            raise UserError(f"{folder} holds a stopped run: go on with --resume {folder}, or delete it to begin again")
    elif folder.exists() and any(path.suffix != ".new" for path in folder.glob("[!.]*")):  # .new: of a killed run
        raise UserError(f"{folder} is not empty, and would be written over: name another folder with --out")
    for name in filter(None, (args.model, args.teacher)):
        directory = hub.find(name)
        config = Config.from_json(directory / "config.json")
        common.load_tokenizer(name, directory, config)
        if name == args.model and args.max_length > config.max_position_embeddings:
            positions = f"{name} has {config.max_position_embeddings} positions"
            raise UserError(f"--max_length is {args.max_length}, but {positions}")
    if not args.model:
        new_config(args)


def new_config(args):
    """The sizes of a new model."""
    hidden = args.hidden or SIZES["hidden"]
    return Config(
        vocab_size=args.vocab_size or SIZES["vocab_size"],
        hidden_size=hidden,
        num_hidden_layers=args.layers or SIZES["layers"],
        num_attention_heads=args.heads or next(n for n in range(max(1, hidden // 64), 0, -1) if hidden % n == 0),
        intermediate_size=4 * hidden,
        max_position_embeddings=args.max_length,
        pooling="pooler" if args.next_sentence else "mean",  # a pooler is trained by its task alone
        hidden_dropout_prob=args.dropout,
        attention_probs_dropout_prob=args.dropout,
    )


def texts(args):
    """The texts to learn from, one at a time, and a count of those that repeat --exclude, [0], which grows."""
    left_out = [0]

    def stream():
        for text in corpus.read_texts(args.text):
            if overlap and text in overlap:
                left_out[0] += 1
            else:
                yield text

    overlap = None
    if args.exclude:
        overlap = corpus.Overlap(text for path in args.exclude for text in read_examples(path).texts)
    return stream, left_out


def prepare(args, folder):
    """Learn the vocabulary, or take --model's, and pack the text. Returns the tokenizer and what the record says."""
    stream, left_out = texts(args)
    if args.model:
        tokenizer = BertTokenizer.from_pretrained(args.model)
    else:
        empty = BertTokenizer(SPECIAL, lower_case=not args.cased)
        counts = vocabulary.count_words(tqdm(stream(), desc="counting words", unit=" texts", disable=None), empty)
        if not counts:
            but = " but what repeats --exclude" if left_out[0] else ""
            raise UserError(f"{', '.join(args.text)}: no text in it{but}")
        left_out[0] = 0  # the texts are read twice
        size = args.vocab_size or SIZES["vocab_size"]
        with tqdm(total=size, desc="learning vocabulary", unit=" tokens", disable=None) as bar:
            vocab = vocabulary.learn_vocab(counts, size, watch=lambda tokens: bar.update(tokens - bar.n))
        tokenizer = BertTokenizer(vocab, lower_case=not args.cased, max_length=args.max_length)
    tokenizer.save_pretrained(folder)
    packing = tqdm(stream(), desc="packing", unit=" texts", disable=None)
    number = corpus.pack(packing, tokenizer, *(folder / name for name in PACKED))
    tokens = sum((folder / name).stat().st_size // 2 for name in PACKED)
    print(f"text   {number:,} texts, {tokens:,} tokens of {len(tokenizer):,} kinds", end="")
    print(f"; {left_out[0]} texts left out that repeat --exclude" if args.exclude else "")
    return tokenizer, {
        "texts": number,
        "tokens": tokens,
        "left_out": left_out[0],
        "sha256": packed_digests(folder),
    }


def packed_digests(folder):
    found = {}
    for name in PACKED:
        with open(folder / name, "rb") as file:
            found[name] = hub.digest(file)
    return found


def build(args, tokenizer):
    """The model to train, and its teacher or None. Prints what they are."""
    model_class = BertForPreTraining if args.next_sentence else BertForMaskedLM
    if args.model:
        dropout = {"hidden_dropout_prob": args.dropout, "attention_probs_dropout_prob": args.dropout}
        model = model_class.from_pretrained(args.model, missing_head="new", **dropout)
        print(f"model  {model.loaded}")
    else:
        model = model_class(new_config(args))
    fast.swap_in(model)
    teacher = None
    if args.teacher:
        encoder = fast.swap_in(BertModel.from_pretrained(args.teacher))
        teacher = Teacher(encoder, BertTokenizer.from_pretrained(args.teacher))
        if not (args.model or args.resume):
            teacher.start(model, tokenizer)
    sizes = f"{model.config.num_hidden_layers} layers, hidden size {model.config.hidden_size}"
    count = sum(parameter.numel() for parameter in model.parameters())
    taught = f"; taught by {args.teacher}" if teacher else ""
    print(f"model  {sizes}, {model.config.num_attention_heads} heads, {count:,} parameters{taught}")
    return model, teacher


def show(figures):
    """A line for people, at each measurement on held-out text."""
    if "heldout_loss" in figures:
        with tqdm.external_write_mode():  # not into the bar
            print(
                f"  {figures['spent']:4.0%}  {figures['seconds'] / 60:5.1f} min  {figures['steps']:,} steps  "
                f"{figures['tokens'] / 1e6:.1f} M tokens  loss {figures['loss']:.3f}  held-out loss "
                f"{figures['heldout_loss']:.3f}, accuracy {figures['heldout_accuracy']:.3f}",
                flush=True,
            )


def write_record(folder, args, text=None, history=(), finished=False):
    """pretraining.json: what was asked, on what, with what, and, once it is finished, what came out."""
    record = {
        KEY: FORMAT,
        "finished": finished,
        "arguments": {name: value for name, value in vars(args).items() if name != "resume"},
        "text": text,
        "history": list(history),
        "versions": report.versions(),
        "machine": {"platform": platform.platform(), "threads": torch.get_num_threads()},
    }
    with atomic_write(folder / RECORD) as new:
        new.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def read_record(folder):
    """What write_record wrote there; None if it did not."""
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        check_format(path, record)
        return {"finished": record["finished"], "arguments": dict(record["arguments"]), "text": record["text"]}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UserError:
        raise
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{path}: is not the record of a run of pretrain_lm.py") from None


def clear(folder):
    """Remove what a run has left that came to nothing; the folder too, if nothing else is in it."""
    if folder.is_dir():
        for name in (RECORD, *PACKED, "vocab.txt", "tokenizer_config.json", "config.json", "model.safetensors", LOCK):
            (folder / name).unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()


def tidy(folder):
    """Remove what only the run needed."""
    state.forget(folder)
    for name in PACKED:
        (folder / name).unlink(missing_ok=True)


def main(arguments):
    args = parse(arguments)
    retain_freed_memory()
    folder, device = Path(args.out), selftest.pick_device(args.device)
    if not args.resume:
        check(args, folder)
    selftest.self_test(device, args.precision)
    training.set_seed(args.seed)
    print(f"minbert {minbert.__version__}, torch {torch.__version__}, {device}, {torch.get_num_threads()} threads")
    with state.claim(folder):
        try:
            model, text, history = train(args, folder, device)
        except BaseException:
            if not (folder / STATE).exists():
                clear(folder)
            raise
        finish(folder, args, model, text, history)


def train(args, folder, device):
    """Everything from the text to a model; returns it, what the record says of the text, and the history."""
    if args.resume:
        tokenizer, text = BertTokenizer.from_pretrained(folder), read_record(folder)["text"]
        if text != text | {"sha256": packed_digests(folder)}:
            raise UserError(f"the packed text in {folder} has changed since the run began: begin again")
    else:
        write_record(folder, args)
        tokenizer, text = prepare(args, folder)
    settings = fit.Settings(
        **{name: getattr(args, name) for name in fit.Settings.__dataclass_fields__ if hasattr(args, name)}
    )
    packed, heldout = (corpus.Packed(folder / name, tokenizer, args.max_length) for name in PACKED)
    model, teacher = build(args, tokenizer)
    learner = objective.Objective(model, tokenizer, settings, teacher)
    saved = state.load_state(folder / STATE) if args.resume else None
    write_record(folder, args, text)
    budget = f"{args.steps:,} steps" if args.steps else f"{args.minutes:g} minutes"
    print(f"training for {budget}, {args.batch_tokens} tokens a step, learning rate {args.lr}, {args.precision}")
    with report.Meter(settings) as meter, state.Stop() as stop:
        stop.advice = f"; go on with: {common.advice('pretrain', '--resume', report.short(folder))}"
        history = fit.fit(
            learner,
            packed,
            heldout,
            settings,
            device,
            saved,
            meter.watch,
            show,
            lambda optimizer, progress: fit.save_state(folder / STATE, learner, optimizer, progress),
            stop,
        )
    return model, text, history


def finish(folder, args, model, text, history):
    """Leave a model, its record and the loss curve, and none of what only the run needed."""
    dropout = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}  # BERT's, to learn more with
    model.config = model.config.change(**dropout)
    model.cpu().save_pretrained(folder, dtype=torch.float16 if args.half else None)
    try:
        plots.loss_curve(history, folder / "loss.svg")
    except UserError as error:
        report.warn(f"no loss curve: {error}")
    write_record(folder, args, text, history, finished=True)
    tidy(folder)
    print(f"written to {report.short(folder)}: {', '.join(sorted(file.name for file in folder.glob('[!.]*')))}")
    model = ("--model", report.short(folder))
    print("use it:", common.advice("train", *model, "--train", "FILE", "--dev", "FILE"))
    print("       ", common.advice("probe", *model, "--fill", "The film was [MASK]."))


def run():
    return common.run(main)
