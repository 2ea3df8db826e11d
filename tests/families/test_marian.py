"""Marian beside the reference library: every stage, the loss, its gradient, and the files both ways."""

import json
import math
import re
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from minbert import BertModel, UserError, families, fast
from minbert.embeddings import sinusoids as interleaved
from minbert.encoder_decoder import CrossAttention
from minbert.families.marian import MarianConfig, MarianForTranslation, MarianModel
from minbert.families.marian_names import sinusoids
from minbert.losses import translation_loss
from minbert.search import beam_search
from tests.families.tiny_marian import END, PAD, SIZES, new, texts

FIXTURE = "reference/families2/marian"


def close(ours, theirs, what, allowed=1e-5):
    assert ours.shape == theirs.shape, what
    off = (ours - theirs).abs().max().item()
    assert off <= allowed, f"{what}: the largest difference is {off:.2e}, allowed is {allowed:.0e}"


@pytest.fixture
def case(shared):
    """The model of the reference, loaded here, and what the reference computed."""
    folder = shared(FIXTURE)
    golden = load_file(folder / "golden.safetensors")
    model = families.load(folder, "translation")
    assert type(model) is MarianForTranslation and not model.loaded.unknown and not model.loaded.dropped
    inputs = [golden[f"input/{name}"] for name in ("input_ids", "attention_mask", "decoder_input_ids")]
    return SimpleNamespace(model=model, golden=golden, inputs=inputs, real=inputs[1].bool())


@pytest.fixture
def folder(tmp_path):
    new().save_pretrained(tmp_path)
    return tmp_path


def change(folder, file="config.json", **values):
    """Other settings in a folder; ... takes one away."""
    path = folder / file
    stored = json.loads(path.read_text("utf-8")) | values
    path.write_text(json.dumps({key: value for key, value in stored.items() if value is not ...}), "utf-8")


def store(folder, **tensors):
    stored = load_file(folder / "model.safetensors") | tensors
    stored = {name: value.clone() for name, value in stored.items() if value is not None}
    save_file(stored, folder / "model.safetensors")


# Beside the reference's tensors


def test_every_hidden_state_and_the_logits(case):
    output = case.model(*case.inputs)
    for stack, real in (("encoder", case.real), ("decoder", torch.ones_like(case.inputs[2]).bool())):
        states = output[f"{stack}_hidden_states"]
        assert len(states) == 3
        for number, state in enumerate(states):
            close(state[real], case.golden[f"{stack}_hidden/{number}"][real], f"{stack}, state {number}")
    close(output["logits"], case.golden["output/logits"], "logits")
    assert set(output) == {"logits", "encoder_hidden_states", "decoder_hidden_states"}


@pytest.mark.parametrize("options, name", [({"beams": 1}, "greedy"), ({}, "beam4")])
@pytest.mark.parametrize("cached", [True, False])
def test_what_is_written(case, cached, options, name):
    found = beam_search(case.model, *case.inputs[:2], max_length=14, cached=cached, **options)
    check_beams(found, case.golden, name)


@pytest.mark.parametrize(
    "options, name",
    [({"early_stopping": True}, "beam4_early"), ({"beams": 3, "length_penalty": 2.0}, "beam3_long")],
)
def test_what_is_written_by_other_rules(case, options, name):
    check_beams(beam_search(case.model, *case.inputs[:2], max_length=14, **options), case.golden, name)


def check_beams(found, golden, name):
    """Compare the results of beam_search with the reference's: padded rows with the start, and their scores."""
    rows = [result for results in found for result in results]
    wanted = golden[f"generate/{name}"]
    width = wanted.size(1) - 1
    assert [[PAD, *ids, *[PAD] * (width - len(ids))] for _, ids in rows] == wanted.tolist()
    if f"generate/{name}/scores" in golden:
        close(torch.tensor([score for score, _ in rows]), golden[f"generate/{name}/scores"], "scores")


