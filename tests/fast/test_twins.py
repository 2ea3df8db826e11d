"""The fast paths equal the plain ones, in what they compute and in its gradients."""

import numpy as np
import pytest
import torch
from torch import nn

from minbert import AdamW, BertModel, BertSentClassifier, attention, fast, training
from minbert.batch import batches, epoch_order
from minbert.optimizer import clip, fused_adamw, parameter_groups
from minbert.training import Data, Settings, fit, train_step

HEADS = 2
MASKS = {
    "no padding": [[1, 1, 1], [1, 1, 1]],
    "padding": [[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]],
    "padding in front": [[0, 0, 1, 1], [1, 1, 1, 1]],
    "holes": [[1, 0, 1, 1, 0], [1, 1, 0, 0, 1]],
    "a row of padding alone": [[1, 1, 1], [0, 0, 0], [1, 1, 0]],
}
every_mask = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)


@pytest.fixture(params=["one group", "a group each"])
def cache(request, monkeypatch):
    if request.param == "a group each":
        monkeypatch.setattr(fast.group, "__defaults__", (1,))


def plain(query, key, value, mask, kept=None, rate=0.0):
    """attention.attend on padded [B, T, D], with dropout at chosen places."""
    q, k, v = (x.unflatten(-1, (HEADS, -1)).transpose(1, 2) for x in (query, key, value))
    drop = (lambda p: p) if kept is None else (lambda p: p * kept / (1 - rate))
    return attention.attend(q, k, v, attention.padding_mask(mask), drop)[0].transpose(1, 2).flatten(2)


def vectors(mask, seed=0):
    torch.manual_seed(seed)
    return [torch.randn(*mask.shape, 6, requires_grad=True) for _ in range(3)]


def gradients(output, mask, inputs):
    """Of a sum over the real tokens that weighs each number differently."""
    weight = torch.arange(output.numel()).view(output.shape).sin() * mask[:, :, None]
    return torch.autograd.grad((output * weight).sum(), inputs)


@every_mask
def test_unpadding_keeps_each_real_token_and_padding_it_again_puts_it_back(mask):
    mask = torch.tensor(mask)
    x = torch.randn(*mask.shape, 3)
    unpadded = fast.Unpadded(mask)
    rows = unpadded.unpad(x)
    assert len(rows) == mask.sum()
    assert torch.equal(unpadded.pad(rows), x * mask[:, :, None])


@every_mask
def test_attention_without_padding_equals_attend(mask, cache):
    mask = torch.tensor(mask)
    inputs = vectors(mask)
    expected = plain(*inputs, mask)
    unpadded = fast.Unpadded(mask)
    found = unpadded.pad(fast.attend(*map(unpadded.unpad, inputs), HEADS, unpadded, nn.Dropout(0.5).eval()))
    assert torch.allclose(found, expected * mask[:, :, None], atol=1e-6)
    for ours, theirs in zip(gradients(found, mask, inputs), gradients(expected, mask, inputs), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


@every_mask
@pytest.mark.parametrize("rate", [0.1, 0.6])
def test_attention_with_dropout_equals_attend_where_the_same_is_dropped(mask, rate, monkeypatch):
    """In one group; what is dropped is fixed for places (text, head, from, to), whatever the order of the texts."""
    mask = torch.tensor(mask)
    inputs, unpadded = vectors(mask), fast.Unpadded(mask)
    assert len(unpadded.groups) == 1
    kept = torch.rand(len(mask), HEADS, mask.size(1), mask.size(1)) >= rate
    texts = mask.sum(1).argsort(descending=True, stable=True)

    def chosen(shape, asked):
        """The dropped places in the order of the group: the longest text first, each text's real tokens first."""
        assert asked == rate
        places = torch.ones(shape, dtype=torch.bool)
        for row, text in enumerate(texts[: shape[0]].tolist()):
            real = mask[text].nonzero().squeeze(1)
            places[row, :, : len(real), : len(real)] = kept[text][:, real][:, :, real]
        return places

    monkeypatch.setattr(fast, "keep", chosen)
    found = unpadded.pad(fast.attend(*map(unpadded.unpad, inputs), HEADS, unpadded, nn.Dropout(rate)))
    expected = plain(*inputs, mask, kept, rate)
    assert torch.allclose(found, expected * mask[:, :, None], atol=1e-6)
    for ours, theirs in zip(gradients(found, mask, inputs), gradients(expected, mask, inputs), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.fault("numbers: too little memory for a long batch")
def test_groups_hold_every_text_once_and_no_more_scores_than_fit():
    lengths = [9, 9, 7, 4, 4, 4, 1, 0]
    groups = list(fast.group(lengths, torch.device("cpu"), most=100))
    assert [rows for _, rows in groups] == [[9], [9], [7, 4], [4, 4, 1]]
    assert [start for start, _ in groups] == [0, 9, 18, 29]
    assert [rows for _, rows in fast.group(lengths, torch.device("cuda"), most=100)] == [lengths[:-1]]
    alike = [5, 5, 5, 5, 5, 4, 4, 3]
    assert [rows for _, rows in fast.group(alike, torch.device("cpu"), most=1000)] == [[5] * 5, [4, 4, 3]]
    assert [rows for _, rows in fast.group(alike, torch.device("cpu"), most=75)] == [[5] * 3, [5, 5, 4], [4, 3]]


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.999])
def test_what_is_dropped(rate):
    torch.manual_seed(0)
    kept = fast.keep((500, 2001), rate)
    assert kept.shape == (500, 2001)
    share = 1 - kept.double().mean().item()
    assert share == pytest.approx(rate, abs=4 * (rate * (1 - rate) / kept.numel()) ** 0.5 + 1 / 65536)
    for shift in range(1, 5):  # neighbours, which share 64 random bits, are independent
        both = 1 - (kept[:, shift:] | kept[:, :-shift]).double().mean().item()
        assert both == pytest.approx(rate**2, abs=0.003)
    torch.manual_seed(0)
    assert torch.equal(fast.keep((500, 2001), rate), kept)
    assert not torch.equal(fast.keep((500, 2001), rate), kept)


