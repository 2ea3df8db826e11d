"""similarity: vectors of texts and pairs, as the folder says they are made; cosines; the nearest of many."""

import json
import random

import pytest
import torch
from safetensors.torch import load_file

import minbert
from minbert import BertModel, BertSentClassifier, BertTokenizer, UserError, families, fast, similarity
from minbert.families.distilbert import DistilBertConfig, DistilBertModel
from minbert.families.electra import ElectraConfig, ElectraModel
from minbert.families.gpt2 import GPT2Model
from minbert.families.roberta import RobertaConfig, RobertaModel
from minbert.fast.int8 import Int8Linear, quantize
from minbert.modules_json import Recipe
from minbert.similarity import Nearest, cosine, cosine_of_pairs, vectors
from tests.families import tiny_gpt
from tests.test_modules_json import POOLING, TRANSFORMER
from tests.test_modules_json import write as write_modules

TEXTS = ["the film was good", "bad", "", "a wonderful plot, not bad!", "un [SEP] the"]
PAIRS = [("a plot", "the film was good"), ("", "bad"), ("good", "")]
NORMALIZE = {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
EXACT = 1e-5


def close(first, second):
    return first.shape == second.shape and (first - second).abs().max() < EXACT


def strong(model_class, config):
    """A model with weights so large that a mistake shows."""
    torch.manual_seed(0)
    model = model_class(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


@pytest.fixture
def model(tiny):
    return strong(BertModel, tiny)


def alone(model, tokenizer, *texts):
    """The last hidden states of one text or pair, without padding: [T, D]"""
    return model(**tokenizer([texts[0]], *([text] for text in texts[1:]), return_tensors="pt"))["last_hidden_state"][0]


# What a vector is


@pytest.mark.parametrize("swap", [False, True])
@torch.no_grad()
def test_the_mean_over_all_tokens_the_special_ones_among_them(model, tokenizer, swap):
    expected = torch.stack([alone(model, tokenizer, text).mean(0) for text in TEXTS])
    if swap:
        fast.swap_in(model), fast.swap_in(tokenizer)
    found = vectors(model, tokenizer, TEXTS)
    assert close(found, expected) and found.dtype == torch.float32
    assert minbert.vectors is vectors and minbert.cosine is cosine


@torch.no_grad()
def test_the_vector_of_the_first_token(model, tokenizer):
    expected = torch.stack([alone(model, tokenizer, text)[0] for text in TEXTS])
    assert close(vectors(model, tokenizer, TEXTS, recipe=Recipe("cls")), expected)


@torch.no_grad()
def test_a_pair_is_one_input_of_two_segments(model, tokenizer):
    found = vectors(model, tokenizer, *zip(*PAIRS))
    assert close(found, torch.stack([alone(model, tokenizer, *pair).mean(0) for pair in PAIRS]))
    assert not close(found, vectors(model, tokenizer, [" ".join(pair) for pair in PAIRS]))


def test_a_vector_depends_on_no_other_text(model, tokenizer):
    texts = [" ".join(random.Random(seed).choices(["good", "bad", "film", "."], k=seed % 9)) for seed in range(60)]
    found = vectors(model, tokenizer, texts)
    for at in (0, 8, 31):
        assert close(vectors(model, tokenizer, texts[at]), found[at : at + 1])


def test_length_one_lower_case_and_a_prompt(model, tokenizer):
    plain = vectors(model, tokenizer, ["film"])
    assert close(vectors(model, tokenizer, ["film"], recipe=Recipe(normalize=True)), plain / plain.norm())
    tokenizer = BertTokenizer(tokenizer.vocab, lower_case=False)
    assert not close(vectors(model, tokenizer, ["Film"]), plain)
    assert close(vectors(model, tokenizer, ["Film"], recipe=Recipe(lower=True)), plain)
    recipe = Recipe(prompts={"query": "the ", "": "a "})
    for role, words in (("query", "the film"), ("", "a film"), ("document", "film")):
        assert close(vectors(model, tokenizer, [" film\n"], recipe=recipe, role=role), vectors(model, tokenizer, words))


def test_a_longer_text_is_cut_and_said(model, tokenizer):
    long, text = "good " * 50, "good good good"
    with pytest.warns(UserWarning, match="^1 of 2 texts were longer than 5 tokens and were cut$"):
        found = vectors(model, tokenizer, [long, text], recipe=Recipe(max_length=5))
    assert close(found[:1], found[1:])
    with pytest.warns(UserWarning, match="1 of 1 texts were longer than 40 tokens"):  # the model's positions
        vectors(model, tokenizer, long, recipe=Recipe(max_length=512))
    with pytest.warns(UserWarning):
        pair = vectors(model, tokenizer, [text], ["bad " * 50], recipe=Recipe(max_length=9))
    assert close(pair, vectors(model, tokenizer, [text], ["bad bad bad"]))


def test_the_models_mode_stays_and_no_gradient_is_kept(model, tokenizer):
    model.train()
    found = vectors(model, tokenizer, TEXTS)
    assert model.training and not found.requires_grad
    model.eval()
    vectors(model, tokenizer, TEXTS)
    assert not model.training


def test_no_texts(model, tokenizer):
    assert vectors(model, tokenizer, []).shape == (0, 15)
    assert vectors(model, tokenizer, [], []).shape == (0, 15)


@pytest.mark.parametrize("texts, pairs, said", [([3], None, "text 0 is a int"), (["a", "b"], ["a"], "2 texts, but 1")])
def test_what_is_no_text(model, tokenizer, texts, pairs, said):
    with pytest.raises(UserError, match=said):
        vectors(model, tokenizer, texts, pairs)


SIZES = {"vocab_size": 29, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3}
SIZES |= {"intermediate_size": 40, "max_position_embeddings": 42}


@pytest.mark.parametrize(
    "family",
    [
        (RobertaModel, RobertaConfig(**SIZES)),
        (DistilBertModel, DistilBertConfig(**SIZES)),
        (ElectraModel, ElectraConfig(**SIZES, embedding_size=12)),
        (BertModel, minbert.Config(**SIZES, type_vocab_size=1)),
    ],
    ids=lambda family: family[1].model_type if hasattr(family[1], "model_type") else "one segment",
)
@torch.no_grad()
def test_other_encoders(family, tokenizer):
    model = strong(*family)
    ids = [tokenizer.encode(*pair) for pair in PAIRS]
    segments = [tokenizer(*pair)["token_type_ids"] for pair in PAIRS]
    kept = family[0] is ElectraModel  # the only one of them with two segments
    for at, row in enumerate(ids):
        types = torch.tensor([segments[at]]) if kept else None
        state = model(torch.tensor([row]), token_type_ids=types)["last_hidden_state"][0]
        assert close(vectors(model, tokenizer, *zip(*PAIRS))[at], state.mean(0))


def test_a_model_that_looks_back_only_is_refused(tmp_path):
    _, tokenizer = tiny_gpt.write(tmp_path)
    with pytest.raises(UserError, match=r"^GPT2Model looks back only: .*Vectors of texts need an encoder"):
        vectors(families.load(tmp_path, "base"), tokenizer, TEXTS)
    assert families.class_of(tmp_path, "base") is GPT2Model


def test_in_8_bits(model, tokenizer):
    plain = vectors(model, tokenizer, TEXTS)
    quantize(model)
    assert isinstance(model.encoder.layers[0].attention.query, Int8Linear)
    assert cosine_of_pairs(plain, vectors(model, tokenizer, TEXTS)).min() > 0.99


# As the folder says


@pytest.fixture
def folder(tmp_path, model, tokenizer):
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    del config["pooling"]  # or else it would have to agree with modules.json
    path.write_text(json.dumps(config))
    return tmp_path


def recipe(folder, **options):
    return similarity.recipe_of(BertModel.from_pretrained(folder), **options)


def test_the_pooling_the_length_and_normalize_of_a_folder(folder, tokenizer):
    assert recipe(folder) == Recipe("mean")
    write_modules(folder, [TRANSFORMER, POOLING, NORMALIZE], {"pooling_mode_cls_token": True})
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 6, "do_lower_case": true}')
    assert recipe(folder) == Recipe("cls", True, 6, True)
    loaded = BertModel.from_pretrained(folder)
    with pytest.warns(UserWarning, match="longer than 6 tokens"):
        found = vectors(loaded, tokenizer, ["good " * 9])
    assert close(found, vectors(loaded, tokenizer, ["good good good good"], recipe=Recipe("cls", True)))
    assert recipe(folder, pooling="mean").pooling == "mean"


def test_prompts_and_the_similarity_of_a_folder(folder):
    write_modules(folder, [TRANSFORMER, POOLING])
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps({"prompts": {"query": "Q: ", "passage": "P: "}, "similarity_fn_name": "dot"}))
    assert recipe(folder) == Recipe(prompts={"query": "Q: ", "document": "P: "}, similarity="dot")
    path.write_text(json.dumps({"prompts": {"query": "Q: ", "x": "X: "}, "default_prompt_name": "x"}))
    assert recipe(folder).prompts == {"": "X: ", "query": "Q: ", "document": "X: "}
    path.write_text(json.dumps({"prompts": {"query": "", "document": ""}, "default_prompt_name": None}))
    assert recipe(folder) == Recipe()


