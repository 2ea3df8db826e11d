"""The attention page without a browser: whose probabilities it holds, how exactly, and what stands in it."""

import html
import json
import re
import warnings

import numpy as np
import pytest
import torch

from minbert import BertForMaskedLM, Config, families, tokenizers
from minbert.attention import MultiHeadAttention
from minbert.commands import page_attention
from minbert.errors import UserError
from minbert.families.distilbert import DistilBertConfig, DistilBertModel
from minbert.families.electra import ElectraConfig, ElectraModel
from minbert.families.roberta import RobertaConfig, RobertaModel
from minbert.pages import attention, looking, pack, shares
from minbert.pages.attention import attention_page
from minbert.pages.pack import unpack
from minbert.tokenizers.byte_bpe import ByteBPETokenizer
from tests.conftest import ROOT

TEXT = "The animal didn't cross the street, unaffable."
SIZES = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20}
ENCODERS = {
    "distilbert": (DistilBertModel, DistilBertConfig, {}),
    "electra": (ElectraModel, ElectraConfig, {"embedding_size": 7}),
    "roberta": (RobertaModel, RobertaConfig, {"max_position_embeddings": 60}),
}
SHIPPED = ("tiny", "tiny-gpt2", "tiny-translate")


def read_by(name):
    """A model and its tokenizer: a shipped one, or a random one of a family with large weights."""
    if name in SHIPPED:
        return families.load(name, "base"), tokenizers.from_pretrained(name)
    model_class, config_class, more = ENCODERS[name]
    tokenizer = tokenizers.from_pretrained("tiny-gpt2" if name == "roberta" else "tiny")
    if name == "roberta":
        vocab = dict(tokenizer.in_words)
        for token in ("<s>", "<pad>", "</s>", "<unk>", "<mask>"):
            vocab.setdefault(token, len(vocab))
        tokenizer = ByteBPETokenizer(vocab, list(tokenizer.ranks), ByteBPETokenizer.framing_of(vocab))
    torch.manual_seed(0)
    model = model_class(config_class(vocab_size=len(tokenizer), **SIZES | more))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model, tokenizer


def recomputed(model, run):
    """Each layer's probabilities [H, T, T], by other code, from what its attention read. run() lets the model read."""
    body, inputs, hooks = looking.body_of(model), [], []
    layers = [module for module in getattr(body, "encoder", body).modules() if isinstance(module, MultiHeadAttention)]
    hooks = [layer.register_forward_pre_hook(lambda _, given: inputs.append(given[0][0].double())) for layer in layers]
    looks = run()
    for hook in hooks:
        hook.remove()
    count = len(looks.tokens)
    allowed = np.array([[j < looks.real and (j <= i or not looks.causal) for j in range(count)] for i in range(count)])
    found = []
    for layer, x in zip(layers, inputs, strict=True):
        query, key = (
            (x @ part.weight.double().T + part.bias.double()).detach().numpy().reshape(count, layer.heads, -1)
            for part in (layer.query, layer.key)
        )
        scores = np.einsum("ihk,jhk->hij", query, key) / np.sqrt(query.shape[-1])
        weights = np.exp(scores - scores.max(-1, keepdims=True)) * allowed
        found.append(weights / weights.sum(-1, keepdims=True))
    return looks, found


def about(page):
    return json.loads(re.search('id="about">(.*?)</script>', page.text)[1])


def blocks(page):
    """{layer: the stored probabilities [H, T, T]}, read from the file"""
    facts = about(page)
    size, kind = len(facts["tokens"]), "<u2" if facts["linear"] else np.uint8
    found = {}
    for layer in facts["layers"]:
        data = unpack(re.search(f'id="layer-{layer}">(.*?)</script>', page.text)[1])
        codes = np.frombuffer(data, kind).reshape(facts["heads"], size, size)
        found[layer] = codes / facts["steps"] if facts["linear"] else (codes / facts["steps"]) ** 2
    return found


