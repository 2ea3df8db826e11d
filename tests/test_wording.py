"""Numbers and names in messages."""

from minbert.wording import counted, nearest


def test_one_is_singular_and_all_else_is_plural():
    assert [counted(number, "token") for number in (0, 1, 2)] == ["0 tokens", "1 token", "2 tokens"]
    assert [counted(number, "batch", "batches") for number in (1, 10)] == ["1 batch", "10 batches"]


def test_large_numbers_and_parts_of_one():
    assert counted(12345, "step", form=",") == "12,345 steps"
    assert [counted(number, "minute", form="g") for number in (0.5, 1.0)] == ["0.5 minutes", "1 minute"]


def test_the_name_that_was_meant():
    assert nearest("suport", ["against", "support"]) == "; did you mean support?"
    assert nearest("FAVOUR", ["against", "Favor"]) == nearest("favo", ["Favor", "favor"]).replace("favor", "Favor")
    assert nearest("joy", ["against", "support"]) == ""
