"""Models' folders that are well formed, with one field changed: computed as transformers computes it, or refused.

A folder is one that transformers wrote. `minbert predict` gives its texts the probabilities that transformers'
pipeline gives, refuses the folder in one line, or warns of the field that makes the difference. Other numbers in
silence are a fault; so are numbers where transformers has none.

Two differences are known and left out: a class without a name is LABEL_0 there and 0 here, and "[SEP]" in a text is
a special token there and five characters here.
"""

import contextlib
import csv
import io
import json
import shutil
import warnings
from collections import Counter

from minbert.errors import UserError

TEXTS = (
    "the film was good .",
    "The FILM was bad!",
    "a naïve café film, “good”",
    "中国 the 好 😀 film",
    "  the   film\twas covid un##ing bad ",
    "goods filmed unfilm badly",
    "é É e\u0301 İ ß ﬁlm",
)
PIECES = """[PAD] [UNK] [CLS] [SEP] [MASK] the film was good bad The FILM Film a an naive naïve cafe café covid un ##un
##ing ##s ##ed ##ly ##film ##c ##o ##v ##i ##d 中 国 好 中国 ##国 . , ! “ ” é e ##e i ß s fi ##lm [ ] # ## m ##m ##a k
##k"""
VOCAB = PIECES.split()
SIZES = {"vocab_size": len(VOCAB), "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3}
SIZES |= {"intermediate_size": 20, "max_position_embeddings": 40, "initializer_range": 0.5, "num_labels": 3}
CLASSES = """BertForSequenceClassification BertForSequenceClassification BertForSequenceClassification BertForMaskedLM
BertModel BertForPreTraining BertForTokenClassification BertForQuestionAnswering BertForNextSentencePrediction
BertForMultipleChoice BertLMHeadModel"""
HEADS = CLASSES.split()
STYLES = ("vocab.txt", "tokenizer.json", "both")
ABSENT = object()

# One field of config.json -> what else a well-formed file may say there

NAMES = {"0": "bad", "1": "good", "2": "so-so"}
CONFIG = {
    "architectures": [[name] for name in HEADS] + [None, [], ["RobertaForSequenceClassification"], HEADS[2:4], ABSENT],
    "problem_type": ["single_label_classification", "multi_label_classification", "regression", None, "ranking"],
    "num_labels": [1, 2, 3, 4],
    "id2label": [
        *(NAMES, {"0": "bad", "1": "good"}, {"0": "x"}, NAMES | {"3": "none"}, {"1": "a", "2": "b", "3": "c"}, ABSENT),
        *({"0": "bad", "1": "bad", "2": "good"}, {"2": "c", "1": "b", "0": "a"}, {"0": 0, "1": 1, "2": 2}),
        *({"0": "B-PER", "1": "I-PER", "2": "O"}, {"0": "", "1": "b", "2": "c"}),
    ],
    "label2id": [{"bad": 0, "good": 1, "so-so": 2}, {"LABEL_0": 2, "LABEL_1": 1, "LABEL_2": 0}, {}, ABSENT],
    "is_decoder": [True, False],
    "add_cross_attention": [True, False],
    "hidden_act": ["gelu", "relu", "gelu_new", "silu", "swish", "tanh", "gelu_pytorch_tanh", "quick_gelu", "mish"],
    "layer_norm_eps": [1e-5, 1e-12, 0.1],
    "position_embedding_type": ["absolute", "relative_key", "relative_key_query"],
    "model_type": [
        *("bert", "roberta", "distilbert", "electra", "camembert", "xlm-roberta", "mpnet", "gpt2", "deberta-v2"),
        "nomic_bert",
    ],
    "vocab_size": [len(VOCAB) - 1, len(VOCAB) + 1, 30522],
    "max_position_embeddings": [39, 41, 512],
    "type_vocab_size": [1, 2, 3],
    "num_attention_heads": [1, 2, 4, 6, 12],
    "num_hidden_layers": [1, 3],
    "hidden_size": [6, 24],
    "intermediate_size": [10, 40],
    "hidden_dropout_prob": [0.0, 0.5],
    "attention_probs_dropout_prob": [0.0, 0.9],
    "classifier_dropout": [None, 0.3],
    "tie_word_embeddings": [True, False],
    "pad_token_id": [0, 1, 5, None],
    "bos_token_id": [2],
    "use_cache": [True, False],
    "chunk_size_feed_forward": [0, 2],
    "pruned_heads": [{}, {"0": [1]}],
    "torch_dtype": ["float16", "float32", "bfloat16"],
    "dtype": ["float16", "float32", "bfloat16"],
    "torchscript": [True],
    "output_hidden_states": [True],
    "output_attentions": [True],
    "return_dict": [False],
    "quantization_config": [{"quant_method": "bitsandbytes", "load_in_8bit": True}],
    "auto_map": [{"AutoModelForSequenceClassification": "modeling_x.X"}],
    "task_specific_params": [None, {"text-classification": {"top_k": 1}}],
    "finetuning_task": ["sst-2"],
    "gradient_checkpointing": [True],
    "transformers_version": ["4.6.0", "9.0.0"],
    "pooling": ["mean", "cls"],
    "option": ["pretrain"],
    "embedding_size": [6],
    "rotary_value": [True],
}
SETTINGS = {  # of tokenizer_config.json
    "do_lower_case": [True, False, ABSENT],
    "strip_accents": [True, False, None],
    "tokenize_chinese_chars": [True, False],
    "do_basic_tokenize": [True, False],
    "never_split": [["covid"], None],
    "model_max_length": [6, 40, 512, int(1e30), ABSENT],
    "tokenizer_class": [
        *("BertTokenizer", "BertTokenizerFast", "PreTrainedTokenizerFast", "DistilBertTokenizer", "RobertaTokenizer"),
        *("BertJapaneseTokenizer", "ElectraTokenizerFast", "TokenizersBackend", ABSENT),
    ],
    "unk_token": ["[UNK]", "the"],
    "cls_token": ["[CLS]", "a"],
    "sep_token": ["[SEP]", "."],
    "pad_token": ["[PAD]", "[UNK]"],
    "mask_token": ["[MASK]", "an"],
    "bos_token": ["[CLS]"],
    "eos_token": ["[SEP]"],
    "additional_special_tokens": [["covid"], ["filmed"], []],
    "extra_special_tokens": [["covid"], {}],
    "added_tokens_decoder": [
        {str(VOCAB.index("covid")): {"content": "covid", "special": special, "normalized": normalized, **sides}}
        for special in (True, False)
        for normalized in (True, False)
        for sides in (
            {"lstrip": False, "rstrip": False, "single_word": False},
            {"lstrip": True, "rstrip": True, "single_word": False},
            {"lstrip": False, "rstrip": False, "single_word": True},
        )
    ],
    "padding_side": ["left", "right"],
    "truncation_side": ["left", "right"],
    "clean_up_tokenization_spaces": [True, False],
    "add_prefix_space": [True],
    "split_special_tokens": [True],
    "model_input_names": [["input_ids"], ["input_ids", "attention_mask"]],
}


def of_normalizer(**change):
    return lambda data: data["normalizer"].update(change)


def of_model(**change):
    return lambda data: data["model"].update(change)


def set_to(key, value):
    return lambda data: data.update({key: value})


def add_token(content, id, special=False, **more):
    token = {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False}
    token |= {"normalized": not special, "special": special} | more
    return lambda data: data["added_tokens"].append(token)


def swap_vocabulary(data):
    vocab = data["model"]["vocab"]
    vocab["good"], vocab["bad"] = vocab["bad"], vocab["good"]


LOWER, NFD, STRIP = {"type": "Lowercase"}, {"type": "NFD"}, {"type": "StripAccents"}
TEMPLATE = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
TOKENIZER = (  # changes of tokenizer.json
    *(of_normalizer(lowercase=value) for value in (True, False)),
    *(of_normalizer(strip_accents=value) for value in (True, False, None)),
    *(of_normalizer(handle_chinese_chars=value) for value in (True, False)),
    *(of_normalizer(clean_text=value) for value in (True, False)),
    *(of_model(max_input_chars_per_word=value) for value in (5, 100, 200)),
    *(of_model(continuing_subword_prefix=value) for value in ("##", "#", "")),
    *(of_model(unk_token=value) for value in ("[UNK]", "the")),
    *(set_to("normalizer", value) for value in (None, LOWER, {"type": "Sequence", "normalizers": [NFD, LOWER, STRIP]})),
    *(set_to("pre_tokenizer", {"type": value}) for value in ("Whitespace", "WhitespaceSplit", "BertPreTokenizer")),
    *(set_to("post_processor", value) for value in (None, TEMPLATE, TEMPLATE | {"cls": ["[CLS]", 7]})),
    *(set_to("decoder", value) for value in (None, {"type": "WordPiece", "prefix": "##", "cleanup": False})),
    set_to("truncation", {"direction": "Right", "max_length": 6, "strategy": "LongestFirst", "stride": 0}),
    set_to("truncation", {"direction": "Left", "max_length": 6, "strategy": "LongestFirst", "stride": 0}),
    *(add_token("covid", VOCAB.index("covid"), special) for special in (True, False)),
    *(add_token("unfilm", VOCAB.index("un"), special) for special in (True, False)),
    *(add_token("FILM", VOCAB.index("FILM"), normalized=normalized) for normalized in (True, False)),
    *(add_token("film", VOCAB.index("film"), single_word=word) for word in (True, False)),
    *(add_token("newest", len(VOCAB), special) for special in (True, False)),
    swap_vocabulary,
)


def change_json(path, change):
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")


def set_field(path, key, value):
    change_json(path, lambda data: data.pop(key, None) if value is ABSENT else data.update({key: value}))


def change_vocabulary(folder, dice):
    """Another vocab.txt, as lists of tokens go."""
    path = folder / "vocab.txt"
    tokens = path.read_text(encoding="utf-8").splitlines()
    first, second = dice.sample(range(5, len(tokens)), 2)
    way = dice.randrange(6)
    if way == 0:
        tokens[first], tokens[second] = tokens[second], tokens[first]
    elif way == 1:
        tokens.append(dice.choice(("new", "##new", "covid19", "")))
    elif way == 2:
        tokens.pop()
    elif way == 3:
        tokens[first] = tokens[second]
    elif way == 4:
        tokens = [f"{token}{dice.choice((' ', chr(9), ''))}" for token in tokens]
    else:
        tokens[dice.choice((0, 1, 2, 3, 4))] = dice.choice(("<unk>", "<s>", "[unused1]"))
    end = dice.choice(("\n", "\r\n"))
    path.write_text(end.join(tokens) + dice.choice((end, "", end + end)), encoding="utf-8", newline="")
    return f"vocab.txt, way {way}"


def add_file(folder, dice):
    """One more file beside the others."""
    files = {
        "added_tokens.json": [{"covid": VOCAB.index("covid")}, {"newest": len(VOCAB)}, {"unfilm": len(VOCAB)}, {}],
        "special_tokens_map.json": [
            *({"unk_token": "[UNK]", "mask_token": "[MASK]"}, {"mask_token": "an"}, {"cls_token": "a"}),
            {"additional_special_tokens": ["covid"]},
        ],
        "modules.json": [
            [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}],
        ],
        "adapter_config.json": [{"peft_type": "LORA", "base_model_name_or_path": "x"}],
        "generation_config.json": [{"max_length": 3}],
        "preprocessor_config.json": [{"do_resize": True}],
        "sentence_bert_config.json": [{"max_seq_length": 6, "do_lower_case": True}],
    }
    name = dice.choice(list(files))
    value = dice.choice(files[name])
    (folder / name).write_text(json.dumps(value), encoding="utf-8")
    return f"{name} = {value}"


