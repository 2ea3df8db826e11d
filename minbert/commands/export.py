"""Write a model as one ONNX file, for programs without Python or torch.

    minbert export --model runs/stance --out stance.onnx    a trained classifier
    minbert export --model tiny --out words.onnx            a language model: a score for each word, at each place
    minbert export --model tiny --head none --out v.onnx    the encoder alone: a vector for each token

The file takes input_ids, attention_mask and token_type_ids, int64 [batch, tokens], of any size. It gives the logits
[batch, classes] or [batch, tokens, vocabulary], or the encoder's last_hidden_state and pooler_output. Its metadata hold
the labels, as a JSON list, and max_length. vocab.txt and tokenizer_config.json are written beside it.

Before the file gets its name, onnxruntime computes with it, and the largest difference from the model is printed. If
it is above 0.0001 (of the largest number, if that is above 1), nothing is written. Needs pip install 'minbert[export]'.

Exit status: 0 done, 2 a mistake that you can fix, with the reason.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import minbert
from minbert.commands import common
from minbert.config import Config
from minbert.errors import UserError

# What --head says: the class. Without --head it is the first one whose head is in the checkpoint.
HEADS = {"classifier": "BertSentClassifier", "words": "BertForMaskedLM", "none": "BertModel"}


def flags(parser):
    add = parser.add_argument
    add("--model", required=True, metavar="FOLDER", help="a trained classifier, or any other model; a known name, too")
    add("--out", "--onnx", required=True, metavar="FILE.onnx", help="the file to write")
    add("--head", choices=HEADS, help="what stands on the encoder; default: what the model has")
    length = common.number(int, 3, wanted="3 or more")
    add("--max_length", type=length, metavar="N", help="the metadata's max_length; default: what the model can read")


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    directory: Path  # of the model
    tokenizer: object
    model: str
    out: Path
    head: str | None
    max_length: int


def check(args):
    """Refuse everything that can be refused before the work begins. Returns the Job."""
    out = Path(args.out)
    if out.suffix != ".onnx":
        raise UserError(f"{out}: --out should be a file that ends in .onnx")

    from minbert.runs import report
    from minbert.runs.onnx import check_packages
    from minbert.weights import hub

    report.writable(out)
    directory = hub.find(args.model)
    config = Config.from_json(directory / "config.json")
    check_packages()
    common.fits(args.max_length, args.model, config)
    tokenizer = common.load_tokenizer(args.model, directory, config)
    if out.parent.resolve() != directory.resolve():
        check_beside(out.parent, tokenizer)
    return Job(directory, tokenizer, args.model, out, args.head, args.max_length or tokenizer.max_length)


def check_beside(folder, tokenizer):
    """Raise UserError if the tokenizer's files would overwrite those of another one."""
    with tempfile.TemporaryDirectory() as new:
        tokenizer.save_pretrained(new)
        for name in ("vocab.txt", "tokenizer_config.json"):
            if (folder / name).exists() and (folder / name).read_bytes() != Path(new, name).read_bytes():
                raise UserError(f"{folder / name} belongs to another model: write into another folder with --out")


def load(job):
    """The model with its head. Raises UserError if the head is not in the checkpoint."""
    for head in [job.head] if job.head else HEADS:
        kind = getattr(minbert, HEADS[head])
        model = kind.from_pretrained(job.directory, missing_head="error" if job.head == "words" else "new")
        if job.head or not set(model.loaded.new) - {"pooler"}:
            break
    if head == "classifier":
        common.check_trained(job.model, model)
    return model


def run(job):
    """A folder -> a model -> an ONNX file, compared with the model."""
    from minbert.runs import report
    from minbert.runs.onnx import INPUTS, OUTPUTS, export_onnx

    model = load(job)
    if "pooler" in model.loaded.new and isinstance(model, minbert.BertModel):
        report.warn(f"{job.model} has no pooler: pooler_output is random")
    print(f"{model.loaded}\nexporting, which takes some ten seconds", flush=True)
    difference = export_onnx(model, job.out, job.max_length)
    if job.out.parent.resolve() != job.directory.resolve():
        job.tokenizer.save_pretrained(job.out.parent)
    print(f"inputs {', '.join(INPUTS)}; outputs {', '.join(OUTPUTS[type(model)])}")
    if difference is not None:
        print(f"the largest difference from the model, by onnxruntime: {difference:.1e}")
    else:
        report.warn("not compared with the model: pip install onnxruntime, and export again")
    print(f"written to {report.short(job.out)}, {job.out.stat().st_size / 1e6:.1f} MB; beside it the tokenizer's files")


def main(arguments):
    run(check(common.parse("export", __doc__, flags, arguments)))
