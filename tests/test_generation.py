"""Generation: what is kept and drawn, beside the definitions and the reference's; what ends a continuation."""

import itertools
import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minbert.errors import UserError
from minbert.families.gpt2 import GPT2LMHeadModel
from minbert.generation import best, cut, draw, generate, generate_all, nucleus
from tests.texts import made_up

LETTERS = "abcdefghijklmnopqrstuvwxyz .,!?"


@pytest.fixture(scope="module")
def model():
    """Large weights, and sizes of which no two are equal."""
    torch.manual_seed(5)
    sizes = {"vocab_size": len(LETTERS), "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3}
    sizes |= {"intermediate_size": 17, "max_position_embeddings": 19, "initializer_range": 0.6}
    return GPT2LMHeadModel(sizes)


def decode(ids):
    return "".join(LETTERS[id] for id in ids)


def ids(text):
    return [LETTERS.index(letter) for letter in text]


# What is kept


@pytest.fixture(scope="module")
def cases(shared):
    return json.loads(shared("reference/families/generation.json").read_text("utf-8"))["cases"]


def test_what_is_kept_and_drawn_is_the_reference_s(cases):
    assert len(cases) == 82
    for case in cases:
        p = cut(torch.tensor(case["logits"], dtype=torch.float64), **case["settings"])
        kept, expected = p.nonzero().flatten().tolist(), torch.tensor(case["p"], dtype=torch.float64)
        if "tie_at_border" in case:  # which of the equal ones stay is an accident of the reference's sorting
            assert abs(len(kept) - len(case["kept"])) <= 1
        else:
            assert kept == case["kept"], case["why"]
            assert (p - expected).abs().max() < 1e-9, case["why"]
            assert [draw(p, u) for u, _ in case["draws"]] == [id for _, id in case["draws"]], case["why"]
        assert [draw(expected, u) for u, _ in case["draws"]] == [id for _, id in case["draws"]], case["why"]


def logs(*p):
    return torch.tensor(p, dtype=torch.float64).log()


def test_the_token_that_reaches_top_p_stays():
    assert cut(logs(0.5, 0.25, 0.125, 0.125), top_p=0.7).tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert cut(logs(0.5, 0.25, 0.125, 0.125), top_p=0.76).count_nonzero() == 3


@made_up
@given(st.lists(st.sampled_from([0.0, 1.0, 1.0, 2.0, 3.5, 5.0]), min_size=1, max_size=40), st.floats(0, 1))
def test_the_few_that_are_sorted_first_are_enough_or_all_are_sorted(weights, top_p):
    """Beside the definition: all tokens by falling p, then by id."""
    p = torch.tensor(weights, dtype=torch.float64).softmax(0)
    falling, ids = p.sort(descending=True, stable=True)
    wanted = torch.ones_like(p).bool()
    wanted[ids[1:][falling.cumsum(0)[:-1] >= top_p]] = False
    for few in (1, 3, 256):
        assert torch.equal(nucleus(p, top_p, few), wanted)


def test_of_equal_tokens_at_the_border_the_lower_ids_stay():
    assert cut(torch.zeros(8), top_p=0.5).nonzero().flatten().tolist() == [0, 1, 2, 3]


def test_top_k_keeps_what_equals_the_last_one():
    assert cut(torch.tensor([3.0, 1.0, 2.0, 2.0]), top_k=2).nonzero().flatten().tolist() == [0, 2, 3]
    assert cut(torch.tensor([3.0, 1.0]), top_k=9).all()


def test_temperature_0_is_the_lowest_id_of_the_best():
    assert cut(torch.tensor([1.0, 3.0, 3.0]), temperature=0).tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("temperature", [1e-300, 1e300])
def test_no_temperature_overflows(temperature):
    p = cut(torch.tensor([100.0, 99.0, -math.inf]), temperature=temperature)
    assert p.tolist() == pytest.approx([1, 0, 0] if temperature < 1 else [0.5, 0.5, 0])


def test_the_penalty_counts_each_id_once_and_comes_before_the_temperature():
    p = cut(torch.tensor([2.0, -1.0, 0.5]), temperature=0.5, repetition_penalty=2.0, previous=[1, 0, 0])
    assert torch.allclose(p, torch.tensor([1.0, -2.0, 0.5]).double().div(0.5).softmax(0))


@made_up
@given(st.lists(st.floats(-9, 9), min_size=1, max_size=30), st.floats(0, 1), st.floats(0.1, 3))
def test_top_p_keeps_the_smallest_set_that_reaches_it(logits, top_p, temperature):
    whole = torch.tensor(logits, dtype=torch.float64).div(temperature).softmax(0)
    kept = cut(torch.tensor(logits, dtype=torch.float64), temperature, top_p=top_p)
    inside = whole[kept > 0]
    assert len(inside) and kept.sum().item() == pytest.approx(1)
    assert inside.sum() >= top_p - 1e-9 or len(inside) == len(whole[whole > 0])
    assert len(inside) == 1 or inside.sum() - inside.min() < top_p + 1e-9
    assert kept.max() == 0 or inside.min() >= whole[kept == 0].max() if len(inside) < len(whole) else True


@made_up
@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5]), min_size=1, max_size=9).filter(any),
    st.floats(0, 1, exclude_max=True),
)
def test_a_draw_is_the_first_running_sum_above_u(p, u):
    sums = list(itertools.accumulate(p))
    expected = next(id for id, total in enumerate(sums) if total > u * sums[-1])
    assert draw(torch.tensor(p, dtype=torch.float64), u) == expected
    assert p[expected] > 0


