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
import logging
import shutil
import warnings
from collections import Counter

from minbert.commands import common
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
##k <s> </s> <mask> <unk>"""
VOCAB = PIECES.split()
SIZES = {"vocab_size": len(VOCAB), "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3}
SIZES |= {"intermediate_size": 20, "max_position_embeddings": 40, "initializer_range": 0.5, "num_labels": 3}
OTHERS = """BertForMaskedLM BertModel BertForPreTraining BertForTokenClassification BertForQuestionAnswering
BertForNextSentencePrediction BertForMultipleChoice BertLMHeadModel"""
HEADS = ["BertForSequenceClassification"] * 16 + ["BertForMaskedLM", "BertModel"] * 3 + OTHERS.split()
STYLES = ("vocab.txt", "tokenizer.json", "both")
ABSENT = object()

# One field of config.json -> what else a well-formed file may say there

NAMES = {"0": "bad", "1": "good", "2": "so-so"}
CONFIG = {
    "architectures": [[name] for name in HEADS[15:]]
    + [None, [], ["RobertaForSequenceClassification"], HEADS[15:17], ABSENT],
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
    "chunk_size_feed_forward": [0, 1],
    "pruned_heads": [{}, {"0": [1]}],
    "torch_dtype": ["float16", "float32", "bfloat16"],
    "dtype": ["float16", "float32", "bfloat16"],
    "torchscript": [True],
    "output_hidden_states": [True],
    "output_attentions": [True],
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
    "unk_token": ["[UNK]", "<unk>"],
    "cls_token": ["[CLS]", "<s>"],
    "sep_token": ["[SEP]", "</s>"],
    "pad_token": ["[PAD]", "<unk>"],
    "mask_token": ["[MASK]", "<mask>"],
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
    *(of_model(unk_token=value) for value in ("[UNK]", "<unk>")),
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
            *({"unk_token": "[UNK]", "mask_token": "[MASK]"}, {"mask_token": "<mask>"}, {"cls_token": "<s>"}),
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


# What is computed: by `minbert predict` and transformers' pipeline, and by the two libraries


def classify_here(folder, path):
    """[{label: probability}] of `minbert predict` for each text."""
    from minbert.commands import predict

    out = path.with_name("labels.csv")
    out.unlink(missing_ok=True)
    words = ["--model", folder, "--text", path, "--format", "lines", "--out", out, "--plain"]
    predict.main(list(map(str, words)))
    with open(out, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name[2:]: float(row[name]) for name in row if name.startswith("p_")} for row in rows]


def classify_there(folder, transformers):
    model = load(transformers.AutoModelForSequenceClassification, folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    longest = min(tokenizer.model_max_length, model.config.max_position_embeddings)
    pipe = transformers.TextClassificationPipeline(model=model, tokenizer=tokenizer, device="cpu")
    answers = [pipe(text, top_k=None, truncation=True, max_length=longest) for text in TEXTS]
    return [{answer["label"].removeprefix("LABEL_"): answer["score"] for answer in row} for row in answers]


def load(automatic, folder):
    """transformers' model. Raises RuntimeError if some of its weights would be random."""
    model, told = automatic.from_pretrained(folder, output_loading_info=True, dtype="float32")
    if [name for name in told["missing_keys"] if "pooler" not in name] or told.get("mismatched_keys"):
        raise RuntimeError
    return model


def here(name, result):
    """[{place: number}] of a class of ours for each text. result  output -> the tensor that counts"""

    def compute(folder, path):
        import minbert
        from minbert.commands import common

        logging.getLogger("minbert").setLevel(logging.WARNING)
        model = getattr(minbert, name).from_pretrained(folder)
        tokenizer = common.load_tokenizer(folder, folder, model.config)
        longest = min(tokenizer.max_length, model.config.max_position_embeddings)
        encodings = (tokenizer([text], truncation=True, max_length=longest, return_tensors="pt") for text in TEXTS)
        return [numbered(result(model(**encoding))) for encoding in encodings]

    return compute


def there(name, result):
    def compute(folder, transformers):
        model, tokenizer = load(getattr(transformers, name), folder), transformers.AutoTokenizer.from_pretrained(folder)
        longest = min(tokenizer.model_max_length, model.config.max_position_embeddings)
        encodings = (tokenizer([text], truncation=True, max_length=longest, return_tensors="pt") for text in TEXTS)
        return [numbered(result(model(**encoding))) for encoding in encodings]

    return compute


def numbered(tensor):
    return dict(enumerate(tensor.detach().flatten().tolist()))


FILL = here("BertForMaskedLM", lambda output: output[0]), there("AutoModelForMaskedLM", lambda output: output.logits)
ENCODE = (
    here("BertModel", lambda output: output["last_hidden_state"]),
    there("AutoModel", lambda output: output.last_hidden_state),
)
USES = {"BertForMaskedLM": FILL, "BertForPreTraining": FILL, "BertModel": ENCODE}
CLASSIFY = classify_here, classify_there


def same(first, second):
    """Whether all numbers are equal, up to the rounding of float32 at the size of the largest."""
    largest = max((abs(value) for row in second for value in row.values()), default=0)
    return len(first) == len(second) and all(
        a.keys() == b.keys() and all(abs(a[name] - b[name]) <= 1e-5 * max(1, largest) for name in a)
        for a, b in zip(first, second)
    )


def fuzz_folders(count, rng, folder):
    """Folders as transformers writes them, one field changed, through both."""
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
        model, architecture = folder / "model", dice.choice(HEADS)
        shutil.rmtree(model, ignore_errors=True)
        shutil.copytree(good[architecture, dice.choice(STYLES)], model)
        what = change_folder(model, dice)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            told = judge(model, folder / "texts.txt", what, USES.get(architecture, CLASSIFY), transformers)
        outcomes[told.replace("fault", f"fault in folder {number}, {architecture}, {what}")] += 1
    return outcomes


def judge(folder, texts, what, use, transformers):
    """What became of a folder, in a few words. use  how it is read here, and there"""
    answers, said, handler = [], io.StringIO(), logging.StreamHandler()
    handler.setStream(said)
    handler.setFormatter(logging.Formatter("warning: %(message)s"))
    logging.getLogger("minbert").addHandler(handler)
    try:
        with contextlib.redirect_stderr(said):
            status = common.run(lambda _: answers.extend(use[0](folder, texts)), [])
    except Exception as error:
        return f"fault: {type(error).__name__}: {error!s:.200}"
    finally:
        logging.getLogger("minbert").removeHandler(handler)
    warned = [line for line in said.getvalue().splitlines() if line.startswith(("warning: ", "note: "))]
    if status:
        lines = [line for line in said.getvalue().strip().splitlines() if line not in warned]
        whole = status == 2 and lines[0].startswith("error: ") and all(map(str.isprintable, lines))
        return "refused" if whole else f"fault: status {status}: {said.getvalue()!r:.200}"
    try:
        reference = use[1](folder, transformers)
    except Exception:  # whatever it is that it cannot do
        reference = None
    if reference and same(answers, reference):
        return "the same"
    if any(word in line for line in warned for word in what.replace(":", " ").split()[:2]):
        return "different, and said so"
    return f"fault: {'other numbers' if reference else 'numbers where transformers has none'}"


FUZZERS = {"folders": fuzz_folders}
