"""A model -> one ONNX file for programs without Python or torch, compared with the model before it gets its name.

Needs onnx and onnxscript, which the extra `export` installs; for the comparison, onnxruntime.
"""

import copy
import json
import logging
import warnings
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

import minbert
from minbert import fast
from minbert.atomic import atomic_write
from minbert.bert import BertModel
from minbert.errors import UserError
from minbert.fast.int8 import used_precision
from minbert.heads import BertForMaskedLM, BertForPreTraining, BertSentClassifier

INPUTS = ("input_ids", "attention_mask", "token_type_ids")  # int64 [B, T]
OUTPUTS = {  # a subclass before its parent
    BertForPreTraining: ("logits", "next_sentence"),  # [B, T, V], [B, 2]
    BertForMaskedLM: ("logits",),  # [B, T, V]
    BertSentClassifier: ("logits",),  # [B, C]
    BertModel: ("last_hidden_state", "pooler_output"),  # [B, T, D], [B, D]
}
LARGEST = 2 * 10**9  # bytes of weights: an ONNX file holds up to 2 GiB
ALLOWED = 1e-4  # see `compare`


class Outputs(nn.Module):
    """A model that returns its outputs as a tuple of tensors. It shares nothing with the model that is handed in.

    names  of the outputs, as in OUTPUTS
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.names = next((names for kind, names in OUTPUTS.items() if isinstance(model, kind)), None)
        if self.names is None:
            raise UserError(
                f"a {type(model).__name__} cannot be exported, but: {', '.join(k.__name__ for k in OUTPUTS)}"
            )
        if used_precision(model, "") == "int8":
            raise UserError("an int8 model cannot be exported: export it before quantizing")
        self.model = fast.swap_out(copy.deepcopy(model)).float().cpu()
        self.eval()

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, ...]:
        """As in BertModel -> the tensors that OUTPUTS names"""
        output = self.model(input_ids, attention_mask, token_type_ids)
        if torch.is_tensor(output):
            return (output,)
        return tuple(output[name] for name in self.names) if isinstance(output, dict) else output[: len(self.names)]


def check_packages() -> None:
    """Raise UserError if what writes ONNX is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"export needs {error.name}: pip install 'minbert[export]'") from None


def export_onnx(model: nn.Module, path: str | Path, max_length: int | None = None) -> float | None:
    """Write a model as one ONNX file: inputs INPUTS, outputs OUTPUTS, for batches of any size and length.

    Weights are float32, whatever the model's are. The model is left as it is. The file's metadata are "labels", a JSON
    list (a classifier's), "max_length", the most tokens of a text, and "minbert", the version.

    max_length  None: as many as the model has positions
    returns     the largest difference between the file's numbers and the model's, as in `compare`
    Raises UserError if a package is missing, for an int8 model, and for a difference above ALLOWED; then no file is
    written.
    """
    check_packages()
    module, config = Outputs(model), model.config
    if sum(weight.nbytes for weight in module.state_dict().values()) > LARGEST:
        raise UserError(f"{path}: not written: the weights do not fit into one ONNX file of 2 GiB")
    length = min(max_length or config.max_position_embeddings, config.max_position_embeddings)
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=config.max_position_embeddings)}
    with quiet():
        program = torch.onnx.export(
            module,
            tuple(example(config, 2, min(8, length))),
            input_names=INPUTS,
            output_names=module.names,
            dynamic_shapes=(sizes,) * len(INPUTS),
            dynamo=True,
            verbose=False,
        )
    facts = {"max_length": str(length), "minbert": minbert.__version__}
    if isinstance(model, BertSentClassifier):
        names = config.labels or [str(id) for id in range(config.num_labels)]
        facts["labels"] = json.dumps(list(names), ensure_ascii=False)
    program.model.metadata_props.update(facts)
    with atomic_write(path) as new:
        program.save(new, external_data=False)
        difference = compare(module, new, config, length)
        if difference is not None and not difference <= ALLOWED:
            raise UserError(f"{path}: not written: its numbers differ by {difference:.1e}; allowed are {ALLOWED:.0e}")
    return difference


@contextmanager
def quiet():
    """A context in which torch keeps to itself what it would say about its own exporter."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def example(config, rows: int, length: int) -> list[Tensor]:
    """Three tensors [rows, length], in the order of INPUTS: every row but the first ends in padding."""
    ids = (7919 * torch.arange(rows * length)).view(rows, length) % config.vocab_size  # a prime: from all over it
    ends = torch.arange(length, 0, -max(1, length // rows))[:rows]
    mask = (torch.arange(length) < ends[:, None]).long()
    segments = (torch.arange(length) > length // 2).long().expand(rows, length) % config.type_vocab_size
    return [ids, mask, segments.contiguous()]


@torch.no_grad()
def compare(module: Outputs, path: Path, config, length: int) -> float | None:
    """The largest difference between the numbers of an ONNX file and the model's, as a share of the largest number if
    that is above 1; None without onnxruntime.

    It reads one token, one text, three texts with padding, and one text of `length` tokens.
    """
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    differences = []
    for rows, tokens in ((1, 1), (1, min(7, length)), (3, min(11, length)), (1, length)):
        inputs = example(config, rows, tokens)
        found = session.run(None, {name: tensor.numpy() for name, tensor in zip(INPUTS, inputs)})
        for ours, theirs in zip(module(*inputs), found, strict=True):
            differences.append((ours - torch.from_numpy(theirs)).abs().max() / ours.abs().max().clamp(min=1))
    return torch.stack(differences).max().item()
