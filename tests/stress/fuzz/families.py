"""The folders of BERT's relatives as a stranger may send them: the files of BPE, config.json and weights, spoilt."""

import json
import warnings
from collections import Counter

import safetensors.torch
import torch

from minbert import families, tokenizers
from minbert.tokenizers import bpe_files, word_bpe
from tests.stress.fuzz.checkpoints import (
    CANARY,
    EVIL,
    HUGE,
    ODD,
    SPOIL,
    check_model,
    flip,
    judge,
    rounds,
    spoil_config,
    spoil_settings,
    spoil_vocab,
)

TEXTS = ("The film wasn't bad.\n", "  caf\u00e9 \u4e2d\u2028<mask> ha ha\t2024 @jo", "x" * 300, "")

# config.json and the weights

SIZES = {"vocab_size": 23, "hidden_size": 6, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
SIZES |= {"max_position_embeddings": 9}
KINDS = {  # model_type: the kind of the model that is spoilt
    "gpt2": "causal",
    "openai-gpt": "causal",
    "roberta": "classifier",
    "distilbert": "masked",
    "electra": "discriminator",
}
OTHER_NAMES = (  # of the same tensors, or nearly
    *("transformer.h.0.attn.bias", "h.0.attn.c_attn.bias", "transformer.h.0.attn.masked_bias", "lm_head.weight"),
    *("transformer.h.2.ln_1.weight", "transformer.wte.weight", "wte.weight", "h.0.attn.c_attn.query.weight"),
)


def write_models(folder):
    """A good folder of a model of each family: {model_type: folder}"""
    torch.manual_seed(0)
    folders = {}
    for model_type, kind in KINDS.items():
        model_class = families.FAMILIES[model_type].MODELS[kind]
        folders[model_type] = folder / model_type
        model_class(model_class.config_class(**SIZES)).save_pretrained(folders[model_type])
    return folders


def fuzz_family_config(count, rng, folder):
    """config.json of a GPT, a RoBERTa, ...; read: a model of the sizes that it says, and nothing in it was run."""
    outcomes, folders = Counter(), write_models(folder)
    good = {model_type: (path / "config.json").read_text(encoding="utf-8") for model_type, path in folders.items()}
    for path in folders.values():
        (path / "evil.py").write_text(EVIL, encoding="utf-8")
    for number, dice in rounds(count, rng):
        model_type = dice.choice(list(folders))
        path = folders[model_type]
        (path / "config.json").write_bytes(spoil_config(good[model_type], dice))

        def read(path=path, kind=KINDS[model_type]):
            model = families.load(path, kind)
            check_model(model, families.read_config(path))
            return "read"

        outcome = judge(number, path, read)
        if (path / CANARY).exists() or any(path.glob("__pycache__/*")):
            outcome = f"fault in file {number}: code was run"
        outcomes[outcome] += 1
    return outcomes


def renamed(data, rng):
    """A tensor under another name, more tensors, matrices turned, three in one, or one cut in three."""
    tensors = safetensors.torch.load(data)
    name, other = rng.choice(list(tensors)), rng.choice(OTHER_NAMES)
    way = rng.randrange(5)
    if way == 0:
        tensors[other] = tensors.pop(name)
    elif way == 1:
        tensors[other] = tensors[name].clone()
    elif way == 2:
        tensors[name] = tensors[name].T.contiguous() if tensors[name].dim() == 2 else tensors[name][:-1].clone()
    elif way == 3:
        for number, piece in enumerate(tensors.pop(name).chunk(3, dim=-1)):
            tensors[f"{name}.{('query', 'key', 'value')[number]}"] = piece.clone()
    else:
        tensors = {key.removeprefix("transformer."): tensor for key, tensor in tensors.items()}
    return safetensors.torch.save(tensors)


def fuzz_gpt2_weights(count, rng, folder):
    """A GPT-2's model.safetensors, with matrices turned and joined; read: finite, and of config.json's shape."""
    outcomes, path = Counter(), write_models(folder)["gpt2"]
    good = (path / "model.safetensors").read_bytes()
    same = families.load(path, "causal").state_dict()
    for number, dice in rounds(count, rng):
        (path / "model.safetensors").write_bytes(dice.choice((*SPOIL, renamed, renamed))(good, dice))

        def read():
            model = families.load(path, "causal")
            check_model(model, families.read_config(path))
            whole = all(torch.equal(tensor, same[name]) for name, tensor in model.state_dict().items())
            return "read, the same numbers" if whole else "read, other numbers"

        outcomes[judge(number, path, read)] += 1
    return outcomes


# The files of tokenizers


def write_tokenizers(folder):
    """A good folder of each tokenizer: {name: folder}"""
    from tests.tokenizers import small
    from tests.tokenizers.test_word_bpe import tweets

    made = {"gpt2": small.gpt2(), "roberta": small.roberta(), "gpt": small.gpt(), "tweets": tweets(normalization=False)}
    folders = {}
    for name, tokenizer in made.items():
        folders[name] = folder / name
        tokenizer.save_pretrained(folders[name])
        small.write_json(folders[name] / "config.json", {"vocab_size": len(tokenizer)})
    folders["whole"] = folder / "whole"
    small.write_json(folders["whole"] / "tokenizer.json", small.whole())
    small.write_json(folders["whole"] / "config.json", {"vocab_size": len(made["gpt2"])})
    return folders


def spoil_json(data, rng):
    """Entries of a JSON file left out, swapped, or with other values, at any depth; or its bytes."""
    way = rng.randrange(10)
    if way == 0:
        return flip(data, rng)
    if way == 1:
        return data[: rng.randrange(len(data))]
    if way == 2:
        return rng.choice(
            (b"", b"[]", b"{}", b"null", rng.randbytes(200), b"[" * 100_000, data.decode().encode("utf-16"))
        )
    if way == 3:  # a key once more
        key = rng.choice(list(json.loads(data)))
        value = rng.choice((0, 1, "x", None, {}, json.loads(data)[key]))
        return data.rstrip()[:-1] + b", " + json.dumps({key: value}, ensure_ascii=rng.random() < 0.5).encode()[1:]
    values = json.loads(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place = values
        while rng.random() < 0.8 and (inner := [key for key in keys_of(place) if keys_of(place[key])]):
            place = place[rng.choice(inner)]
        if not keys_of(place):
            continue
        one, other = rng.choice(keys_of(place)), rng.choice(keys_of(place))
        way = rng.randrange(5)
        if way == 0:
            place[one], place[other] = place[other], place[one]
        elif way == 1:
            place[one] = rng.choice((*ODD, *HUGE[:6], "\ud800", "a b", "x" * 10_000))
        elif way == 2:
            place.pop(one)
        elif way == 3 and isinstance(place, dict):
            place[rng.choice(("", " ", "\ud800", "\n", "\u2028", "<s>", "new", "a b"))] = rng.choice(
                (len(place), place[one])
            )
        else:
            place[one] = place[other]
    try:
        return json.dumps(values, ensure_ascii=rng.random() < 0.5).encode()
    except UnicodeEncodeError:
        return json.dumps(values).encode()


def keys_of(place):
    """What stands in a JSON object or array can be reached by; [] for anything else"""
    return list(place) if isinstance(place, dict) else list(range(len(place))) if isinstance(place, list) else []


def spoil_lines(data, rng):
    """merges.txt, bpe.codes or a vocabulary with counts: its lines spoilt as those of a vocab.txt, or its columns."""
    if rng.random() < 0.5:
        return spoil_vocab(data, rng)
    lines = data.split(b"\n")[:-1]
    at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
    parts = lines[at].split(b" ")
    way = rng.randrange(6)
    if way == 0:
        lines[at] = b" ".join(parts[::-1])
    elif way == 1:
        lines[at] = b" ".join(parts[1:])
    elif way == 2:
        lines[at] = rng.choice((b"  ", b"\t", b"\xc2\xa0", b"\0")).join(parts)
    elif way == 3:
        lines[at], lines[to] = lines[to], lines[at]
    elif way == 4:
        lines[at] = b" ".join((parts[0], *lines[to].split(b" ")[1:]))
    else:
        lines[at] += rng.choice((b" 1", b" -1", b" 1e3", b" \xd9\xa1", b" ", b" " + b"9" * 5000))
    return b"\n".join(lines) + b"\n"


def fuzz_bpe(count, rng, folder):
    """The files of BPE tokenizers; read: the ids and merges of the files, every id has a vector, bytes come back."""
    outcomes, folders = Counter(), write_tokenizers(folder)
    good = {path: path.read_bytes() for place in folders.values() for path in place.iterdir()}
    for number, dice in rounds(count, rng):
        place = folders[dice.choice(list(folders))]
        for path in place.iterdir():
            path.write_bytes(good[path])
        path = dice.choice([path for path in sorted(place.iterdir()) if path.name != "config.json"])
        if path.name == "tokenizer_config.json":
            path.write_bytes(spoil_settings(good[path].decode(), dice))
        else:
            path.write_bytes((spoil_json if path.suffix == ".json" else spoil_lines)(good[path], dice))

        def read(place=place, path=path):
            size = json.loads((place / "config.json").read_text())["vocab_size"]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tokenizer = tokenizers.from_pretrained(place)
                check_tokenizer(tokenizer, place, size)
            return "read, as it was" if path.read_bytes() == good[path] else "read, other files"

        outcomes[judge(number, place, read)] += 1
    return outcomes


def check_tokenizer(tokenizer, place, size):
    """Raise AssertionError unless a tokenizer is what the files say, and can be used with a model of `size` vectors."""
    if (place / bpe_files.CODES).exists():
        lines = [line.decode().strip() for line in lines_of(place / bpe_files.COUNTS)]
        tokens = [*word_bpe.FIRST, *(line.rpartition(" ")[0] for line in lines), word_bpe.MASK]
        vocab, merges = {token: id for id, token in enumerate(tokens)}, lines_of(place / bpe_files.CODES)
        merges = [tuple(line.decode().removesuffix("\r").split(" ")[:2]) for line in merges]
    elif (place / bpe_files.VOCAB).exists():
        vocab = json.loads((place / bpe_files.VOCAB).read_bytes().decode("utf-8-sig"))
        merges = [line.decode().removesuffix("\r") for line in lines_of(place / bpe_files.MERGES)]
        headed = bool(merges) and merges[0].startswith("#version")
        merges = [tuple(line.split(" ")) for line in merges[headed:]]
    else:
        model = json.loads((place / "tokenizer.json").read_bytes().decode("utf-8-sig"))["model"]
        vocab, merges = model["vocab"], model["merges"]
        merges = [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in merges]
    assert tokenizer.in_words == vocab, "other ids than the file's"
    assert list(tokenizer.ranks) == merges, "other merges than the file's"
    assert sorted(tokenizer.vocab.values()) == list(range(len(tokenizer))), "ids with a gap"
    assert len(tokenizer) <= size, "an id beyond the model's vectors"
    for text in TEXTS:
        ids = tokenizer.text_to_ids(text)
        assert ids == [tokenizer.vocab[piece] for piece, _ in tokenizer.pieces(text)], "two ways, two results"
        decoded = tokenizer.decode(ids)
        if isinstance(tokenizer, tokenizers.ByteBPETokenizer) and not tokenizer.finders[False].tokens:
            assert decoded == text, "another text came back"
        [tokenizer.show(id) for id in ids]
        batch = tokenizer([text, "a"], padding=True, truncation=True, return_tensors="pt")
        assert int(batch.input_ids.max()) < size


def lines_of(path):
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n")
    return data.split(b"\n") if data else []


FUZZERS = {"bpe": fuzz_bpe, "family-config": fuzz_family_config, "gpt2-weights": fuzz_gpt2_weights}
