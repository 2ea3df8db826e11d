"""docs/seeds.md: its commands and its Python run, on stand-ins for published models, and its figures are those printed.

A stand-in is a small random model in a folder of the published name, which is where minbert looks first.
"""

import csv
import json
import math
import re
import shlex
import shutil
import string
from functools import partial
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch

from minbert import BertForMaskedLM, BertModel, BertTokenizer, Config, families
from minbert.families.distilbert import DistilBertConfig, DistilBertSentClassifier
from minbert.families.gpt import OpenAIGPTLMHeadModel
from minbert.families.roberta import RobertaConfig, RobertaSentClassifier
from minbert.tokenizers import GPTTokenizer, TweetTokenizer, word_bpe
from minbert.weights import hub
from tests import test_readme
from tests.conftest import ROOT
from tests.families import tiny_gpt
from tests.families.test_commands import byte_bpe
from tests.servers import completion, fleet
from tests.test_readme import blocks, call, commands, prepared, shortened

pytestmark = pytest.mark.filterwarnings("default")  # as in a reader's hands
PAGE = "docs/seeds.md"
SIZES = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40}
SIZES |= {"initializer_range": 0.5}
ASSIGNMENT, BLOG, SLIDES, LAB, SEMINAR = (
    f"seeds/{name}.txt"
    for name in (
        *("000_82d79004173973b8", "001_047af4b1f8daf280", "002_e4296e8b9bf1e0eb"),
        *("003_eef884d5c496e2e3", "004_f41aa9319b3bf405"),
    )
)
# Words of the page; the document with their numbers; these as they stand there, where "91.5%" is 0.915; and a function
# that makes numbers of the page from them, if they are not the same.
PRINTED = [
    (
        "capital {:.4f}, center {:.4f}, birthplace {:.4f}, heart {:.4f}, centre {:.4f}",
        SLIDES,
        "0.9928465485572815 0.0012917355634272099 0.0009973242413252592 0.0008744171936996281 0.0006965672364458442",
    ),
    (
        "carpenter {:.4f}, waiter {:.4f}, barber {:.4f}, mechanic {:.4f}, salesman {:.4f}",
        SLIDES,
        "0.09747558832168579 0.05238332226872444 0.049626998603343964 0.037886131554841995 0.037680815905332565",
    ),
    (
        "nurse {:.4f}, waitress {:.4f}, maid {:.4f}, prostitute {:.4f}, cook {:.4f}",
        SLIDES,
        "0.21981509029865265 0.15974131226539612 0.1154731959104538 0.03796877712011337 0.030423874035477638",
    ),
    (
        "| very positive | {:.1e}, {:.1e} | {:.1e}, {:.1e} |",
        ASSIGNMENT,
        "1.8164472148640698e-09 6.8217440585272016e-09 3.7384117604233325e-05 1.3341978956304956e-05",
    ),
    (
        "| rather positive | {:.1e}, {:.1e} | {:.1e}, {:.1e} |",
        ASSIGNMENT,
        "3.055683635011519e-07 3.890874609169259e-07 1.2243726814631373e-06 1.480306650591956e-07",
    ),
    (
        "| rather negative | {:.1e}, {:.1e} | {:.1e}, {:.1e} |",
        ASSIGNMENT,
        "4.4362411522058665e-09 2.7725267415235066e-08 2.0652452803915367e-05 1.5916912161628716e-06",
    ),
    (
        "| very negative | {:.1e}, {:.1e} | {:.1e}, {:.1e} |",
        ASSIGNMENT,
        "1.0296430374978627e-08 5.131980174155615e-08 8.030186222640623e-07 7.834878488210961e-06",
    ),
    (
        "| off topic | {:.1e}, {:.1e} | {:.1e}, {:.1e} |",
        ASSIGNMENT,
        "3.78358500860512e-09 9.271172163316521e-10 1.66432982950937e-06 6.550917532877065e-07",
    ),
    (
        '| off topic, "This sentence is" | {:.1e}, {:.1e} | {:.1e}, {:.1e} |',
        ASSIGNMENT,
        "1.7360509696473514e-09 2.389891340381922e-10 2.3779614366503665e-07 1.4282123572684213e-07",
    ),
    (
        "| Pos {:.2f}, positive {:.2f}, POS {:.2f}, Positive {:.2f}, positive {:.2f} | {:.2f} | {:.2f} |",
        ASSIGNMENT,
        "98.68 1.31 0.01 0.00 0.00 -0.01 100.00",
    ),
    (
        "| Neg {:.2f}, Pos {:.2f}, positive {:.2f}, negative {:.2f}, Ne {:.2f} | {:.2f} | {:.2f} |",
        ASSIGNMENT,
        "67.53 32.13 0.33 0.01 0.00 -0.39 100.00",
    ),
    (
        "| Neg {:.2f}, line end {:.2f}, negative {:.2f}, Negative {:.2f}, negative {:.2f} | {:.2f} | {:.2f} |",
        ASSIGNMENT,
        "72.68 23.03 2.70 1.09 0.41 -0.32 99.91",
    ),
    (
        "| Neg {:.2f}, negative {:.2f}, Negative {:.2f}, negative {:.2f}, line end {:.2f} | {:.2f} | {:.2f} |",
        ASSIGNMENT,
        "99.46 0.47 0.05 0.01 0.00 -0.01 100.00",
    ),
    (
        "| Pos {:.2f}, positive {:.2f}, Positive {:.2f}, positive {:.2f}, This {:.2f} | {:.2f} | {:.2f} |",
        ASSIGNMENT,
        "97.08 2.92 0.00 0.00 0.00 -0.03 100.00",
    ),
    *(
        (f"| {token} | {{:.4f}}, {{:.4f}}, {{:.4f}} | {{:.4f}}, {{:.4f}}, {{:.4f}} |", SLIDES, numbers)
        for token, numbers in {
            "hello": "0.4653 0.0642 0.5910 0.1177 -0.0021 -1.2262",
            ",": "-0.3697 -0.0957 0.6613 -0.0344 -0.2164 0.1205",
            "my": "0.1700 -0.3252 0.0407 0.1589 -0.8057 -0.2830",
            "dog": "-0.3669 -0.0448 0.8061 -0.0090 -0.0872 -0.5224",
            "is": "-0.5047 0.6522 0.6932 0.0811 0.6475 0.3190",
            "cute": "-0.2972 0.0591 1.2333 -0.7394 -0.2600 0.0863",
        }.items()
    ),
    ("POSITIVE {:.4f} and NEGATIVE {:.4f}", SLIDES, "0.998561680316925 0.9991401433944702"),
    ("a cosine of {:.4f} for", SLIDES, "0.6778"),
    (
        "reviews above: {:.4f}, {:.4f}, {:.4f}, {:.4f}, {:.4f}.",
        ASSIGNMENT,
        "0.9933058 0.92735577 0.004681286 0.00055427477 0.7240719",
    ),
    (", {:,} rows to train on, {} to score", SLIDES, "1800 200"),
    ("accuracy {:.3f}, F1 {:.3f}, precision {:.3f}, recall {:.3f}", SLIDES, "0.915 0.911917098445596 92.63% 89.80%"),
    (". {} rows decide little: an accuracy of {:.3f}", SLIDES, "200 0.915"),
    ("{:,} and {:,} rows | accuracy {:.3f}; the same once more", LAB, "8,000 2,000 0.8830"),
    ("on a Mac's GPU, {:.3f}", LAB, "0.8750"),
    ("{:,} and {:,} rows | accuracy {:.3f} |", LAB, "40,000 10,000 0.8924"),
    ("takes {} seconds for {:,} rows", LAB, "59 2,000"),
    ("but {} minutes for {:,}.", LAB, "234 10,000"),
    ("accuracy {:.3f} before training, {:.3f} after", BLOG, "0.6363636363636364 0.8232323232323232"),
    ("with {} steps of warm-up", BLOG, "500"),
    (
        "in Spanish, {} and {} rows",
        BLOG,
        "6.341 374.7152 3 40.084 4.9397",
        lambda speed, seconds, epochs, *scored: (rows(speed, seconds, epochs), rows(*scored)),
    ),
    (
        "a run of {} steps",
        BLOG,
        "6.341 374.7152 3 16",
        lambda speed, seconds, epochs, batch: [epochs * math.ceil(rows(speed, seconds, epochs) / batch)],
    ),
    ("F1 {:.2f} and {:.2f}; VADER, a list of rated words, {:.2f} and {:.2f}", SEMINAR, "0.94 0.75 0.85 0.46"),
    ("F1 {:.3f} for sentiment, {:.3f} if", SEMINAR, "0.954 0.582"),
]
COMMANDS = commands(PAGE)
BLOCKS = blocks(PAGE, "python")


