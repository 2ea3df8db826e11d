"""GPT-1 and GPT-2 beside the reference library: every stage, the loss, its gradient, and the files both ways."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from minbert import BertModel, BertSentClassifier, UserError, families, tokenizers
from minbert.__main__ import main
from minbert.families.gpt import OpenAIGPTLMHeadModel, OpenAIGPTModel, pack, unpack
from minbert.families.gpt2 import GPT2LMHeadModel, GPT2Model, GPT2SentClassifier
from minbert.generation import generate
from tests.families import tiny_gpt

SIZES = {
    "vocab_size": 41,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "initializer_range": 0.4,
}
SIZES |= {"intermediate_size": 48, "max_position_embeddings": 13, "eos_token_id": 5}
THEIRS = {OpenAIGPTLMHeadModel: "OpenAIGPTLMHeadModel", GPT2LMHeadModel: "GPT2LMHeadModel", GPT2Model: "GPT2Model"}
THEIRS |= {OpenAIGPTModel: "OpenAIGPTModel", GPT2SentClassifier: "GPT2ForSequenceClassification"}
writers = pytest.mark.parametrize("case", ["gpt", "gpt2"], indirect=True)
both = pytest.mark.parametrize("model_class", [OpenAIGPTLMHeadModel, GPT2LMHeadModel])
CLASS_OF = {"gpt": OpenAIGPTLMHeadModel, "gpt2": GPT2LMHeadModel, "gpt2-classifier": GPT2SentClassifier}


def close(ours, theirs, what, allowed=1e-5):
    off = (ours - theirs).abs().max().item()
    assert off <= allowed, f"{what}: the largest difference is {off:.2e}, allowed is {allowed:.0e}"


def new(model_class, seed=3, **changes):
    """A model with random weights, biases and norms included, so that none of them can be left out unseen."""
    torch.manual_seed(seed)
    model = model_class(SIZES | changes)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter, float(name.endswith("norm.weight")), 0.2)
    return model.requires_grad_(False)


def files(folder):
    return load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text("utf-8"))


def change(folder, tensors=None, **values):
    """Put other tensors and settings into a folder; None takes one away."""
    stored, config = files(folder)
    stored = {name: value for name, value in (stored | (tensors or {})).items() if value is not None}
    save_file({name: value.clone().contiguous() for name, value in stored.items()}, folder / "model.safetensors")
    config = {name: value for name, value in (config | values).items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")


@pytest.fixture
def folder(tmp_path):
    new(GPT2LMHeadModel).save_pretrained(tmp_path)
    return tmp_path


# Beside the reference's tensors


@pytest.fixture(params=CLASS_OF)
def case(request, shared):
    """A model of the reference, loaded here, and what the reference computed."""
    folder = shared(f"reference/families/{request.param}")
    golden = load_file(folder / "golden.safetensors")
    kind = "classifier" if "classifier" in request.param else "causal"
    model = families.load(folder, kind)
    assert type(model) is CLASS_OF[request.param] and not model.loaded.unknown
    inputs = golden["input_ids"], golden["attention_mask"]
    return SimpleNamespace(model=model, golden=golden, inputs=inputs, real=inputs[1].bool(), kind=kind)


def test_every_hidden_state(case):
    states = case.model.decoder(*case.inputs, output_hidden_states=True)["hidden_states"]
    assert len(states) == 4
    for number, state in enumerate(states):
        expected = case.golden[f"hidden/{number}"][case.real]
        allowed = 1e-5 * max(1, expected.abs().max().item() / 10)  # the stream is not normalised
        close(state[case.real], expected, f"hidden state {number}", allowed)
    assert torch.equal(states[-1], case.model.decoder(*case.inputs)["last_hidden_state"])


def test_logits_loss_and_the_gradient_of_the_tied_embeddings(case):
    if case.kind == "classifier":
        close(case.model(*case.inputs), case.golden["logits"], "logits")
        return
    logits, loss = case.model(*case.inputs, case.inputs[0].masked_fill(~case.real, -100))
    close(logits[case.real], case.golden["logits"][case.real], "logits")
    close(loss, case.golden["loss"], "loss")
    loss.backward()
    tied = next(name for name in case.golden if name.startswith("grad/"))
    close(case.model.decoder.token.weight.grad, case.golden[tied], "gradient")


@writers
def test_padding_on_the_left(case):
    inputs = case.golden["left/input_ids"], case.golden["left/attention_mask"]
    real = inputs[1].bool()
    close(case.model(*inputs)[0][real], case.golden["left/logits"][real], "logits")


@writers
def test_greedy_ids_to_the_last_position(case):
    prompt = case.golden["greedy/prompt"][0].tolist()
    made = generate(case.model, prompt, max_tokens=99, temperature=0)[0]
    assert prompt + made.ids == case.golden["greedy/ids"][0].tolist() and made.finish == "full"
    logits, _ = case.model(case.golden["greedy/ids"])
    close(logits, case.golden["greedy/logits"], "logits")


def test_continuations_of_the_reference(shared):
    asked = json.loads(shared("reference/families/generation.json").read_text("utf-8"))["gpt2"]
    model, prompt = families.load(shared("reference/families/gpt2"), "causal"), asked["prompt"]
    assert prompt + generate(model, prompt, max_tokens=10, temperature=0)[0].ids == asked["greedy"]
    stopped = generate(model, prompt, max_tokens=10, temperature=0, end=asked["stop_at"]["eos"])[0]
    assert prompt + stopped.ids == asked["stop_at"]["ids"] and stopped.finish == "end"


# The files, both ways


@pytest.mark.parametrize("model_class", THEIRS, ids=lambda model_class: model_class.__name__)
def test_transformers_computes_the_same_from_what_is_saved(tmp_path, model_class):
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    more = {"num_labels": 3, "labels": ("a", "b", "c")} if model_class is GPT2SentClassifier else {}
    ours = new(model_class, **more)
    ours.save_pretrained(tmp_path)
    theirs, report = getattr(transformers, THEIRS[model_class]).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    ids = torch.tensor([[7, 3, 1, 9, 12, 40]])
    with torch.no_grad():
        expected = theirs(ids)
    if model_class in (GPT2Model, OpenAIGPTModel):
        close(ours(ids)["last_hidden_state"], expected.last_hidden_state, "last hidden state")
    else:
        close(ours(ids) if more else ours(ids)[0], expected.logits, "logits")
    if more:
        assert theirs.config.id2label == {0: "a", 1: "b", 2: "c"}
    again = model_class.from_pretrained(tmp_path)
    assert again.config == ours.config and again.state_dict().keys() == ours.state_dict().keys()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in ours.state_dict().items())


@pytest.mark.parametrize(
    "name, settings",
    [
        ("OpenAIGPT", {"afn": "gelu"}),
        ("OpenAIGPT", {"afn": "relu"}),
        ("GPT2", {"activation_function": "gelu_new", "n_inner": 19}),
        ("GPT2", {"activation_function": "gelu", "n_inner": None}),
        ("GPT2", {"activation_function": "relu", "n_inner": None}),
    ],
)
def test_what_transformers_saves_is_computed_the_same(tmp_path, name, settings):
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    config = getattr(transformers, f"{name}Config")(
        vocab_size=41, n_positions=13, n_embd=12, n_layer=2, n_head=3, bos_token_id=0, eos_token_id=0, **settings
    )
    torch.manual_seed(2)
    theirs = getattr(transformers, f"{name}LMHeadModel")(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.5)
    theirs.save_pretrained(tmp_path)
    ours = families.load(tmp_path, "causal")
    assert list(ours.loaded.unknown) == [] and ours.config.eos_token_id == 0
    ids = torch.tensor([[7, 3, 1, 9, 12, 40], [1, 1, 2, 0, 5, 8]])
    with torch.no_grad():
        close(ours(ids)[0], theirs(ids).logits, "logits", 5e-5)


@both
def test_the_names_that_are_written_are_those_of_openai(tmp_path, model_class):
    model = new(model_class)
    model.save_pretrained(tmp_path)
    tensors, config = files(tmp_path)
    words = ("tokens_embed", "positions_embed") if model_class is OpenAIGPTLMHeadModel else ("wte", "wpe")
    assert {f"transformer.{word}.weight" for word in words} <= tensors.keys()
    joined, layer = tensors["transformer.h.1.attn.c_attn.weight"], model.decoder.layers[1]
    assert torch.equal(joined[:, 12:24].T, layer.attention.key.weight)
    assert torch.equal(tensors["transformer.h.1.attn.c_proj.weight"].T, layer.attention.output.weight)
    assert torch.equal(tensors["transformer.h.0.mlp.c_fc.bias"], model.decoder.layers[0].feed_forward.expand.bias)
    assert (config["n_embd"], config["n_positions"], config["eos_token_id"]) == (12, 13, 5)
    back = unpack(tensors)
    assert all(torch.equal(value, pack(back)[name]) for name, value in tensors.items())
    model.load_state_dict(tensors)


def test_masks_are_dropped_by_name_and_a_bias_is_none(folder):
    stored = files(folder)[0]
    masks = {f"transformer.h.{layer}.attn.bias": torch.ones(1, 1, 13, 13) for layer in range(2)}
    masks["transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)
    change(folder, masks | {"lm_head.weight": stored["transformer.wte.weight"]})
    model = GPT2LMHeadModel.from_pretrained(folder)
    assert model.loaded.dropped == ["causal masks", "readout, equal to the token embeddings"]
    change(folder, {"transformer.h.1.attn.c_attn.bias": None})
    with pytest.raises(UserError, match=r"missing     transformer\.h\.1\.attn\.c_attn\.query\.bias"):
        GPT2LMHeadModel.from_pretrained(folder)


def test_published_files_have_no_prefix(folder):
    stored, _ = files(folder)
    expected = GPT2LMHeadModel.from_pretrained(folder).state_dict()
    bare = {name.removeprefix("transformer."): tensor for name, tensor in stored.items()}
    change(folder, dict.fromkeys(stored) | bare)
    found = GPT2LMHeadModel.from_pretrained(folder).state_dict()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    change(folder, {"transformer.wte.weight": stored["transformer.wte.weight"]})
    with pytest.raises(UserError, match="the same weights twice"):
        GPT2LMHeadModel.from_pretrained(folder)


@pytest.mark.parametrize(
    "tensors, complaint",
    [
        ({"transformer.h.0.attn.c_proj.weight": None}, r"missing     transformer\.h\.0\.attn\.c_proj\.weight"),
        ({"transformer.h.0.crossattention.q_attn.weight": torch.ones(3)}, "unexpected  .*crossattention"),
        ({"transformer.h.0.mlp.c_fc.weight": torch.ones(48, 12)}, r"wrong shape transformer\.h\.0\.mlp\.c_fc\.weight"),
        ({"transformer.h.0.attn.c_attn.weight": torch.ones(12, 35)}, r"unexpected  transformer\.h\.0\.attn\.c_attn"),
        ({"transformer.wpe.weight": torch.full((13, 12), torch.nan)}, r"NaN or Inf  transformer\.wpe\.weight"),
        (
            {"transformer.h.0.attn.c_attn.query.bias": torch.ones(12)},
            r"unexpected  transformer\.h\.0\.attn\.c_attn\.query",
        ),
        ({"h.0.attn.c_attn.weight": torch.ones(12, 36)}, ": holds the same weights twice: "),
        ({"lm_head.weight": torch.ones(41, 12)}, ": lm_head.weight should equal the token embeddings"),
        ({"transformer.h.7.ln_1.bias": torch.ones(12)}, r"unexpected  transformer\.h\.7\.ln_1\.bias"),
    ],
)
def test_weights_that_do_not_fit_are_named(folder, tensors, complaint):
    change(folder, tensors)
    with pytest.raises(UserError, match=complaint) as error:
        GPT2LMHeadModel.from_pretrained(folder)
    assert str(error.value).startswith(str(folder))


@pytest.mark.parametrize(
    "values, complaint",
    [
        ({"scale_attn_weights": False}, "scale_attn_weights is False"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
        ({"add_cross_attention": True}, "add_cross_attention is True"),
        ({"activation_function": "swish"}, "activation_function is 'swish', but can be: gelu_new, gelu, relu"),
        ({"activation_function": ["gelu"]}, "activation_function is"),
        ({"n_ctx": 12}, "n_ctx and n_positions differ"),
        ({"n_embd": ...}, "does not describe a GPT-2: it lacks n_embd"),
        ({"n_embd": "12"}, "n_embd is '12', but must be a whole number"),
        ({"n_head": 5}, "n_embd 12 cannot be split into 5 attention heads"),
        ({"n_positions": 0}, "n_positions is 0, but must be a whole number from 1"),
        ({"n_layer": 1.5}, "n_layer is 1.5"),
        ({"embd_pdrop": 2}, "embd_pdrop is 2"),
        ({"model_type": "openai-gpt"}, "use OpenAIGPTLMHeadModel of minbert.families.gpt"),
    ],
)
def test_a_config_that_asks_for_something_else_is_refused_in_one_line(folder, values, complaint):
    change(folder, **values)
    with pytest.raises(UserError, match=complaint) as error:
        GPT2LMHeadModel.from_pretrained(folder)
    assert "\n" not in str(error.value) and str(error.value).startswith(f"{folder / 'config.json'}: ")


def test_a_config_without_what_has_a_default(folder):
    change(folder, n_inner=None, activation_function=..., layer_norm_epsilon=..., embd_pdrop=..., n_ctx=13)
    config = families.read_config(folder)
    assert (config.intermediate_size, config.hidden_act, config.layer_norm_eps) == (48, "gelu_new", 1e-5)


def test_a_gpt1_that_transformers_cannot_build_is_not_written(tmp_path):
    for values in ({"hidden_act": "gelu"}, {"intermediate_size": 47}):
        with pytest.raises(UserError, match="not written"):
            new(OpenAIGPTLMHeadModel, **values).save_pretrained(tmp_path)
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize("model_class", [BertModel, BertSentClassifier])
def test_a_bert_says_which_class_reads_a_gpt2(folder, model_class):
    end = "Model" if model_class is BertModel else "SentClassifier"
    with pytest.raises(UserError, match=f"use GPT2{end} of minbert.families.gpt2"):
        model_class.from_pretrained(folder)


# The classifier


def test_a_language_model_becomes_a_classifier_with_a_new_head_and_back(folder, tmp_path, caplog):
    model = GPT2SentClassifier.from_pretrained(folder, labels=("bad", "good", "so"))
    assert model.loaded.new == ["classifier"] and "random weights: classifier" in caplog.text
    model.save_pretrained(tmp_path / "out")
    again = families.load(tmp_path / "out", "classifier")
    assert again.loaded.new == [] and again.config.labels == ("bad", "good", "so")
    assert torch.equal(again.classifier.weight, model.classifier.weight)
    writer = families.load(tmp_path / "out", "causal")
    assert writer.loaded.dropped == ["classifier of 3 classes"]


def test_the_last_real_token_is_told_by_the_mask(folder):
    """Not by its id: the padding here is an id that texts hold, too."""
    model = GPT2SentClassifier.from_pretrained(folder, labels=("a", "b"))
    text = torch.tensor([[5, 9, 5, 5]])
    alone = model(text)
    for before, after in ((0, 3), (3, 0), (2, 1)):
        ids = torch.nn.functional.pad(text, (before, after), value=5)
        mask = torch.nn.functional.pad(torch.ones_like(text), (before, after))
        close(model(ids, mask), alone, f"{before} before, {after} after")
    one = torch.tensor([[9]])
    close(model(torch.tensor([[9, 5, 5]]), torch.tensor([[1, 0, 0]])), model(one), "one token")


def test_a_frozen_classifier_learns_in_its_head_alone(folder):
    model = GPT2SentClassifier.from_pretrained(folder, labels=("a", "b"), option="pretrain").train()
    output = model(torch.tensor([[1, 2], [3, 4]]), labels=torch.tensor([0, 1]))
    output["loss"].backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is not None] == ["classifier.weight"]
    assert not model.decoder.training and model.training
    assert torch.equal(output["logits"], model(torch.tensor([[1, 2], [3, 4]])))


@pytest.mark.parametrize("option", ["flexible", "pretrain"])
def test_the_commands_train_it_and_predict_with_it(tmp_path, option, capsys):
    tiny_gpt.write(tmp_path / "gpt2")
    rows = [("the film was fine", "good"), ("poor", "bad"), ("the plot was fine", "good"), ("a poor film", "bad")]
    table = tmp_path / "rows.csv"
    table.write_text("\n".join(["text,label", *(f"{text},{label}" for text, label in rows)]))
    words = [
        "--train",
        str(table),
        "--dev",
        str(table),
        "--epochs",
        "1",
        "--batch_size",
        "1",
        "--no_baseline",
        "--option",
        option,
    ]
    out = tmp_path / "out"
    assert main(["train", "--model", str(tmp_path / "gpt2"), *words, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "the head reads: last" in said
    assert ("the decoder is frozen, only the head learns" in said) == (option == "pretrain")
    trained, before = (
        GPT2SentClassifier.from_pretrained(folder, labels=("bad", "good")) for folder in (out, tmp_path / "gpt2")
    )
    moved = [name for name, value in before.state_dict().items() if not torch.equal(value, trained.state_dict()[name])]
    assert moved == ["classifier.weight"] if option == "pretrain" else "decoder.layers.0.attention.key.weight" in moved
    assert main(["predict", "--model", str(out), "--sentence", rows[1][0]]) == 0
    said = capsys.readouterr().out
    ids = torch.tensor([tokenizers.from_pretrained(out)(rows[1][0])["input_ids"]])
    best = trained.predict_proba(ids)[0]
    assert said.split()[0] == ("bad", "good")[int(best.argmax())] and f"{best.max():.4f}" in said
