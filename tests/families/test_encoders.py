"""RoBERTa, DistilBERT and ELECTRA: each stage against transformers, out and back, what does not fit, the fast way.

Mistakes that are easy to make are planted, and a stage must see each.
"""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from minbert import BertForMaskedLM, BertModel, BertSentClassifier, UserError, families, fast
from minbert.encoder import gelu, gelu_tanh
from minbert.families import encoders
from minbert.families.roberta import RobertaModel
from minbert.weights.fill import fill
from minbert.weights.read import read_tensors
from tests.families.conftest import ENCODERS, close, expected, hidden_states, outputs

each = pytest.mark.parametrize("name", ENCODERS)
MASKED = [name for name, kind in ENCODERS.items() if kind == "masked"]
CLASSIFIERS = [name for name, kind in ENCODERS.items() if kind == "classifier"]
# Rounding: at these stages the reference's float32 is itself 0.7e-5 to 1.5e-5 from what float64 gives.
ROUNDING = {("electra-classifier", 2): 2e-5, ("electra-discriminator", 2): 1.1e-5}
LOGITS = dict.fromkeys(("distilbert-mlm", "electra-mlm", "electra-discriminator"), 2e-5)


# The same numbers as transformers


@each
@pytest.mark.parametrize("way", ["plain", "fast"])
def test_each_stage_is_that_of_transformers(encoder, name, way):
    found = encoder(name)
    if way == "fast":
        fast.swap_in(found.model)
    for stage, x in enumerate(hidden_states(found.model, found.inputs)):
        close(x[found.real], found.golden[f"hidden/{stage}"][found.real], ROUNDING.get((name, stage), 1e-5))
    close(outputs(found), expected(found), LOGITS.get(name, 1e-5))


def test_the_loss_and_the_gradient_at_the_tied_embeddings(encoder):
    found = encoder("roberta-mlm")
    labels = found.golden["input_ids"].masked_fill(~found.real, -100)
    _, loss = found.model(**found.inputs, labels=labels)
    loss.backward()
    close(loss, found.golden["loss"])
    gradient = found.golden["grad/roberta.embeddings.word_embeddings.weight"]
    weight = found.model.bert.embeddings.token.weight
    padding = torch.ones(len(weight), dtype=torch.bool)
    padding[found.model.config.pad_token_id] = False  # transformers gives it none as a token, see padding_idx of torch
    close(weight.grad[padding], gradient[padding])


def test_the_loss_of_the_discriminator_is_that_of_transformers(encoder):
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    found = encoder("electra-discriminator")
    labels = (found.golden["input_ids"] % 3 == 0).long()
    theirs = transformers.ElectraForPreTraining.from_pretrained(found.folder)
    close(found.model(**found.inputs, labels=labels)[1], theirs(**found.inputs, labels=labels).loss)


# Out and back