def test_draws_follow_the_probabilities():
    p, drawn = torch.tensor([0.2, 0.0, 0.5, 0.3]), torch.zeros(4)
    for u in torch.arange(0.5, 1000).double() / 1000:
        drawn[draw(p, float(u))] += 1
    assert drawn.tolist() == [200, 0, 500, 300]


@pytest.mark.parametrize(
    "settings, complaint",
    [
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"top_p": 1.01}, "top_p is 1.01"),
        ({"top_k": -1}, "top_k is -1"),
        ({"top_k": 1.5}, "top_k is 1.5"),
        ({"repetition_penalty": 0}, "repetition_penalty is 0"),
    ],
)
def test_a_setting_out_of_its_bounds_is_refused(settings, complaint):
    with pytest.raises(UserError, match=complaint):
        cut(torch.zeros(3), **settings)


@pytest.mark.parametrize("logits", [[math.nan, 1.0], [math.inf, 1.0], [-math.inf, -math.inf]])
def test_logits_that_are_no_numbers_are_an_error(logits):
    with pytest.raises(UserError, match="NaN or infinity"):
        cut(torch.tensor(logits))


def test_the_best_places_in_order_the_first_of_equals_first():
    assert best(torch.tensor([1.0, 3.0, 2.0, 3.0, 2.0]), 3) == [1, 3, 2]
    assert best(torch.tensor([1.0, 2.0]), 9) == [1, 0]
    assert best(torch.tensor([1.0, 2.0, 3.0, 3.0]), 1) == [2] and best(torch.tensor([1.0]), 0) == []


def test_the_largest_u_draws_the_last_token_that_is_possible():
    p = torch.tensor([0.1, 0.2, 0.4, 0.0], dtype=torch.float64)  # times the sum, u is rounded up to the sum
    assert math.nextafter(1, 0) * 0.7 <= 0.7
    assert draw(p, math.nextafter(1, 0)) == 2


# What is written


def written_out(model, prompt, uniforms, **settings):
    """The ids of a continuation by the model's own forward on one row, without a cache."""
    found = list(prompt)
    for u in uniforms:
        logits = model(torch.tensor([found]))[0][0, -1].detach()
        found.append(draw(cut(logits, previous=found, **settings), u))
    return found[len(prompt) :]


@pytest.mark.parametrize(
    "settings", [{"temperature": 0}, {}, {"temperature": 0.5, "top_p": 0.8, "top_k": 9}, {"repetition_penalty": 1.7}]
)
def test_the_cache_changes_nothing(model, settings):
    uniforms = torch.rand(3, 14, generator=torch.Generator().manual_seed(4), dtype=torch.float64).tolist()
    found = generate(model, ids("film"), max_tokens=14, seed=4, n=3, **settings)
    settings = {"repetition_penalty": 1.0} | settings
    assert [made.ids for made in found] == [written_out(model, ids("film"), row, **settings) for row in uniforms]


def test_a_continuation_does_not_depend_on_how_many_are_asked_for(model):
    five, two = (generate(model, ids("so"), max_tokens=9, seed=7, n=n) for n in (5, 2))
    assert [made.ids for made in five[:2]] == [made.ids for made in two]
    assert len({tuple(made.ids) for made in five}) == 5


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"seed": 3, "n": 2, "repetition_penalty": 1.4}])
def test_prompts_side_by_side_are_the_same_as_one_by_one(model, settings):
    """One row is full while another goes on: 16 of 19 positions are taken by the first prompt."""
    prompts = [ids("a sixteen letter"), ids("b"), ids("film!")]
    side_by_side = generate_all(model, prompts, max_tokens=12, **settings)
    for prompt, found in zip(prompts, side_by_side):
        alone = generate(model, prompt, max_tokens=12, **settings)
        assert [made.ids for made in found] == [made.ids for made in alone]
        assert [made.finish for made in found] == [made.finish for made in alone]
        for one, two in zip(found, alone):
            assert [step.log_p for step in one.steps] == pytest.approx([step.log_p for step in two.steps], abs=1e-5)
    assert {made.finish for made in side_by_side[0]} == {"full"}
    assert {made.finish for made in side_by_side[1]} == {"length"}


