"""Prediction in 8 bits."""

import pytest
import torch

from minbert import BertSentClassifier, BertTokenizer, UserError, fast
from minbert.fast.int8 import Int8Linear, quantize, whole_numbers


def test_whole_numbers_by_hand():
    numbers, scale = whole_numbers(torch.tensor([[-2.54, 1.0, 0.0], [0.0, 0.0, 0.0], [1e-9, 127e-9, -63.4e-9]]))
    assert numbers.tolist() == [[-127, 50, 0], [0, 0, 0], [1, 127, -63]]
    assert (numbers * scale)[0].tolist() == pytest.approx([-2.54, 1.0, 0.0])


def test_a_layer_is_off_by_no_more_than_its_steps_allow():
    """Each product is off by at most half a step of either side, for D of them."""
    torch.manual_seed(0)
    layer, x = fast.Linear(40, 7), torch.randn(3, 5, 40)
    found, exact = Int8Linear(layer)(x), layer(x)
    step_x, step_w = x.abs().amax(-1, keepdim=True) / 127, layer.weight.abs().amax(1) / 127
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


def test_a_quantized_model_is_not_saved(tiny, tmp_path):
    with pytest.raises(UserError, match="save it before"):
        quantize(BertSentClassifier(tiny)).save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_model_on_a_gpu_is_refused(tiny):
    with pytest.raises(UserError, match="on a CPU"):
        quantize(BertSentClassifier(tiny).cuda())