@each
def test_transformers_reads_what_is_saved_and_computes_the_same(encoder, name, tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    found = encoder(name)
    found.model.save_pretrained(tmp_path)
    stored, config = load_file(tmp_path / "model.safetensors"), json.loads((found.folder / "config.json").read_text())
    assert stored.keys() == load_file(found.folder / "model.safetensors").keys()
    written = json.loads((tmp_path / "config.json").read_text())
    harmless = {
        "dtype",
        "transformers_version",
        "add_cross_attention",
        "is_decoder",
        "use_cache",
        "sinusoidal_pos_embds",
    }
    harmless |= {key for key in config if key.endswith("token_id") or key.startswith(("summary_", "qa_"))}
    assert {key: written[key] for key in config.keys() - harmless if key in written} == {
        key: config[key] for key in config.keys() - harmless if key in written
    }
    assert config.keys() - harmless <= written.keys()
    theirs, info = getattr(transformers, config["architectures"][0]).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    with torch.no_grad():
        output = theirs(**found.inputs, output_hidden_states=True)
    for stage, x in enumerate(output.hidden_states):
        close(x[found.real], found.golden[f"hidden/{stage}"][found.real], ROUNDING.get((name, stage), 1e-5))
    again = families.load(tmp_path, found.kind, missing_head="error")
    assert again.config == found.model.config and not again.loaded.dropped and not again.loaded.unknown
    found.model = again
    close(outputs(found), expected(found), LOGITS.get(name, 1e-5))


@pytest.mark.parametrize("model_type, begin", [("xlm-roberta", "XLMRoberta"), ("camembert", "Camembert")])
def test_relatives_of_roberta_keep_their_names(encoder, tmp_path, model_type, begin):
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    found = encoder("roberta-classifier")
    shutil.copytree(found.folder, tmp_path / "in")
    path = tmp_path / "in" / "config.json"
    values = json.loads(path.read_text())
    path.write_text(
        json.dumps(values | {"model_type": model_type, "architectures": [f"{begin}ForSequenceClassification"]})
    )
    model = families.load(tmp_path / "in", "classifier", missing_head="error")
    model.save_pretrained(tmp_path / "out")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert type(theirs).__name__ == f"{begin}ForSequenceClassification"
    with torch.no_grad():
        close(theirs(**found.inputs).logits, found.golden["logits"])


@pytest.mark.parametrize("name", ["xlmr-base", "xlmr-mlm", "xlmr-classify"])
def test_xlm_roberta_is_a_roberta(shared, name):
    folder = shared(f"reference/families2/{name}")
    golden = load_file(folder / "golden.safetensors")
    kind = {"base": "base", "mlm": "masked", "classify": "classifier"}[name.removeprefix("xlmr-")]
    model = families.load(folder, kind, missing_head="error")
    inputs = {key.removeprefix("input/"): value for key, value in golden.items() if key.startswith("input/")}
    real = inputs["attention_mask"].bool()
    for stage, x in enumerate(hidden_states(model, inputs)):
        close(x[real], golden[f"hidden/{stage}"][real])
    with torch.no_grad():
        output = model(**inputs)
    if kind == "classifier":
        close(output, golden["output/logits"])
    elif kind == "masked":
        close(output[0][real], golden["output/logits"][real])
    else:
        close(output["pooler_output"], golden["output/pooler"])


# What does not fit


@pytest.fixture
def stored(encoder, tmp_path):
    """stored(name, change) -> a copy of a fixture's folder whose tensors, a dict, `change` has changed."""

    def write(name, change, **settings):
        found = encoder(name)
        folder = tmp_path / "changed"
        shutil.copytree(found.folder, folder)
        tensors = dict(load_file(folder / "model.safetensors"))
        change(tensors)
        save_file({key: value.clone() for key, value in tensors.items()}, folder / "model.safetensors")
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))
        return folder, found.kind

    return write


@each
def test_a_tensor_too_many_and_one_too_few_are_errors(stored, name):
    body = "bert" not in name  # a name that the table of no family has

    def add(tensors):
        tensors["encoder.layer.0.attention.self.gate.weight" if body else "transformer.gate.weight"] = torch.ones(2)

    with pytest.raises(UserError, match=r"does not fit: 1 tensor\n  unexpected  (encoder|transformer)\.") as error:
        families.load(*stored(name, add))
    assert "gate.weight" in str(error.value)


@each
def test_each_missing_tensor_is_named(encoder, name):
    found = encoder(name)
    tensors = read_tensors(found.folder)
    for missing in tensors:
        kept = {key: value for key, value in tensors.items() if key != missing}
        with pytest.raises(UserError, match=f"missing +{missing}$"):
            fill(found.model, kept, missing_head="error")


def test_old_files_repeat_the_readout(stored, encoder):
    def repeat(tensors):
        tensors["lm_head.decoder.weight"] = tensors["roberta.embeddings.word_embeddings.weight"]
        tensors["lm_head.decoder.bias"] = tensors["lm_head.bias"]
        tensors["roberta.embeddings.position_ids"] = torch.arange(15)[None]

    model = families.load(*stored("roberta-mlm", repeat))
    assert model.loaded.dropped == ["decoder, equal to the token embeddings", "position ids"]


