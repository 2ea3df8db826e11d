"""The walk: every printed number is computed again by other code, from the numbers printed before it."""

import json
import re
from decimal import Decimal
from math import tanh

import pytest
import torch

from minbert import BertTokenizer
from minbert.bert import BertModel
from minbert.encoder import EncoderLayer
from minbert.errors import UserError
from minbert.heads import BertForMaskedLM, BertSentClassifier
from minbert.pages import reading, stages, toy
from minbert.pages.unpack import unpack_page
from minbert.pages.walk import CODE, POOLED, code, walk_page
from tests.conftest import ROOT, VOCAB
from tests.pages.walking import Walk, rounded, what

SENTENCE = "Your cat is a lovely cat"
TOKENS = ["[CLS]", "your", "cat₂", "is", "a", "love", "##ly", "cat₇", "[SEP]", "[PAD]"]


def toy_page(text=SENTENCE, **options):
    return walk_page(toy.model(), toy.tokenizer(), text, **options)


@pytest.fixture(scope="module")
def walk():
    return Walk(toy_page().text)


@pytest.fixture
def masked(tiny):
    """Weights large enough for every token to matter."""
    torch.manual_seed(0)
    return BertForMaskedLM(tiny.change(initializer_range=0.6))


def times(x, weights):
    """x [T][n], the printed table of weights, with the bias in its last row -> [T][m], rounded"""
    *weight, bias = weights.matrix()
    columns = list(zip(*weight))
    return [[rounded(sum(map(Decimal.__mul__, row, column)) + b) for column, b in zip(columns, bias)] for row in x]


def normed(x):
    """[T][n] -> [T][mean, std, n numbers], rounded one after the other"""
    rows = []
    for row in x:
        mean = rounded(sum(row) / len(row))
        std = rounded((sum((value - mean) ** 2 for value in row) / len(row)).sqrt())
        rows.append([mean, std, *(rounded((value - mean) / std) for value in row)])
    return rows


def added(x, y):
    return [list(map(Decimal.__add__, one, other)) for one, other in zip(x, y)]


def soft(scores):
    """[..][n] -> exp [..][n + their sum], probabilities [..][n + their sum], rounded"""
    exps = [[rounded(score.exp()) for score in row] for row in scores]
    exps = [[*row, sum(row)] for row in exps]
    shares = [[rounded(value / row[-1]) for value in row[:-1]] for row in exps]
    return exps, [[*row, sum(row)] for row in shares]


def check_head(walk, step_of, x, head=""):
    """One head's tables, from its weights to its mix, which is returned. step_of: {table: step}; head: in captions"""
    made = []
    for letter, name in zip("QKV", ("query", "key", "value")):
        found = walk.table_of(step_of["qkv"], letter + head).matrix()
        assert found == times(x, walk.table_of(step_of["qkv"], f"W and b of the {name}"))
        made.append(found)
    query, key, value = made
    root = Decimal("1.414")
    scores = [[rounded(sum(map(Decimal.__mul__, q, k)) / root) for k in key] for q in query]
    masked = [[*row[:-1], Decimal("-inf")] for row in scores]
    assert walk.table_of(step_of["masked"], "Scores with the mask").matrix() == masked
    exps, p = soft(masked)
    assert walk.table_of(step_of["softmax"], "exp").matrix() == exps
    assert walk.table_of(step_of["softmax"], "P").matrix() == p
    mixed = [[rounded(sum(map(Decimal.__mul__, row, column))) for column in zip(*value)] for row in p]
    assert walk.table_of(step_of["mix"], "The mix").matrix() == mixed
    return scores, mixed


