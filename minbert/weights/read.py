"""The tensors of a checkpoint's file. Nothing in the file is ever executed."""

import io
import pickle
import pickletools
import re
import warnings
import zipfile

import safetensors.torch
import torch

from minbert.errors import UserError
from minbert.jsonfile import quoted
from minbert.weights import hub

TUPLES, REPEATED = 50_000, 40  # in a pickle; a model of 1,000 tensors has some 3,000, and repeats one or two


def read_tensors(directory):
    """The tensors of a directory: model.safetensors, or else pytorch_model.bin, of which nothing is ever executed."""
    path = next((directory / file for file in hub.WEIGHTS if (directory / file).exists()), None)
    if path is None:
        raise UserError(f"{directory} holds no {hub.WEIGHTS[0]}")
    if path.suffix != ".safetensors":
        content = unpickle(path)
        if isinstance(content, dict) and isinstance(content.get("model"), dict):
            raise UserError(f"{path}: is a course kit's checkpoint; {hub.legacy(path)}")
        return named_tensors(path, content)
    if not path.is_file():
        raise UserError(f"{path}: is not a file")
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:  # its own, the file system's, a KeyError for a type of numbers that torch lacks
        raise UserError(f"{path}: cannot be read as weights; is the file whole? ({reason(error)})") from None


def unpickle(path, allowed=()):
    """What torch.save wrote, if that is tensors in plain containers. Nothing in the file is run.

    allowed  what else it may hold, for torch.serialization.safe_globals
    Raises UserError for anything else, naming it.
    """
    if torch.__version__ < (2, 10):  # CVE-2026-24747
        raise UserError(f"{path}: torch {torch.__version__} opens no pickle safely: pip install -U 'torch>=2.10'")
    if not path.is_file():
        raise UserError(f"{path}: is not a file")
    try:
        for stream in pickles(path):
            if has_nested_tuples(stream):
                raise UserError(f"{path}: nests tuples as torch.save never does; it is not opened")
        with warnings.catch_warnings(), torch.serialization.safe_globals(list(allowed)):
            warnings.simplefilter("ignore")  # what is odd is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # zipfile, pickle and torch each raise their own
        if not isinstance(error, pickle.UnpicklingError):
            raise UserError(f"{path}: cannot be read as weights; is the file whole? ({reason(error)})") from None
        name = re.search(r"\bGLOBAL (.+?) (?:was not an allowed|whose module)", str(error))
        held = "something" if not name else quoted(name[1] if "." in name[1] else f"builtins.{name[1]}")[1:-1]
        remedy = f"; {hub.legacy(path)}" if held in ("argparse.Namespace", "types.SimpleNamespace") else ""
        raise UserError(
            f"{path}: holds {held}, which is neither tensor nor plain container: refused, nothing in it was run{remedy}"
        ) from None


def pickles(path):
    """The pickles in a file of torch.save, each as a stream at its beginning. Raises UserError for compressed ones."""
    with open(path, "rb") as file:
        if file.read(4) == b"PK\3\4":  # as torch tells its formats apart
            with zipfile.ZipFile(file) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
                    raise UserError(f"{path}: is compressed, which torch.save never does; it is not opened")
                for entry in archive.infolist():
                    if entry.filename.lower().endswith("data.pkl"):
                        yield io.BytesIO(archive.read(entry))
            return
        file.seek(0)
        for _ in range(5):  # before torch 1.6: a mark, a version, the machine's sizes, the content, its storages' names
            if file.peek(1):
                yield file


def has_nested_tuples(stream):
    """Whether a pickle has so many tuples, or repeats them so often, that to hash one may take for ever."""
    tuples, repeated, made, is_tuple = set(), 0, 0, False  # tuples: where they are remembered
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in ("BINPUT", "LONG_BINPUT"):
            tuples |= {argument} if is_tuple else set()
        elif opcode.name != "PROTO":
            again = opcode.name in ("BINGET", "LONG_BINGET") and argument in tuples
            new = opcode.name.startswith("TUPLE")
            repeated, made, is_tuple = repeated + again, made + new, again or new
    return made > TUPLES or repeated > REPEATED


def reason(error):
    """The first line of an error's message, or its name if it has none."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return text if text.isprintable() else repr(text)


def named_tensors(path, tensors):
    """The same {name: tensor}. Raises UserError if it is something else, or claims more numbers than path can hold."""
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and type(tensor) in (torch.Tensor, torch.nn.Parameter) and is_plain(tensor)
        for name, tensor in tensors.items()
    ):
        raise UserError(f"{path}: holds something other than named tensors")
    if sum(tensor.nbytes for tensor in tensors.values()) > 2 * path.stat().st_size:  # tied ones have two names
        raise UserError(f"{path}: its tensors claim more numbers than the file holds")
    return {name: tensor.detach() for name, tensor in tensors.items()}


def is_plain(tensor):
    """Whether a tensor is an ordinary one, with all its numbers in memory."""
    return (
        tensor.device.type == "cpu" and tensor.layout == torch.strided and not (tensor.is_nested or tensor.is_quantized)
    )