OTHER = {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}
REFUSED = [  # files of a folder, what is said
    ({"modules.json": [TRANSFORMER, POOLING, OTHER]}, "Dense should follow the pooling, and minbert computes only"),
    ({"modules.json": [TRANSFORMER, POOLING, {"path": "", "type": "own.Head"}]}, "'own.Head' should follow"),
    ({"modules.json": [TRANSFORMER]}, "names no Pooling, but minbert makes vectors by mean or cls"),
    ({"1_Pooling/config.json": {"pooling_mode": "max"}}, "pools by max, but minbert makes vectors by mean or cls"),
    ({"1_Pooling/config.json": {"pooling_mode": ["cls", "mean"]}}, "pools by cls + mean"),
    ({"sentence_bert_config.json": {"max_seq_length": "128"}}, "max_seq_length is '128', but must be a number"),
    ({"sentence_bert_config.json": {"max_seq_length": 1}}, "max_seq_length is 1, but"),
    ({"sentence_bert_config.json": {"do_lower_case": "no"}}, "do_lower_case is 'no', but must be true or false"),
    ({"sentence_bert_config.json": []}, "holds a list"),
    ({"config_sentence_transformers.json": {"prompts": ["x"]}}, "prompts is ['x'], but must be names"),
    ({"config_sentence_transformers.json": {"prompts": {"a": 3}}}, "prompts is {'a': 3}, but"),
    ({"config_sentence_transformers.json": {"default_prompt_name": "q"}}, "default_prompt_name is 'q', which is not"),
    (
        {
            "config_sentence_transformers.json": {"prompts": {"query": "Q: "}},
            "1_Pooling/config.json": {"include_prompt": False},
        },
        "include_prompt is false, but minbert",
    ),
]