def number(text):
    """A number as it is printed. '1,800' -> 1800, '92.63%' -> 0.9263"""
    plain = text.replace(",", "").rstrip("%")
    return int(plain) if plain.isdigit() else float(plain) / (100 if text.endswith("%") else 1)


def rows(speed, seconds, epochs=1):
    """How many rows a trainer has read, by the rows in a second that it prints"""
    return round(speed * seconds / epochs)


def of_page():
    """(words, their numbers) of PRINTED, for tests/test_docs.py"""
    for words, _, texts, *make in PRINTED:
        numbers = [number(text) for text in texts.split()]
        yield words, make[0](*numbers) if make else numbers


@pytest.mark.parametrize("printed", PRINTED, ids=lambda printed: printed[0])
def test_a_figure_is_what_the_document_prints(printed, shared):
    document = shared(printed[1]).read_text(encoding="utf-8")
    for text in printed[2].split():
        assert re.search(rf"(?<!\d)(?<!\d\.){re.escape(text.rstrip('%'))}(?!\d)", document), text


def test_the_playgrounds_rows_add_up():
    """The total is the logarithm of the first token's probability, and the five together are what is covered."""
    shown = [numbers for words, numbers in of_page() if words.endswith("| {:.2f} | {:.2f} |")]
    assert len(shown) == 5
    for *five, total, covered in shown:
        assert math.log(five[0] / 100) == pytest.approx(total, abs=0.0051)  # but for the rounding of the total
        assert sum(five) == pytest.approx(covered, abs=0.03)  # and of six numbers