def change_folder(folder, dice):
    """Change one field of one file; returns what was changed, in words."""
    tokenizer = folder / "tokenizer.json"
    files = ["config.json"] * 4 + ["tokenizer_config.json"] * 3 + ["more"] + ["vocab.txt"] * (not tokenizer.exists())
    file = dice.choice([*files, *["tokenizer.json"] * (3 * tokenizer.exists())])
    if file == "more":
        return add_file(folder, dice)
    if file == "vocab.txt":
        return change_vocabulary(folder, dice)
    if file == "tokenizer.json":
        number = dice.randrange(len(TOKENIZER))
        change_json(tokenizer, TOKENIZER[number])
        return f"tokenizer.json, change {number}"
    fields = CONFIG if file == "config.json" else SETTINGS
    key = dice.choice(list(fields))
    value = dice.choice(fields[key])
    set_field(folder / file, key, value)
    return f"{file}: {key} = {'(absent)' if value is ABSENT else value}"


def write_folders(folder, transformers):
    """A good folder for each architecture and way to keep a tokenizer: {(architecture, style): folder}."""
    import torch

    made = {}
    vocab = {token: id for id, token in enumerate(VOCAB)}
    for style in STYLES:
        tokenizer = transformers.BertTokenizer(vocab=vocab, do_lower_case=True)
        for architecture in dict.fromkeys(HEADS):
            torch.manual_seed(0)
            made[architecture, style] = path = folder / f"{architecture} {style}"
            config = transformers.BertConfig(**SIZES, attn_implementation="eager")
            if architecture == "BertLMHeadModel":
                config.is_decoder = True
            getattr(transformers, architecture)(config).save_pretrained(path)
            tokenizer.save_pretrained(path)
            if style != "tokenizer.json":
                (path / "vocab.txt").write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
            if style == "vocab.txt":
                (path / "tokenizer.json").unlink()
    return made