@pytest.mark.parametrize(
    "name, weight, embeddings",
    [
        ("roberta-mlm", "lm_head.decoder.weight", "roberta.embeddings.word_embeddings.weight"),
        ("distilbert-mlm", "vocab_projector.weight", "distilbert.embeddings.word_embeddings.weight"),
        ("electra-mlm", "generator_lm_head.weight", "electra.embeddings.word_embeddings.weight"),
    ],
)
def test_a_readout_that_differs_from_the_embeddings(stored, name, weight, embeddings):
    def repeat(tensors):
        tensors[weight] = tensors[embeddings] + 1

    folder, kind = stored(name, repeat)
    with pytest.raises(UserError, match=f"{weight} should equal the token embeddings, but differs"):
        families.load(folder, kind)
    model = families.load(folder, kind, tie_word_embeddings=False)
    assert torch.equal(model.predictions.decoder.weight, read_tensors(folder)[weight])


@pytest.mark.parametrize(
    "kind, model_class",
    [("Model", BertModel), ("ForMaskedLM", BertForMaskedLM), ("SentClassifier", BertSentClassifier)],
)
@pytest.mark.parametrize(
    "name, begin, module",
    [
        ("roberta-mlm", "Roberta", "roberta"),
        ("distilbert-mlm", "DistilBert", "distilbert"),
        ("electra-mlm", "Electra", "electra"),
    ],
)
def test_a_folder_of_another_family_is_refused_with_the_name_of_its_class(
    shared, kind, model_class, name, begin, module
):
    folder = shared(f"reference/families/{name}")
    with pytest.raises(UserError) as error:
        model_class.from_pretrained(folder)
    said = (
        f"model_type is '{module}': {model_class.__name__} is for BERT; use {begin}{kind} of minbert.families.{module}"
    )
    assert str(error.value) == f"{folder / 'config.json'}: {said}"
    assert getattr(getattr(families, module), f"{begin}{kind}")


def test_a_folder_of_bert_is_refused_by_the_others(tiny_folder):
    with pytest.raises(
        UserError, match=r"model_type is 'bert': RobertaModel is for RoBERTa; use BertModel of minbert$"
    ):
        RobertaModel.from_pretrained(tiny_folder)


def test_a_checkpoint_without_the_head_that_is_asked_for(encoder):
    folder = encoder("electra-discriminator").folder
    said = r"has no masked-LM head \(generator_lm_head\.\*\): its predictions would be random; name a checkpoint that"
    with pytest.raises(UserError, match=said):
        families.load(folder, "masked")
    model = families.load(folder, "classifier", labels=("a", "b", "c"))
    assert model.loaded.new == ["classifier"] and model.loaded.dropped == ["replaced-token head"]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_of_other_classes_gets_a_new_head(encoder, name):
    stored = encoder(name)
    model = families.load(stored.folder, "classifier", labels=("a", "b", "c", "d"))
    classes = stored.model.config.num_labels
    assert model.loaded.new == ["classifier"] and model.loaded.dropped == [f"classifier of {classes} classes"]
    assert model(**stored.inputs).shape == (3, 4)


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("pooling", ["mean", "pooler"])
def test_the_head_reads_the_first_token_alone(shared, name, pooling):
    with pytest.raises(UserError, match=f"pooling is '{pooling}', but can be: cls"):
        families.load(shared(f"reference/families/{name}"), "classifier", pooling=pooling)