def test_every_number_of_the_toy_follows_from_those_printed_before_it(walk):
    table = walk.table_of
    parts = [table("embeddings", name).matrix() for name in ("Token", "Position", "Segment")]
    total = added(added(*parts[:2]), parts[2])
    assert table("embeddings", "Their sum").matrix() == total
    norms = normed(total)
    assert table("norm", "Mean").matrix() == norms
    x = [row[2:] for row in norms]
    steps = {"qkv": "qkv", "masked": "mask", "softmax": "softmax", "mix": "mix"}
    scores, mixed = check_head(walk, steps, x)
    assert table("scores", "Scores").matrix() == scores
    _, other = check_head(walk, dict.fromkeys(steps, "heads"), x)
    merged = [[*one, *two] for one, two in zip(mixed, other)]
    assert table("heads", "The heads side by side").matrix() == merged
    looked = times(merged, table("heads", "W and b of the output"))
    assert table("heads", "What attention found").matrix() == looked
    assert table("add", "Input").matrix() == added(x, looked)
    norms = normed(added(x, looked))
    assert table("add", "Mean").matrix() == norms
    x = [row[2:] for row in norms]
    wide = times(x, table("network", "W₁"))
    assert table("network", "After the first").matrix() == wide
    active = [[max(Decimal(0), value) for value in row] for row in wide]
    assert table("network", "After ReLU").matrix() == active
    thought = times(active, table("network", "W₂"))
    assert table("network", "After the second").matrix() == thought
    norms = normed(added(x, thought))
    assert table("add2", "Input").matrix() == added(x, thought)
    assert table("add2", "Mean").matrix() == norms
    first = [norms[0][2:]]
    linear = times(first, table("pool", "W and b"))
    assert table("pool", "[CLS]").matrix() == linear
    pooled = [[rounded(Decimal(tanh(value))) for value in linear[0]]]
    assert table("pool", "The vector").matrix() == pooled
    logits = times(pooled, table("logits", "W and b"))
    assert table("logits", "Logits").matrix() == logits
    exps, p = soft(logits)
    assert table("probabilities", "exp").matrix() == exps
    assert table("probabilities", "Probabilities").matrix() == [p[0][:-1]]


def test_the_rows_and_columns_are_the_tokens_and_no_two_are_called_alike(walk):
    assert walk.tables["softmax", "exp of each score, and their sum Σ"].columns == [*TOKENS, "Σ"]
    assert list(walk.table_of("scores", "Scores").rows) == TOKENS
    ids = walk.table_of("ids", "What the model reads")
    assert [cells[0] for cells in ids.rows.values()] == [str(toy.VOCAB.index(re.sub("[₀-₉]", "", t))) for t in TOKENS]
    assert [cells[3] for cells in ids.rows.values()] == [*"111111111", "0"]


def test_each_written_out_sum_gives_its_result(walk):
    sums = [each for found in walk.sums.values() for each in found]
    assert len(sums) == 26
    for how, result in sums:
        assert float(rounded(Decimal(what(how)) + Decimal("1e-12").copy_sign(Decimal(what(how))))) == float(result), how


def test_the_toy_says_what_difference_rounding_makes():
    text = toy_page().text
    (states, logits) = re.search(r"rounding makes: (\S+) in the last hidden states, (\S+) in the logits", text).groups()
    model, read = toy.model(), reading.read(toy.tokenizer(), SENTENCE, mask_counts=False)
    with torch.no_grad():
        own = model.bert(read.ids, read.attention_mask)["last_hidden_state"][0]
        own_logits = model(read.ids, read.attention_mask)[0]
    walk = Walk(text)
    last = torch.tensor([[float(x) for x in row[2:]] for row in walk.table_of("add2", "Mean").matrix()])
    assert float(states) == pytest.approx((last - own).abs().max().item(), abs=5.1e-5)
    shown = torch.tensor([float(x) for x in walk.table_of("logits", "Logits").matrix()[0]])
    assert float(logits) == pytest.approx((shown - own_logits).abs().max().item(), abs=5.1e-5)
    assert 0 < float(states) < 0.01


def test_halves_are_rounded_away_from_zero():
    steps = [Decimal(step) / 2000 for step in range(-3001, 3002)]
    ours = toy.rounded(torch.tensor([float(x) for x in steps], dtype=torch.float64))
    assert [round(Decimal(x), 3) for x in ours.tolist()] == [rounded(x) for x in steps]


def test_all_weights_of_the_toy_have_two_decimals():
    for name, weight in toy.model().named_parameters():
        assert torch.equal(weight, (weight * 100).round() / 100), name


# A real model: its own numbers, caught by hooks


def caught(model, read):
    """{module: its output [T, n]} of the model's own forward, in float32."""
    found, hooks = {}, []
    for name, module in model.named_modules():
        if not list(module.children()):
            hooks.append(module.register_forward_hook(lambda _, __, out, name=name: found.update({name: out[0]})))
    with torch.no_grad():
        output = model.bert(read.ids, read.attention_mask, output_attentions=True)
        found["logits"] = model(read.ids, read.attention_mask)
    for hook in hooks:
        hook.remove()
    return found | {"p": output["attentions"]}