def wordpiece(folder):
    """tiny's words -> the sizes that fit them"""
    tokenizer = BertTokenizer.from_pretrained("tiny")
    tokenizer.save_pretrained(folder)
    return SIZES | {"vocab_size": len(tokenizer), "max_position_embeddings": 128}


def bert(folder):
    """With a layer and a head for each number on the page"""
    sizes = wordpiece(folder) | {"num_hidden_layers": 5, "num_attention_heads": 4}
    BertForMaskedLM(Config(**sizes)).save_pretrained(folder)


def distilbert(folder):
    sizes, labels = wordpiece(folder), ("NEGATIVE", "POSITIVE")
    DistilBertSentClassifier(DistilBertConfig(**sizes, labels=labels)).save_pretrained(folder)


def sentence_bert(folder):
    """A folder of sentence-transformers, with mean pooling"""
    BertModel(Config(**wordpiece(folder))).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({key: config[key] for key in config if key != "pooling"}))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": SIZES["hidden_size"], "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    names = {"Transformer": "", "Pooling": "1_Pooling"}
    modules = [
        {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{name}"}
        for at, (name, path) in enumerate(names.items())
    ]
    (folder / "modules.json").write_text(json.dumps(modules))


def gpt1(folder):
    """A GPT-1 that spells all words of the page"""
    letters = string.ascii_lowercase + string.digits + string.punctuation
    merges = [("i", "s</w>"), ("m", "y</w>"), ("'", "m</w>")]
    tokens = ["<unk>", *(letter + end for letter in letters for end in ("", "</w>")), *map("".join, merges), "\n</w>"]
    GPTTokenizer({token: id for id, token in enumerate(tokens)}, merges).save_pretrained(folder)
    sizes = SIZES | {"vocab_size": len(tokens), "intermediate_size": 96, "max_position_embeddings": 512}
    OpenAIGPTLMHeadModel(sizes).save_pretrained(folder)


def roberta(folder):
    sizes = SIZES | byte_bpe(folder) | {"max_position_embeddings": 258}
    RobertaSentClassifier(RobertaConfig(**sizes, labels=("NEGATIVE", "POSITIVE"))).save_pretrained(folder)


def bertweet(folder):
    letters = [letter for letter in string.printable if not letter.isspace()]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *letters, *(f"{letter}@@" for letter in letters), "<mask>"]
    TweetTokenizer({token: id for id, token in enumerate(tokens)}, []).save_pretrained(folder)
    sizes = SIZES | {"vocab_size": len(tokens), "max_position_embeddings": 130, "num_labels": 3}
    RobertaSentClassifier(RobertaConfig(**sizes, labels=("NEG", "NEU", "POS"))).save_pretrained(folder)


STAND_INS = {
    "bert-base-uncased": bert,
    "bert-base-cased": bert,
    "distilbert/distilbert-base-uncased-finetuned-sst-2-english": distilbert,
    "sentence-transformers/bert-base-nli-mean-tokens": sentence_bert,
    "siebert/sentiment-roberta-large-english": roberta,
    "finiteautomata/bertweet-base-sentiment-analysis": bertweet,
    "vinai/bertweet-base": bertweet,
    "openai-gpt": gpt1,
    "gpt2": partial(tiny_gpt.write, max_position_embeddings=1024),
}
# The reader's own files: their columns, the labels, and whether the first line names the columns.
TABLES = {
    "sst2-{}.tsv": (("text", "label"), ("0", "1"), False),
    "imdb-{}.csv": (("review", "sentiment"), ("negative", "positive"), True),
    "mx-{}.tsv": (("id", "text", "label"), ("N", "P"), False),
    "tickets-{}.csv": (("ticket", "team"), ("Hardware", "Software", "Billing"), True),
    "tweets-{}.csv": (("tweet", "sentiment", "stance"), ("negative", "positive"), True),
}


