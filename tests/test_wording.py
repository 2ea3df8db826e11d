"""Numbers in messages."""

from minbert.wording import counted


def test_one_is_singular_and_all_else_is_plural():
    assert [counted(number, "token") for number in (0, 1, 2)] == ["0 tokens", "1 token", "2 tokens"]
    assert [counted(number, "batch", "batches") for number in (1, 10)] == ["1 batch", "10 batches"]


def test_large_numbers_and_parts_of_one():
    assert counted(12345, "step", form=",") == "12,345 steps"
    assert [counted(number, "minute", form="g") for number in (0.5, 1.0)] == ["0.5 minutes", "1 minute"]
