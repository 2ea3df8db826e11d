"""Prediction in 8 bits."""

import pytest
import torch
from torch.nn import functional

from minbert import BertSentClassifier, BertTokenizer, UserError, fast
from minbert.fast import int8
from minbert.fast.int8 import Int8Linear, Rows, quantize, whole_numbers

HERE = list(int8.kernels())


def test_whole_numbers_by_hand():
    numbers, scale = whole_numbers(torch.tensor([[-2.54, 1.0, 0.0], [0.0, 0.0, 0.0], [1e-9, 127e-9, -63.4e-9]]))
    assert numbers.tolist() == [[-127, 50, 0], [0, 0, 0], [1, 127, -63]]
    assert (numbers * scale)[0].tolist() == pytest.approx([-2.54, 1.0, 0.0])


@pytest.mark.parametrize("most", [127, 63])
@pytest.mark.parametrize("kernel", HERE)
def test_a_layer_is_off_by_no_more_than_its_steps_allow(kernel, most, monkeypatch):
    """Each product is off by at most half a step of either side, for D of them."""
    if most > int8.largest(kernel):
        pytest.skip("this processor adds such products wrongly")
    monkeypatch.setattr(int8, "largest", lambda kernel: most)
    torch.manual_seed(0)
    layer, x = fast.Linear(40, 7), torch.randn(3, 5, 40)
    found, exact = Int8Linear(layer, kernel)(x), layer(x)
    step_x, step_w = x.abs().amax(-1, keepdim=True) / most, layer.weight.abs().amax(1) / 127
    bound = 0.5 * (step_x * layer.weight.abs().sum(1) + step_w * (x.abs() + step_x / 2).sum(-1, keepdim=True))
    error = (found - exact).abs()
    assert (error <= bound + 1e-5).all() and error.max() > 1e-4  # less would not be 8 bits


@pytest.mark.fault("numbers: an answer that depends on other texts, padding or order")
def test_a_text_s_logits_do_not_depend_on_its_neighbours(golden):
    batch = golden.batch
    torch.manual_seed(0)
    model = quantize(BertSentClassifier(golden.config.change(initializer_range=0.3)))
    with torch.no_grad():
        together = model(*batch[:3])
        for row in range(3):
            length = int(batch.attention_mask[row].sum())
            alone = model(*(part[row : row + 1, :length] for part in batch[:3]))
            assert torch.allclose(together[row], alone[0], atol=1e-4)


def test_a_quantized_encoder_is_a_quarter_of_the_size_and_agrees(minilm, shared):
    """On texts of ten words or more: the mean over fewer tokens is less exact (.983 for "cool ?")."""
    lines = shared("data/sst2/sst2-dev.tsv").read_text().splitlines()
    texts = [text for text in (line.split("\t")[0] for line in lines[:200]) if len(text.split()) >= 10]
    model, tokenizer = BertSentClassifier.from_pretrained(minilm, pooling="mean"), BertTokenizer.from_pretrained(minilm)
    encoding = tokenizer(texts, padding=True, return_tensors="pt")

    def size():
        tensors = model.bert.encoder.state_dict().values()
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    with torch.no_grad():
        exact, before = model.features(**encoding), size()
        found = quantize(model).features(**encoding)
    agreement = torch.cosine_similarity(exact, found)
    assert agreement.min() > 0.99 and agreement.mean() < 0.9999  # more would not be 8 bits
    assert size() < 0.26 * before