def test_a_step_names_the_model_s_own_probabilities_whatever_is_cut(model):
    prompt = ids("a plot")
    made = generate(model, prompt, max_tokens=3, temperature=0.3, top_k=2, seed=1, top=4)[0]
    for number, step in enumerate(made.steps):
        p = model(torch.tensor([prompt + made.ids[:number]]))[0][0, -1].detach().double().softmax(0)
        assert step.id == made.ids[number]
        assert step.log_p == pytest.approx(math.log(p[step.id]), abs=1e-5)
        assert [id for id, _ in step.top] == p.argsort(descending=True)[:4].tolist()
        assert step.coverage == pytest.approx(sum(p.topk(4).values.tolist()), abs=1e-6)
        assert sum(q for _, q in step.top) == step.coverage


def greedy(model, prompt, **settings):
    return generate(model, prompt, temperature=0, **settings)[0]


def test_what_ends_a_continuation(model):
    prompt = ids("film")
    whole = greedy(model, prompt, max_tokens=8, decode=decode)
    assert (whole.finish, whole.text, len(whole.ids)) == ("length", decode(whole.ids), 8)
    at = next(at for at in range(1, 8) if whole.ids[at] not in whole.ids[:at])
    ended = greedy(model, prompt, max_tokens=8, decode=decode, end=whole.ids[at])
    assert (ended.finish, ended.ids, ended.text) == ("end", whole.ids[: at + 1], whole.text[:at])
    full = greedy(model, prompt, max_tokens=99)
    assert (full.finish, len(full.ids)) == ("full", 15)
    assert greedy(model, prompt, max_tokens=15).finish == "length"
    assert full.text is None


def test_a_stop_string_is_found_across_tokens_and_the_ids_keep_what_was_drawn(model):
    whole = greedy(model, ids("film"), max_tokens=8, decode=decode)
    stop = whole.text[2:4]
    at = whole.text.find(stop)
    made = greedy(model, ids("film"), max_tokens=8, decode=decode, stop=["@@", stop])
    assert (made.finish, made.text, made.ids) == ("stop", whole.text[:at], whole.ids[: at + 2])
    assert greedy(model, ids("film"), max_tokens=8, decode=decode, stop=stop).text == made.text


def test_half_a_character_is_no_stop(model):
    def halves(ids):
        return "\N{REPLACEMENT CHARACTER}" if len(ids) % 2 else "x" * (len(ids) // 2)

    made = greedy(model, ids("film"), max_tokens=6, decode=halves, stop=["\N{REPLACEMENT CHARACTER}", "xxx"])
    assert (made.finish, made.text, len(made.ids)) == ("stop", "", 6)


def test_one_watches_each_token(model):
    seen = []
    made = generate(
        model, ids("so"), max_tokens=4, decode=decode, watch=lambda number, so_far: seen.append(so_far.text)
    )
    assert seen == [made[0].text[: length + 1] for length in range(4)]


def test_generation_is_in_evaluation_mode_and_gives_the_mode_back():
    torch.manual_seed(0)
    sizes = {"vocab_size": 9, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1}
    sizes |= {"intermediate_size": 8, "initializer_range": 1.0, "hidden_dropout_prob": 0.9}
    model = GPT2LMHeadModel(sizes).train()
    assert len({tuple(generate(model, [1, 2], max_tokens=9, temperature=0)[0].ids) for _ in range(4)}) == 1
    assert model.training and model.decoder.training


@pytest.mark.parametrize(
    "prompt, settings, complaint",
    [
        ([], {}, "the prompt is empty"),
        ([0] * 19, {}, "has 19 tokens, but the model has 19 positions, and one must be left"),
        ([0, 31], {}, "holds the id 31, but the model has 31 tokens"),
        ([-1], {}, "holds the id -1"),
        ([0], {"max_tokens": 0}, "max_tokens is 0"),
        ([0], {"n": 0}, "n is 0"),
        ([0], {"seed": -1}, "seed is -1"),
        ([0], {"stop": ["a"]}, "stop needs decode"),
        ([0], {"stop": [""], "decode": decode}, "an empty string"),
        ([0], {"top_p": -1}, "top_p is -1"),
    ],
)
def test_what_cannot_be_generated_is_refused_in_words(model, prompt, settings, complaint):
    with pytest.raises(UserError, match=complaint):
        generate(model, prompt, **settings)


def test_the_longest_prompt_leaves_one_position(model):
    made = generate(model, [0] * 18)[0]
    assert (len(made.ids), made.finish) == (1, "full")
    assert generate_all(model, []) == []