CHANGES = [  # a folder, a change of its config.json, what is said
    ("roberta-mlm", {"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key', but only"),
    ("roberta-mlm", {"is_decoder": True}, "is_decoder is True, but only False"),
    ("roberta-mlm", {"pad_token_id": None}, "pad_token_id is None, but must be a whole number"),
    ("roberta-mlm", {"max_position_embeddings": 2}, "max_position_embeddings is 2, but the first are padding's"),
    ("roberta-mlm", {"tokenizer_class": "BertTokenizer"}, "tokenizer_class is 'BertTokenizer', but only"),
    ("distilbert-mlm", {"dim": 25}, "dim 25 cannot be split into 4 attention heads"),
    ("distilbert-mlm", {"activation": "silu"}, "activation is 'silu', but can be"),
    ("electra-mlm", {"embedding_size": 0}, "embedding_size is 0, but must be a whole number"),
]


@pytest.mark.parametrize("name, changes, said", CHANGES)
def test_a_config_that_asks_for_something_else(stored, name, changes, said):
    with pytest.raises(UserError, match=said) as error:
        families.load(*stored(name, lambda tensors: None, **changes))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name, key", [("roberta-mlm", "hidden_size"), ("distilbert-mlm", "dim"), ("electra-mlm", "vocab_size")]
)
def test_a_config_that_lacks_a_size_names_it_as_the_file_does(shared, tmp_path, name, key):
    folder = shared(f"reference/families/{name}")
    values = json.loads((folder / "config.json").read_text())
    del values[key]
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=f"does not describe a (RoBERTa|DistilBERT|ELECTRA): it lacks {key}$"):
        families.read_config(tmp_path)


def test_a_word_of_ours_in_their_config_is_named(stored):
    model = families.load(*stored("distilbert-mlm", lambda tensors: None, hidden_size=7, layer_norm_eps=0.5, alibi=1))
    assert model.loaded.unknown == ["hidden_size", "layer_norm_eps", "alibi"]
    assert model.config.hidden_size == 24 and model.config.layer_norm_eps == 1e-12


@each
def test_nothing_in_the_config_of_transformers_is_unknown(encoder, name):
    assert encoder(name).model.loaded.unknown == []


# Positions and segments


def test_a_text_alone_is_the_same_as_in_a_batch(encoder):
    """Also if padding stands on the left, and whatever its id."""
    found = encoder("roberta")
    ids, mask = found.inputs["input_ids"], found.inputs["attention_mask"]
    states = hidden_states(found.model, {"input_ids": ids, "attention_mask": mask})[-1]
    for row in range(len(ids)):
        alone = ids[row : row + 1, mask[row].bool()]
        (x,) = hidden_states(found.model, {"input_ids": alone})[-1]
        close(x, states[row][found.real[row]])
        for filler in (1, 7):
            left = torch.cat([torch.full((1, 2), filler), alone[:, :9]], dim=1)
            places = torch.tensor([[0, 0] + [1] * (left.size(1) - 2)])
            (padded,) = hidden_states(found.model, {"input_ids": left, "attention_mask": places})[-1]
            (short,) = hidden_states(found.model, {"input_ids": alone[:, :9]})[-1]
            close(padded[2:], short)


def test_a_token_that_the_mask_hides_is_not_there(encoder):
    found = encoder("roberta")
    ids = found.inputs["input_ids"][:1]
    mask = torch.ones_like(ids)
    mask[0, 4] = 0
    (x,) = hidden_states(found.model, {"input_ids": ids, "attention_mask": mask})[-1]
    (without,) = hidden_states(found.model, {"input_ids": ids[:, mask[0].bool()]})[-1]
    close(x[mask[0].bool()], without)


def test_the_longest_text_of_a_roberta(encoder):
    model = encoder("roberta").model
    limit = model.config.most_tokens
    assert (limit, model.config.max_position_embeddings) == (13, 15)
    model(torch.full((1, limit), 5))
    said = "a text of 14 tokens, but the model has 13 positions: set max_length=13"
    with pytest.raises(UserError, match=said):
        model(torch.full((1, limit + 1), 5))
    with pytest.raises(UserError, match=said):
        fast.swap_in(model)(torch.full((1, limit + 1), 5))


