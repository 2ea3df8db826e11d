"""Real checkpoints: all-MiniLM-L6-v2 beside Hugging Face, and the published figures of bert-base-uncased."""

import pytest
import torch
from safetensors.torch import load_file

from minbert import BertForMaskedLM, BertForPreTraining, BertModel, BertSentClassifier, BertTokenizer, UserError
from minbert.files.examples import read_examples
from tests.conftest import ROOT
from tests.golden import check


@pytest.fixture(scope="module")
def reviews():
    return read_examples(ROOT / "data" / "reviews" / "test.csv").texts[:24]


def test_minilm_equals_what_hugging_face_computed(minilm):
    """Ids, and a slice of every layer's hidden states within 1e-4, on a padded batch of real reviews."""
    golden = load_file(ROOT / "tests" / "golden" / "minilm.safetensors")
    reviews = (ROOT / "tests" / "golden" / "reviews.txt").read_text(encoding="utf-8").splitlines()
    batch = BertTokenizer.from_pretrained(minilm)(reviews, padding=True, return_tensors="pt")
    for name in ("input_ids", "attention_mask"):
        assert torch.equal(batch[name], golden[f"input/{name}"]), name
    with torch.no_grad():
        output = BertModel.from_pretrained(minilm)(**batch, output_hidden_states=True)
    real = batch.attention_mask.bool()[:, :, None]
    assert not real.all(), "no row is padded"
    assert len(output["hidden_states"]) == sum(name.startswith("hidden/") for name in golden) == 7
    for number, hidden in enumerate(output["hidden_states"]):
        expected = golden[f"hidden/{number}"]
        check(f"hidden state {number}", hidden[:, :, : expected.size(-1)], expected, real, tolerance=1e-4)
    check("pooler", output["pooler_output"], golden["pooler"], tolerance=1e-4)


def test_minilm_equals_hugging_face_side_by_side(minilm, reviews):
    """Hidden states of every layer within 1e-4, on padded batches of real reviews, over real tokens."""
    transformers = pytest.importorskip(
        "transformers", reason="needs the extra reference: pip install 'minbert[reference]'"
    )
    theirs = transformers.BertModel.from_pretrained(minilm).eval()
    ours, tokenizer = BertModel.from_pretrained(minilm), BertTokenizer.from_pretrained(minilm)
    for start in range(0, len(reviews), 8):
        batch = tokenizer(reviews[start : start + 8], padding=True, return_tensors="pt")
        with torch.no_grad():
            expected = theirs(**batch, output_hidden_states=True)
            got = ours(**batch, output_hidden_states=True)
        real = batch.attention_mask.bool()[:, :, None]
        assert not real.all(), "no row is padded"
        for number, (a, b) in enumerate(zip(got["hidden_states"], expected.hidden_states, strict=True)):
            check(f"hidden state {number}", a, b, real, tolerance=1e-4)
        check("pooler", got["pooler_output"], expected.pooler_output, tolerance=1e-4)


def test_minilm_has_no_head_that_predicts_tokens(minilm):
    with pytest.raises(UserError) as error:
        BertForMaskedLM.from_pretrained(minilm)
    assert str(error.value) == (
        f"{minilm} has no masked-LM head (cls.predictions.*): its predictions would be random; "
        "use tiny or bert-base-uncased, or train a new one: pretrain_lm.py --model (in Python, missing_head='new')"
    )


@pytest.mark.weights
def test_bert_base_equals_the_course_kits_golden_tensors(bert_base, shared):
    """Two sentences, the second padded: real tokens only, and the pooler."""
    golden = load_file(shared("reference/bert-base-uncased-sanity.safetensors"))
    model = BertModel.from_pretrained(bert_base)
    with torch.no_grad():
        output = model(golden["input_ids"], golden["attention_mask"])
    real = golden["attention_mask"].bool()[:, :, None]
    check("last hidden state", output["last_hidden_state"], golden["last_hidden_state"], real, tolerance=1e-4)
    check("pooler", output["pooler_output"], golden["pooler_output"], tolerance=1e-4)


@pytest.mark.weights
def test_bert_base_has_the_published_sizes(bert_base):
    """12 layers, hidden size 768, 12 heads, 110M parameters; 1,538 of 109,483,778 in a head for two classes."""
    model = BertSentClassifier.from_pretrained(bert_base, num_labels=2)
    config = model.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (12, 768, 12)
    assert sum(p.numel() for p in model.parameters()) == 109_483_778
    assert "masked-LM head" in str(model.loaded) and "next-sentence head" in str(model.loaded)


@pytest.mark.weights
def test_bert_base_has_both_heads_of_pretraining(bert_base):
    """110,106,428 parameters: 590,592 + 1,536 + 30,522 in the masked-LM head, 1,538 in the next-sentence head."""
    model, tokenizer = BertForPreTraining.from_pretrained(bert_base), BertTokenizer.from_pretrained(bert_base)
    assert model.loaded.new == []
    assert sum(p.numel() for p in model.parameters()) == 110_106_428
    batch = tokenizer(["Rome is the [MASK] of Italy."], allow_special=True, return_tensors="pt")
    labels = batch.input_ids.masked_fill(batch.input_ids != tokenizer.mask_token_id, -100)
    with torch.no_grad():
        logits, _, _ = model(**batch, labels=labels)
    assert tokenizer.convert_ids_to_tokens(logits.argmax(-1).tolist()) == ["capital"]


@pytest.mark.weights
def test_bert_base_has_the_published_ids(bert_base):
    """Ids that Hugging Face's fill-mask printed for bert-base-uncased."""
    ids = {"capital": 3007, "birthplace": 14508, "carpenter": 10533, "waiter": 15610, "nurse": 6821, "cook": 5660}
    tokenizer = BertTokenizer.from_pretrained(bert_base)
    assert tokenizer.convert_tokens_to_ids(list(ids)) == list(ids.values())
    assert tokenizer("Rome is the [MASK] of Italy.", allow_special=True).input_ids.count(103) == 1