def write_tables(place, rows=12):
    for name, (columns, labels, header) in TABLES.items():
        for part in ("train", "dev", "test"):
            lines = [columns] * header
            for id in range(rows):
                label = labels[id % len(labels)]
                text = f"@jo said <br /> the {part} film of 19{id} was {label.lower()}"
                known = {"id": id, "text": text, "review": text, "ticket": text, "tweet": text}
                lines.append([known.get(column, label) for column in columns])
            with open(place / name.format(part), "w", newline="", encoding="utf-8") as file:
                csv.writer(file, delimiter="\t" if name.endswith("tsv") else ",").writerows(lines)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A reader's folder: the stand-ins, five.txt, tables, a course kit's checkpoint"""
    place = prepared(tmp_path_factory.mktemp("reader"))
    for name, write in STAND_INS.items():
        torch.manual_seed(0)
        (place / name).mkdir(parents=True)
        write(place / name)
    write_tables(place)
    (five,) = blocks(PAGE, "text")
    (place / "five.txt").write_text(five, encoding="utf-8")
    passage = ["London", "London has 9,787,426 inhabitants at the 2011 census."]
    with open(place / "passages.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["title", "text"], passage])
    return place


@pytest.fixture
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


def words_without_spacy():
    """For where ftfy and spaCy are not installed: what they would do with the words of this page."""
    return str, lambda text: [SimpleNamespace(text=word) for word in re.findall(r"'m|\w+|\S", text)]


@pytest.fixture
def run(here, monkeypatch):
    """run(command) -> what it wrote; on the first rows only, and with a server of this machine in the place of any"""

    def run(command):
        if "--endpoint " in command:
            server = servers(completions=[completion("Positive", {"Pos": 0.75, "Neg": 0.25})])
            command = re.sub(r"--endpoint \S+", f"--endpoint {server.url}", command)
        words = shlex.split(command)
        status, said = call(words if words[1] == "convert" else shortened(words), monkeypatch)
        assert status == 0, said[-2000:]
        return said

    with fleet(monkeypatch) as servers:
        yield run


@pytest.fixture
def execute(here, monkeypatch):
    """execute(words) -> the names and the last value of the page's block with these words in it"""
    if not all(map(find_spec, ("ftfy", "spacy"))):
        monkeypatch.setattr(word_bpe, "original_tools", words_without_spacy)

    def execute(words):
        (block,) = [block for block in BLOCKS if words in block]
        return test_readme.execute(block, PAGE)

    return execute


def the(words):
    """The command with these words in it"""
    (command,) = [command for command in COMMANDS if words in command]
    return command


def as_json(run, words):
    return json.JSONDecoder().raw_decode(run(f"{the(words)} --json"))[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command, run):
    """Each command, in the order of the page."""
    run(command)


@pytest.mark.parametrize("block", BLOCKS)
def test_python(block, execute):
    execute(block)


def test_each_stand_in_stands_for_a_name_that_minbert_finds():
    used = {name for command in COMMANDS for name in re.findall(r"--model (\S+)", command)}
    for block in BLOCKS:
        used |= set(re.findall(r'(?:load\(|from_pretrained\(|name = )"([^"]+)"', block))
    published = {name for name in used if not name.startswith("runs/")}
    assert published == set(STAND_INS)
    assert [name for name in published if name not in hub.KNOWN and "/" not in name] == []


def test_python_fills_the_gap_as_the_command_does(run, execute):
    rows = execute("probing.fill_mask")[1]
    (found,) = as_json(run, "Rome is")["masks"]
    assert [row["sequence"] for row in rows] == [row["sequence"] for row in found]
    assert [row["score"] for row in rows] == pytest.approx([row["score"] for row in found], rel=1e-4)


def test_python_reads_the_next_word_as_the_command_does(run, execute):
    rows = [row for rows in execute("probing.next_word")[1] for row in rows if "[SEP]," in row["readout"]]
    found = [row for row in as_json(run, 'review is" --mask_sep')["rows"] if "[SEP]," in row["readout"]]
    assert len(rows) == len(found) == 5
    for row, other in zip(rows, found):
        assert row["p"] == pytest.approx(other["p"], rel=1e-4)


