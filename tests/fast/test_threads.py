"""map_in_threads is map, but several items are worked on at once; and which models may be read so."""

import copy
import threading
import time

import pytest
import torch
from torch import nn

from minbert import fast, training
from minbert.fast import threads
from minbert.fast.int8 import quantize
from minbert.fast.threads import AHEAD, map_in_threads
from tests.fast.test_twins import CASES

PATIENCE = 20  # seconds; a thread that waits longer is alone


@pytest.fixture(autouse=True)
def four_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("workers", [1, 2, 3, 20])
def test_results_come_in_the_order_of_the_items(workers):
    def slow_at_first(item):
        time.sleep(0.02 if item < 3 else 0)
        return item, item**2

    assert list(map_in_threads(slow_at_first, iter(range(12)), workers)) == [(item, item**2) for item in range(12)]
    assert list(map_in_threads(slow_at_first, [], workers)) == []


def test_as_many_items_as_workers_are_worked_on_at_once():
    together = threading.Barrier(3)
    assert sorted(map_in_threads(lambda item: together.wait(PATIENCE), range(6), 3)) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("items", "workers", "share"), [(6, 2, 2), (6, 4, 1), (6, 9, 1), (2, 4, 2), (3, 4, 1), (1, 4, 4), (6, 1, 4)]
)
def test_each_has_its_share_of_torchs_threads(items, workers, share):
    alone = items == 1 or workers == 1
    seen = list(map_in_threads(lambda item: (torch.get_num_threads(), threading.get_ident()), range(items), workers))
    assert {threads for threads, _ in seen} == {share}
    assert ({thread for _, thread in seen} == {threading.get_ident()}) == alone


def test_threads_that_start_later_have_all_of_them():
    list(map_in_threads(str, range(6), 2))
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start(), thread.join()
    assert [torch.get_num_threads(), *later] == [4, 4]


def test_items_are_taken_when_they_are_needed():
    taken = []
    results = map_in_threads(str, (taken.append(item) or item for item in range(100)), 2)
    for item in range(20):
        assert next(results) == str(item)
        assert len(taken) <= item + 2 * AHEAD
    results.close()
    assert len(taken) < 30


def test_an_error_arrives_and_what_waits_is_left():
    begun = []

    def fails(item):
        begun.append(item)
        time.sleep(0.01)
        raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item 0"):
        list(map_in_threads(fails, range(100), 2))
    assert len(begun) <= 2 * AHEAD


# Models


def encoding(rows):
    masks, segments = [[1] * len(row) for row in rows], [[0] * len(row) for row in rows]
    return {"input_ids": rows, "attention_mask": masks, "token_type_ids": segments}


def built(golden, case="classifier, mean, flexible"):
    return CASES[case].build(golden.config)


SHORT = encoding([[1, 2]] * 30)


def test_our_own_parts_are_read_by_several_threads_and_what_plain_asks_for_by_map(golden):
    model = fast.swap_in(built(golden))
    assert fast.at_once(model, SHORT)["each"].keywords == {"workers": 4}
    assert "each" in fast.at_once(fast.for_reading(model), SHORT)
    assert fast.at_once(fast.swap_out(model), SHORT) == {}


@pytest.mark.parametrize(("count", "tokens"), [(30, threads.FEWEST), (4000, 1000), (9000, threads.MOST)])
def test_batches_are_small_enough_for_all_threads_to_have_some(golden, count, tokens):
    assert fast.at_once(fast.swap_in(built(golden)), encoding([[1, 2]] * count))["tokens"] == tokens


def test_one_text_or_one_thread_needs_no_other(golden):
    model = fast.swap_in(built(golden))
    assert fast.at_once(model, encoding([[1, 2]])) == {}
    torch.set_num_threads(1)
    assert fast.at_once(model, SHORT) == {}


class Counting(nn.Linear):
    """Remembers something from call to call."""


def test_a_part_of_your_own_or_a_hook_is_called_by_one_thread(golden):
    model = fast.swap_in(built(golden))
    hook = model.bert.pooler.register_forward_hook(lambda *given: None)
    assert fast.at_once(model, SHORT) == {}
    hook.remove()
    assert fast.at_once(model, SHORT)
    model.classifier.__class__ = Counting
    assert fast.at_once(model, SHORT) == {}


@pytest.mark.parametrize("kernel", ["plain", "packed"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("case", ["classifier, mean, flexible", "classifier, pooler, flexible"])
def test_several_threads_predict_what_one_does(golden, monkeypatch, case, precision, kernel):
    """No gradients are recorded, the precision holds in each thread, and each text gets its own logits."""
    monkeypatch.setattr(fast.reading.KERNEL, "chosen", kernel)
    monkeypatch.setattr(threads, "FEWEST", 8)
    monkeypatch.setattr(threads, "MOST", 8)
    model = fast.swap_in(built(golden, case))
    if precision == "int8":
        quantize(model)
    fast.for_reading(model)
    vocabulary = golden.config.vocab_size
    rows = [[(at * step + step) % vocabulary for at in range(1 + step % 7)] for step in range(40)]
    data, seen = training.Data(encoding(rows), None), set()

    def predict(model, precision, **how):
        def function(*inputs):
            seen.add(threading.get_ident())
            return model(*inputs)

        return training.in_order(*training.read(model, function, data, "cpu", precision, training.no_bar, **how))

    used = "fp32" if precision == "int8" else precision
    one = predict(copy.deepcopy(model), used)
    assert seen == {threading.get_ident()} and len(one.unique(dim=0)) > 20
    several = predict(model, used, **fast.at_once(model, data.encoding))
    assert len(seen) > 2 and not several.requires_grad
    assert torch.allclose(one, several, atol=1e-5 if precision == "fp32" else 0.02)
    if precision == "bf16":
        assert not torch.allclose(predict(model, "fp32"), several, atol=1e-6)
