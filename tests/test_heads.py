"""The classifier's config, and the heads of pretraining, alone and on the encoder; tests/parts/part5 has the rest."""

import logging
from types import SimpleNamespace

import pytest
import torch

from minbert import BertForMaskedLM, BertForPreTraining, BertSentClassifier, weights
from minbert.heads import MaskedLMHead
from tests.golden import check


def test_aliases_of_other_course_kits(golden):
    for alias, option in {"freeze": "pretrain", "last-linear-layer": "pretrain", "finetune": "flexible"}.items():
        assert BertSentClassifier(golden.config.change(option=alias)).config.option == option


def test_a_namespace_of_the_course_kits_will_do():
    config = SimpleNamespace(
        data_dir=".", hidden_dropout_prob=0.3, hidden_size=768, num_labels=2, option="pretrain",
        num_hidden_layers=1, vocab_size=50,
    )  # fmt: skip
    model = BertSentClassifier(config)
    assert model.dropout.p == 0.3 and model.bert.embeddings.dropout.p == 0.1
    assert model.config.intermediate_size == 3072 and not model.training
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["classifier.weight", "classifier.bias"]


def test_a_new_classifier_says_so(minilm, caplog):
    with caplog.at_level(logging.WARNING, logger="minbert"):
        BertSentClassifier.from_pretrained(minilm, num_labels=3)
    assert "new, with random weights: classifier" in caplog.text


# The heads of pretraining

MODELS = {  # as tests/golden/make.py calls them
    "mlm": BertForMaskedLM,
    "untied": BertForMaskedLM,
    "pretraining": BertForPreTraining,
    "causal": BertForMaskedLM,
}
each_model = pytest.mark.parametrize("name", MODELS)


def language_model(golden, name):
    """One of MODELS with the golden weights: the encoder's and those of its heads."""
    untied = name == "untied"
    model = MODELS[name](golden.config.change(tie_word_embeddings=not untied))
    stored = {key.removeprefix("heads/"): tensor for key, tensor in golden.tensors.items()}
    stored = {key.removeprefix("weights/"): tensor for key, tensor in stored.items() if key.startswith("weights/")}
    if not untied:
        del stored["cls.predictions.decoder.weight"]
    weights.fill(model, stored, missing_head="error")
    return model


def inputs(golden):
    return {name: getattr(golden.batch, name) for name in ("input_ids", "attention_mask", "token_type_ids")}


def questions(golden, name):
    """What each golden loss asks for: labels, and whether attention is causal."""
    if name == "causal":  # at each place the next token, where there is one
        ids = golden.batch.input_ids.masked_fill(golden.batch.attention_mask == 0, -100)
        return {"labels": torch.nn.functional.pad(ids[:, 1:], (0, 1), value=-100), "causal": True}
    asked = {"labels": golden.pretraining("input/labels")}
    if name == "pretraining":
        asked["next_sentence_label"] = golden.pretraining("input/next_sentence_label")
    return asked


def test_the_masked_lm_head_alone_equals_the_reference(golden):
    head = MaskedLMHead(golden.config)
    state = golden.part("heads/weights/")
    head.load_state_dict({name: state[f"predictions.{name}"] for name in head.state_dict()})
    logits = head(golden.stage("1.feed_forward_norm"), golden.weights("embeddings.token.")["weight"])
    check("masked-LM logits", logits, golden.pretraining("mlm/logits"), golden.real)


@each_model
def test_logits_of_every_place_equal_the_reference(golden, name):
    with torch.no_grad():
        logits, *more, loss = language_model(golden, name)(**inputs(golden), causal=name == "causal")
    check(f"{name}, logits", logits, golden.pretraining(f"{name}/logits"), golden.real)
    if name == "pretraining":
        check("next-sentence logits", more[0], golden.pretraining("pretraining/next_sentence"))
    assert loss is None


@each_model
def test_losses_equal_the_reference(golden, name):
    *_, loss = language_model(golden, name)(**inputs(golden), **questions(golden, name))
    check(f"{name}, loss", loss, golden.pretraining(f"{name}/loss"))


@each_model
def test_gradients_equal_the_reference(golden, name):
    """The tied embeddings' too: they get one from where they are read and one from where they score."""
    model = language_model(golden, name)
    *_, loss = model(**inputs(golden), **questions(golden, name))
    loss.backward()
    gradients = golden.part(f"heads/{name}/grad/")
    assert len(gradients) == {"pretraining": 7}.get(name, 5)
    for part, gradient in gradients.items():
        ours = dict(model.named_parameters())[part if part in model.state_dict() else f"bert.{part}"]
        check(f"{name}, gradient of {part}", ours.grad, gradient)