def test_segments(encoder):
    ids = torch.full((1, 5), 7)
    ones = torch.ones_like(ids)
    model = encoder("roberta").model
    with pytest.raises(UserError, match="a RoBERTa has one segment: token_type_ids can only be 0"):
        model(ids, token_type_ids=ones)
    model(ids, token_type_ids=torch.zeros_like(ids))
    distil = encoder("distilbert-classifier").model
    assert torch.equal(distil(ids, token_type_ids=ones), distil(ids))
    electric = encoder("electra-classifier").model
    assert not torch.equal(electric(ids, token_type_ids=ones), electric(ids))


# The fast way


@each
def test_the_twins_give_the_same_gradients_and_go_back(encoder, name):
    found = encoder(name)
    found.model.eval()  # no dropout

    def gradients():
        found.model.zero_grad()
        output = found.model(**found.inputs)
        x = output["last_hidden_state"] if found.kind == "base" else output if found.kind == "classifier" else output[0]
        x = x if found.kind == "classifier" else x[found.real]
        x.square().mean().backward()
        return {key: value.grad.clone() for key, value in found.model.named_parameters() if value.grad is not None}

    plain, kinds = gradients(), [type(module) for module in found.model.modules()]
    fast.swap_in(found.model)
    bert = getattr(found.model, "bert", found.model)
    assert isinstance(bert, fast.twins.BertModel) and type(bert).__name__ == type(bert).__mro__[2].__name__
    swapped = gradients()
    assert plain.keys() == swapped.keys()
    largest = max(gradient.abs().max().item() for gradient in plain.values())
    for key, gradient in plain.items():
        torch.testing.assert_close(swapped[key], gradient, rtol=1e-4, atol=2e-5 * largest, msg=key)
    fast.swap_out(fast.swap_in(found.model))
    assert [type(module) for module in found.model.modules()] == kinds


def test_a_class_of_your_own_stays_as_it_is(encoder):
    class Mine(RobertaModel):
        pass

    model = Mine(encoder("roberta").model.config)
    assert type(fast.swap_in(model)) is Mine


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_frozen_encoder_leaves_the_whole_head_to_learn(encoder, name):
    model = encoder(name, option="pretrain").model
    learns = {key for key, value in model.named_parameters() if value.requires_grad}
    assert learns == {f"classifier.{layer}.{leaf}" for layer in ("dense", "out_proj") for leaf in ("weight", "bias")}


# Mistakes that are easy to make


def sees(found):
    """The name of the first stage that differs from the golden tensors; None if none does."""
    for stage, x in enumerate(hidden_states(found.model, found.inputs)):
        if (x[found.real] - found.golden[f"hidden/{stage}"][found.real]).abs().max() > 1e-4:
            return f"hidden/{stage}"
    return "logits" if (outputs(found) - expected(found)).abs().max() > 1e-4 else None


@each
def test_without_a_mistake_nothing_is_seen(encoder, name):
    assert sees(encoder(name)) is None


def test_positions_from_0_are_seen(encoder, monkeypatch):
    monkeypatch.setattr(RobertaModel, "places", encoders.FamilyModel.places)
    assert sees(encoder("roberta")) == "hidden/0"


def test_padding_counted_as_positions_is_seen(encoder, monkeypatch):
    plain = RobertaModel.places
    monkeypatch.setattr(RobertaModel, "places", lambda self, mask: plain(self, torch.ones_like(mask)))
    with pytest.raises(AssertionError):
        test_a_text_alone_is_the_same_as_in_a_batch(encoder)


@pytest.mark.parametrize("name", ENCODERS)
def test_the_other_gelu_is_seen(encoder, name):
    found = encoder(name)
    for layer in found.model.modules():
        if getattr(layer, "activation", None) is gelu:
            layer.activation = gelu_tanh
    assert sees(found) == "hidden/1"


@pytest.mark.parametrize("name", MASKED)
def test_the_other_gelu_in_the_head_is_seen(encoder, name):
    found = encoder(name)
    found.model.predictions.activation = gelu_tanh
    assert sees(found) == "logits"


