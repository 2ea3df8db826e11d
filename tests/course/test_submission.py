"""What a student handed in is read as bytes: odd zips are taken with a note, hostile ones are refused with a reason."""

import random
import stat
import zipfile

import pytest

from minbert.course import adapter, submission
from minbert.course.submission import Submission, read
from tests.course.conftest import ALL

WANTED = {"attention.py", "encoder.py"}
GOOD = b"import torch\n"


def pack(path, files, links=(), **options):
    """{name: content, or (a list) several times} -> a zip"""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, contents in files.items():
            for content in contents if isinstance(contents, list) else [contents]:
                entry = zipfile.ZipInfo(name)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = (stat.S_IFLNK if name in links else stat.S_IFREG | 0o644) << 16
                file.writestr(entry, content)
    return path


@pytest.mark.parametrize(
    "files, notes",
    [
        ({"minbert/attention.py": GOOD}, []),
        ({"attention.py": GOOD, "encoder.py": GOOD, "README.md": b""}, []),
        (
            {"homework/minbert/attention.py": GOOD, "__MACOSX/homework/minbert/attention.py": b"x"},
            ["the files are in a folder"],
        ),
        ({"homework/attention.py": GOOD}, ["the files are in a folder"]),
        ({"attention.py": b"\xef\xbb\xbfx = 1\r\n"}, []),
        (
            {"attention.py": GOOD, "conftest.py": b"", "sitecustomize.py": b"", "a.pth": b"", "torch.py": b""},
            ["not taken"],
        ),
    ],
)
def test_what_is_taken(tmp_path, files, notes):
    found = read(pack(tmp_path / "ada.zip", files), WANTED)
    assert found.refused == "" and found.faults == {}
    assert found.name == "ada"
    right = {name.rpartition("/")[2]: content for name, content in files.items() if "__MACOSX" not in name}
    assert found.files == {name: content for name, content in right.items() if name in WANTED}
    assert [note[: len(begin)] for note, begin in zip(found.notes, notes)] == notes


BOMB = bytes(150_000)