@pytest.mark.fault("weights: a folder of sentence-transformers that makes its vectors in other ways")
@pytest.mark.parametrize("files, said", REFUSED, ids=[said[:30] for _, said in REFUSED])
def test_what_minbert_does_not_compute_is_refused(folder, files, said):
    write_modules(folder, [TRANSFORMER, POOLING])
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    with pytest.raises(UserError) as error:
        recipe(folder)
    assert said in str(error.value) and str(folder) in str(error.value) and "\n" not in str(error.value)


def test_a_classifier_of_ours_gives_the_vectors_below_it(tiny, tokenizer, tmp_path):
    """Its folder names a Dense, the classifier, after the pooling."""
    classifier = strong(BertSentClassifier, tiny.change(pooling="cls", labels=("bad", "good")))
    classifier.save_pretrained(tmp_path)
    loaded = BertModel.from_pretrained(tmp_path)
    assert "Dense" in (tmp_path / "modules.json").read_text() and similarity.recipe_of(loaded) == Recipe("cls")
    features = classifier.features(**tokenizer(TEXTS, padding=True, return_tensors="pt"))
    assert close(vectors(loaded, tokenizer, TEXTS), features.detach())
    assert close(vectors(classifier, tokenizer, TEXTS), features.detach())


def test_the_folder_that_is_gone(folder):
    loaded = BertModel.from_pretrained(folder)
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(UserError, match="the model's folder is gone: pass a recipe"):
        similarity.recipe_of(loaded)