@pytest.mark.parametrize("name, right", [("roberta-mlm", True), ("electra-mlm", True), ("distilbert-mlm", False)])
def test_the_head_keeps_its_gelu_whatever_the_layers_have(encoder, name, right):
    head = encoder(name).model.head(encoder(name).model.config.change(hidden_act="relu"))
    assert (head.activation is gelu) == right


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_activation_of_another_family_in_the_head_is_seen(encoder, name):
    found = encoder(name)
    right = found.model.classifier.activation
    for other in {torch.tanh, torch.relu, gelu} - {right}:
        found.model.classifier.activation = other
        assert sees(found) == "logits"


def test_dropout_before_the_head(encoder):
    rates = {name: encoder(name).model.dropout.p for name in CLASSIFIERS}
    assert rates == {"roberta-classifier": 0.1, "distilbert-classifier": 0.0, "electra-classifier": 0.1}
    inside = {name: encoder(name).model.classifier.dropout.p for name in CLASSIFIERS}
    assert inside == {"roberta-classifier": 0.1, "distilbert-classifier": 0.2, "electra-classifier": 0.1}


def test_norms_in_the_wrong_order_are_seen(encoder):
    for name in ENCODERS:
        found = encoder(name)
        for layer in found.model.modules():
            if hasattr(layer, "attention_norm"):
                layer.attention_norm, layer.feed_forward_norm = layer.feed_forward_norm, layer.attention_norm
        assert sees(found) == "hidden/1"


def test_segments_left_out_are_seen(encoder):
    found = encoder("electra-classifier")
    found.inputs["token_type_ids"] = torch.zeros_like(found.inputs["token_type_ids"])
    assert sees(found) == "hidden/0"


# Classifiers that find no class of a text, and folders of sentence-transformers


@pytest.mark.parametrize("name, begin", [("roberta", "Roberta"), ("distilbert", "DistilBert"), ("electra", "Electra")])
@pytest.mark.parametrize(
    "settings, said",
    [
        ({"architectures": ["{}ForTokenClassification"]}, "labels each token, not the text"),
        ({"architectures": ["{}ForMultipleChoice"]}, "chooses between several texts"),
        ({"architectures": ["{}ForSomethingElse"]}, "is of a kind that minbert does not know"),
        ({"problem_type": "multi_label_classification"}, "gives each label a probability of its own"),
    ],
)
def test_a_classifier_of_something_else(stored, name, begin, settings, said):
    settings = {
        key: [one.format(begin) for one in value] if key == "architectures" else value
        for key, value in settings.items()
    }
    folder, kind = stored(f"{name}-classifier", lambda tensors: None, **settings)
    with pytest.raises(UserError, match=f"its classifier {said}.*; with labels=..., you get a new one"):
        families.load(folder, kind)
    assert families.load(folder, kind, labels=("a", "b")).loaded.new == ["classifier"]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_pooling_of_sentence_transformers_is_named(stored, name):
    folder, kind = stored(name, lambda tensors: None)
    (folder / "modules.json").write_text("[]")
    model = families.load(folder, kind)
    assert model.loaded.dropped == [f"modules.json, whose pooling {type(model).__name__} does not have"]


HOSTILE = [None, True, -1, 10**12, 1.5, "x", [1], {}, float("nan")]


@pytest.mark.parametrize("name", ["roberta-mlm", "distilbert-mlm", "electra-mlm"])
def test_a_hostile_config_is_one_line(shared, tmp_path, name):
    """Any key of the file with any kind of value: a config, or a UserError of one line."""
    values = json.loads((shared(f"reference/families/{name}") / "config.json").read_text())
    tried = 0
    for key in values:
        for value in HOSTILE:
            (tmp_path / "config.json").write_text(json.dumps(values | {key: value}))
            try:
                families.read_config(tmp_path)
            except UserError as error:
                tried += 1
                assert "\n" not in str(error) and len(str(error)) < 400
    assert tried > 100