def theirs(folder, transformers):
    """{text: {label: probability}} of transformers' pipeline; None if it refuses, or its classifier is random."""
    automatic = transformers.AutoModelForSequenceClassification
    try:
        model, told = automatic.from_pretrained(folder, output_loading_info=True, dtype="float32")
        if told["missing_keys"] or told.get("mismatched_keys"):
            return None
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        longest = min(tokenizer.model_max_length, model.config.max_position_embeddings)
        pipe = transformers.TextClassificationPipeline(model=model, tokenizer=tokenizer, device="cpu")
        answers = [pipe(text, top_k=None, truncation=True, max_length=longest) for text in TEXTS]
    except Exception:  # whatever it is that it cannot do
        return None
    return [{answer["label"].removeprefix("LABEL_"): answer["score"] for answer in row} for row in answers]


def ours(folder, path):
    """(status, what was said, the same as theirs) of `minbert predict`."""
    from minbert.commands import common, predict

    out = path.with_name("labels.csv")
    out.unlink(missing_ok=True)
    said, arguments = io.StringIO(), ["--model", folder, "--text", path, "--format", "lines", "--out", out, "--plain"]
    with contextlib.redirect_stderr(said):
        status = common.run(predict.main, list(map(str, arguments)))
    if status:
        return status, said.getvalue(), None
    with open(out, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    answers = [{name[2:]: float(row[name]) for name in row if name.startswith("p_")} for row in rows]
    return 0, said.getvalue(), answers


def same(first, second):
    return len(first) == len(second) and all(
        a.keys() == b.keys() and all(abs(a[name] - b[name]) < 1e-5 for name in a) for a, b in zip(first, second)
    )


def fuzz_folders(count, rng, folder):
    """Folders as transformers writes them, one field changed, through `minbert predict` and transformers' pipeline."""
    try:
        import transformers
    except ImportError:
        raise UserError("this fuzzer compares with transformers: pip install -e '.[reference]'") from None
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    transformers.utils.logging.disable_progress_bar()
    outcomes, good = Counter(), write_folders(folder, transformers)
    (folder / "texts.txt").write_text("".join(f"{text}\n" for text in TEXTS), encoding="utf-8")
    for number in range(count):
        dice = type(rng)(rng.getrandbits(64))
        here = folder / "model"
        shutil.rmtree(here, ignore_errors=True)
        shutil.copytree(good[dice.choice(HEADS), dice.choice(STYLES)], here)
        what = change_folder(here, dice)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcomes[judge_folder(here, folder / "texts.txt", what, number, transformers)] += 1
    return outcomes


def judge_folder(here, texts, what, number, transformers):
    try:
        status, said, answers = ours(here, texts)
    except Exception as error:
        return f"fault in folder {number}, {what}: {type(error).__name__}: {error!s:.200}"
    if status:
        lines = said.strip().splitlines()
        if status != 2 or not lines[0].startswith("error: ") or not all(line.isprintable() for line in lines):
            return f"fault in folder {number}, {what}: status {status}: {said!r:.200}"
        return "refused"
    reference = theirs(here, transformers)
    if reference and same(answers, reference):
        return "the same"
    warned = [line for line in said.splitlines() if line.startswith("warning: ")]
    if any(word in line for line in warned for word in what.replace(":", " ").split()[:2]):
        return "different, and said so"
    return f"fault in folder {number}, {what}: {'other numbers' if reference else 'theirs has none'}"


FUZZERS = {"folders": fuzz_folders}
