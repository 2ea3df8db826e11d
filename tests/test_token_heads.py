"""Tags and answers: the heads alone, in and out of a folder, and beside the reference where its files are at hand."""

import json

import pytest
import torch
from safetensors.torch import load_file

from minbert import BertForMaskedLM, BertSentClassifier, fast
from minbert.errors import UserError
from minbert.token_heads import BertForQuestions, BertTagger, span_loss, tag_loss
from tests.golden import check

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
BOTH = pytest.mark.parametrize("kind", [BertTagger, BertForQuestions])


@pytest.fixture
def reference(shared):
    """reference("bert-qa") -> its folder, and the tensors of golden.safetensors."""

    def find(name):
        folder = shared(f"reference/families2/{name}")
        return folder, load_file(folder / "golden.safetensors")

    return find


def inputs(tensors):
    return {name: tensors[f"input/{name}"] for name in ("input_ids", "attention_mask", "token_type_ids")}


def check_gradients(model, tensors):
    found = {name.removeprefix("grad/"): tensor for name, tensor in tensors.items() if name.startswith("grad/")}
    assert len(found) >= 2
    parameters = {model.names.published(name): value for name, value in model.named_parameters()}
    for name, gradient in found.items():
        size = max(1.0, gradient.abs().max().item())  # a sum of squared errors has gradients of ten and more
        check(f"gradient of {name}", parameters[name].grad / size, gradient / size)


def small(tiny, kind, **changes):
    torch.manual_seed(3)
    model = kind(tiny.change(num_labels=5, labels=TAGS, **changes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model


def batch():
    ids = torch.tensor([[2, 5, 6, 7, 8, 3], [2, 9, 10, 3, 0, 0]])
    return {"input_ids": ids, "attention_mask": (ids != 0).long(), "token_type_ids": (ids > 6).long()}


# Beside the reference


def test_tags_equal_the_reference(reference):
    folder, golden = reference("bert-tokens")
    model = BertTagger.from_pretrained(folder)
    output = model(**inputs(golden), labels=golden["input/labels"])
    assert model.config.labels == TAGS and not model.loaded.new
    real = golden["input/attention_mask"].bool()[:, :, None]
    check("logits", output["logits"], golden["output/logits"], real)
    check("loss", output["loss"], golden["output/loss"])
    output["loss"].backward()
    check_gradients(model, golden)


def test_answers_equal_the_reference(reference):
    folder, golden = reference("bert-qa")
    model = BertForQuestions.from_pretrained(folder)
    labels = torch.stack([golden["input/start_positions"], golden["input/end_positions"]], dim=1)  # [B, 2]
    output = model(**inputs(golden), labels=labels)
    real = golden["input/attention_mask"].bool()
    for at, name in enumerate(("start", "end")):
        check(f"{name}s", output["logits"][:, at], golden[f"output/{name}_logits"], real)
    check("loss", output["loss"], golden["output/loss"])
    output["loss"].backward()
    check_gradients(model, golden)


@pytest.mark.parametrize("name, problem", [("regression", "regression"), ("multilabel", "multi_label_classification")])
def test_classifiers_of_other_problems_equal_the_reference(reference, name, problem):
    folder, golden = reference(f"bert-{name}")
    with pytest.raises(UserError, match=r"problem_type|it has one output"):
        BertSentClassifier.from_pretrained(folder)  # nobody asked for such a classifier
    model = BertSentClassifier.from_pretrained(folder, problem_type=problem)
    output = model(**inputs(golden), labels=golden["input/labels"])
    assert not model.loaded.new and model.config.problem_type == problem
    check("logits", output["logits"], golden["output/logits"])
    check("loss", output["loss"], golden["output/loss"])
    output["loss"].backward()
    check_gradients(model, golden)


@pytest.mark.parametrize(
    "name, kind, architecture, changes",
    [
        ("bert-tokens", BertTagger, "BertForTokenClassification", {}),
        ("bert-qa", BertForQuestions, "BertForQuestionAnswering", {}),
        ("bert-regression", BertSentClassifier, "BertForSequenceClassification", {"problem_type": "regression"}),
        (
            "bert-multilabel",
            BertSentClassifier,
            "BertForSequenceClassification",
            {"problem_type": "multi_label_classification"},
        ),
    ],
)
def test_transformers_computes_the_same_from_what_was_saved(reference, tmp_path, name, kind, architecture, changes):
    transformers = pytest.importorskip("transformers")
    folder, golden = reference(name)
    kind.from_pretrained(folder, **changes).save_pretrained(tmp_path)
    theirs, report = getattr(transformers, architecture).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert theirs.config.problem_type == changes.get("problem_type")
    with torch.no_grad():
        output = theirs.eval()(**inputs(golden))
    real = golden["input/attention_mask"].bool()
    for key in [key for key in golden if key.startswith("output/") and key.endswith("logits")]:
        ours = output[key.removeprefix("output/")]
        mask = None if ours.size(1) != real.size(1) else real[:, :, None] if ours.dim() == 3 else real
        check(key, ours, golden[key], mask)


# On any clone


def test_shapes(tiny):
    assert small(tiny, BertTagger)(**batch()).shape == (2, 6, 5)
    assert small(tiny, BertForQuestions)(**batch()).shape == (2, 2, 6)


@BOTH
def test_a_saved_head_is_loaded_again(tiny, tmp_path, kind):
    model = small(tiny, kind)
    model.save_pretrained(tmp_path)
    again = kind.from_pretrained(tmp_path, missing_head="error")
    assert again.loaded.new == [] and again.loaded.dropped == []
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [kind.architecture]
    assert torch.equal(model(**batch()), again(**batch()))


@BOTH
def test_an_encoder_without_a_head_gets_a_new_one_and_says_so(tiny, tmp_path, kind):
    BertForMaskedLM(tiny).save_pretrained(tmp_path)
    model = kind.from_pretrained(tmp_path)
    assert model.loaded.new == ["classifier" if kind is BertTagger else "question-answering head"]
    assert {"masked-LM head", "pooler"} <= set(model.loaded.dropped)
    with pytest.raises(UserError, match=r"has no (classifier|question-answering head)"):
        kind.from_pretrained(tmp_path, missing_head="error")


def test_a_classifier_of_texts_is_no_tagger(tiny, tmp_path):
    """Its layer has the same name and may have the same shape: only config.json tells them apart."""
    BertSentClassifier(tiny.change(num_labels=5)).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="labels the text, not each token"):
        BertTagger.from_pretrained(tmp_path)
    model = BertTagger.from_pretrained(tmp_path, labels=TAGS)
    assert model.loaded.new == ["classifier"] and "labels the text" in str(model.loaded)
    small(tiny, BertTagger).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="labels each token, not the text"):
        BertSentClassifier.from_pretrained(tmp_path)


