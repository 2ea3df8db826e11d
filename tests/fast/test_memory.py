"""Where memory cannot be kept, nothing happens."""

import pytest

from minbert.fast import memory


@pytest.mark.parametrize("error", [TypeError, AttributeError, OSError])  # Windows, macOS, another libc
def test_where_memory_cannot_be_kept_nothing_happens(error, monkeypatch):
    def missing(name):
        raise error

    monkeypatch.setattr(memory.ctypes, "CDLL", missing)
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    memory.retain_freed_memory()
    assert memory.os.environ.pop("THP_MEM_ALLOC_ENABLE") == "1"