def same(table, expected, skip=0):
    shown = torch.tensor([[float(x) for x in row[skip:]] for row in table.matrix()])
    torch.testing.assert_close(shown, expected[:, : shown.size(1)].float(), atol=6e-5, rtol=0)


def test_the_numbers_of_a_model_are_its_own(masked, tokenizer):
    text, layer, head = "The film was unaffable", 1, 2
    walk = Walk(walk_page(masked, tokenizer, text, layer, head).text)
    read = reading.read(tokenizer, text, mask_counts=True)
    found, at = caught(masked, read), f"bert.encoder.layers.{layer}"
    same(walk.table_of("embeddings", "Token"), found["bert.embeddings.token"])
    same(walk.table_of("norm", "Mean"), found["bert.embeddings.norm"], skip=2)  # γ is 1 and β is 0 in a new model
    for letter, name in zip("QKV", ("query", "key", "value")):
        same(walk.table_of("qkv", letter), found[f"{at}.attention.{name}"][:, 10:15])
    p = found["p"][layer][0, head]
    same(walk.table_of("softmax", "P"), torch.cat([p, torch.ones(len(p), 1)], dim=1))
    same(walk.table_of("mix", "The mix"), p @ found[f"{at}.attention.value"][:, 10:15])
    same(walk.table_of("heads", "What attention found"), found[f"{at}.attention.output"])
    same(walk.table_of("add", "Mean"), found[f"{at}.attention_norm"], skip=2)
    same(walk.table_of("network", "After the first"), found[f"{at}.feed_forward.expand"])
    same(walk.table_of("network", "After the second"), found[f"{at}.feed_forward.contract"])
    same(walk.table_of("add2", "Mean"), found[f"{at}.feed_forward_norm"], skip=2)
    logits = found["logits"][0][0, 2]  # at the second word
    top = walk.table_of("top", "The five likeliest tokens at film")
    assert list(top.rows) == [VOCAB[id] for id in logits.topk(5).indices]
    values = torch.stack([logits, logits.softmax(-1)], dim=1)[logits.topk(5).indices]
    same(top, values)


@pytest.mark.parametrize(
    "text, followed, column",
    [
        ("the film was [MASK]", "[MASK]", "[SEP]"),
        ("[MASK] film was good", "[MASK]", "film"),
        ("the film [MASK] [MASK]", "[MASK]₃", "[MASK]₄"),
        ("the film was good", "film", "was"),
    ],
)
def test_a_mask_is_followed_from_the_first_step_to_the_guess(masked, tokenizer, text, followed, column):
    page = walk_page(masked, tokenizer, text)
    assert f"We follow <strong>{followed}</strong>" in page.text
    assert (page.values["row"], page.values["column"]) == (followed, column)
    walk = Walk(page.text)
    assert walk.table_of("after", f"{followed} after each layer")
    assert walk.table_of("guess", f"The vector at {followed}")
    assert walk.table_of("top", f"The five likeliest tokens at {followed}")


def test_learned_weights_of_the_norms_are_shown(masked, tokenizer):
    with torch.no_grad():
        for name, weight in masked.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 1.5)
    walk = Walk(walk_page(masked, tokenizer, "the film", 0).text)
    found = caught(masked, reading.read(tokenizer, "the film", mask_counts=True))
    same(walk.table_of("norm", "Times γ"), found["bert.embeddings.norm"])
    same(walk.table_of("add2", "Times γ"), found["bert.encoder.layers.0.feed_forward_norm"])
    cosine = walk.table_of("after", "film after each layer").matrix()[0][0]
    one, two = (found[f"bert.encoder.layers.{layer}.feed_forward_norm"][2] for layer in (0, 1))
    assert float(cosine) == pytest.approx(torch.cosine_similarity(one, two, dim=0).item(), abs=6e-5)