# Beside the reference


@pytest.fixture(scope="module")
def real(minilm):
    return BertModel.from_pretrained(minilm), BertTokenizer.from_pretrained(minilm)


@pytest.mark.filterwarnings("ignore:1 of 8 texts were longer than 256 tokens")
@pytest.mark.parametrize("swap", [False, True])
def test_the_vectors_of_the_reference(real, shared, swap):
    golden = load_file(shared("reference/families2/vectors.safetensors"))
    words = json.loads(shared("reference/families2/vectors.json").read_text())
    for part in real if swap else ():
        fast.swap_in(part)
    made = similarity.recipe_of(real[0])
    assert made == Recipe("mean", True, 256)
    raw = made._replace(normalize=False)  # as the reference's are
    text, pair = vectors(*real, words["texts"], recipe=raw), vectors(*real, *zip(*words["pairs"]), recipe=raw)
    assert close(text, golden["text"]) and close(pair, golden["pair"])
    assert close(cosine(text, pair), golden["cosine"])
    assert close(vectors(*real, words["texts"]), torch.nn.functional.normalize(golden["text"]))


@pytest.mark.filterwarnings("ignore:1 of 5 texts were longer than 256 tokens")
def test_the_vectors_of_sentence_transformers(real, minilm):
    library = pytest.importorskip("sentence_transformers")
    texts = ["A man is playing a flute.", " naïve café \n", "", "[SEP]? The end, déjà vu.", "so it goes " * 200]
    texts[3] = "The end, déjà vu."  # the library takes a written [SEP] for the control token
    theirs = library.SentenceTransformer(str(minilm), device="cpu").encode(texts, convert_to_tensor=True)
    assert close(vectors(*real, texts), theirs)


# Cosines


def test_cosines_by_hand():
    a, b = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[4.0, 3.0], [-6.0, -8.0], [0.0, 2.0]])
    assert close(cosine(a, b), torch.tensor([[0.96, -1.0, 0.8], [0.0, 0.0, 0.0]]))
    assert close(cosine(a[0], b[0]), torch.tensor([[0.96]]))
    assert close(cosine_of_pairs(a, b[:2]), torch.tensor([0.96, 0.0]))
    assert close(cosine(a.numpy(), b.numpy()), cosine(a, b))


def test_the_nearest_of_groups_are_the_nearest_of_all():
    torch.manual_seed(0)
    queries, things = torch.randn(3, 4), torch.randn(50, 4)
    things[30] = 2 * things[7]  # equally near: the earlier comes first
    nearest = Nearest(queries, 50)
    for begin, end in ((0, 1), (1, 20), (20, 20), (20, 50)):
        nearest.add(things[begin:end], range(begin, end))
    for found, cosines in zip(nearest.found, cosine(queries, things)):
        assert [thing for _, thing in found] == cosines.sort(descending=True, stable=True).indices.tolist()
        assert torch.tensor([value for value, _ in found]).diff().max() <= 0
    few = Nearest(queries, 3)
    few.add(things, range(50))
    assert few.found == [found[:3] for found in nearest.found]