def cells(page, name):
    """The rows of a table's body as texts."""
    body = re.search(f'<tbody id="{name}">(.*?)</tbody>', page.text, re.DOTALL)[1]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in body.split("</tr>")[:-1]]
    return [[html.unescape(re.sub("<.*?>", "", cell)).strip() for cell in row] for row in rows]


@pytest.fixture(scope="module")
def tiny():
    return read_by("tiny")


@pytest.fixture(scope="module")
def long_text(tiny):
    """A text of exactly 512 tokens, with [CLS] and [SEP]."""
    words = re.sub("[^A-Za-z.,' ]", " ", (ROOT / "docs" / "use.md").read_text(encoding="utf-8")).split()
    count = next(n for n in range(300, 600) if len(tiny[1].text_to_ids(" ".join(words[:n]))) > 500)
    text = " ".join(words[: count - 1])
    return text + " ." * (510 - len(tiny[1].text_to_ids(text)))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", [*SHIPPED, *ENCODERS])
def test_the_probabilities_are_the_models(name, causal):
    model, tokenizer = read_by(name)
    model.double()  # so that a tolerance of rounding is not needed
    looks, wanted = recomputed(model, lambda: looking.look(model, tokenizer, TEXT, causal=causal, padding=3))
    assert looks.causal == (causal or name == "tiny-gpt2")
    assert len(looks.probabilities) == model.config.num_hidden_layers
    for found, right in zip(looks.probabilities, wanted, strict=True):
        np.testing.assert_allclose(found.numpy(), right, rtol=0, atol=1e-7)
        assert np.ptp(right) > 0.05  # there is something to see
    hidden = looks.hidden(looks.tokens)
    assert hidden.any() and not looks.exact(0)[:, hidden].any()


def test_a_pair_is_read_as_the_model_learnt_it(tiny):
    looks, wanted = recomputed(tiny[0], lambda: looking.look(*tiny, "Who was tired?", "The animal."))
    assert " ".join(name for name, _, _ in looks.tokens) == "[CLS] who was tired ? [SEP] the animal . [SEP]"
    assert (looks.second, looks.special) == (6, {"[CLS]": [0], "[SEP]": [5, 9]})
    np.testing.assert_allclose(looks.exact(5), wanted[5], rtol=0, atol=1e-6)
    segments = tiny[1]("Who was tired?", "The animal.", return_tensors="pt")
    right = tiny[0](**segments.to("cpu"), output_attentions=True)["attentions"][0][0]
    np.testing.assert_allclose(looks.exact(0), right.detach(), rtol=0, atol=1e-6)


def test_any_head_of_the_model_is_seen_through(tiny):
    model = BertForMaskedLM.from_pretrained("tiny").train()
    looks = looking.look(model, tiny[1], TEXT)
    assert torch.equal(looks.probabilities[3], looking.look(*tiny, TEXT).probabilities[3])
    assert model.training  # and is left as it was


@pytest.mark.parametrize("name, words", [
    ("tiny", "[CLS] the animal didn ' t cross the street , unaffable . [SEP]"),
    ("tiny-gpt2", "The animal didn 't cross the street , unaffable ."),
    ("tiny-translate", "The animal didn't cross the street, unaffable. </s>"),
    ("roberta", "<s> The animal didn 't cross the street , unaffable . </s>"),
])  # fmt: skip
def test_words_are_the_tokenizers(name, words):
    looks = looking.look(*read_by(name), TEXT)
    assert [word for word, _, _ in looks.words] == words.split()
    ends = [end for _, _, end in looks.words]
    assert [first for _, first, _ in looks.words] == [0, *ends[:-1]] and ends[-1] == len(looks.tokens)
    assert len(looks.words) < len(looks.tokens)