def test_a_classifier_of_another_problem_is_replaced_only_when_asked(tiny, tmp_path):
    BertSentClassifier(tiny.change(num_labels=1, problem_type="regression")).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["problem_type"] == "regression"
    again = BertSentClassifier.from_pretrained(tmp_path, problem_type="regression", missing_head="error")
    assert again.config.problem_type == "regression"
    with pytest.raises(UserError, match="gives a score, not a class"):
        BertSentClassifier.from_pretrained(tmp_path, problem_type="multi_label_classification")
    model = BertSentClassifier.from_pretrained(tmp_path, labels=("a", "b"))
    assert model.config.problem_type == "single_label_classification" and model.loaded.new == ["classifier"]
    model.save_pretrained(tmp_path)
    assert "problem_type" not in json.loads((tmp_path / "config.json").read_text())
    with pytest.raises(UserError, match="finds one class of a text"):
        BertSentClassifier.from_pretrained(tmp_path, problem_type="regression")


def test_each_problem_has_its_loss_and_its_probabilities(tiny):
    texts, several = batch(), torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    model = small(tiny, BertSentClassifier).eval()
    model = BertSentClassifier(tiny.change(num_labels=3, problem_type="multi_label_classification"))
    p = model.predict_proba(**texts)
    expected = -(several * p.log() + (1 - several) * (1 - p).log()).mean()
    assert torch.allclose(model(**texts, labels=several)["loss"], expected, atol=1e-6)
    assert not torch.allclose(p.sum(dim=1), torch.ones(2))
    model = BertSentClassifier(tiny.change(num_labels=1, problem_type="regression"))
    ratings = torch.tensor([4.0, 1.5])
    output = model(**texts, labels=ratings)
    assert torch.allclose(output["loss"], (output["logits"][:, 0] - ratings).square().mean())
    with pytest.raises(UserError, match="no probability"):
        model.predict_proba(**texts)


def test_tokens_without_a_tag_teach_nothing(tiny):
    model, labels = small(tiny, BertTagger), torch.full((2, 6), -100)
    labels[0, 1], labels[1, 2] = 3, 1
    output = model(**batch(), labels=labels)
    log_p = output["logits"].log_softmax(-1)
    assert torch.allclose(output["loss"], -(log_p[0, 1, 3] + log_p[1, 2, 1]) / 2, atol=1e-6)
    nothing = model(**batch(), labels=torch.full((2, 6), -100))["loss"]
    nothing.backward()
    assert nothing.item() == 0


def test_a_rare_tag_can_weigh_more(tiny):
    logits, labels = torch.randn(2, 3, 4), torch.tensor([[0, 1, -100], [3, -100, -100]])
    weight = torch.tensor([1.0, 2.0, 5.0, 4.0])
    total, count = tag_loss(logits, labels, weight)
    by_hand = [-weight[tag] * logits[at].log_softmax(-1)[tag] for at, tag in (((0, 0), 0), ((0, 1), 1), ((1, 0), 3))]
    assert torch.allclose(total, sum(by_hand)) and count == 7


def test_padding_can_be_left_out_of_the_loss_of_answers():
    logits, labels = torch.randn(2, 2, 5), torch.tensor([[1, 2], [0, 0]])
    alone = sum(span_loss(logits[row : row + 1, :, :size], labels[row : row + 1])[0] for row, size in ((0, 5), (1, 3)))
    together, count = span_loss(logits, labels, torch.tensor([5, 3]))
    assert torch.allclose(together, alone) and count == 2
    assert not torch.allclose(together, span_loss(logits, labels)[0])


@BOTH
def test_a_frozen_encoder_stays_as_it_is(tiny, kind):
    model = kind(tiny.change(option="pretrain", hidden_dropout_prob=0.5, num_labels=5)).train()
    learns = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    head = "classifier" if kind is BertTagger else "answers"
    assert learns == {f"{head}.weight", f"{head}.bias"} and not model.bert.training
    one, two = (model.vectors(**batch()) for _ in range(2))
    assert torch.equal(one, two)


@BOTH
def test_the_twin_computes_the_same_on_real_tokens(tiny, kind):
    model, texts = small(tiny, kind), batch()
    plain = model(**texts)
    fast.swap_in(model)
    assert type(model.bert).__module__ != "minbert.bert" and type(model.bert).__mro__[1] is not type(plain)
    swapped = model(**texts)
    real = texts["attention_mask"].bool()
    check("swapped", swapped, plain, real[:, :, None] if kind is BertTagger else real[:, None, :])
    assert (swapped - plain).abs().max() > 1e-3  # padding has no vector in the twin: it was really swapped in