@pytest.mark.parametrize("kernel", HERE)
@pytest.mark.parametrize("most", [127, 63])
@pytest.mark.parametrize("size", [0.01, 1.0, 8.0])
def test_what_a_gelu_returned_is_rounded_on_finer_steps_than_other_numbers(kernel, most, size, monkeypatch):
    """The steps by hand: three quarters of the numbers for what is above 0, which never counts as less than half."""
    if most > int8.largest(kernel):
        pytest.skip("this processor adds such products wrongly")
    monkeypatch.setattr(int8, "largest", lambda kernel: most)
    torch.manual_seed(0)
    layer, x = Int8Linear(fast.Linear(40, 7), kernel), functional.gelu(size * torch.randn(3, 5, 40))
    x[0, 0] = functional.gelu(torch.tensor(-0.7518))  # as low as it gets
    seen, (zero, above) = [], {127: (63, 191), 63: (31, 95)}[most]
    monkeypatch.setattr(Int8Linear, "multiply", lambda layer, rows: seen.append(rows) or torch.zeros(15, 7))
    assert layer.after_gelu(x.clone()).shape == (3, 5, 7)
    (rows,) = seen
    step = x.view(15, 40).amax(1, keepdim=True).clamp(min=0.5) / above
    assert (rows.zero, rows.numbers.max() <= zero + above) == (zero, True)
    back = (rows.numbers.float() - rows.zero) * rows.scale
    assert ((back - x.view(15, 40)).abs() <= 0.5 * 1.07 * step).all()


@pytest.mark.skipif("onednn" not in HERE, reason="this torch has no oneDNN")
def test_both_kernels_multiply_the_same():
    torch.manual_seed(0)
    linear, x = fast.Linear(200, 70), torch.randn(33, 200)
    layers = [Int8Linear(linear, name) for name in ("torch", "onednn")]
    for zero in (31, 64, 128):
        rows = Rows.of(x, zero, x.abs().amax(1, keepdim=True) / 31)
        found, expected = (layer.multiply(rows) for layer in layers)
        exact = (rows.numbers.double() - zero) * rows.scale @ (layers[0].weight.double() * layers[0].scale[:, None]).t()
        assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5)
        assert torch.allclose(found.double(), exact + linear.bias, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("overflows", "most"), [(False, 127), (True, 63)])
def test_a_processor_whose_sums_overflow_gets_7_bits(overflows, most, monkeypatch):
    """Without VNNI two products are added in 16 bits, and what does not fit is cut off."""

    class Kernel:
        pack = int8.Torch.pack

        @staticmethod
        def multiply(rows, layer):
            pairs = rows.numbers.view(16, 1, 32, 2).int() * layer.weight.view(1, 64, 32, 2)
            pairs = pairs.sum(-1).clamp(-(2**15), 2**15 - 1) if overflows else pairs.sum(-1)
            return (pairs.sum(-1) - rows.zero * layer.sums) * layer.scale

    monkeypatch.setitem(int8.WAYS, "new", Kernel)
    assert int8.largest.__wrapped__("new") == most


def test_query_key_and_value_share_what_was_rounded(golden, monkeypatch):
    torch.manual_seed(0)
    model, rounded, of = fast.swap_in(quantize(BertSentClassifier(golden.config))).eval(), [], Rows.of
    monkeypatch.setattr(Rows, "of", lambda *arguments, **more: rounded.append(1) or of(*arguments, **more))
    with torch.no_grad():
        model.bert(*golden.batch[:3])
    assert len(rounded) == 4 * golden.config.num_hidden_layers  # and the attention's output, expand, contract


def test_the_twins_predict_the_same_in_8_bits_as_the_plain_model(golden):
    torch.manual_seed(0)
    model = quantize(BertSentClassifier(golden.config.change(initializer_range=0.3))).eval()
    with torch.no_grad():
        plain = model(*golden.batch[:3])
        found = fast.swap_in(model)(*golden.batch[:3])
    spread = plain.std()
    assert (found - plain).abs().max() < 0.05 * spread


def test_a_quantized_model_is_not_saved(tiny, tmp_path):
    with pytest.raises(UserError, match="save it before"):
        quantize(BertSentClassifier(tiny)).save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_model_on_a_gpu_is_refused(tiny):
    with pytest.raises(UserError, match="on a CPU"):
        quantize(BertSentClassifier(tiny).cuda())
