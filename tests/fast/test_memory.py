"""Memory that is kept for the next batch: what is set, and what it is worth here."""

import subprocess
import sys

import pytest

from minbert.fast import memory

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these settings")


@pytest.mark.parametrize("error", [TypeError, AttributeError, OSError])  # Windows, macOS, another libc
def test_where_memory_cannot_be_kept_nothing_happens(error, monkeypatch):
    def missing(name):
        raise error

    monkeypatch.setattr(memory.ctypes, "CDLL", missing)
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    assert memory.retain_freed_memory() is False
    assert memory.os.environ.pop("THP_MEM_ALLOC_ENABLE") == "1"


@linux
@pytest.mark.parametrize("retain", [True, False])
def test_a_program_keeps_its_memory_if_it_asks_for_it(retain):
    """In a process of its own, as nothing undoes the setting."""
    code = f"from minbert.fast import memory; {retain} and memory.retain_freed_memory(); print(memory.is_kept())"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == f"{retain}\n"


@linux
def test_pages_that_were_touched_before_cost_less():
    costs = memory.page_costs(2**24)
    assert set(costs) == {"small", "large", "again"}
    assert 0 < costs["again"] < costs["small"]


def test_where_pages_cannot_be_compared_it_says_nothing(monkeypatch):
    monkeypatch.delattr(memory.mmap, "MADV_HUGEPAGE", raising=False)
    assert memory.page_costs() == {}


@pytest.mark.parametrize(
    ("text", "setting"),
    [("always [madvise] never\n", "madvise"), ("[always] madvise never", "always"), ("", ""), (None, "")],
)
def test_when_linux_gives_large_pages(text, setting, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "LARGE_PAGES", tmp_path / "enabled")
    if text is not None:
        memory.LARGE_PAGES.write_text(text)
    assert memory.large_pages() == setting