@pytest.mark.fault("grading: a zip that is a bomb, leads outside or says one thing twice")
@pytest.mark.parametrize(
    "files, links, reason",
    [
        ({"attention.py": b"x", "../attention.py": b"x"}, (), "leads out of the zip"),
        ({"attention.py": b"x", "/etc/passwd": b"x"}, (), "leads out of the zip"),
        ({"attention.py": [b"x", b"y"]}, (), "there are two files for attention.py"),
        ({"attention.py": b"x", "minbert/attention.py": b"y"}, (), "there are two files for attention.py"),
        ({"a/attention.py": b"x", "b/encoder.py": b"y"}, (), "the files are in several folders"),
        ({f"{number}.txt": b"" for number in range(3000)}, (), "entries"),
        ({"readme.txt": b"x"}, (), "none of the parts' files"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_is_refused(tmp_path, files, links, reason):
    found = read(pack(tmp_path / "eve.zip", files, links), WANTED)
    assert reason in found.refused
    assert found.files == {}


@pytest.mark.parametrize(
    "content, link, reason",
    [
        (BOMB, False, "compressed"),
        (random.Random(0).randbytes(300_000), False, "300,000 bytes"),
        (b"/etc/passwd", True, "is a link"),
        ("# é\nx = 'é'".encode("latin-1"), False, "is not UTF-8 in line 1"),
        (b"a = 1\nb = '\0'\n", False, "has a zero byte in line 2"),
    ],
)
def test_a_file_is_refused_and_the_others_are_taken(tmp_path, content, link, reason):
    files = {"attention.py": content, "encoder.py": GOOD}
    found = read(pack(tmp_path / "eve.zip", files, ["attention.py"] if link else []), WANTED)
    assert found.files == {"encoder.py": GOOD}
    assert reason in found.faults["attention.py"]


def test_a_folder_is_read_like_a_zip_and_links_are_not_followed(tmp_path):
    folder = tmp_path / "ada"
    (folder / "minbert").mkdir(parents=True)
    (folder / "minbert" / "encoder.py").write_bytes(GOOD)
    (folder / "minbert" / "attention.py").symlink_to("/etc/passwd")
    (folder / "more").symlink_to("/")
    found = read(folder, WANTED)
    assert found.files == {"encoder.py": GOOD}
    assert found.faults == {"attention.py": "attention.py is a link or a device, not a file"}
    assert submission.find(tmp_path) == [folder]


ADAPTER = b"import torch, token\nfrom my_attention import dot as attend\nfrom heads.more import cut\n"
OWN = {"adapter.py": ADAPTER, "my_attention.py": b"    import deeper as d, other\n", "deeper.py": GOOD}


@pytest.mark.parametrize("around", ["", "homework/"])
def test_an_adapter_brings_the_files_that_it_names(tmp_path, around):
    """They stand beside it; a part's file counts in minbert/ only, since the one beside it is the student's own."""
    files = OWN | {"minbert/attention.py": GOOD, "encoder.py": b"mine = 1\n", "unnamed.py": GOOD, "heads/more.py": GOOD}
    files |= {"torch.py": GOOD, "token.py": GOOD, "minbert/adapter.py": GOOD}
    found = read(pack(tmp_path / "ada.zip", {around + name: content for name, content in files.items()}), WANTED)
    assert (found.refused, found.faults) == ("", {})
    assert found.files == {"attention.py": GOOD} | {f"own/{name}": content for name, content in OWN.items()}
    taken = [around + name for name in ("minbert/adapter.py", "token.py", "torch.py")]
    assert found.notes[-1] == f"not taken: {', '.join(taken)}"


def test_an_adapter_alone_is_enough(tmp_path):
    found = read(pack(tmp_path / "ada.zip", OWN | {"attention.py": GOOD}), WANTED)
    assert set(found.files) == {f"own/{name}" for name in OWN}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "files, reason",
    [
        ({"a/adapter.py": b"x", "adapter.py": b"y"}, "there are two files for adapter.py"),
        ({"adapter.py": b"import a", "a.py": [b"x", b"y"]}, "there are two files for a.py"),
        ({"a/adapter.py": b"x", "b/minbert/encoder.py": b"y"}, "the files are in several folders"),
        (
            {"adapter.py": b"import m1", **{f"m{at}.py": b"import m%d" % (at + 1) for at in range(99)}},
            "more than 50 files",
        ),
    ],
)
def test_what_is_refused_of_an_adapter(tmp_path, files, reason):
    found = read(pack(tmp_path / "eve.zip", files), WANTED)
    assert reason in found.refused
    assert found.files == {}


def test_an_adapter_that_cannot_be_read_is_a_fault_of_its_own(tmp_path):
    found = read(pack(tmp_path / "eve.zip", OWN | {"my_attention.py": b"\xff", "minbert/encoder.py": GOOD}), WANTED)
    assert found.files == {"own/adapter.py": ADAPTER, "encoder.py": GOOD}
    assert "is not UTF-8" in found.faults["own/my_attention.py"]


def test_many_names_of_files_that_are_not_there_are_passed_over():
    lines = b"".join(b"import a%d\n" % at for at in range(9_999))
    asked = []
    assert adapter.travelling({"adapter.py", "a7.py"}, lambda name: asked.append(name) or lines).keys() == set(asked)
    assert sorted(asked) == ["a7.py", "adapter.py"]


def test_import_lines_are_found_without_parsing():
    """A grader must not parse what strangers wrote: "(" 150,000 times, or a word without an end, is only text."""
    source = b"import a.b as c, d\nfrom e.f import g\n    import h\nx = 1; import no\nfrom . import no\n# import no\n"
    assert adapter.imported(source) == {"a", "d", "e", "h"}
    assert adapter.imported(b"\xef\xbb\xbfimport a\r\nimport b\r\n") == {"a", "b"}
    for odd in (b"import " + b"(" * 150_000, b"from " + b"a" * 150_000, b"import" + b" " * 150_000, b"\xff\nimport a"):
        assert len(adapter.imported(odd)) <= 1


def test_no_zip_is_too_damaged_to_be_answered(tmp_path):
    """Bytes are changed, cut out and repeated; each zip is read, or refused with a reason."""
    files = {
        "minbert/attention.py": GOOD * 50,
        "minbert/encoder.py": GOOD,
        "adapter.py": b"import more\n" * 9,
        "more.py": GOOD,
        "handout.json": b'{"name": "a", "kit": "b"}',
    }
    whole = pack(tmp_path / "good.zip", files).read_bytes()
    draw, path, refused = random.Random(0), tmp_path / "bad.zip", 0
    for _ in range(10_000 if ALL else 300):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 8)):
            at, size = draw.randrange(len(content)), draw.randint(1, 30)
            change = draw.randrange(4)
            if change == 0:
                content[at : at + size] = draw.randbytes(size)
            elif change == 1:
                del content[at : at + size]
            elif change == 2:
                content[at:at] = content[at : at + size]
            else:
                content[at] = draw.choice((0, 255, 1, 128))
            content = content or bytearray(b"x")
        path.write_bytes(content)
        found = read(path, WANTED)
        assert isinstance(found, Submission)
        allowed = WANTED | {"own/adapter.py", "own/more.py"}
        assert bool(found.refused) or found.files.keys() | found.faults.keys() <= allowed
        assert sum(map(len, found.files.values())) <= submission.WHOLE
        refused += bool(found.refused or found.faults)
    assert refused > 100


def test_a_good_zip_says_which_kit_it_was_made_with(tmp_path):
    files = {"minbert/attention.py": GOOD, "handout.json": b'{"name": "NLP", "kit": "abc"}'}
    assert read(pack(tmp_path / "ada.zip", files), WANTED).about == {"name": "NLP", "kit": "abc"}
    files["handout.json"] = b"[" * 50_000
    assert read(pack(tmp_path / "ada.zip", files), WANTED).about == {}