# The stages by themselves


def test_sines_stand_before_cosines():
    table, by_pairs = sinusoids(7, 6), interleaved(7, 6)
    close(table, by_pairs[:, [0, 2, 4, 1, 3, 5]], "the columns of the paper's")
    assert table[0].tolist() == [0, 0, 0, 1, 1, 1]
    assert table[5, 4].item() == pytest.approx(math.cos(5 / 10000 ** (2 / 6)), abs=1e-7)
    assert sinusoids(600, 5).shape == (600, 5)
    exact = torch.sin(torch.tensor(511 / 10000 ** (2 / 512), dtype=torch.float64)).float()
    assert sinusoids(512, 512)[511, 1] == exact  # not the sine of a rounded angle


def test_the_embeddings_are_scaled_where_they_are_read_alone():
    model = new()
    ids = torch.tensor([[3, 5]])
    wanted = model.model.token.weight[[3, 5]] * 12**0.5 + sinusoids(2, 12)
    close(model.model.embed(ids)[0], wanted, "scaled")
    close(new(scale_embedding=False).model.embed(ids)[0], model.model.token.weight[[3, 5]] + sinusoids(2, 12), "plain")
    x = torch.randn(1, 12)
    close(model.readout(x), x @ model.model.token.weight.T + model.final_logits_bias, "logits")


def test_memory_that_is_padding_is_not_looked_at():
    model, (ids, mask) = new(), texts()
    decoder_ids = torch.randint(1, 42, (3, 4))
    output = model(ids, mask, decoder_ids, output_cross_attentions=True)
    looks = output["cross_attentions"]
    assert len(looks) == 3 and looks[0].shape == (3, 2, 4, 9)
    for table in looks:
        close(table.sum(3), torch.ones(3, 2, 4), "the sum")
        assert not table[1, :, :, 5:].any() and table[1, :, :, :5].all()
    other = ids.masked_fill(mask == 0, 7)
    close(model(other, mask, decoder_ids)["logits"], output["logits"], "with other padding")
    assert (model(other, None, decoder_ids)["logits"] - output["logits"]).abs().max() > 0.1


def test_no_token_looks_at_later_ones():
    model, (ids, mask) = new(), texts()
    rows = torch.randint(1, 42, (3, 6))
    logits = model(ids, mask, rows)["logits"]
    rows[:, 4:] = 9
    close(model(ids, mask, rows)["logits"][:, :4], logits[:, :4], "the first four")


def test_rows_of_one_text_share_its_memory():
    torch.manual_seed(0)
    layer = CrossAttention(MarianConfig(**SIZES))
    memory, x = torch.randn(2, 5, 12), torch.randn(6, 3, 12)  # three rows of each text
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]).bool()[:, None, None]
    together, looks = layer(x, (mask, *layer.read(memory)))
    for row in range(6):
        text = slice(row // 3, row // 3 + 1)
        alone, look = layer(x[row : row + 1], (mask[text], *layer.read(memory[text])))
        close(together[row], alone[0], "mixed")
        close(looks[row], look[0], "probabilities")


def test_a_cache_computes_the_same():
    model, (ids, mask) = new(), texts()
    memory = model.encode(ids, mask)
    cache, rows = model.new_cache(memory), torch.randint(1, 42, (6, 5))
    for length in (1, 2, 4, 5):
        close(model.next_scores(rows[:, :length], memory, mask, cache),
              model.next_scores(rows[:, :length], memory, mask), "scores")  # fmt: skip
        assert cache.length == length
    cache.choose([0, 0, 4, 5], [0, 2])
    rows = torch.cat([rows[[0, 0, 4, 5]], torch.randint(1, 42, (4, 1))], dim=1)
    close(model.next_scores(rows, memory[[0, 2]], mask[[0, 2]], cache),
          model.next_scores(rows, memory[[0, 2]], mask[[0, 2]]), "after a choice")  # fmt: skip


def test_twins_compute_the_same():
    model, (ids, mask) = new(), texts()
    rows = torch.randint(1, 42, (3, 4))
    plain = model(ids, mask, rows)
    swapped = fast.swap_in(model)(ids, mask, rows)
    close(swapped["logits"], plain["logits"], "logits")


@pytest.mark.fault("texts: longer than the model can read")
def test_a_text_that_is_too_long():
    model, ids = new(), torch.ones(1, 33, dtype=torch.int64)
    for call in (lambda: model(ids, None, ids[:, :2]), lambda: model(ids[:, :2], None, ids)):
        with pytest.raises(UserError, match="a text of 33 tokens, but the model has 32 positions: set max_length=32"):
            call()


# Training


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss(smoothing):
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 5), torch.tensor([[1, 0, -100], [4, -100, -100]])
    log_p = logits.log_softmax(-1)
    each = []
    for row, place in ((0, 0), (0, 1), (1, 0)):
        of = log_p[row, place]
        each.append(-(1 - smoothing) * of[labels[row, place]] - smoothing * of.mean())
    close(translation_loss(logits, labels, smoothing), torch.stack(each).mean(), "loss")
    assert translation_loss(logits, torch.full((2, 3), -100)) == 0


