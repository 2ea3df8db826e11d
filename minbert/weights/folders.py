"""The files of a model's weights in a folder; and what else a folder can hold, by its name, with what to do."""

import re
from fnmatch import fnmatch
from pathlib import Path

from minbert.errors import UserError
from minbert.jsonfile import quoted, read_json

WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # in the order of preference
LISTED = 5  # tensors or files in a message

FIRST = "transformers 4 can, with {} installed: from_pretrained(..., from_{}=True), then save_pretrained"
EXPORTED = "it is a program for another runtime: name the model that it was exported from"
ADAPTER = "adapter_config.json"
# names of files, what they are, what to do
KINDS = (
    ((ADAPTER,), "an adapter without its base model", "merge the two (peft: merge_and_unload), save that, and name it"),
    (("*.ckpt.index", "*.ckpt.data-*", "*.ckpt-*", "*.ckpt.meta"), "Google's TensorFlow checkpoint, to be converted",
     FIRST.format("tensorflow", "tf")),
    (("tf_model*.h5", "saved_model.pb"), "a TensorFlow model, to be converted", FIRST.format("tensorflow", "tf")),
    (("flax_model*.msgpack",), "a Flax model, to be converted", FIRST.format("flax", "flax")),
    (("*openvino_model*",), "an OpenVINO model", EXPORTED),
    (("*.onnx",), "an ONNX model", EXPORTED),
    (("*.gguf", "*.ggml"), "a GGUF model", EXPORTED),
    (("*.tflite", "*.mlmodel", "*.mlpackage", "rust_model.ot"), "an exported model", EXPORTED),
    (("state.safetensors",), "a stopped run of minbert, and no model yet", "finish it with --resume"),
    (("*.pt", "*.pth", "*.ckpt"), "a checkpoint of torch.save", "`minbert convert FILE OUT` opens a course kit's"),
)  # fmt: skip


def foreign(directory: Path) -> str | None:
    """What a folder holds that is not for minbert: "an ONNX model (model.onnx): ..."; None if it is none of KINDS."""
    paths = [*directory.iterdir(), *directory.glob("onnx/*"), *directory.glob("openvino/*")]
    names = sorted(path.relative_to(directory).as_posix() for path in paths)
    for kinds, what, remedy in KINDS:
        if found := [name for name in names if any(fnmatch(name, kind) for kind in kinds)]:
            return f"{what} ({found[0]}): {remedy}"
    return None


def models_inside(directory: Path) -> list[Path]:
    """The folders in this one that hold models, the last one first: a trainer's checkpoint-1000, then -500."""
    inside = [path for path in directory.iterdir() if (path / "config.json").is_file()]
    return sorted(inside, key=lambda path: (len(path.name), path.name), reverse=True)


def weight_files(directory: Path) -> list[Path]:
    """The files that hold a directory's weights: one, or an index and its shards. [] if there are none.

    Raises UserError if the index is damaged, or a shard is missing.
    """
    for file in WEIGHTS:
        if (path := directory / file).exists():
            return [path]
        if (index := directory / f"{file}.index.json").exists():
            shards = [directory / shard for shard in sorted(set(weight_map(index).values()))]
            if missing := [shard.name for shard in shards if not shard.exists()]:
                raise UserError(f"{index}: names files that are not there: {', '.join(missing[:LISTED])}")
            return [index, *shards]
    return []


def unread(directory: Path) -> list[str]:
    """The files in a model's folder that hold its weights once more, or a head that only another library reads."""
    forms = [f"{file}{end}" for file in WEIGHTS for end in ("", ".index.json")]
    found = [file for file in forms if (directory / file).exists()][1:]  # the first is read
    return found + [file for file in ("model_head.pkl",) if (directory / file).exists()]  # SetFit's


def weight_map(index: Path) -> dict[str, str]:
    """The weight_map of an index: {a tensor's name: the name of the file beside the index that holds it}."""
    found = read_json(index).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise UserError(f"{index}: has no weight_map")
    for file in found.values():
        if not isinstance(file, str) or not re.fullmatch(r"[\w-][\w.-]*\.(safetensors|bin)", file):
            raise UserError(f"{index}: {quoted(file)} is no file of weights beside it")
    return found
