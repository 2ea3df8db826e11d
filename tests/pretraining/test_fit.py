"""Masking by its statistics, the objective by its parts, the run by what it does to a tiny model."""

import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
from torch.nn import functional as F

from minbert import AdamW, BertForMaskedLM, BertForPreTraining, BertModel, BertTokenizer
from minbert.errors import UserError
from minbert.pretraining.corpus import TokenFile, pack
from minbert.pretraining.fit import begin
from minbert.pretraining.masking import IGNORED, mask_tokens
from minbert.pretraining.objective import Objective, evaluate
from minbert.pretraining.settings import Settings
from minbert.pretraining.teacher import Teacher, mean_of_words
from minbert.runs import loop as loops
from minbert.runs.state import load_state, save_state
from minbert.training import NotFinite
from tests.conftest import VOCAB

PLAIN = [id for id, token in enumerate(VOCAB) if id >= 5]
MASK = VOCAB.index("[MASK]")
SMALL = {"hidden_size": 24, "num_attention_heads": 2, "num_hidden_layers": 1, "initializer_range": 0.15}


def packing(folder, tokenizer, texts, length=16):
    """Packed text to learn from and held out."""
    paths = folder / "train.ids", folder / "heldout.ids"
    pack(texts, tokenizer, *paths)
    return [TokenFile(path, tokenizer, length) for path in paths]


@pytest.fixture
def packed(tmp_path, tokenizer):
    """Packed random text, and the same held out."""
    rng = random.Random(0)
    words = ["the", "film", "unaffable", "wonderful", "plots", "a", "xyz", "."]
    return packing(tmp_path, tokenizer, [" ".join(rng.choices(words, k=15)) for _ in range(400)])


@pytest.fixture
def same(tmp_path, tokenizer):
    """Texts of one word again and again: what is masked can be known from what is beside it."""
    rng = random.Random(0)
    words = ["the", "film", "was", "good", "bad", "not", "plot", "a"]
    return packing(tmp_path, tokenizer, [" ".join([rng.choice(words)] * 300) for _ in range(200)])


# Masking


@pytest.fixture(scope="module")
def text():
    """200,000 random pieces in rows between [CLS] and [SEP], with [SEP] and [UNK] among them."""
    rows = np.random.default_rng(0).integers(0, len(VOCAB), (2000, 100))
    rows[np.isin(rows, (0, 2, MASK))] = VOCAB.index("[UNK]")
    rows[:, 0], rows[:, -1] = VOCAB.index("[CLS]"), VOCAB.index("[SEP]")
    return rows


def near(count, n, p):
    """Whether count is within 4 standard deviations of what n draws with probability p give."""
    return abs(count - n * p) < 4 * math.sqrt(n * p * (1 - p))


@pytest.mark.parametrize("whole_words", [False, True])
@pytest.mark.parametrize("share", [0.15, 0.4])
def test_a_share_of_the_tokens_is_asked_for_and_special_ones_never(packed, text, share, whole_words):
    shown, labels = mask_tokens(text, packed[0], np.random.default_rng(1), share, whole_words)
    chosen, special = labels != IGNORED, text < 5
    assert not (chosen & special).any()
    assert (shown[special] == text[special]).all()
    if whole_words:  # a word of n pieces counts n, at once
        sizes = np.bincount((~packed[0].continues[text]).cumsum())
        spread = math.sqrt((sizes.astype(float) ** 2).sum() * share * (1 - share))
        assert abs(chosen.sum() - share * (~special).sum()) < 4 * spread < 0.04 * chosen.sum()
    else:
        assert near(chosen.sum(), (~special).sum(), share)


@pytest.mark.parametrize("whole_words", [False, True])
def test_labels_are_what_stood_there_and_ignored_elsewhere(packed, text, whole_words):
    shown, labels = mask_tokens(text, packed[0], np.random.default_rng(1), 0.15, whole_words)
    chosen = labels != IGNORED
    assert shown.shape == labels.shape == text.shape and shown.dtype == labels.dtype == np.int64
    assert (labels[chosen] == text[chosen]).all()
    assert (labels[~chosen] == -100).all()
    assert (shown[~chosen] == text[~chosen]).all()