def test_the_loss_and_its_gradient_are_transformers(folder):
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    theirs = transformers.MarianMTModel.from_pretrained(folder)
    ours = families.load(folder, "translation")
    ids, mask = texts()
    labels = torch.randint(1, 42, (3, 6))
    labels[1, 4:] = -100
    found = theirs(ids, attention_mask=mask, labels=labels)
    found.loss.backward()
    loss = translation_loss(ours(ids, mask, ours.decoder_inputs(labels))["logits"], labels, smoothing=0.0)
    loss.backward()
    close(loss, found.loss, "loss")
    gradient = theirs.model.shared.weight.grad
    close(ours.model.token.weight.grad[:PAD], gradient[:PAD], "gradient")  # transformers leaves that of padding out


def test_labels_are_read_one_place_later():
    labels = torch.tensor([[5, 6, END], [7, END, -100]])
    assert new().decoder_inputs(labels).tolist() == [[PAD, 5, 6], [PAD, 7, END]]
    labels = torch.tensor([[END, -100, -100]])
    assert new(decoder_start_token_id=3).decoder_inputs(labels).tolist() == [[3, END, PAD]]


def test_a_small_model_learns_to_turn_a_row_round():
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "num_hidden_layers": 1}
    sizes |= {"decoder_layers": 1, "decoder_attention_heads": 4, "decoder_ffn_dim": 64, "initializer_range": 0.1}
    model = MarianForTranslation(SIZES | sizes | {"vocab_size": 8, "hidden_dropout_prob": 0.0}).train()
    ids = torch.cartesian_prod(*[torch.arange(1, 6)] * 3)
    ids = torch.cat([ids, torch.zeros(len(ids), 1, dtype=torch.int64)], dim=1)  # 125 texts, each with its end
    labels = torch.cat([ids[:, :3].flip(1), ids[:, 3:]], dim=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(120):
        loss = translation_loss(model(ids, None, model.decoder_inputs(labels))["logits"], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = beam_search(model, ids, beams=2, max_length=8)
    right = [results[0][1] == label for results, label in zip(found, labels.tolist())]
    assert sum(right) == 125 and model.training


# The files, both ways


@pytest.mark.parametrize(
    "changes",
    [{}, {"hidden_act": "gelu", "scale_embedding": False}, {"hidden_act": "relu", "decoder_start_token_id": 7}],
)
def test_transformers_computes_the_same_from_what_is_saved(tmp_path, changes):
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    ours, (ids, mask) = new(**changes), texts()
    ours.save_pretrained(tmp_path)
    theirs, report = transformers.MarianMTModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    rows = torch.randint(1, 42, (3, 5))
    close(ours(ids, mask, rows)["logits"], theirs(ids, attention_mask=mask, decoder_input_ids=rows).logits, "logits")
    again = families.load(tmp_path, "translation")
    assert again.config == ours.config and again.search == ours.search
    assert torch.equal(again(ids, mask, rows)["logits"], ours(ids, mask, rows)["logits"])
    greedy = theirs.generate(ids, attention_mask=mask, num_beams=1, max_length=12)[:, 1:].tolist()
    assert [results[0][1] for results in beam_search(ours, ids, mask, beams=1, max_length=12)] == [
        row[: row.index(END) + 1] for row in greedy
    ]


def test_a_model_without_its_output(tmp_path, folder):
    base = families.load(folder, "base")
    ids, mask = texts()
    full = families.load(folder, "translation")
    found, wanted = base(ids, mask, ids), full(ids, mask, ids)
    assert torch.equal(found["decoder_hidden_states"][-1], wanted["decoder_hidden_states"][-1])
    assert base.loaded.dropped == ["bias of the logits"]
    base.save_pretrained(tmp_path / "base")
    assert not any(name.startswith("model.") for name in load_file(tmp_path / "base" / "model.safetensors"))
    new_head = families.load(tmp_path / "base", "translation")
    assert new_head.loaded.new == ["bias of the logits"] and not new_head.final_logits_bias.any()
    with pytest.raises(UserError, match="has no bias of the logits"):
        families.load(tmp_path / "base", "translation", missing_head="error")


def test_what_is_stored_twice_or_can_be_computed_is_dropped(folder):
    shared = load_file(folder / "model.safetensors")["model.shared.weight"]
    copies = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight")
    positions = {f"model.{stack}.embed_positions.weight": sinusoids(32, 12).half() for stack in ("encoder", "decoder")}
    store(folder, **dict.fromkeys(copies, shared), **positions)
    model = families.load(folder, "translation")
    assert model.loaded.dropped == ["copies of the embeddings", "positions, which are computed"]
    store(folder, **{"model.shared.weight": None})  # then a copy takes its place
    assert torch.equal(families.load(folder, "translation").model.token.weight, shared)


@pytest.mark.fault("weights: two tensors that should be equal differ")
@pytest.mark.parametrize("name", ["lm_head.weight", "model.encoder.embed_tokens.weight"])
def test_embeddings_that_are_not_tied(folder, name):
    store(folder, **{name: torch.zeros(43, 12)})
    with pytest.raises(UserError, match=f"{re.escape(name)} should equal shared.weight, but differs") as error:
        families.load(folder, "translation")
    assert "\n" not in str(error.value)


def test_positions_of_another_kind(folder):
    store(folder, **{"model.encoder.embed_positions.weight": interleaved(32, 12)})
    with pytest.raises(UserError, match=r"model.encoder.embed_positions.weight holds other positions than Marian's"):
        families.load(folder, "translation")


def test_the_bias_has_a_part_in_the_logits(folder):
    ids, mask = texts()
    before = families.load(folder, "translation")(ids, mask, ids)["logits"]
    bias = load_file(folder / "model.safetensors")["final_logits_bias"]
    assert bias.shape == (1, 43) and bias.abs().min() > 0
    store(folder, final_logits_bias=bias + 1)
    close(families.load(folder, "translation")(ids, mask, ids)["logits"], before + 1, "logits")


def test_weights_of_torch_save(folder):
    stored = load_file(folder / "model.safetensors")
    torch.save(stored, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    ids, mask = texts()
    assert torch.equal(families.load(folder, "translation")(ids, mask, ids)["logits"], new()(ids, mask, ids)["logits"])


@pytest.mark.parametrize(
    "values, said",
    [
        ({"normalize_before": True}, "normalize_before is True, but only False is supported"),
        ({"normalize_embedding": True}, "normalize_embedding is True, but only False is supported"),
        ({"add_final_layer_norm": True}, "add_final_layer_norm is True"),
        ({"static_position_embeddings": False}, "static_position_embeddings is False, but only True is supported"),
        ({"share_encoder_decoder_embeddings": False}, "share_encoder_decoder_embeddings is False"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
        ({"activation_function": "tanh"}, "activation_function is 'tanh', but can be: swish, gelu"),
        ({"activation_dropout": 0.1}, "activation_dropout is 0.1, but only 0.0 is supported"),
        ({"decoder_layerdrop": 0.2}, "decoder_layerdrop is 0.2"),
        ({"decoder_vocab_size": 40}, "decoder_vocab_size is 40, but both stacks must have the 43 tokens"),
        ({"decoder_attention_heads": 5}, "decoder_attention_heads is 5, into which 12 numbers cannot be split"),
        ({"encoder_attention_heads": 5}, "hidden_size 12 cannot be split into 5 attention heads|d_model 12 cannot"),
        ({"decoder_layers": ...}, "does not describe a Marian: it lacks decoder_layers"),
        ({"decoder_layers": 0}, "decoder_layers is 0, but must be a whole number from 1"),
        ({"pad_token_id": 43}, "pad_token_id is 43, but must be an id of the 43 tokens"),
        ({"decoder_start_token_id": "0"}, "decoder_start_token_id is '0'"),
        ({"tokenizer_class": "T5Tokenizer"}, "tokenizer_class is 'T5Tokenizer'"),
        (
            {"decoder_layers": 900, "decoder_ffn_dim": 1_000_000},
            "describes a model of [0-9,]+ parameters, but the weights have",
        ),
    ],
)
def test_settings_that_are_not_computed(folder, values, said):
    change(folder, **values)
    with pytest.raises(UserError, match=f"^{re.escape(str(folder / 'config.json'))}: ({said})") as error:
        families.load(folder, "translation")
    assert "\n" not in str(error.value)


def test_silu_is_swish(folder):
    change(folder, activation_function="silu")
    assert families.load(folder, "translation").config.hidden_act == "swish"
    x = torch.linspace(-3, 3, 7)
    close(new().model.encoder.layers[0].feed_forward.activation(x), x * torch.sigmoid(x), "swish")
    assert F.silu is not F.gelu


def test_the_files_of_an_opus_model(folder):
    """The keys of opus-mt-en-es's config.json, with these sizes: each is known."""
    values = {"add_bias_logits": False, "add_final_layer_norm": False, "classif_dropout": 0.0, "num_hidden_layers": 6}
    values |= {"force_bos_token_to_be_generated": False, "gradient_checkpointing": False, "_num_labels": 3}
    values |= {"normalize_embedding": False, "static_position_embeddings": True, "max_length": 20, "num_beams": 6}
    values |= {"bad_words_ids": [[PAD]], "forced_eos_token_id": 0, "bos_token_id": 0, "classifier_dropout": 0.0}
    values |= {"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}}
    values |= {"label2id": {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}, "decoder_vocab_size": 43, "num_labels": ...}
    change(folder, **values)
    (folder / "generation_config.json").unlink()
    model = families.load(folder, "translation")
    assert not model.loaded.unknown
    assert (model.search.beams, model.search.max_length, model.search.forbidden) == (6, 20, (PAD,))


def test_other_classes_send_one_here(folder, tiny_folder):
    with pytest.raises(UserError, match=r"BertModel is for BERT; use MarianModel of minbert\.families\.marian"):
        BertModel.from_pretrained(folder)
    with pytest.raises(UserError, match="model_type is 'bert': MarianForTranslation is for Marian; use Bert"):
        MarianForTranslation.from_pretrained(tiny_folder)
    with pytest.raises(UserError, match="there is no masked language model of Marian here, but: model without a head"):
        families.load(folder, "masked")
    assert type(families.load(folder, "base")) is MarianModel
