"""The tensors of a checkpoint's file. Nothing in the file is executed."""

import io
import pickle
import pickletools
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import safe_open
from torch import Tensor

from minbert.errors import UserError
from minbert.jsonfile import quoted
from minbert.weights import hub, int8
from minbert.weights.folders import LISTED, weight_files, weight_map

# safetensors' names of the types that weights are stored in
TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64, "I8": torch.int8}
TUPLES, REPEATED = 50_000, 40  # limits for a pickle; a model of 1,000 tensors has about 3,000, and repeats one or two


def read_tensors(directory: Path) -> dict[str, Tensor]:
    """The tensors of a directory's model.safetensors, or else pytorch_model.bin, whole or in shards: {name: tensor}.

    Raises UserError if neither is there, or if a file is damaged or holds anything but tensors.
    """
    first, *shards = weight_files(directory) or [None]
    if first is None:
        raise UserError(f"{directory} holds no {hub.WEIGHTS[0]}")
    if not shards:
        return read_file(first)
    tensors, places = {}, weight_map(first)
    for shard in shards:
        found = read_file(shard)
        due = {name for name, file in places.items() if file == shard.name}
        if wrong := sorted(due ^ found.keys()):  # each tensor is in one shard, since the index names one for each
            names = ", ".join(name if name.isprintable() else repr(name) for name in wrong[:LISTED])
            raise UserError(f"{shard}: does not hold the tensors that {first.name} expects in it: {names}")
        tensors |= found
    return tensors


def read_file(path: Path) -> dict[str, Tensor]:
    """The tensors of one file, safetensors or a pickle of named tensors; what is stored in 8 bits is made float32."""
    if path.is_file() and path.stat().st_size < 1000 and path.read_bytes().startswith(b"version https://git-lfs"):
        raise UserError(f"{path}: is only a pointer of Git LFS: `git lfs pull` fetches the file itself")
    if path.suffix != ".safetensors":
        content = unpickle(path)
        if isinstance(content, dict) and isinstance(content.get("model"), dict):
            raise UserError(f"{path}: is a course kit's checkpoint; {hub.legacy(path)}")
        return named_tensors(path, content)
    if not path.is_file():
        raise UserError(f"{path}: is not a file")
    try:
        tensors = read_safetensors(path)
    except Exception as error:  # safetensors' own, the file system's, a KeyError for a dtype that torch lacks
        raise UserError(f"{path}: cannot be read as weights; is the file complete? ({reason(error)})") from None
    return int8.restore(tensors, path)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of safetensors, in memory of their own and in its order. Raises what safetensors raises.

    They are no views of the file, as those of load_file are: pages of a file count as this process's memory beside the
    model's own, change when somebody writes over the file, and begin at odd places, where MKL rounds in another way.
    """
    tensors = {}
    with safe_open(path, framework="pt") as file, open(path, "rb") as stream:
        (size,) = struct.unpack("<Q", stream.read(8))
        stream.seek(8 + size)
        for name in file.offset_keys():  # without gaps: safe_open has checked it
            stored = file.get_slice(name)
            if dtype := TYPES.get(stored.get_dtype()):
                tensors[name] = tensor = torch.empty(stored.get_shape(), dtype=dtype)
                stream.readinto(tensor.flatten().view(torch.uint8).numpy())
            else:
                tensors[name] = tensor = file.get_tensor(name).clone()
                stream.seek(tensor.nbytes, io.SEEK_CUR)
    return tensors


def unpickle(path: Path, allowed: Sequence[type] = ()):
    """The content of a file of torch.save: tensors in plain containers. Nothing in the file is run.

    allowed  other classes that the file may hold, for torch.serialization.safe_globals
    Raises UserError if the file holds anything else, and names it.
    """
    if torch.__version__ < (2, 10):  # CVE-2026-24747
        raise UserError(f"{path}: torch {torch.__version__} cannot open pickles safely: pip install -U 'torch>=2.10'")
    if not path.is_file():
        raise UserError(f"{path}: is not a file")
    try:
        for stream in pickles(path):
            if has_nested_tuples(stream):
                raise UserError(f"{path}: has nested tuples, which torch.save never writes: refused")
        with warnings.catch_warnings(), torch.serialization.safe_globals(list(allowed)):
            warnings.simplefilter("ignore")  # odd content is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # zipfile, pickle and torch each raise their own
        if not isinstance(error, pickle.UnpicklingError):
            raise UserError(f"{path}: cannot be read as weights; is the file complete? ({reason(error)})") from None
        name = re.search(r"\bGLOBAL (.+?) (?:was not an allowed|whose module)", str(error))
        held = "something" if not name else quoted(name[1] if "." in name[1] else f"builtins.{name[1]}")[1:-1]
        remedy = f"; {hub.legacy(path)}" if held in ("argparse.Namespace", "types.SimpleNamespace") else ""
        raise UserError(
            f"{path}: holds {held}, neither a tensor nor a plain container: refused, nothing in it was run{remedy}"
        ) from None


def pickles(path: Path) -> Iterator[BinaryIO]:
    """Yield the pickles in a file of torch.save, each as a stream at its start. Raises UserError if compressed."""
    with open(path, "rb") as file:
        if file.read(4) == b"PK\3\4":  # torch tells its two formats apart in the same way
            with zipfile.ZipFile(file) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
                    raise UserError(f"{path}: is compressed, but torch.save never compresses: refused")
                for entry in archive.infolist():
                    if entry.filename.lower().endswith("data.pkl"):
                        yield io.BytesIO(archive.read(entry))
            return
        file.seek(0)
        for _ in range(5):  # before torch 1.6: magic number, version, machine's sizes, content, names of storages
            if file.peek(1):
                yield file


def has_nested_tuples(stream: BinaryIO) -> bool:
    """Whether a pickle has or repeats too many tuples: hashing nested ones can take exponential time."""
    tuples, repeated, made, is_tuple = set(), 0, 0, False  # tuples: their places in the pickle's memo
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in ("BINPUT", "LONG_BINPUT"):
            tuples |= {argument} if is_tuple else set()
        elif opcode.name != "PROTO":
            again = opcode.name in ("BINGET", "LONG_BINGET") and argument in tuples
            new = opcode.name.startswith("TUPLE")
            repeated, made, is_tuple = repeated + again, made + new, again or new
    return made > TUPLES or repeated > REPEATED


def reason(error: Exception) -> str:
    """The first line of an error's message, or the name of its class if the message is empty."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return text if text.isprintable() else repr(text)


def named_tensors(path: Path, tensors) -> dict[str, Tensor]:
    """Check that `tensors` is {name: tensor}, with no more numbers than the file at `path` can hold; or UserError."""
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and type(tensor) in (torch.Tensor, torch.nn.Parameter) and is_plain(tensor)
        for name, tensor in tensors.items()
    ):
        raise UserError(f"{path}: holds something other than named tensors")
    if sum(tensor.nbytes for tensor in tensors.values()) > 2 * path.stat().st_size:  # tied tensors have two names
        raise UserError(f"{path}: its tensors claim more numbers than the file holds")
    return {name: tensor.detach() for name, tensor in tensors.items()}


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is dense, not quantized, and in the CPU's memory."""
    return (
        tensor.device.type == "cpu" and tensor.layout == torch.strided and not (tensor.is_nested or tensor.is_quantized)
    )