def test_dropout_scales_what_it_keeps_and_does_nothing_in_evaluation():
    x = torch.ones(1000, 30, requires_grad=True)
    layer = fast.Dropout(0.25)
    y = layer(x)
    assert y.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], y)
    assert layer.eval()(x) is x
    assert not fast.Dropout(1.0)(x).any()


@pytest.mark.skipif(not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this torch has no oneDNN")
@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (0, 5)])
def test_the_other_library_multiplies_the_same(shape, monkeypatch):
    monkeypatch.setattr(fast, "ONEDNN", True)
    torch.manual_seed(0)
    layer, x = fast.Linear(5, 7), torch.randn(shape, requires_grad=True)
    found, expected = layer(x), nn.functional.linear(x, layer.weight, layer.bias)
    assert torch.allclose(found, expected, atol=1e-6)
    inputs = (x, layer.weight, layer.bias)
    for ours, theirs in zip(*(torch.autograd.grad(y.sin().sum(), inputs) for y in (found, expected)), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)
    layer.weight.requires_grad_(False)
    assert torch.autograd.grad(layer(x).sum(), layer.bias)[0].tolist() == [x[..., 0].numel()] * 7


@pytest.mark.fault("numbers: an answer that depends on other texts, padding or order")
@every_mask
def test_a_model_gives_the_same_vectors_with_and_without_padding(golden, mask):
    torch.manual_seed(0)
    model, mask = BertModel(golden.config.change(initializer_range=0.5)), torch.tensor(mask)
    ids, segments = torch.randint(0, 37, mask.shape), torch.randint(0, 2, mask.shape)
    slow, quick = (model(ids, mask, segments, output_hidden_states=True, unpad=unpad) for unpad in (False, True))
    layers = [(output["last_hidden_state"], *output["hidden_states"]) for output in (slow, quick)]
    for theirs, ours in zip(*layers, strict=True):
        assert torch.allclose(ours, theirs * mask[:, :, None], atol=1e-5)
    rows = mask[:, 0].bool()
    assert torch.allclose(quick["pooler_output"][rows], slow["pooler_output"][rows], atol=1e-5)