@pytest.mark.parametrize("whole_words", [False, True])
def test_eighty_percent_masks_ten_random_ten_as_they_were(packed, text, whole_words):
    shown, labels = mask_tokens(text, packed[0], np.random.default_rng(1), 0.3, whole_words)
    chosen = labels != IGNORED
    shown, before, n = shown[chosen], text[chosen], chosen.sum()
    other = 0.1 * (1 - 1 / len(PLAIN))  # a random token may be the one that was there
    assert near((shown == MASK).sum(), n, 0.8)
    assert near(((shown != MASK) & (shown != before)).sum(), n, other)
    assert near((shown == before).sum(), n, 0.2 - other)


def test_any_token_but_a_special_one_may_come_instead(packed):
    rows = np.full((2000, 100), VOCAB.index("film"))
    shown, labels = mask_tokens(rows, packed[0], np.random.default_rng(2), 0.5)
    counts = np.bincount(shown[(labels != IGNORED) & (shown != MASK)], minlength=len(VOCAB))
    instead = [id for id in PLAIN if id != VOCAB.index("film")]
    assert counts[:5].tolist() == [0] * 5
    assert all(near(counts[id], (labels != IGNORED).sum(), 0.1 / len(PLAIN)) for id in instead)


def test_every_place_is_as_likely_as_any_other(packed, text):
    rows = np.full((3000, 40), VOCAB.index("film"))
    for whole_words in (False, True):
        _, labels = mask_tokens(rows, packed[0], np.random.default_rng(3), 0.15, whole_words)
        assert all(near(count, 3000, 0.15) for count in (labels != IGNORED).sum(axis=0))


def test_masks_are_new_each_time_and_the_same_from_the_same_generator(packed, text):
    rng, again = np.random.default_rng(1), np.random.default_rng(1)
    first, second = mask_tokens(text, packed[0], rng), mask_tokens(text, packed[0], rng)
    assert not np.array_equal(first[1] != IGNORED, second[1] != IGNORED)
    for once, twice in zip(first + second, mask_tokens(text, packed[0], again) + mask_tokens(text, packed[0], again)):
        assert np.array_equal(once, twice)


def words_of(row):
    """The places of each word of a row, by hand: [[1], [2, 3, 4], ...]"""
    words = []
    for place, id in enumerate(row):
        if id >= 5:
            if VOCAB[id].startswith("##") and words and words[-1][-1] == place - 1:
                words[-1].append(place)
            else:
                words.append([place])
    return words


def test_whole_words_are_chosen_with_all_their_pieces_or_not_at_all(packed, text):
    torn = 0
    for whole_words in (True, False):
        _, labels = mask_tokens(text[:300], packed[0], np.random.default_rng(1), 0.3, whole_words)
        for row, label in zip(text, labels):
            for word in words_of(row):
                parts = (label[word] != IGNORED).tolist()
                torn += len(set(parts)) == 2
        assert (torn > 1000) == (not whole_words) and (torn == 0) == whole_words


def test_a_word_is_never_joined_to_the_row_before(packed):
    """Rows that begin and end in the middle of a word, without special tokens."""
    rows = np.full((2000, 2), VOCAB.index("##s"))
    _, labels = mask_tokens(rows, packed[0], np.random.default_rng(1), 0.5, whole_words=True)
    chosen = labels != IGNORED
    assert (chosen[:, 0] == chosen[:, 1]).all()
    assert near(chosen[:, 0].sum(), 2000, 0.5)
    assert near((chosen[1:, 0] == chosen[:-1, 0]).sum(), 1999, 0.5)


# The objective


def model(config, kind=BertForMaskedLM, seed=0, **changes):
    torch.manual_seed(seed)
    return kind(config.change(**changes))


@pytest.fixture
def teacher(tiny):
    """A teacher of other sizes, with another vocabulary."""
    vocab = [*VOCAB, "unaffable", "wonderful", "film"][::-1]
    vocab = [token for number, token in enumerate(vocab) if token not in vocab[:number]]
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "vocab_size": len(vocab), "initializer_range": 0.5}
    return Teacher(model(tiny, BertModel, 7, **sizes), BertTokenizer(vocab))


