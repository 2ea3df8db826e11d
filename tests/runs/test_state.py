"""Files that are whole or as they were before, whatever goes wrong while they are written."""

import errno
import os

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError

from minbert import BertModel, BertTokenizer
from minbert.atomic import atomic_write
from minbert.errors import UserError
from tests.conftest import VOCAB

FULL = OSError(errno.ENOSPC, "No space left on device")


def files(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_file_gets_its_name_when_it_is_written(tmp_path):
    with atomic_write(tmp_path / "new" / "a.txt") as new:
        new.write_text("all")
        assert [file.name for file in new.parent.iterdir()] == ["a.txt.new"]
    assert files(tmp_path / "new") == {"a.txt": b"all"}


@pytest.mark.fault("saving: a process killed or a disk full while a model is written")
@pytest.mark.parametrize("before", [{}, {"a.txt": b"old"}], ids=["nothing there", "an old file there"])
@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (FULL, (UserError, r"a\.txt: cannot be written \(No space left on device\)$")),
        (SafetensorError("Error while serializing"), (UserError, r"a\.txt: cannot be written \(Error while ser")),
        (KeyError("a bug"), (KeyError, "a bug")),
        (KeyboardInterrupt(), (KeyboardInterrupt, None)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_goes_wrong_leaves_the_folder_as_it_was(tmp_path, before, raised, seen):
    for name, data in before.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(seen[0], match=seen[1]), atomic_write(tmp_path / "a.txt") as new:
        new.write_text("half")
        raise raised
    assert files(tmp_path) == before


@pytest.mark.fault("saving: a run killed at any moment, or any write that fails")
def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """Its bytes, then the name, then the folder that holds the name: whenever the power fails, it is old or new."""
    done, replace = [], os.replace
    monkeypatch.setattr(os, "fsync", lambda number: done.append(os.fstat(number).st_ino))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("replace"), replace(*paths)))
    with atomic_write(tmp_path / "a.txt") as new:
        new.write_text("all")
    assert done == [(tmp_path / "a.txt").stat().st_ino, "replace", tmp_path.stat().st_ino]


def test_a_file_where_a_folder_should_be_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.a\.txt: cannot be written"), atomic_write(tmp_path / "file" / "a.txt"):
        pass
    assert files(tmp_path) == {"file": b""}


@pytest.fixture
def saved(tmp_path, tiny):
    """A folder with a model and its vocabulary, and what is in it."""
    BertModel(tiny).save_pretrained(tmp_path)
    BertTokenizer(VOCAB).save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.fault("saving: a process killed or a disk full while a model is written")
@pytest.mark.parametrize("broken", ["config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"])
def test_a_disk_that_is_full_leaves_the_old_model_or_none(saved, tiny, tmp_path, monkeypatch, broken):
    """Whichever file it is that has no room: no new file beside an old one, and the message names it."""
    before = files(saved)

    def write(path, data, *args, original, **options):
        if path.name == f"{broken}.new":
            original(path, data[: len(data) // 2], *args, **options)
            raise FULL
        return original(path, data, *args, **options)

    for name in ("write_text", "write_bytes"):
        original = getattr(type(saved), name)
        monkeypatch.setattr(
            type(saved), name, lambda *args, _o=original, **options: write(*args, original=_o, **options)
        )
    for folder, left in ((saved, before), (tmp_path / "new", {})):
        with pytest.raises(UserError, match=rf"{broken}: cannot be written \(No space left on device\)"):
            if broken in ("config.json", "model.safetensors"):
                BertModel(tiny.change(hidden_size=30, num_attention_heads=5)).save_pretrained(folder)
            else:
                BertTokenizer([*VOCAB, "more"], max_length=7).save_pretrained(folder)
        assert {name: data for name, data in files(folder).items() if name != "new"} == left


def test_the_weights_can_be_read_by_whoever_can_read_the_config(saved):
    assert (saved / "model.safetensors").stat().st_mode == (saved / "config.json").stat().st_mode


def test_the_weights_are_written_as_safetensors_writes_them(saved, tmp_path):
    tensors = safetensors.torch.load_file(saved / "model.safetensors")
    safetensors.torch.save_file(tensors, tmp_path / "theirs", metadata={"format": "pt"})
    assert (tmp_path / "theirs").read_bytes() == (saved / "model.safetensors").read_bytes()
    assert all(tensor.dtype == torch.float32 for tensor in tensors.values())


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    with atomic_write(tmp_path / "link.txt") as new:
        new.write_text("new")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "real.txt").read_text() == "new"

    os.mkfifo(tmp_path / "pipe")
    with atomic_write(tmp_path / "pipe") as new:
        assert new == tmp_path / "pipe"
    assert (tmp_path / "pipe").is_fifo()
