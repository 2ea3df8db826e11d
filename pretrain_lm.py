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
import sys
from pathlib import Path

import torch
from tqdm import tqdm

import minbert
from minbert import cli, corpus, dataset, hub, plots, pretraining, report, training, vocabulary
from minbert.bert import BertModel
from minbert.config import Config
from minbert.errors import UserError
from minbert.heads import BertForMaskedLM, BertForPreTraining
from minbert.teacher import Teacher
from minbert.tokenizer import SPECIAL, BertTokenizer

RECORD, STATE = "pretraining.json", "state.safetensors"
PACKED = ("train.ids", "heldout.ids")
SIZES = {"layers": 4, "hidden": 256, "heads": None, "vocab_size": 8000}  # of a new model
LEARNING_RATES = {"new": 1e-3, "old": 1e-4}  # of a new model, of one that has learnt already


def parse(arguments):
    parser = cli.Parser("pretrain_lm.py", __doc__)
    amount, share = cli.number(float, 0.0, wanted="0 or more"), cli.number(float, 0.0, 1.0, "from 0 to below 1")
    default = pretraining.Settings()
    add = parser.add_argument_group("text").add_argument
    add("--text", nargs="+", metavar="FILE", help="UTF-8, plain or gzipped, one text a line; read again and again")
    add("--exclude", nargs="+", metavar="FILE", default=[], help="leave out texts that repeat these: a test set's, say")
    add(
        "--vocab_size",
        type=cli.number(int, 1000, 32_001, "from 1000 to 32000"),
        metavar="N",
        help=f"WordPiece tokens to learn; default: {SIZES['vocab_size']}",
    )
    add("--cased", action="store_true", help="keep capital letters and accents")
    add = parser.add_argument_group("model").add_argument
    for name, text in (("layers", "encoder layers"), ("hidden", "hidden size"), ("heads", "attention heads")):
        add(f"--{name}", type=cli.natural, metavar="N", help=f"{text}; default: {SIZES[name] or 'hidden size / 64'}")
    add(
        "--max_length",
        type=cli.number(int, 8, wanted="8 or more"),
        default=default.max_length,
        metavar="N",
        help="tokens that the model can read at once; default: %(default)s",
    )
    add("--dropout", type=share, default=0.0, metavar="P", help="while pretraining; default: %(default)s")
    add("--model", metavar="NAME", help="go on with this model, its sizes and its vocabulary, instead of a new one")
    add("--teacher", metavar="NAME", help="a bigger encoder to learn from as well")
    add = parser.add_argument_group("training").add_argument
    add("--minutes", type=cli.number(float, 0.01, wanted="above 0"), metavar="M", help="default: 30")
    add("--steps", type=cli.natural, metavar="N", help="instead of --minutes: the same result on every run")
    add(
        "--mask",
        type=cli.number(float, 0.01, 1.0, "from 0.01 to below 1"),
        default=default.mask,
        metavar="P",
        help="the share of the tokens to ask for; default: %(default)s",
    )
    add("--whole_words", action="store_true", help="hide words with all their pieces")
    add("--next_sentence", action="store_true", help="also learn whether one text follows another")
    add(
        "--short",
        type=cli.number(float, 0.0, 1.01, "from 0 to 1"),
        default=default.short,
        metavar="P",
        help="the share of the run with rows a quarter as long, which cost less; default: %(default)s",
    )
    add("--batch_tokens", type=cli.natural, default=default.batch_tokens, metavar="N", help="default: %(default)s")
    add(
        "--lr",
        type=cli.number(float, 1e-12, 10.0, "above 0 and below 10"),
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
        type=cli.number(int, 0, 2**32, "from 0 to 4294967295"),
        default=default.seed,
        metavar="N",
        help="default: %(default)s",
    )
    add("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="default: %(default)s")
    add = parser.add_argument_group("output").add_argument
    add("--out", metavar="FOLDER", help="default: runs/pretrained")
    add("--half", action="store_true", help="store the weights as float16: half the size")
    add("--resume", metavar="FOLDER", help="go on with the run that was writing to FOLDER; no other flag is needed")
    args = parser.parse_args(arguments)
    if args.resume:
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
    path = Path(args.resume) / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{args.resume} holds no {RECORD}: no run of pretrain_lm.py began there") from None
    if record.get("finished"):
        raise UserError(f"the run in {args.resume} is done; go on with --model {args.resume} --text FILE")
    if not (Path(args.resume) / STATE).exists():
        raise UserError(f"the run in {args.resume} was stopped before it first saved its state: begin again")
    for name, value in record["arguments"].items():
        setattr(args, name, value)
    return args


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
        overlap = corpus.Overlap(text for path in args.exclude for text in dataset.read(path).texts)
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
            raise UserError(f"{', '.join(args.text)}: no text in it")
        left_out[0] = 0  # the texts are read twice
        vocab = vocabulary.learn_vocab(counts, args.vocab_size or SIZES["vocab_size"])
        tokenizer = BertTokenizer(vocab, lower_case=not args.cased, max_length=args.max_length)
    tokenizer.save_pretrained(folder)
    packing = tqdm(stream(), desc="packing", unit=" texts", disable=None)
    number = corpus.pack(packing, tokenizer, *(folder / name for name in PACKED))
    tokens = sum((folder / name).stat().st_size // 2 for name in PACKED)
    print(f"text   {number:,} texts, {tokens:,} tokens of {len(tokenizer):,} kinds", end="")
    print(f"; {left_out[0]} texts left out that repeat --exclude" if args.exclude else "")
    return tokenizer, {"texts": number, "tokens": tokens, "left_out": left_out[0]}


def build(args, tokenizer):
    """The model to train, and its teacher or None. Prints what they are."""
    model_class = BertForPreTraining if args.next_sentence else BertForMaskedLM
    dropout = {"hidden_dropout_prob": args.dropout, "attention_probs_dropout_prob": args.dropout}
    if args.model:
        model = model_class.from_pretrained(args.model, new_head=True, **dropout)
        print(f"model  {model.loaded}")
        if args.max_length > model.config.max_position_embeddings:
            raise UserError(
                f"--max_length is {args.max_length}, but {args.model} has "
                f"{model.config.max_position_embeddings} positions"
            )
    else:
        hidden = args.hidden or SIZES["hidden"]
        config = Config(
            vocab_size=len(tokenizer),
            hidden_size=hidden,
            num_hidden_layers=args.layers or SIZES["layers"],
            num_attention_heads=args.heads or max(1, hidden // 64),
            intermediate_size=4 * hidden,
            max_position_embeddings=args.max_length,
            pooling="pooler" if args.next_sentence else "mean",  # a pooler is trained by its task alone
            **dropout,
        )
        model = model_class(config)
    teacher = None
    if args.teacher:
        encoder = BertModel.from_pretrained(args.teacher)
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
        print(
            f"  {figures['spent']:4.0%}  {figures['seconds'] / 60:5.1f} min  {figures['steps']:,} steps  "
            f"{figures['tokens'] / 1e6:.1f} M tokens  loss {figures['loss']:.3f}  held-out loss "
            f"{figures['heldout_loss']:.3f}, accuracy {figures['heldout_accuracy']:.3f}",
            flush=True,
        )


def write_record(folder, args, text, history=(), finished=False):
    record = {
        "finished": finished,
        "arguments": {name: value for name, value in vars(args).items() if name != "resume"},
        "text": text,
        "history": list(history),
        "versions": report.versions(),
        "machine": {"platform": platform.platform(), "threads": torch.get_num_threads()},
    }
    cli.write_whole(folder / RECORD, json.dumps(record, indent=1) + "\n")


def main(arguments):
    args = parse(arguments)
    folder, device = Path(args.out), training.pick_device(args.device)
    for path in [*(args.text if not args.resume else ()), *args.exclude]:
        if not Path(path).is_file():
            raise UserError(f"{path}: there is no such file")
    training.set_seed(args.seed)
    print(f"minbert {minbert.__version__}, torch {torch.__version__}, {device}, {torch.get_num_threads()} threads")
    if args.resume:
        text = json.loads((folder / RECORD).read_text(encoding="utf-8"))["text"]
        tokenizer = BertTokenizer.from_pretrained(folder)
    else:
        for name in (args.model, args.teacher):
            if name:
                hub.find(name)  # better to fail now than after the text is read
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer, text = prepare(args, folder)
    settings = pretraining.Settings(
        **{name: getattr(args, name) for name in pretraining.Settings.__dataclass_fields__ if hasattr(args, name)}
    )
    packed, heldout = (corpus.Packed(folder / name, tokenizer, args.max_length) for name in PACKED)
    model, teacher = build(args, tokenizer)
    objective = pretraining.Objective(model, tokenizer, settings, teacher)
    state = pretraining.load_state(folder / STATE) if args.resume else None
    write_record(folder, args, text)
    budget = f"{args.steps:,} steps" if args.steps else f"{args.minutes:g} minutes"
    print(f"training for {budget}, {args.batch_tokens} tokens a step, learning rate {args.lr}, {args.precision}")
    with report.Meter(settings) as meter:
        history = pretraining.fit(
            objective,
            packed,
            heldout,
            settings,
            device,
            state,
            meter.watch,
            show,
            lambda optimizer, progress: pretraining.save_state(folder / STATE, objective, optimizer, progress),
        )
    finish(folder, args, model, text, history)


def finish(folder, args, model, text, history):
    """Leave a model, its record and the loss curve, and none of what only the run needed."""
    model.config = model.config.change(
        hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1
    )  # BERT's to learn more
    model.cpu().save_pretrained(folder, dtype=torch.float16 if args.half else None)
    write_record(folder, args, text, history, finished=True)
    try:
        plots.loss_curve(history, folder / "loss.svg")
    except UserError as error:
        report.warn(f"no loss curve: {error}")
    for name in (*PACKED, STATE):
        (folder / name).unlink(missing_ok=True)
    print(f"written to {report.short(folder)}: {', '.join(sorted(file.name for file in folder.iterdir()))}")
    print(f"use it: python train_classifier.py --model {report.short(folder)} --train FILE --dev FILE")
    print(f'        python probe_lm.py --model {report.short(folder)} --fill "The film was [MASK]."')


if __name__ == "__main__":
    sys.exit(cli.run(main))