@pytest.mark.parametrize("whole_words", [False, True])
def test_the_loss_is_the_models_own_on_masked_rows(packed, tiny, tokenizer, whole_words):
    settings = Settings(steps=1, mask=0.3, whole_words=whole_words)
    mlm = model(tiny, initializer_range=0.3)
    loss, parts = Objective(mlm, tokenizer, settings)(packed[0], np.random.default_rng(4), 6, 16)
    rng = np.random.default_rng(4)
    shown, labels = mask_tokens(packed[0].rows(rng, 6, 16), packed[0], rng, 0.3, whole_words)
    shown, labels = torch.tensor(shown), torch.tensor(labels)
    logits = mlm(shown)[0][labels != IGNORED]
    asked = labels[labels != IGNORED]
    assert loss.item() == pytest.approx(F.cross_entropy(logits, asked).item(), rel=1e-5)
    assert parts == {
        "loss": pytest.approx(loss.item()),
        "accuracy": pytest.approx((logits.argmax(-1) == asked).float().mean().item()),
    }


def test_with_next_sentences_the_loss_is_the_sum_of_the_two(packed, tiny, tokenizer):
    both = model(tiny, BertForPreTraining, initializer_range=0.3)
    loss, parts = Objective(both, tokenizer, Settings(steps=1))(packed[0], np.random.default_rng(4), 8, 16)
    rng = np.random.default_rng(4)
    rows, segments, order = packed[0].pairs(rng, 8, 16)
    shown, labels = mask_tokens(rows, packed[0], rng)
    shown, segments, labels, order = map(torch.tensor, (shown, segments, labels, order))
    _, follows, expected = both(shown, None, segments, labels, order)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert parts["order_loss"] == pytest.approx(F.cross_entropy(follows, order).item(), rel=1e-5)
    assert parts["loss"] + parts["order_loss"] == pytest.approx(loss.item(), rel=1e-5)


def test_with_a_teacher_the_distance_to_its_words_counts_three_times(packed, tiny, tokenizer, teacher):
    objective = Objective(model(tiny, initializer_range=0.3), tokenizer, Settings(steps=1), teacher)
    loss, parts = objective.train()(packed[0], np.random.default_rng(4), 6, 16)
    rng = np.random.default_rng(4)
    rows = packed[0].rows(rng, 6, 16)
    shown, _ = mask_tokens(rows, packed[0], rng)
    target, place = teacher.word_vectors(rows, packed[0], tokenizer)
    x = objective.model.bert(torch.tensor(shown))["last_hidden_state"]
    given = objective.project(mean_of_words(x, place, len(target)))
    distances = [1 - (a @ b / a.norm() / b.norm()).item() for a, b in zip(given, target)]
    assert parts["distance"] == pytest.approx(sum(distances) / len(distances), rel=1e-4)
    assert loss.item() == pytest.approx(parts["loss"] + 3 * parts["distance"], rel=1e-5)
    assert "distance" not in objective.eval()(packed[0], np.random.default_rng(4), 6, 16)[1]


def test_words_that_the_teacher_did_not_read_do_not_count(packed, tiny, tokenizer, teacher, monkeypatch):
    objective = Objective(model(tiny, initializer_range=0.3), tokenizer, Settings(steps=1), teacher).train()
    _, whole = objective(packed[0], np.random.default_rng(4), 6, 16)
    words = Teacher.word_vectors
    monkeypatch.setattr(
        Teacher,
        "word_vectors",
        lambda *args: (lambda target, place: (target * (target[:, :1] > 0), place))(*words(*args)),
    )
    loss, some = objective(packed[0], np.random.default_rng(4), 6, 16)
    assert 0.5 < some["distance"] / whole["distance"] < 2  # of half the words; those with the vector 0 are 1 away
    monkeypatch.setattr(Teacher, "word_vectors", lambda *args: (lambda t, place: (t * 0, place))(*words(*args)))
    loss, none = objective(packed[0], np.random.default_rng(4), 6, 16)
    assert none["distance"] == 0 and loss.isfinite()


