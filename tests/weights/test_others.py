"""What other libraries compute from a folder that was written here, and what becomes of theirs."""

import json
import logging
import re

import pytest
import torch

from minbert import BertForPreTraining, BertModel, BertSentClassifier, UserError
from minbert.weights import SENTENCE, not_for_transformers
from tests.weights.test_weights import same, shake, sizes_of, store, stored

LABELS = ("negative", "neutral", "positive")
TEXTS = ["The film was not good.", "unaffable", "A wonderful plot, a wonderful film!"]
OPTIONS = [(pooling, option) for pooling in ("pooler", "cls", "mean") for option in ("flexible", "pretrain")]
each_classifier = pytest.mark.parametrize("pooling, option", OPTIONS)


@pytest.fixture
def write(tiny, tokenizer, tmp_path):
    """write(**changes) -> a classifier with large random weights, and the folder where it is saved."""

    def write(**changes):
        torch.manual_seed(4)
        model = shake(BertSentClassifier(tiny.change(initializer_range=0.5, num_labels=3, labels=LABELS, **changes)))
        model.save_pretrained(tmp_path / "model")
        tokenizer.save_pretrained(tmp_path / "model")
        return model, tmp_path / "model"

    return write


def logits(model, tokenizer):
    with torch.no_grad():
        return model(**tokenizer(TEXTS, padding=True, return_tensors="pt"))


# Models that go out


@each_classifier
def test_transformers_computes_the_same_or_is_told_that_it_cannot(write, tokenizer, caplog, pooling, option):
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    model, folder = write(pooling=pooling, option=option)
    said = [record.message for record in caplog.records if record.name == "minbert"]
    theirs, info = transformers.AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    if pooling == "pooler":
        assert said == [] and not any(info.values())
        again = transformers.AutoTokenizer.from_pretrained(folder)
        with torch.no_grad():
            expected = theirs(**again(TEXTS, padding=True, return_tensors="pt")).logits
        torch.testing.assert_close(logits(model, tokenizer), expected, rtol=0, atol=1e-5)
        pipe = transformers.pipeline("text-classification", model=str(folder), top_k=None, device="cpu")
        for row, found in zip(model.predict_proba(**tokenizer(TEXTS, padding=True, return_tensors="pt")), pipe(TEXTS)):
            scores = {each["label"]: each["score"] for each in found}
            assert [scores[label] for label in LABELS] == pytest.approx(row.tolist(), abs=1e-5)
    else:
        assert said == [f"{folder}: {not_for_transformers(model)}"]
        assert f"it reads {pooling} pooling" in said[0]
        assert set(info["missing_keys"]) == {"classifier.weight", "classifier.bias"}  # new there, and it says so
        assert json.loads((folder / "config.json").read_text())["architectures"] == ["BertModel"]


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_sentence_transformers_computes_the_same(write, tokenizer, pooling):
    """Its embeddings are the logits, for texts of different lengths side by side."""
    library = pytest.importorskip("sentence_transformers", reason="needs the extra reference")
    model, folder = write(pooling=pooling)
    found = library.SentenceTransformer(str(folder), device="cpu").encode(TEXTS, convert_to_tensor=True)
    torch.testing.assert_close(found, logits(model, tokenizer), rtol=0, atol=1e-5)


@each_classifier
@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_each_classifier_comes_back(write, pooling, option, dtype):
    model, folder = write(pooling=pooling, option=option)
    model.save_pretrained(folder, dtype)
    again = BertSentClassifier.from_pretrained(folder, missing_head="error")
    assert again.config == model.config and not again.loaded.dropped
    expected = {name: tensor.to(dtype or tensor.dtype).float() for name, tensor in model.state_dict().items()}
    assert same(again.state_dict(), expected)