@every_mask
@pytest.mark.parametrize("pooling", ["pooler", "cls"])
def test_the_last_layer_may_be_asked_for_the_first_token_alone(golden, mask, pooling):
    model, mask = BertSentClassifier(golden.config.change(pooling=pooling, initializer_range=0.5)), torch.tensor(mask)
    ids = torch.arange(mask.numel()).view(mask.shape) % golden.config.vocab_size
    everything = model.bert(ids, mask, unpad=True)
    first = model.bert(ids, mask, unpad=True, first_only=True)
    assert first["last_hidden_state"].shape == (len(mask), 1, golden.config.hidden_size)
    for name in everything:
        expected = everything[name] if name == "pooler_output" else everything[name][:, :1]
        assert torch.allclose(first[name], expected, atol=1e-5)
    learning = [parameter for name, parameter in model.bert.named_parameters() if "pooler" not in name]
    both = [torch.autograd.grad(model.pool(output).sin().sum(), learning) for output in (first, everything)]
    for ours, theirs in zip(*both, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_where_only_the_first_token_looks_dropout_keeps_the_mean(rate):
    mask = torch.ones(64, 50)
    mask[::2, 30:] = 0
    unpadded, ones = fast.Unpadded(mask), torch.ones(int(mask.sum()), 8)
    torch.manual_seed(0)
    found = fast.attend_first(torch.zeros(64, 8), ones, ones, HEADS, unpadded, nn.Dropout(rate))
    assert found.mean().item() == pytest.approx(1, abs=0.02)
    assert (found.std().item() > 0.05) == bool(rate)


def test_no_token_at_all_and_a_mask_of_another_shape(golden):
    model, ids = BertModel(golden.config), torch.ones(2, 4, dtype=torch.int64)
    assert not model(ids, torch.zeros_like(ids), unpad=True)["last_hidden_state"].any()
    assert model(ids[0:0])["last_hidden_state"].shape[:2] == (0, 4)
    for unpad in (False, True):
        with pytest.raises(RuntimeError, match="must match the existing size"):
            model(ids, torch.ones(2, 3), unpad=unpad)


def test_gradients_of_gradients_are_refused_rather_than_wrong(monkeypatch):
    monkeypatch.setattr(fast, "ONEDNN", hasattr(torch.ops.mkldnn, "_linear_pointwise"))
    layer, x = fast.Linear(3, 2), torch.ones(4, 3, requires_grad=True)
    if not fast.ONEDNN:
        pytest.skip("this torch has no oneDNN")
    (slope,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_a_hidden_token_has_a_vector_unless_it_is_called_padding(golden):
    """Whoever hides [SEP] from the others may still want to read what stands there."""
    batch, model = golden.batch, BertModel(golden.config)
    hidden = ~batch.attention_mask.bool()
    assert model(*batch[:3])["last_hidden_state"][hidden].abs().sum(-1).all()
    assert not model(*batch[:3], unpad=True)["last_hidden_state"][hidden].any()


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_the_fused_optimizer_is_adamw(weight_decay):
    torch.manual_seed(0)
    models = [nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    groups = [parameter_groups(model, weight_decay) for model in models]
    optimizers = AdamW(groups[0], lr=0.01), fused_adamw(groups[1], 0.01)
    for step in range(20):
        for model, optimizer in zip(models, optimizers):
            optimizer.zero_grad()
            torch.manual_seed(step)
            model(torch.randn(5, 4)).square().sum().backward()
            for group in optimizer.param_groups:
                group["lr"] = 0.01 * step
            optimizer.step()
    for ours, theirs in zip(*(model.parameters() for model in models), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("most", [0.5, 100.0])
def test_clipping_equals_torch_s(most):
    torch.manual_seed(0)
    ours, theirs = ([nn.Parameter(torch.zeros(3, 2)), nn.Parameter(torch.zeros(4))] for _ in range(2))
    for one, other in zip(ours, theirs):
        one.grad = torch.randn_like(one)
        other.grad = one.grad.clone()
    unused = nn.Parameter(torch.zeros(2))
    assert clip([*ours, unused], most) == pytest.approx(nn.utils.clip_grad_norm_(theirs, most))
    for one, other in zip(ours, theirs):
        assert torch.allclose(one.grad, other.grad, rtol=1e-5)


# Rows of an embedding that no text uses


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_training_on_the_used_rows_alone_equals_training_on_all(tiny, lessons, weight_decay):
    settings = Settings(epochs=2, batch_size=3, lr=0.02, weight_decay=weight_decay, seed=5)
    quick, plain = BertSentClassifier(tiny), BertSentClassifier(tiny)
    plain.load_state_dict(quick.state_dict())
    before = quick.bert.embeddings.token.weight.detach().clone()
    run = training.Run(quick, lessons, lessons, settings)
    moving = sum(weight.numel() for group in run.optimizer.param_groups for weight in group["params"])
    run.go()
    optimizer = fused_adamw(parameter_groups(plain, weight_decay), settings.lr)
    _, total, warmup = settings.steps(len(lessons))
    rates = (settings.lr * training.SCHEDULES["linear"](step, warmup, total) for step in range(total))
    for epoch in (1, 2):
        order = epoch_order(len(lessons), settings.seed, epoch)
        stream = batches(lessons.encoding, lessons.labels, order, settings.batch_size)
        training.train_epoch(plain, stream, optimizer, rates)
        if run.done["epochs"][epoch - 1]["best"]:
            best = {name: weight.clone() for name, weight in plain.state_dict().items()}
    for name, weight in quick.state_dict().items():
        if "key.bias" not in name:  # its gradient is 0 but for rounding, which Adam makes as large as any
            assert torch.allclose(weight, best[name], atol=2e-5), name
    used = sorted({id for row in lessons.encoding["input_ids"] for id in row})
    rest = sorted(set(range(tiny.vocab_size)) - set(used))
    assert moving == sum(weight.numel() for weight in quick.parameters()) - len(rest) * tiny.hidden_size
    moved = (quick.bert.embeddings.token.weight != before).any(dim=1)
    assert moved[used].all() and moved[rest].all().item() == bool(weight_decay) == moved[rest].any().item()


# A frozen encoder reads each text once


SETTINGS = Settings(epochs=4, batch_size=3, lr=0.05, seed=5)


@pytest.fixture
def lessons(tokenizer):
    texts = [f"the {'very ' * at} {thing} was {word}" for at, thing in enumerate(("film", "plot")) for word in
             ("good", "bad", "wonderful", "unaffable")]  # fmt: skip
    return Data(tokenizer(texts), [1, 0, 1, 0] * 2)


def frozen(tiny):
    torch.manual_seed(0)
    return BertSentClassifier(tiny.change(initializer_range=0.2, option="pretrain", pooling="mean"))


def test_a_frozen_encoder_reads_each_text_once(tiny, lessons, monkeypatch):
    model, calls = frozen(tiny), []
    model.bert.register_forward_hook(lambda module, inputs, output: calls.append(len(inputs[0])))
    fit(model, lessons, lessons, SETTINGS)
    assert sum(calls) == 2 * len(lessons)  # to train on and as dev


@pytest.mark.fault("numbers: a frozen encoder that moves, or a stale copy of its vectors")
def test_what_it_learns_equals_reading_again_in_each_epoch_bit_for_bit(tiny, lessons):
    remembered, again = frozen(tiny), frozen(tiny)
    torch.manual_seed(1)
    fit(remembered, lessons, None, SETTINGS)

    torch.manual_seed(1)
    head = nn.Sequential(again.dropout, again.classifier)
    optimizer = fused_adamw(parameter_groups(head, SETTINGS.weight_decay), SETTINGS.lr)
    _, total, warmup = SETTINGS.steps(len(lessons))
    step = 0
    for epoch in range(1, 5):
        vectors = training.features(again, lessons)
        again.train()
        for rows in np.split(epoch_order(8, SETTINGS.seed, epoch), [3, 6]):
            for group in optimizer.param_groups:
                group["lr"] = SETTINGS.lr * training.SCHEDULES["linear"](step, warmup, total)
            train_step(head, (vectors[rows], torch.tensor(lessons.labels)[rows]), optimizer)
            step += 1
    for ours, theirs in zip(remembered.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_and_equals_training_through_the_whole_model(tiny, lessons):
    """Where padding is another, so are the last bits."""
    remembered, whole = frozen(tiny), frozen(tiny)
    torch.manual_seed(1)
    history = fit(remembered, lessons, lessons, SETTINGS)
    torch.manual_seed(1)
    way = training.Flexible(whole, lessons, lessons, SETTINGS, "cpu")
    optimizer = fused_adamw(parameter_groups(whole, SETTINGS.weight_decay), SETTINGS.lr)
    _, total, warmup = SETTINGS.steps(len(lessons))
    rates = (SETTINGS.lr * training.SCHEDULES["linear"](step, warmup, total) for step in range(total))
    seen = []
    with way.learning():
        for epoch in range(1, 5):
            stream = way.batches(epoch_order(8, SETTINGS.seed, epoch))
            training.train_epoch(whole, stream, optimizer, rates, watch=lambda loss, rate: seen.append(loss))
    losses = np.average(np.reshape(seen, (4, 3)), axis=1, weights=[3, 3, 2]).tolist()  # of eight texts, three at a time
    assert losses == pytest.approx([figures["loss"] for figures in history], rel=1e-4)
    assert whole.classifier.weight.abs().max() > 0.1


@pytest.mark.parametrize("error", [TypeError, AttributeError, OSError])  # Windows, macOS, another libc
def test_where_memory_cannot_be_kept_nothing_happens(error, monkeypatch):
    def missing(name):
        raise error

    monkeypatch.setattr(fast.ctypes, "CDLL", missing)
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    fast.keep_memory()
    assert fast.os.environ.pop("THP_MEM_ALLOC_ENABLE") == "1"