def test_python_asks_a_gpt_as_the_command_does(run, execute):
    rows = execute("left_to_right")[1]
    found = as_json(run, '(positive/negative)?" --top 5')["rows"]
    assert len(rows) == len(found) == 5
    for row, other in zip(rows, found):
        assert row["p"] == pytest.approx(other["p"], rel=1e-4)
        assert [best["id"] for best in row["top"]] == [best["id"] for best in other["top"]]


def test_a_server_is_asked_the_same_question(run):
    rows = as_json(run, "--endpoint ")["rows"]
    assert {row["prompt"] for row in rows} == {"{} This movie review is (positive/negative)?"}
    assert [row["p"] for row in rows] == [pytest.approx({"positive": 0.75, "negative": 0.25})] * 5


def test_python_writes_what_the_command_writes(run, execute):
    texts = [made.text for made in execute("made = generate")[0]["made"]]
    (found,) = as_json(run, 'gpt2 --prompt "I am unhappy."')["prompts"]
    assert texts == [made["text"] for made in found["continuations"]] and len(set(texts)) == 5
    assert {len(found["ids"]) + len(made["tokens"]) for made in found["continuations"]} == {30}


def test_as_pipeline_draws_what_transformers_drew(execute, shared):
    as_pipeline = execute("def as_pipeline")[0]["as_pipeline"]
    facts = json.loads(shared("reference/families/generation.json").read_text(encoding="utf-8"))["gpt2"]
    model = families.load(shared("reference/families/gpt2"), "causal")
    drawn = facts["seeded_42"]["top-k 50 of the pipeline"]["ids"]
    assert as_pipeline(model, facts["prompt"], length=len(drawn[0])).tolist() == drawn


def test_python_labels_what_the_command_labels(run, execute):
    probabilities = execute("siebert/")[1]
    lines = [line.split("\t")[1] for line in run(the("siebert/")).splitlines() if "\t" in line]
    found = [dict(zip(line.split()[::2], map(float, line.split()[1::2]))) for line in lines]
    assert len(found) == len(probabilities) == 2
    for row, (negative, positive) in zip(found, probabilities.tolist()):
        assert row == pytest.approx({"NEGATIVE": negative, "POSITIVE": positive}, abs=1e-4)


def test_python_labels_the_five_reviews_as_the_command_does(run, execute, here):
    shutil.rmtree(here / "runs" / "from-the-kit", ignore_errors=True)
    run(the("minbert convert")), run(the("five.csv"))
    with open(here / "five.csv", encoding="utf-8", newline="") as file:
        rows = [[float(row["p_0"]), float(row["p_1"])] for row in csv.DictReader(file)]
    torch.testing.assert_close(torch.tensor(rows), execute("runs/from-the-kit")[1], atol=1e-4, rtol=0)


def test_the_vector_of_a_question_is_the_mean_of_its_tokens(run, execute):
    names, cosine = execute("cosine")
    batch = names["tokenizer"](["How many people live in London?"], return_tensors="pt")
    with torch.no_grad():
        mean = BertModel.from_pretrained(names["name"])(**batch)["last_hidden_state"].mean(dim=1)
    torch.testing.assert_close(names["question"].detach(), mean, atol=1e-5, rtol=0)
    assert f"{cosine.item():.3f}" in run(the("minbert similar"))


@pytest.fixture
def gpt1_files(shared):
    return [shared(f"data/vocab/openai-gpt-{name}") for name in ("vocab.json", "merges.txt")]


def test_the_greeting_has_the_tokens_of_the_page(gpt1_files):
    shown = re.findall(r"^\| (\S+) \| -?\d\.\d{4}, ", (ROOT / PAGE).read_text(encoding="utf-8"), re.MULTILINE)
    assert tokenize(GPTTokenizer.from_files(*gpt1_files), "Hello, my dog is cute") == shown and len(shown) == 6
    assert len(BertTokenizer.from_pretrained("tiny").encode("Hello, my dog is cute")) == 8


def test_contractions_are_cut_as_the_page_says(gpt1_files, shared):
    assert tokenize(GPTTokenizer.from_files(*gpt1_files), "I'm") == ["i", "'", "m"]
    by_spacy = GPTTokenizer.from_files(*gpt1_files, words=lambda text: ["i", "'m"])
    assert tokenize(by_spacy, "I'm") == ["i", "'m"]
    vocab = shared("data/vocab/bert-base-uncased-vocab.txt").read_text(encoding="utf-8").split("\n")
    assert BertTokenizer(vocab[:-1]).tokenize("doesn't") == ["doesn", "'", "t"]


def tokenize(tokenizer, text):
    return [tokenizer.show(id).strip() for id in tokenizer(text).input_ids]