@pytest.mark.parametrize("pooling", ["pooler", "mean"])
def test_a_folder_of_an_older_minbert_is_read(write, pooling):
    """It called every classifier BertForSequenceClassification, and had no modules.json."""
    model, folder = write(pooling=pooling)
    tensors = {name.replace(SENTENCE, "classifier"): tensor for name, tensor in stored(folder).items()}
    (folder / "modules.json").unlink(missing_ok=True)
    store(folder, tensors, architectures=["BertForSequenceClassification"])
    assert same(BertSentClassifier.from_pretrained(folder, missing_head="error").state_dict(), model.state_dict())


def test_another_pooling_needs_another_classifier(write):
    _, folder = write(pooling="mean")
    again = BertSentClassifier.from_pretrained(folder, pooling="cls")
    assert again.loaded.new == ["classifier"] and again.loaded.dropped == ["classifier of 3 classes"]


def test_what_is_left_of_a_folder_of_sentence_transformers_is_taken_away(write, tokenizer):
    _, folder = write(pooling="mean")
    assert (folder / "modules.json").exists()
    model, folder = write(pooling="pooler")
    assert not (folder / "modules.json").exists()
    assert same(BertSentClassifier.from_pretrained(folder, missing_head="error").state_dict(), model.state_dict())


def test_a_model_that_transformers_has_trained_on_reads_the_pooler(write, tokenizer):
    """It keeps our key `pooling`, but its own classifier does not obey it."""
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    _, folder = write(pooling="mean")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    for other in (folder.with_name("theirs"), folder):  # and where modules.json is left from before
        theirs.save_pretrained(other)
        assert json.loads((other / "config.json").read_text())["pooling"] == "mean"
        ours = BertSentClassifier.from_pretrained(other, missing_head="error")
        with torch.no_grad():
            expected = theirs(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits
        torch.testing.assert_close(logits(ours, tokenizer), expected, rtol=0, atol=1e-5)


# The model as a library


@pytest.mark.parametrize("pooling", ["pooler", "mean"])
@pytest.mark.parametrize("kind", ["classifier", "encoder", "masked LM", "untied"])
def test_load_state_dict_takes_what_save_pretrained_wrote(write, tiny, tmp_path, pooling, kind):
    model, _ = write(pooling=pooling)
    if kind == "encoder":
        model = model.bert
    elif kind != "classifier":
        model = shake(BertForPreTraining(tiny.change(tie_word_embeddings=kind == "masked LM")))
    model.save_pretrained(tmp_path / kind)
    again = type(model)(model.config)
    assert not same(again.state_dict(), model.state_dict())
    assert not any(again.load_state_dict(stored(tmp_path / kind)))
    assert same(again.state_dict(), model.state_dict())
    again = type(model)(model.config)
    again.load_state_dict(model.state_dict())
    assert same(again.state_dict(), model.state_dict())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensors: tensors.pop("bert.embeddings.LayerNorm.bias"),
        lambda tensors: tensors.update({"bert.unheard.of": torch.zeros(1)}),
        lambda tensors: tensors.update({"classifier.bias": torch.zeros(4)}),
        lambda tensors: tensors.update({"cls.seq_relationship.bias": torch.zeros(2)}),
    ],
    ids=["missing", "unknown", "wrong shape", "another head"],
)
def test_load_state_dict_takes_all_or_nothing(write, spoil):
    model, folder = write()
    tensors = stored(folder)
    spoil(tensors)
    with pytest.raises(RuntimeError, match=r"Error\(s\) in loading state_dict for BertSentClassifier"):
        BertSentClassifier(model.config).load_state_dict(tensors)