def test_to_a_word_goes_the_sum_and_from_it_the_mean():
    p = np.random.default_rng(0).dirichlet(np.ones(5), size=(2, 5))  # [H, T, T]
    units = [("a", 0, 2), ("b", 2, 3), ("c", 3, 5)]
    found = shares.by_units(p, units)
    for row, (_, first, end) in enumerate(units):
        for column, (_, start, stop) in enumerate(units):
            right = np.mean([p[:, at, start:stop].sum(-1) for at in range(first, end)], axis=0)
            np.testing.assert_allclose(found[:, row, column], right, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.sum(-1), 1)


def test_what_sums_up_a_head():
    tokens = [(name, at, at + 1) for at, name in enumerate("abcd")]
    looks = looking.Looks(tokens, tokens, 4, None, False, {"a": [0], "d": [3]}, [])
    even, self, next_one = np.full((4, 4), 0.25), np.eye(4), np.eye(4)[[1, 2, 3, 3]]
    found = shares.measures(np.stack([even, self, next_one]), looks, tokens)
    assert {name: [round(float(one), 6) for one in of_heads] for name, of_heads in found.items()} == {
        "entropy (bits)": [2, 0, 0],
        "distance": [1.25, 0, 0.75],
        "to itself": [0.25, 1, 0.25],
        "to the one before": [0.25, 0, 0],
        "to the one after": [0.25, 0, 1],
        "to a": [0.25, 0.25, 0],
        "to d": [0.25, 0.25, 0.5],
    }


def test_padding_changes_no_figure_and_a_decoder_has_no_later_one(tiny):
    kinds = [about(attention_page(*tiny, TEXT, padding=padding))["figures"] for padding in (0, 4)]
    np.testing.assert_allclose(kinds[0]["words"], kinds[1]["words"], atol=2e-4)
    measured = about(attention_page(*read_by("tiny-gpt2"), TEXT))["measured"]
    assert "to the one after" not in measured and measured[-1] == "to the first one"


def test_a_mask_hides_words_as_it_hides_their_tokens():
    tokens = [(str(at), at, at + 1) for at in range(5)]
    words = [("a", 0, 1), ("b", 1, 3), ("c", 3, 4), ("[PAD]", 4, 5)]
    looks = looking.Looks(tokens, words, 4, None, True, {}, [])
    assert looks.hidden(words).tolist() == [[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 1]]
    assert looks.hidden(tokens)[1].tolist() == [0, 0, 1, 1, 1]


def test_short_texts_are_stored_to_three_decimals_and_more(tiny):
    page = attention_page(*tiny, TEXT)
    looks = looking.look(*tiny, TEXT)
    for layer, stored in blocks(page).items():
        assert abs(stored - looks.exact(layer)).max() <= 1 / 2 / 65535 + 1e-9
    assert "within 0.000008" in page.text


def test_all_heads_of_a_text_of_512_tokens_are_one_page_of_5_mb(tiny, long_text):
    page = attention_page(*tiny, long_text)
    assert len(about(page)["tokens"]) == 512
    assert 3e6 < len(page.text) <= 5e6
    stored, looks = blocks(page), looking.look(*tiny, long_text)
    assert list(stored) == list(range(6))
    for layer in (0, 5):
        exact = looks.exact(layer)
        assert abs(np.sqrt(stored[layer]) - np.sqrt(exact)).max() <= 1 / 62 + 1e-9
        assert abs(stored[layer] - exact).max() <= 1 - (61 / 62) ** 2  # what the page states
    assert "in 31 steps of their square root: off by up to 0.032 near 1, and less than 0.0003 near 0" in page.text