def test_nothing_to_ask_for_is_no_loss(tmp_path, tiny, tokenizer):
    packed = packing(tmp_path, tokenizer, ["xyz"] * 400)  # all of it [UNK]
    loss, parts = Objective(model(tiny), tokenizer, Settings(steps=1))(packed[0], np.random.default_rng(0), 4, 16)
    assert loss.item() == parts["loss"] == parts["accuracy"] == 0
    loss.backward()


def test_held_out_text_is_always_measured_in_the_same_way(packed, tiny, tokenizer):
    mlm = model(tiny, initializer_range=0.3, hidden_dropout_prob=0.5)
    objective = Objective(mlm, tokenizer, Settings(steps=1, batch_tokens=128)).train()
    first = evaluate(objective, packed[1], 16, rows=64)
    torch.manual_seed(5)
    np.random.seed(5)
    assert evaluate(objective, packed[1], 16, rows=64) == first
    assert objective.training and mlm.training
    rng, losses = np.random.default_rng(0), []
    for _ in range(8):  # 8 batches of 8 rows
        shown, labels = mask_tokens(packed[1].rows(rng, 8, 16), packed[1], rng)
        losses.append(mlm.eval()(torch.tensor(shown), labels=torch.tensor(labels))[1].item())
    assert first["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert first.keys() == {"loss", "accuracy"}


# The run


def run(tiny, tokenizer, data, kind=BertForMaskedLM, teacher=None, sizes=(), **settings):
    """A small run on data, of 20 steps unless it is told otherwise. Returns the objective, the history, and the steps:
    (progress, figures, rate) of each.

    resume    (tensors, facts) of a state
    autosave  called with the Loop for an Autosave
    """
    calls = {name: settings.pop(name) for name in ("report",) if name in settings}
    resume, autosave, watch = (settings.pop(name, None) for name in ("resume", "autosave", "watch"))
    settings = Settings(**{"steps": 20, "batch_tokens": 256, "max_length": 16, "short": 0.9, "lr": 1e-2} | settings)
    torch.manual_seed(0)
    objective = Objective(model(tiny, kind, **dict(sizes)), tokenizer, settings, teacher)
    steps = []

    def see(progress, figures, rate):
        steps.append((progress | {"history": len(progress["history"])}, figures, rate))
        if watch:
            watch(objective, progress)

    loop = begin(objective, *data, settings)
    if resume:
        loop.restore(resume[0], resume[1]["progress"])
    return objective, loop.train(watch=see, autosave=autosave and autosave(loop), **calls), steps


def test_the_learning_rate_rises_and_falls_with_the_budget(packed, tiny, tokenizer):
    _, _, steps = run(tiny, tokenizer, packed, steps=20, warmup=0.25, lr=0.04)
    rates = [rate for _, _, rate in steps]
    assert rates[:5] == pytest.approx([0, 0.008, 0.016, 0.024, 0.032])
    assert rates[5:] == pytest.approx([0.04 * (20 - step) / 15 for step in range(5, 20)])
    _, _, steps = run(tiny, tokenizer, packed, steps=4, warmup=0.0, lr=0.04)
    assert [rate for _, _, rate in steps] == pytest.approx([0.04, 0.03, 0.02, 0.01])


class Clock:
    """Time that passes when it is looked at."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        self.seconds += 1.0
        return self.seconds


def test_a_budget_of_minutes_is_spent_by_training_alone(packed, tiny, tokenizer, monkeypatch):
    """Each step takes a second of this clock, each report an hour that is not counted."""
    clock = Clock()
    monkeypatch.setattr(loops.time, "perf_counter", clock)

    def report(figures):
        clock.seconds += 3600

    _, history, steps = run(tiny, tokenizer, packed, steps=None, minutes=0.5, warmup=0.2, lr=0.04, report=report)
    assert history[-1]["seconds"] == pytest.approx(30, abs=1.1)
    assert 25 <= len(steps) <= 31
    seconds = [0, *(progress["seconds"] for progress, _, _ in steps)][:-1]
    rates = [second / 6 if second < 6 else (30 - second) / 24 for second in seconds]
    assert [rate for _, _, rate in steps] == pytest.approx([0.04 * rate for rate in rates])


@pytest.mark.parametrize("steps", [1, 3, 20, 137])
def test_exactly_so_many_steps_and_a_history_of_some_fifty_points(packed, tiny, tokenizer, steps):
    seen = []
    _, history, watched = run(tiny, tokenizer, packed, steps=steps, report=seen.append)
    assert [progress["steps"] for progress, _, _ in watched] == list(range(1, steps + 1))
    assert history == seen
    assert len(history) == min(50, steps)
    assert (history[-1]["steps"], history[-1]["spent"]) == (steps, 1.0)
    measured = [number for number, figures in enumerate(history, start=1) if "heldout_loss" in figures]
    assert measured == sorted({*range(5, len(history) + 1, 5), len(history)})
    for figures in history:
        assert figures["spent"] == pytest.approx(figures["steps"] / steps)
        assert figures["steps"] / steps >= 0.02 * (history.index(figures) + 1)
    loss, since = [parts["loss"] for _, parts, _ in watched], 0
    for figures in history:
        assert figures["loss"] == pytest.approx(np.mean(loss[since : figures["steps"]]))
        since = figures["steps"]


def test_rows_are_short_at_first_and_tokens_are_counted(packed, tiny, tokenizer):
    assert [Settings(steps=1, short=0.9).row_length(spent) for spent in (0, 0.89, 0.9, 1)] == [32, 32, 128, 128]
    assert Settings(steps=1, short=0.0).row_length(0) == 128
    assert [Settings(steps=1, max_length=20, short=0.5).row_length(spent) for spent in (0, 0.5)] == [8, 20]
    _, _, steps = run(tiny, tokenizer, packed, steps=10, max_length=40, batch_tokens=100, short=0.6)
    tokens = [progress["tokens"] for progress, _, _ in steps]
    assert np.diff([0, *tokens]).tolist() == [100] * 6 + [80] * 4  # 10 rows of 10, then 2 of 40
    assert Settings(minutes=2).spent({"seconds": 30.0, "steps": 7}) == 0.25
    assert Settings(steps=28).spent({"seconds": 30.0, "steps": 7}) == 0.25


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_learns_what_can_be_learnt(same, tiny, tokenizer, precision):
    _, history, _ = run(tiny, tokenizer, same, sizes=SMALL, steps=150, short=0.0, precision=precision)
    assert history[0]["loss"] > math.log(len(VOCAB)) - 0.2  # it knows nothing yet
    assert history[-1]["heldout_loss"] < 0.25  # where one text ends and the next begins nobody knows
    assert history[-1]["heldout_accuracy"] > 0.93
    assert np.mean([figures["loss"] for figures in history[-10:]]) < 0.25


def test_the_same_seed_gives_the_same_weights_another_seed_others(packed, tiny, tokenizer):
    first, again, other = (run(tiny, tokenizer, packed, steps=3, seed=seed)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["model.bert.embeddings.token.weight"], other["model.bert.embeddings.token.weight"])


def test_two_texts_that_follow_each_other_are_told_from_two_that_do_not(tmp_path, tiny, tokenizer):
    """One word in each half of the corpus: what follows is the same word, what is from elsewhere the other by half.

    Who sees two words knows the answer, who sees one is right with 2/3: a loss of 0.75 H(1/3) = 0.48.
    """
    data = packing(tmp_path, tokenizer, ["film " * 300, "plot " * 300] * 40, 8)
    options = {"sizes": SMALL, "steps": 200, "max_length": 8, "lr": 5e-3}
    objective, history, _ = run(tiny, tokenizer, data, BertForPreTraining, **options)
    assert history[0]["order_loss"] > 0.6
    assert 0.43 < np.mean([figures["order_loss"] for figures in history[-10:]]) < 0.58
    assert isinstance(objective.model, BertForPreTraining)


@pytest.mark.parametrize(
    "options",
    [
        {"whole_words": True},
        {"sizes": {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3}},
        {"precision": "bf16"},
        {"mask": 0.5},
        {"weight_decay": 0.5},
        {"warmup": 0.5},
        {"short": 0.0},
    ],
    ids=str,
)
def test_each_setting_makes_a_difference(packed, tiny, tokenizer, options):
    usual = {"steps": 3, "max_length": 40, "batch_tokens": 1024}
    plain, history, _ = run(tiny, tokenizer, packed, **usual)
    other, others, _ = run(tiny, tokenizer, packed, **usual, **options)
    assert all(np.isfinite(figures["loss"]) for figures in history + others)
    weights = [objective.model.bert.embeddings.token.weight for objective in (plain, other)]
    assert all(weight.dtype == torch.float32 and weight.isfinite().all() for weight in weights)
    assert not torch.equal(*weights)
    assert not other.training and not other.model.training


def test_a_gradient_is_cut_to_its_greatest_length(packed, tiny, tokenizer, monkeypatch):
    lengths, step = [], AdamW.step

    def see(optimizer):
        grads = [p.grad.flatten() for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        lengths.append(torch.cat(grads).norm().item())
        step(optimizer)

    monkeypatch.setattr(AdamW, "step", see)
    run(tiny, tokenizer, packed, steps=5, max_grad_norm=1e9)
    assert min(lengths) > 0.3
    lengths.clear()
    run(tiny, tokenizer, packed, steps=5, max_grad_norm=0.2)
    assert lengths == pytest.approx([0.2] * 5, rel=1e-3)


@pytest.mark.fault("numbers: a loss or a gradient that is NaN or infinite")
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_stops_the_run_before_a_weight_moves(packed, tiny, tokenizer, what):
    kept = []

    def spoil(objective, progress):
        if progress["steps"] == 3:
            if what == "loss":
                with torch.no_grad():
                    objective.model.predictions.bias[7] = torch.inf
            else:
                objective.model.predictions.bias.register_hook(lambda grad: grad * torch.inf)
            kept.append((objective, {name: value.clone() for name, value in objective.state_dict().items()}))

    with pytest.raises(
        NotFinite, match=r"the loss is .*, its gradient norm is \w+; stopped before .* lower --lr"
    ) as error:
        run(tiny, tokenizer, packed, watch=spoil)
    assert error.value.step == 3
    objective, before = kept.pop()
    after = objective.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_distillation_brings_the_student_nearer_to_its_teacher(same, tiny, tokenizer, teacher):
    _, history, _ = run(tiny, tokenizer, same, teacher=teacher, steps=40)
    assert "distance" in history[0]
    assert history[-1]["distance"] < 0.5 * history[0]["distance"]
    alone, _, _ = run(tiny, tokenizer, same, steps=1)
    assert alone.project is None


def test_a_teacher_does_not_learn(packed, tiny, tokenizer, teacher):
    before = {name: value.clone() for name, value in teacher.model.state_dict().items()}
    objective, _, _ = run(tiny, tokenizer, packed, teacher=teacher, steps=3, weight_decay=0.5)
    assert all(torch.equal(value, before[name]) for name, value in teacher.model.state_dict().items())
    assert not any("teacher" in name for name in objective.state_dict())
    assert not teacher.model.training


# Stopped and resumed


class Stopped(Exception):
    pass


DROPOUT = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3}


@pytest.mark.fault("saving: a resumed pretraining that ends differently")
@pytest.mark.parametrize(
    ("options", "after"),  # stopped so many steps after the state was saved
    [("plain", 0), ("dropout", 2), ("teacher", 2), ("next sentences", 0), ("bf16", 0)],
)
def test_a_run_that_goes_on_ends_as_if_it_had_not_stopped(packed, tiny, tokenizer, teacher, tmp_path, options, after):
    options = {
        "plain": {},
        "dropout": {"sizes": DROPOUT},
        "teacher": {"teacher": teacher, "sizes": DROPOUT},
        "next sentences": {"kind": BertForPreTraining},
        "bf16": {"precision": "bf16"},
    }[options]
    options |= {"steps": 12, "max_length": 40, "batch_tokens": 1024}  # the row length changes on the way
    whole, history, _ = run(tiny, tokenizer, packed, **options)
    state = tmp_path / "state.safetensors"

    def stop(objective, progress):
        if state.exists() and progress["steps"] == 5 + after:
            raise Stopped

    class Kept:
        """An Autosave that saves the state when it is due, and then stops."""

        def __init__(self, loop):
            self.loop = loop

        def step(self, due=False):
            if due:
                save(self.loop, state)
                if not after:
                    raise Stopped

    with pytest.raises(Stopped):
        run(tiny, tokenizer, packed, watch=stop, autosave=Kept, **options)
    torch.manual_seed(99)
    sizes = dict(options.get("sizes", {}))
    resumed = options | {"sizes": sizes | {"initializer_range": 0.3}}  # other weights to begin with
    kept = []
    autosave = SimpleNamespace(step=lambda due=False: kept.append(due))
    again, rest, steps = run(
        tiny, tokenizer, packed, resume=load_state(state), autosave=lambda loop: autosave, **resumed
    )
    assert len(steps) == 12 - 5
    assert [number for number, due in enumerate(kept) if due] == [9, 13]  # after 10 steps and at the end
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in again.state_dict().items())
    timeless = [[{k: v for k, v in figures.items() if k != "seconds"} for figures in part] for part in (history, rest)]
    assert timeless[0] == timeless[1]
    assert sorted(figures["seconds"] for figures in rest) == [figures["seconds"] for figures in rest]


def save(loop, path):
    tensors, progress = loop.state()
    save_state(path, tensors, {"progress": progress})


@pytest.fixture
def kept(packed, tiny, tokenizer, tmp_path):
    """A state that was saved after five steps: (path, loop)"""
    settings = Settings(steps=6, batch_tokens=256, max_length=16, lr=1e-2)
    torch.manual_seed(0)
    loop, path = begin(Objective(model(tiny), tokenizer, settings), *packed, settings), tmp_path / "state.safetensors"
    loop.train(autosave=SimpleNamespace(step=lambda due=False: due and not path.exists() and save(loop, path)))
    return path, loop


def test_a_state_holds_weights_moments_and_progress(kept):
    path, loop = kept
    tensors, facts = load_state(path)
    assert facts["progress"]["steps"] == 5 and facts["progress"].keys() == loop.progress.keys()
    save(loop, path)  # of six steps
    tensors, facts = load_state(path)
    assert facts["progress"] == loop.progress
    for name, parameter in loop.task.module.named_parameters():
        assert torch.equal(tensors[f"weight/{name}"], parameter)
        for moment in ("mean", "square"):
            if "pooler" in name:  # which has nothing to learn from
                assert f"optimizer/{name}/{moment}" not in tensors
            else:
                assert torch.equal(tensors[f"optimizer/{name}/{moment}"], loop.task.optimizer.state[parameter][moment])


def test_the_optimizer_forgets_soon_and_leaves_biases_alone(kept):
    matrices, vectors = kept[1].task.optimizer.param_groups
    assert matrices["betas"] == vectors["betas"] == (0.9, 0.98)
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.01, 0.0)
    assert {parameter.ndim for parameter in matrices["params"]} == {2}
    assert {parameter.ndim for parameter in vectors["params"]} == {1}


@pytest.mark.parametrize("error", [safetensors.SafetensorError("No space left"), OSError(28, "No space left")])
def test_a_state_that_cannot_be_saved_leaves_the_one_before(kept, monkeypatch, error):
    path, loop = kept
    before = path.read_bytes()

    def full(tensors, path, metadata):
        path.write_bytes(before[:1000])
        raise error

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(UserError, match=r"state\.safetensors: cannot be written \(No space left"):
        save(loop, path)
    assert path.read_bytes() == before
    assert {file.name for file in path.parent.iterdir()} == {"state.safetensors", "train.ids", "heldout.ids"}


@pytest.mark.parametrize("damage", ["gone", "cut short", "empty", "no state", "bad progress"])
def test_what_is_not_a_state_is_named(kept, damage):
    path = kept[0]
    if damage == "gone":
        path.unlink()
    elif damage == "cut short":
        path.write_bytes(path.read_bytes()[:-10])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "no state":
        safetensors.torch.save_file({"a": torch.zeros(3)}, path)
    else:
        safetensors.torch.save_file({"a": torch.zeros(3)}, path, metadata={"facts": "{"})
    with pytest.raises(UserError, match=r"state\.safetensors: is damaged, or not the state"):
        load_state(path)