@pytest.mark.parametrize("pooling", ["pooler", "cls", "mean"])
@pytest.mark.parametrize("problem", ["single_label_classification", "multi_label_classification"])
def test_a_classifier_ends_in_its_own_probabilities(tiny, tokenizer, pooling, problem):
    torch.manual_seed(1)
    model = BertSentClassifier(tiny.change(initializer_range=0.6, pooling=pooling, problem_type=problem))
    page = walk_page(model, tokenizer, "the film was good")
    read = reading.read(tokenizer, "the film was good", mask_counts=False)
    same(Walk(page.text).table_of("probabilities", "Prob"), model.predict_proba(read.ids, read.attention_mask))
    assert page.values["code"]["pool"]["text"].startswith(POOLED[pooling][1])


def test_a_number_has_no_probabilities(tiny, tokenizer):
    model = BertSentClassifier(tiny.change(num_labels=1, labels=(), problem_type="regression"))
    walk = Walk(walk_page(model, tokenizer, "the film").text)
    assert walk.steps[-2:] == ["logits", "check"]


def test_a_page_that_would_differ_from_the_model_is_not_made(masked, tokenizer, monkeypatch):
    forward = EncoderLayer.forward
    monkeypatch.setattr(EncoderLayer, "forward", lambda self, x, mask: forward(self, x * 1.00001, mask))
    with pytest.raises(UserError, match="no page: its numbers differ from the model's own by"):
        walk_page(masked, tokenizer, "the film")


@pytest.mark.parametrize("broken", ["logits", "p", "out"])
def test_the_comparison_covers_states_attention_and_logits(masked, tokenizer, broken):
    read = reading.read(tokenizer, "the film", mask_counts=True)
    model = masked.double()
    with torch.no_grad():
        found = stages.run(model, read.ids, read.attention_mask)
        assert stages.check(model, read.ids, read.attention_mask, found) < 1e-12
        part = {"logits": found.head, "p": found.layers[1].weights, "out": found.layers[0]}[broken]
        getattr(part, broken).view(-1)[-1] += 2e-6
        with pytest.raises(UserError, match="differ"):
            stages.check(model, read.ids, read.attention_mask, found)


def test_the_model_itself_is_not_changed(masked, tokenizer):
    masked.train()
    walk_page(masked, tokenizer, "the film")
    assert masked.training and next(masked.parameters()).dtype == torch.float32


# Text -> pieces


def test_every_try_of_the_longest_match_is_shown():
    tokenizer = BertTokenizer(["[UNK]", "un", "##aff", "##able", "##a"])
    assert reading.tries(tokenizer, "unable") == [
        *(("unable", False), ("unabl", False), ("unab", False), ("una", False), ("un", True)),
        ("##able", True),
    ]
    for word in ("unaffable", "unaff", "un", "unx", "x", "unaaa"):
        tried = reading.tries(tokenizer, word)
        pieces = [piece for piece, held in tried if held]
        assert tokenizer.wordpiece(word) in (pieces, ["[UNK]"])
        assert all((piece in tokenizer.vocab) == held for piece, held in tried)


def test_a_mask_is_a_token_for_a_masked_language_model_alone(tokenizer):
    read = reading.read(tokenizer, "the [MASK] was good", mask_counts=True)
    assert read.tokens == ["[CLS]", "the", "[MASK]", "was", "good", "[SEP]", "[PAD]"]
    assert [place for _, place, *_ in read.words] == [(0, 3), (4, 10), (11, 14), (15, 19)]
    plain = reading.read(tokenizer, "the [MASK] was good", mask_counts=False)
    assert plain.tokens[2:5] == ["[", "[UNK]", "]"]
    assert plain.ids[0, 1:-2].tolist() == tokenizer.text_to_ids("the [MASK] was good")


def test_stages_of_cleaning_that_change_nothing_are_left_out(tokenizer):
    assert reading.read(tokenizer, "the film", mask_counts=True).stages == []
    assert reading.read(tokenizer, "Thé\tfilm", mask_counts=True).stages == [
        ("cleaned", "Thé film"),
        ("in lower case", "thé film"),
        ("without accents", "the film"),
    ]


# The page


def test_lines_of_code_are_where_the_page_says():
    sources = [*CODE.values(), *POOLED.values()]
    for function, beginning in sources:
        found = code(function, beginning)
        assert (ROOT / found["file"]).read_text("utf-8").splitlines()[found["line"] - 1].strip() == found["text"]
    with pytest.raises(LookupError):
        code(BertModel.pool, "no such line")


