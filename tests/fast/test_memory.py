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
@pytest.mark.skipif(memory.large_pages() not in ("always", "madvise"), reason="this Linux gives no large pages")
@pytest.mark.parametrize("reserved", [True, False])
def test_what_is_reserved_comes_in_large_pages_and_is_not_taken_before(reserved):
    """Also for those who do not ask for them: bytearray stands for oneDNN."""
    code = f"""
from minbert.fast import memory
def amounts():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return [int(line.split()[1]) // 1024 for name in ("Rss", "AnonHuge") for line in lines if line.startswith(name)]
memory.retain_freed_memory()
before = amounts()
print({reserved} and memory.reserve(2**26), [one - other < 4 for one, other in zip(amounts(), before)])
held = bytearray(b"1") * 2**25
print(amounts()[1] - before[1] >= 24)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    asked = reserved or memory.large_pages() == "always"
    assert answer.stdout == f"{reserved} [True, True]\n{asked}\n"


def test_where_there_are_no_large_pages_nothing_is_reserved(monkeypatch):
    assert not memory.reserve(0)
    monkeypatch.delattr(memory.mmap, "MADV_HUGEPAGE", raising=False)
    assert memory.reserve(2**20) is False


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