def test_only_a_tied_decoder_teaches_the_embeddings_of_tokens_that_do_not_occur(golden):
    for name, taught in (("mlm", True), ("untied", False)):
        model = language_model(golden, name)
        model(**inputs(golden), **questions(golden, name))[1].backward()
        gradient = model.bert.embeddings.token.weight.grad
        occur = torch.zeros(len(gradient), dtype=torch.bool).index_fill(0, golden.batch.input_ids.unique(), True)
        assert not occur.all() and gradient[occur].any(dim=1).sum() > 10
        assert gradient[~occur].any(dim=1).all() == taught
        assert gradient[~occur].any() == taught


@each_model
def test_with_labels_only_the_places_asked_for_are_computed(golden, name):
    model, asked = language_model(golden, name), questions(golden, name)
    everywhere = model(**inputs(golden), causal=name == "causal")[0]
    logits = model(**inputs(golden), **asked)[0]
    assert len(logits) == (asked["labels"] != -100).sum() == (19 if name == "causal" else 6)
    check(f"{name}, logits", logits, everywhere[asked["labels"] != -100])


def test_the_loss_is_the_mean_surprise_and_forgets_places_with_minus_100(golden):
    model, labels = language_model(golden, "mlm"), questions(golden, "mlm")["labels"].clone()
    log_p = model(**inputs(golden))[0].log_softmax(-1)
    asked = (labels != -100).nonzero().tolist()
    while asked:
        surprises = [-log_p[row, place, labels[row, place]].item() for row, place in asked]
        loss = model(**inputs(golden), labels=labels)[1].item()
        assert loss == pytest.approx(sum(surprises) / len(surprises), abs=1e-5)
        row, place = asked.pop()
        labels[row, place] = -100


@pytest.mark.parametrize("name", ["mlm", "pretraining"])
def test_no_place_asked_for_at_all(golden, name):
    """A loss of 0, not the NaN of an empty mean; and its gradients are numbers."""
    model = language_model(golden, name)
    logits, *_, loss = model(**inputs(golden), labels=torch.full_like(golden.batch.input_ids, -100))
    assert logits.shape == (0, golden.config.vocab_size) and loss.item() == 0
    loss.backward()
    assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)


def test_each_of_the_two_losses_alone(golden):
    model, asked = language_model(golden, "pretraining"), questions(golden, "pretraining")
    total, masked, order = (
        model(**inputs(golden), **chosen)[2].item()
        for chosen in (asked, {"labels": asked["labels"]}, {"next_sentence_label": asked["next_sentence_label"]})
    )
    assert masked == pytest.approx(golden.pretraining("mlm/loss").item(), abs=1e-5)
    assert total == pytest.approx(masked + order, abs=1e-5) and order > 0.1


# No token sees the future


def everything(model, input_ids, **settings):
    """Each layer's output, the embeddings first, and the logits: L + 2 times [B, T, ...]"""
    with torch.no_grad():
        hidden = model.bert(input_ids, output_hidden_states=True, **settings)["hidden_states"]
        return [*hidden, model(input_ids, **settings)[0]]


def test_causal_hidden_states_equal_the_reference_at_every_layer(golden):
    *layers, _ = everything(language_model(golden, "causal"), **inputs(golden), causal=True)
    for number, hidden in enumerate(layers):
        check(f"causal, hidden state {number}", hidden, golden.pretraining(f"causal/hidden/{number}"), golden.real)


@pytest.mark.parametrize("name", ["causal", "untied", "pretraining"])
@pytest.mark.parametrize("padded", [True, False])
def test_no_layer_sees_the_future(golden, name, padded):
    """Another token at one place: before it every layer and the logits keep every bit, from it on they move."""
    model, batch = language_model(golden, name), inputs(golden)
    if not padded:
        del batch["attention_mask"]
    before = everything(model, **batch, causal=True)
    assert len(before) == golden.config.num_hidden_layers + 2
    for place in range(9):
        ids = batch["input_ids"].clone()
        ids[:, place] = ids[:, place] % 36 + 1  # another one, but no padding
        after = everything(model, **batch | {"input_ids": ids}, causal=True)
        for layer, (old, new) in enumerate(zip(before, after, strict=True)):
            moved = (old != new).any(dim=-1)  # [B, T]
            assert not moved[:, :place].any(), f"layer {layer} saw the token at {place} before its time"
            if layer == 0:  # the embeddings: nobody has looked around yet
                assert moved[:, place].all() and moved.sum() == 3
            else:
                rows = golden.batch.attention_mask[:, place].bool() if padded else slice(None)
                assert moved[rows, place:].all(), f"layer {layer} does not see the token at {place}"


def test_without_causal_attention_every_layer_sees_everything(golden):
    """What the test above would find if the mask were forgotten."""
    model, batch = language_model(golden, "mlm"), inputs(golden)
    ids = batch["input_ids"].clone()
    ids[:, 4] = ids[:, 4] % 36 + 1
    before, after = everything(model, **batch), everything(model, **batch | {"input_ids": ids})
    for old, new in list(zip(before, after, strict=True))[1:]:
        assert (old != new).any(dim=-1).all()