def test_the_same_sentence_gives_the_same_bytes():
    assert toy_page().text == toy_page().text


def test_the_block_of_a_page_is_unpacked_as_json(tmp_path):
    file = toy_page().write(tmp_path / "walk.html")
    assert [path.name for path in unpack_page(file, tmp_path / "out")] == ["about.json", "meetings.json"]
    found, walk = json.loads((tmp_path / "out" / "meetings.json").read_text("utf-8")), Walk(file.read_text("utf-8"))
    assert found["query"] == [[float(x) for x in row] for row in walk.table_of("qkv", "Q").matrix()]
    assert found["key"] == [[float(x) for x in row] for row in walk.table_of("qkv", "K").matrix()]


def test_a_long_sentence_fits_into_300_kilobytes(masked):
    text = " ".join(["cat"] * 28)
    assert len(toy_page(text).text.encode()) < 300_000
    model, tokenizer = BertForMaskedLM.from_pretrained("tiny"), BertTokenizer.from_pretrained("tiny")
    assert len(walk_page(model, tokenizer, text, layer=3).text.encode()) < 300_000
    with pytest.raises(UserError, match="31 tokens"):
        toy_page(text + " cat")


def test_the_sentence_of_a_stranger_stays_text(masked, tokenizer):
    text = walk_page(masked, tokenizer, "</script><img src=x onerror=alert(1)> \u202eabc").text
    assert "<img" not in text and "&lt;img" in text
    assert '<span class="hidden-character">U+202E</span>' in text
    assert text.count("</script>") == text.count("<script")


@pytest.mark.parametrize(
    "options, complaint",
    [
        ({"text": " \n"}, "holds no word"),
        ({"layer": 1}, "no head 0 in layer 1"),
        ({"head": 2}, "no head 2"),
    ],
)
def test_what_cannot_be_walked_is_refused(options, complaint):
    with pytest.raises(UserError, match=complaint):
        toy_page(**options)


def test_other_models_are_refused(tiny, tokenizer):
    with pytest.raises(UserError, match="with WordPiece and a head"):
        walk_page(BertModel(tiny), tokenizer, "the film")
    with pytest.raises(UserError, match="worksheet is for the toy"):
        walk_page(BertForMaskedLM(tiny), tokenizer, "the film", worksheet=True)


# The worksheet


def test_a_worksheet_has_empty_cells_and_a_key_with_their_numbers(walk):
    text = toy_page(worksheet=True).text
    sheet = Walk(text)
    asked = {place: table for place, table in sheet.tables.items() if table.asked}
    assert len(asked) == 24
    key = {}
    for (step, caption), table in asked.items():
        whole = walk.tables[step, caption]
        row = "cat₂" if "cat₂" in table.rows else next(iter(table.rows))
        assert table.rows[row] == [""] * len(whole.rows[row])
        assert {name: cells for name, cells in table.rows.items() if name != row} == {
            name: cells for name, cells in whole.rows.items() if name != row
        }
        key.setdefault((str(walk.steps.index(step) + 1), caption), whole.rows[row])
    rows = r'<td class="number">(\d+)</td><th scope="row">(.*?)</th>\s*<td>(.*?)</td>'
    printed = re.findall(rows, text.partition("<h2>Key</h2>")[2], re.DOTALL)
    assert {(step, caption): numbers.split() for step, caption, numbers in printed} == key
    assert sheet.sums == {}


# The command


def test_the_command_writes_a_page(tmp_path, capsys):
    from minbert.commands import page_walk

    out = tmp_path / "walk.html"
    page_walk.main(["--toy", "--sentence", "Your cat", "--out", str(out)])
    assert re.fullmatch(rf"{re.escape(str(out))}: 19 steps, \d+ kB; open it in a browser\n", capsys.readouterr().out)
    assert out.read_text("utf-8") == toy_page("Your cat").text


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["--toy", "--model", "tiny"], "--toy brings a model of its own"),
        (["--worksheet", "--model", "tiny"], "--worksheet brings a model of its own"),
        (["--model", "tiny-gpt2"], "tiny-gpt2 is a GPT-2, but the steps of this page are those of BERT"),
    ],
)
def test_the_command_refuses(arguments, complaint):
    from minbert.commands import page_walk

    with pytest.raises(UserError, match=complaint):
        page_walk.main(arguments)
