"""What a sealed process can no longer do, step by step: each test forks, seals itself and tries."""

import os
import platform
import subprocess
import sys

import pytest

from minbert.course import kit, seal
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the later steps of the seal are Linux's")

START = """
import ctypes, os, platform, socket, sys
sys.path.insert(0, sys.argv[1])
from minbert.course import kit, seal
def refused(attempt):
    try:
        attempt()
    except OSError as error:
        return error.errno
    return 0
"""


def run(code, *arguments, status=0):
    """Run code in a new process with `seal` and `refused`; returns what it printed."""
    command = [sys.executable, "-c", START + code, ROOT, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    return done.stdout.strip()


def test_the_files_that_are_not_named_cannot_be_read_or_changed(tmp_path):
    if not seal.landlock_version():
        pytest.skip("this kernel has no Landlock")
    (tmp_path / "open").mkdir()
    for name in ("open/a", "b"):
        (tmp_path / name).write_text("x")
    code = """
folder = sys.argv[2]
seal.restrict_files([folder + "/open", "/dev/null", folder + "/missing"])
print(refused(lambda: open(folder + "/open/a").close()), refused(lambda: open("/dev/null", "w").close()))
print(*[refused(attempt) for attempt in (
    lambda: open(folder + "/b").close(),
    lambda: os.listdir(folder),
    lambda: open(folder + "/open/a", "w").close(),
    lambda: os.unlink(folder + "/open/a"),
    lambda: os.rename(folder + "/open/a", folder + "/open/c"),
    lambda: os.mkdir(folder + "/open/d"),
    lambda: os.symlink("a", folder + "/open/e"),
    lambda: os.truncate(folder + "/b", 0),
    lambda: os.execv("/bin/true", ["true"]),
)])
"""
    allowed, denied = run(code, tmp_path).splitlines()
    assert allowed == "0 0"
    assert denied.split() == ["13"] * 9
    assert (tmp_path / "b").read_text() == "x"


CALLS = {
    "socket": "socket.socket()",
    "socketpair": "socket.socketpair()",
    "fork": "os.fork() or os._exit(0)",
    "execve": "os.execv('/bin/true', ['true'])",
    "kill": "os.kill(os.getppid(), 0)",
    "setsid": "os.setsid()",
    "setpriority": "os.setpriority(os.PRIO_PROCESS, 0, 1)",
    "sched_setaffinity": "os.sched_setaffinity(0, {0})",
    "chmod": "os.chmod(sys.argv[2], 0o600)",
    "chown": "os.chown(sys.argv[2], -1, -1)",
    "utimensat": "os.utime(sys.argv[2])",
    "setxattr": "os.setxattr(sys.argv[2], 'user.x', b'')",
    "memfd_create": "os.memfd_create('x')",
    "pidfd_open": "os.pidfd_open(1)",
    "shmget": "sysv(29, 0, 4096, 0o1600)",
    "a descriptor's owner": "fcntl.fcntl(1, fcntl.F_SETOWN, os.getppid())",
    "a descriptor's signal": "fcntl.fcntl(1, fcntl.F_SETSIG, 9)",
    "the owner by ioctl": "fcntl.ioctl(pair.fileno(), 0x8901, struct.pack('i', os.getppid()))",
    "prlimit of another": "resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)",
}


@pytest.mark.skipif(platform.machine() not in seal.MACHINES, reason="no filter is written for this processor")
def test_the_calls_that_are_denied_answer_so(tmp_path):
    """Each works before the filter (or is refused for another reason than EPERM), and none after it."""
    attempts = "\n".join(f"attempts[{name!r}] = lambda: {code}" for name, code in CALLS.items())
    code = f"""
import fcntl, resource, struct
pair, _ = socket.socketpair()
def sysv(number, *arguments):
    if platform.machine() == "x86_64":
        seal.call(number, *arguments)
    else:
        raise PermissionError(1, "")
attempts = {{}}
{attempts}
seal.filter_calls()
for name, attempt in attempts.items():
    print(name, refused(attempt), sep="=")
print("own flags", fcntl.fcntl(1, fcntl.F_GETFD) >= 0)
print("own limits", resource.getrlimit(resource.RLIMIT_NOFILE) == resource.prlimit(0, resource.RLIMIT_NOFILE))
print("threads", refused(lambda: ctypes.CDLL(None).getpid()))
"""
    lines = run(code, tmp_path).splitlines()
    assert lines[: len(CALLS)] == [f"{name}=1" for name in CALLS]
    assert lines[len(CALLS) :] == ["own flags True", "own limits True", "threads 0"]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86-64")
def test_the_numbers_are_the_kernels():
    """Against the headers of the C library, where they are installed."""
    from pathlib import Path

    header = next(Path("/usr/include").rglob("asm/unistd_64.h"), None)
    if header is None:
        pytest.skip("no headers of the kernel are installed")
    known = dict(line.split()[1:3] for line in header.read_text().splitlines() if line.startswith("#define __NR_"))
    ours = {name: both[0] for name, both in seal.DENIED.items()}
    ours |= {name: both[0] for name, (both, *_) in seal.LOOKED_AT.items()}
    numbers = {name: known.get(f"__NR_{name}") for name in ours}
    wrong = {name: number for name, number in numbers.items() if number and int(number) != ours[name]}
    assert wrong == {}
    assert sum(number is not None for number in numbers.values()) > 50


@pytest.mark.skipif(platform.machine() != "x86_64", reason="32-bit calls are x86's")
def test_a_call_of_another_kind_ends_the_process():
    """The x32 calls of x86-64 would go past a filter that only knows the usual numbers."""
    code = """
seal.filter_calls()
library = ctypes.CDLL(None, use_errno=True)
print(library.syscall(0x40000000 + 41, 2, 2, 0), ctypes.get_errno())
"""
    assert run(code) == "-1 1"


def test_memory_is_limited():
    code = """
seal.limit_memory(100)
kept = bytearray(50 << 20)
try:
    more = bytearray(300 << 20)
except MemoryError:
    print("refused")
"""
    assert run(code) == "refused"


def test_the_limits_are_the_hard_ones(tmp_path):
    code = """
import resource
seal.limit(5)
print(resource.getrlimit(resource.RLIMIT_CPU), resource.getrlimit(resource.RLIMIT_NPROC)[1])
try:
    os.write(os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT), b"x")
except OSError:
    print("no file grows")
"""
    assert run(code, tmp_path / "file").splitlines() == ["(5, 5) 0", "no file grows"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give up root")
@pytest.mark.parametrize("paths, user", [(["/"], 65534), (["/nowhere"], 0)])
def test_root_is_given_up(paths, user):
    """Root becomes nobody; where nobody cannot read what Python needs, root stays without its rights."""
    code = f"""
print(seal.give_up_root({paths!r}))
print(os.geteuid())
print(refused(lambda: os.setuid(0) if os.geteuid() else os.chown("/", 1, 1)))
"""
    said, now, again = run(code).splitlines()
    assert int(now) == user and again == "1"
    assert said == "None" if user else said.startswith("root without its rights")


def test_levels():
    done = dict.fromkeys(("user", "limits", "memory", "files", "calls"), "done")
    assert seal.level(done) == "sealed"
    assert seal.level(done | {"user": "not needed"}) == "sealed"
    for name in ("memory", "files", "calls"):
        assert seal.level(done | {name: "not possible here (no)"}) == "separated"
    assert seal.level(done | {"limits": "not possible here (no)"}) == "open"


def test_the_packages_are_named_one_by_one():
    """Never the folder of all packages: the reference, or others' solutions, may be installed beside torch."""
    paths = [*kit.packages("torch", "numpy"), *kit.standard_library()]
    names = {os.path.basename(path) for path in paths}
    assert {"torch", "numpy", "os.py"} <= names
    assert not names & {"site-packages", "dist-packages", "minbert", "transformers", "pytest", "_pytest"}
    assert not any(str(ROOT / "minbert").startswith(path + os.sep) for path in paths)