def test_a_page_that_is_too_large_is_stored_in_fewer_steps_or_warned_of(tiny, monkeypatch):
    text = "The animal was tired. " * 30
    sizes = {steps: len(attention.build(*facts(tiny, text), steps).text) for steps in (pack.ROOTS, attention.COARSE)}
    assert sizes[attention.COARSE] < sizes[pack.ROOTS]
    monkeypatch.setattr(attention, "BUDGET", sum(sizes.values()) / 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = attention_page(*tiny, text)
    assert about(page)["steps"] == 15 and "in 15 steps of their square root: off by up to 0.066" in page.text
    monkeypatch.setattr(attention, "BUDGET", 1000)
    with pytest.warns(UserWarning, match="name fewer layers"):
        assert about(attention_page(*tiny, text))["steps"] == 31


def facts(tiny, text):
    looks = looking.look(*tiny, text)
    return looks, attention.facts_of(looks, list(range(6)), (0, 0)), "tiny", 6


@pytest.mark.parametrize("name", SHIPPED)
def test_the_table_without_scripts_says_what_the_head_looked_at(name):
    page = attention_page(*read_by(name), TEXT, padding=2)
    looks, (layer, head) = looking.look(*read_by(name), TEXT, padding=2), about(page)["first"]
    exact, names = shares.by_units(looks.exact(layer)[head], looks.words), [word for word, _, _ in looks.words]
    rows = cells(page, "rows")
    assert [row[0] for row in rows] == names
    for row, p, hidden in zip(rows, exact, looks.hidden(looks.words)):
        named = [cell.rpartition(" ") for cell in row[1:6] if cell]
        assert [float(share) for _, _, share in named] == pytest.approx(sorted(p[~hidden])[::-1][:5], abs=6e-4)
        assert {word for word, _, _ in named} <= {word for word, out in zip(names, hidden) if not out}
        assert float(row[7]) == pytest.approx(1, abs=1.1e-3)
        assert sum(float(share) for _, _, share in named) + float(row[6]) == pytest.approx(1, abs=4e-3)


def test_the_figures_without_scripts_are_those_of_the_exact_probabilities(tiny):
    page, looks = attention_page(*tiny, TEXT, layers=[1, 4]), looking.look(*tiny, TEXT)
    rows = cells(page, "numbers")
    assert [row[:2] for row in rows] == [[str(layer), str(head)] for layer in (1, 4) for head in range(12)]
    for row in rows:
        p = shares.by_units(looks.exact(int(row[0]))[int(row[1])], looks.words)
        assert float(row[2]) == pytest.approx(-(p * np.log2(p)).sum(-1).mean(), abs=6e-3)
        assert float(row[4]) == pytest.approx(np.trace(p) / len(p), abs=6e-3)
    assert "Layers on this page: 1, 4 of 6." in page.text and list(blocks(page)) == [1, 4]


def test_it_opens_with_the_head_that_picks_out_single_words_unless_one_is_named(tiny):
    looks = looking.look(*tiny, TEXT)
    best, score = None, 0
    for layer in range(6):
        for head, p in enumerate(shares.by_units(looks.exact(layer), looks.words)):
            inner = p[1:-1, 1:-1]  # without [CLS] and [SEP]
            far = [max(row[j] for j in range(len(row)) if abs(i - j) > 1) for i, row in enumerate(inner)]
            best, score = ([layer, head], np.mean(far)) if np.mean(far) > score else (best, score)
    assert about(attention_page(*tiny, TEXT))["first"] == best
    assert about(attention_page(*tiny, TEXT, layer=2, head=7))["first"] == [2, 7]
    assert about(attention_page(*tiny, "Yes"))["first"] == [0, 0]  # no two words: any head


def test_a_hostile_text_stays_text(tiny):
    evil = "</script><img src=x onerror=alert(1)>\u202etxt.exe\x07<!--<script> \ud800 {{ 7 * 7 }}"
    page = attention_page(*tiny, evil, pair=evil, name="<b>\"'&")
    for danger in ("<img", "onerror=alert(1)>", "</script><", "<!--", "\u202e", "\x07", "<b>", "\ud800"):
        assert danger not in page.text.replace("<!doctype", "").replace("</script>\n<script", "")
    assert "Attention in &lt;b&gt;" in page.text
    page.text.encode("utf-8")
    model, tokenizer = read_by("tiny-gpt2")
    with pytest.warns(UserWarning, match="surrogate"):
        page = attention_page(model, tokenizer, evil)
    assert "<img" not in page.text and "U+202E" in page.text


def test_the_same_text_gives_the_same_bytes_and_nothing_of_this_machine(tiny):
    pages = [attention_page(*tiny, TEXT).text for _ in range(2)]
    assert pages[0] == pages[1]
    assert str(ROOT) not in pages[0] and re.findall("https?://[^\"' ]*", pages[0]) == ["http://www.w3.org/2000/svg"]


def test_a_notebook_shows_it_in_a_frame_of_its_own(tiny):
    shown = attention_page(*tiny, TEXT)._repr_html_()
    assert 'sandbox="allow-scripts"' in shown and "<script" not in shown


@pytest.mark.parametrize("text, given, message", [
    ("  ", {}, "holds no word"),
    ("yes", {"pair": ""}, "holds no word"),
    ("no " * 511, {}, "the text has 513 tokens, but a page shows at most 512"),
    ("no " * 500, {"padding": 20}, "the text has 502 tokens, and 20 of padding, but"),
    ("yes", {"layers": [0, 6]}, "there is no layer 6: layers are 0 to 5"),
    ("yes", {"layers": []}, "layers is empty"),
    ("yes", {"layer": 3, "layers": [2]}, "layer 3 is to be shown first, but it is not among"),
    ("yes", {"head": 12}, "no head 12"),
])  # fmt: skip
def test_what_is_refused(tiny, text, given, message):
    with pytest.raises(UserError, match=message):
        attention_page(*tiny, text, **given)


def test_what_is_no_model_of_ours_is_refused(tiny):
    with pytest.raises(UserError, match="Linear holds no model of minbert"):
        attention_page(torch.nn.Linear(2, 2), tiny[1], TEXT)


def test_weights_that_compute_no_numbers_are_named(tiny):
    config = Config(vocab_size=len(tiny[1]), **SIZES)
    model = families.bert.MODELS["base"](config)
    model.embeddings.token.weight.data.fill_(float("nan"))
    with pytest.raises(UserError, match="no numbers"):
        attention_page(model, tiny[1], TEXT)


# The command


def run(*words):
    page_attention.main([str(word) for word in words])


def test_the_command_writes_what_the_function_makes(tiny, tmp_path, capsys):
    out = tmp_path / "page.html"
    file = tmp_path / "text.txt"
    file.write_bytes(b"\xef\xbb\xbfThe animal\r\nwas tired.")
    run("--file", file, "--pair", "Who?", "--padding", 2, "--causal", "--layers", "1,3-4", "--head", 5, "--out", out)
    wanted = attention_page(
        *tiny, "The animal was tired.", "Who?", causal=True, padding=2, layers=[1, 3, 4], head=5, name="tiny"
    )
    assert out.read_text(encoding="utf-8") == wanted.text
    assert re.search(r"written to .*page.html, \d+ kB: open it in a browser", capsys.readouterr().out)


@pytest.mark.parametrize("words, message", [
    (["--text", "a", "--file", "b"], "two texts: give one"),
    (["--encoding", "cp1252"], "--encoding is for --file"),
    (["--out", "-"], "--out is a file"),
    (["--file", "missing.txt"], "there is no file missing.txt"),
    (["--layers", "2-"], "no list of layers"),
    (["--layers", "2-1"], "no list of layers"),
    (["--layers", "9999999999"], "no list of layers"),
    (["--padding", "-1"], "is not from 0 to 511"),
    (["--model", "tiny-gpt2", "--causal"], "never looks at later words"),
])  # fmt: skip
def test_what_the_command_refuses(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        run(*words)
    assert not list(tmp_path.iterdir())


def test_a_bad_line_of_the_file_is_named(tmp_path):
    file = tmp_path / "text.txt"
    file.write_bytes(b"fine\nnot \xff\xfe fine\n" * 3)
    with pytest.raises(UserError, match=r"text\.txt:2: "):
        run("--file", file, "--out", tmp_path / "page.html")