def test_labels_give_a_loss(write, tokenizer):
    model, _ = write(pooling="mean")
    batch, labels = tokenizer(TEXTS, padding=True, return_tensors="pt"), torch.tensor([2, 0, 1])
    plain, output = model(**batch), model(**batch, labels=labels)
    assert torch.equal(output["logits"], plain)
    surprise = -plain.log_softmax(-1)[torch.arange(3), labels]
    torch.testing.assert_close(output["loss"], surprise.mean(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("option", ["flexible", "pretrain"])
def test_the_trainer_of_transformers_trains_a_classifier(write, tokenizer, tmp_path, option):
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    pytest.importorskip("accelerate", reason="needs the extra reference")
    model, _ = write(option=option)
    rows = [dict(tokenizer(text, padding="max_length", max_length=16), labels=at) for at, text in enumerate(TEXTS)]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    options = {
        "max_steps": 3,
        "per_device_train_batch_size": 2,
        "learning_rate": 0.01,
        "report_to": [],
        "use_cpu": True,
    }
    arguments = transformers.TrainingArguments(str(tmp_path / "runs"), disable_tqdm=True, save_strategy="no", **options)
    trainer = transformers.Trainer(model, arguments, train_dataset=rows, eval_dataset=rows)
    assert trainer.train().global_step == 3
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved >= {"classifier.weight", "classifier.bias"}
    assert any(name.startswith("bert.") for name in moved) == (option == "flexible")
    predicted = trainer.predict(rows).predictions
    torch.testing.assert_close(torch.tensor(predicted), logits(model.cpu(), tokenizer), rtol=0, atol=1e-5)


# Models that come in

OTHER_HEADS = {  # classes of transformers, and what their head is called here
    "BertForTokenClassification": "classifier of 3 classes, which labels each token, not the text",
    "BertForMultipleChoice": "classifier of 1 classes, which chooses between several texts",
    "BertForQuestionAnswering": "question-answering head",
    "BertForNextSentencePrediction": "next-sentence head",
    "BertForMaskedLM": "masked-LM head",
}


@pytest.mark.parametrize("architecture", OTHER_HEADS)
def test_a_head_for_something_else_is_no_classifier_of_texts(tiny, tmp_path, architecture):
    """The encoder is read from every class; a new classifier in place of the head, only by request and with a word."""
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    config = transformers.BertConfig(**sizes_of(tiny.change(num_labels=3)))
    theirs = getattr(transformers, architecture)(config).eval()
    theirs.save_pretrained(tmp_path)
    encoder = BertModel.from_pretrained(tmp_path)
    assert any(line.startswith(OTHER_HEADS[architecture].partition(",")[0]) for line in encoder.loaded.dropped)
    words = theirs.bert.embeddings.word_embeddings.weight
    new = BertSentClassifier.from_pretrained(tmp_path, labels=LABELS)
    assert "classifier" in new.loaded.new and torch.equal(new.bert.embeddings.token.weight, words)
    assert new.loaded.dropped[0].startswith(OTHER_HEADS[architecture])
    if "classifier" in OTHER_HEADS[architecture]:
        with pytest.raises(
            UserError, match=rf"its classifier .* \({architecture}\); with labels=..., you get a new one"
        ):
            BertSentClassifier.from_pretrained(tmp_path)


def test_names_of_tags_are_not_names_of_classes(write):
    _, folder = write()
    store(folder, stored(folder), architectures=["BertForTokenClassification"])
    assert BertSentClassifier.from_pretrained(folder, num_labels=3).config.labels == ()


UNFIT = [  # what config.json says, what is said of its classifier
    ({"problem_type": "multi_label_classification"}, "a probability of its own (problem_type multi_label_cl"),
    ({"problem_type": "regression"}, "gives a score, not a class (problem_type regression)"),
    ({"problem_type": ["new"]}, "solves an unknown problem (problem_type ['new'])"),
    ({"architectures": ["BertForSomethingElse"]}, "a kind that minbert does not know (BertForSomethingElse)"),
    ({"architectures": "BertForTokenClassification"}, "labels each token, not the text"),
]


@pytest.mark.parametrize("changes, said", UNFIT)
def test_a_classifier_of_another_kind_is_not_used(write, changes, said):
    _, folder = write()
    store(folder, stored(folder), **changes)
    with pytest.raises(UserError, match=re.escape(said)):
        BertSentClassifier.from_pretrained(folder)
    again = BertSentClassifier.from_pretrained(folder, labels=LABELS)
    assert again.loaded.new == ["classifier"] and said in again.loaded.dropped[0]


def test_a_score_has_one_output(tiny, tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    config = transformers.BertConfig(**sizes_of(tiny) | {"num_labels": 1})
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"its classifier gives a score, not a class \(it has one output\)"):
        BertSentClassifier.from_pretrained(tmp_path)
    ours = BertSentClassifier(tiny.change(labels=("only",), num_labels=1))  # a class of ours may be the only one
    ours.save_pretrained(tmp_path / "ours")
    assert same(BertSentClassifier.from_pretrained(tmp_path / "ours").state_dict(), ours.state_dict())


def test_a_tensorflow_checkpoint_is_refused_by_name(shared, monkeypatch, capsys):
    from minbert.__main__ import main

    monkeypatch.chdir(shared("cases/tf-checkpoint-folder"))
    assert main(["predict", "--model", "model", "--text", "README.md", "--out", "-"]) == 2
    out, err = capsys.readouterr()
    said = "error: model holds Google's TensorFlow checkpoint, to be converted (bert_model.ckpt.index)"
    assert out == "" and err.startswith(said) and err.count("\n") == 1


def test_a_tagger_labels_words_and_never_whole_texts(shared, monkeypatch, capsys):
    from minbert.__main__ import main

    monkeypatch.chdir(shared("cases/ner-model"))
    assert main(["predict", "--model", "model", "--text", "two.txt", "--out", "-"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    text = (shared("cases/ner-model") / "two.txt").read_text()
    assert header == '"row","word","predicted"'
    assert "".join(row.split(",")[1].strip('"') for row in rows) == "".join(text.split())


def test_keys_that_nobody_knows_are_named_once(write, caplog):
    _, folder = write()
    store(folder, stored(folder), alibi=True, **{"a\nb": 1})
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="minbert"):
        BertSentClassifier.from_pretrained(folder)
    assert [record.message for record in caplog.records] == [
        rf"{folder}: 41 tensors loaded; in config.json, unknown and not used: alibi, 'a\nb'"
    ]


def test_files_that_are_not_read_are_named(write):
    _, folder = write()
    for file in ("pytorch_model.bin", "model.safetensors.index.json", "model_head.pkl"):
        (folder / file).write_bytes(b"not to be opened")
    dropped = BertSentClassifier.from_pretrained(folder).loaded.dropped
    assert dropped == ["model.safetensors.index.json", "pytorch_model.bin", "model_head.pkl"]


def test_a_pointer_of_git_lfs_is_no_file(write):
    _, folder = write()
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(UserError, match=r"model\.safetensors: is only a pointer of Git LFS: `git lfs pull` fetches"):
        BertSentClassifier.from_pretrained(folder)


@pytest.mark.parametrize("ways, pooling", [("mean", "mean"), ("cls", "cls"), ("max", None), (["cls", "mean"], None)])
def test_the_pooling_of_sentence_transformers_is_the_default(tiny, tmp_path, ways, pooling):
    library = pytest.importorskip("sentence_transformers", reason="needs the extra reference")
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    modules = library.sentence_transformer.modules
    transformers.BertModel(transformers.BertConfig(**sizes_of(tiny))).save_pretrained(tmp_path)
    (tmp_path / "modules.json").write_text(
        json.dumps([{"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
                    for at, (kind, path) in enumerate(
                        [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")])])
    )  # fmt: skip
    (tmp_path / "1_Pooling").mkdir()
    modules.Pooling(15, ways).save(str(tmp_path / "1_Pooling"))
    BertModel.from_pretrained(tmp_path)  # which does not pool
    if pooling:
        model = BertSentClassifier.from_pretrained(tmp_path, labels=LABELS)
        assert model.config.pooling == pooling and model.loaded.dropped == ["Normalize of modules.json"]
    else:
        with pytest.raises(UserError, match=r"pooled by (max|cls \+ mean), which is not supported: choose pooling"):
            BertSentClassifier.from_pretrained(tmp_path, labels=LABELS)
    assert BertSentClassifier.from_pretrained(tmp_path, labels=LABELS, pooling="pooler").config.pooling == "pooler"
