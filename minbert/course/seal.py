"""What a process gives up before a student's code runs in it: rights, limits, files, other processes, the network.

Each step says "done", or why it is not possible here. Linux only for the later steps, through `ctypes`; no step needs
root. What Landlock leaves open on purpose (landlock(7), "current limitations": changing the mode, owner, times and
attributes of a file) and what acts on other processes of the same user is refused by the filter.
"""

import ctypes
import os
import platform
import struct
import sys
from pathlib import Path

NOBODY = 65534
LEVELS = ("open", "separated", "sealed")
MEGABYTE = 1 << 20

# Landlock (linux/landlock.h). The kernel's version of it decides which rights it can take away.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
WRITE_FILE, READ_FILE, READ_DIR = 1 << 1, 1 << 2, 1 << 3
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # version: how many kinds of access it knows; 16 from version 5 on

# System calls that are answered by EPERM: linux/unistd.h, by machine. None stands for a call that it does not have.
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
DENIED = {
    # the network and other ways to talk
    "socket": (41, 198),
    "socketpair": (53, 199),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "mq_open": (240, 180),
    "add_key": (248, 217),
    "keyctl": (250, 219),
    # new processes and threads
    "clone": (56, 220),
    "fork": (57, None),
    "vfork": (58, None),
    "clone3": (435, 435),
    "execve": (59, 221),
    "execveat": (322, 281),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "unshare": (272, 97),
    "setns": (308, 268),
    # other processes
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    # files that Landlock does not keep
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "setxattrat": (463, 463),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "inotify_add_watch": (254, 27),
    "fanotify_init": (300, 262),
    # memory that no limit counts, and large doors into the kernel
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
}
# Calls of which some uses are denied: the numbers, which argument is looked at, its values, and whether these alone
# are allowed or these alone are denied. Python reads its own limits by prlimit64 with process 0. A descriptor's owner
# gets a signal that its holder may choose, SIGKILL as well.
LOOKED_AT = {
    "prlimit64": ((302, 261), 0, (0,), "allowed"),
    "fcntl": ((72, 25), 1, (8, 10, 15), "denied"),  # F_SETOWN, F_SETSIG, F_SETOWN_EX
    "ioctl": ((16, 29), 1, (0x8901, 0x8902), "denied"),  # FIOSETOWN, SIOCSPGRP
}


def libc():
    return ctypes.CDLL(None, use_errno=True)


def call(what, *arguments):
    """A system call or a function of libc. Raises OSError."""
    library = libc()
    function = library.syscall if isinstance(what, int) else getattr(library, what)
    arguments = (what, *arguments) if isinstance(what, int) else arguments
    result = function(*(ctypes.c_long(word) if isinstance(word, int) else word for word in arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def seal(readable: list[str], seconds: int = 20, megabytes: int = 400) -> dict[str, str]:
    """Give up what a student's code must not have, for this process and for good.

    readable   files and folders that may still be read, each with what is below
    seconds    of processor time, after which the kernel ends the process
    megabytes  of memory beyond what the process has now
    returns    {step: "done", or why it is not possible here}
    """
    steps = {
        "user": lambda: give_up_root(readable),
        "limits": lambda: limit(seconds),
        "memory": lambda: limit_memory(megabytes),
        "files": lambda: restrict_files(readable),
        "calls": filter_calls,
    }
    done = {}
    for name, step in steps.items():
        try:
            done[name] = step() or "done"
        except (OSError, ValueError, AttributeError, ImportError) as error:
            done[name] = f"not possible here ({getattr(error, 'strerror', None) or error})"
    return done


def level(steps: dict[str, str]) -> str:
    """The level of the seal that these steps make: "sealed", "separated" or "open"."""
    kept = {name for name, what in steps.items() if not what.startswith("not possible")}
    if kept >= {"limits", "memory", "files", "calls"}:
        return "sealed"
    return "separated" if "limits" in kept else "open"


def give_up_root(paths):
    """Become nobody. If nobody may not enter a folder that Python needs, stay, without the rights of root."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "not needed"
    os.setgroups([])
    os.seteuid(NOBODY)
    closed = [path for path in paths if not os.access(path, os.R_OK, effective_ids=True)]
    os.seteuid(0)
    if not closed:
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        return None
    header, nothing = struct.pack("=Ii", 0x20080522, 0), bytes(24)  # version 3; no effective, permitted, inheritable
    call("capset", header, nothing)
    above = next((folder for folder in reversed(Path(closed[0]).parents) if not enterable(folder)), closed[0])
    return f"root without its rights (the user nobody cannot enter {above})"


def enterable(folder):
    """True if every user may look up names in it."""
    try:
        return bool(folder.stat().st_mode & 0o001)
    except OSError:
        return False


def limit(seconds):
    import resource

    for name, most in (("CPU", seconds), ("CORE", 0), ("FSIZE", 0), ("NOFILE", 64), ("NPROC", 0)):
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))


def limit_memory(megabytes):
    """Private memory, by RLIMIT_DATA: torch reserves more addresses than it uses, so that RLIMIT_AS does not fit."""
    import resource

    if not sys.platform.startswith("linux"):
        raise OSError(0, "this system does not keep to limits of memory")
    pages = int(Path("/proc/self/statm").read_text().split()[5])  # of data and stack
    most = pages * resource.getpagesize() + megabytes * MEGABYTE
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def landlock_version() -> int:
    """0 if this kernel has no Landlock."""
    if not sys.platform.startswith("linux"):
        return 0
    try:
        return call(CREATE_RULESET, None, 0, 1)
    except OSError:
        return 0


def restrict_files(readable):
    version = landlock_version()
    if not version:
        raise OSError(0, "the kernel has no Landlock, or it is switched off")
    every = (1 << FILE_RIGHTS.get(version, 16)) - 1
    tcp, scopes = (3 if version >= 4 else 0), (3 if version >= 6 else 0)  # bind, connect; abstract sockets, signals
    attributes = struct.pack("=QQQ", every, tcp, scopes)
    ruleset = call(CREATE_RULESET, attributes, 8 if version < 4 else 16 if version < 6 else 24, 0)
    for path in readable:
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue  # what is not there need not be read
        rights = READ_FILE | (READ_DIR if os.path.isdir(path) else 0) | (WRITE_FILE if path == os.devnull else 0)
        call(ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, opened), 0)
        os.close(opened)
    call("prctl", 38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    call(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def filter_calls():
    """seccomp: a call of DENIED answers EPERM; a call made for another machine ends the process."""
    if not sys.platform.startswith("linux") or platform.machine() not in MACHINES or sys.maxsize < 1 << 32:
        raise OSError(0, f"no filter of system calls is written for {sys.platform} on {platform.machine()}")
    column = list(MACHINES).index(platform.machine())
    numbers = [numbers[column] for numbers in DENIED.values() if numbers[column] is not None]
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    refuse, allow, end = 0x00050001, 0x7FFF0000, 0x80000000  # ERRNO with EPERM, ALLOW, KILL_PROCESS
    program = [(load, 0, 0, 4), (equal, 1, 0, MACHINES[platform.machine()]), (give, 0, 0, end), (load, 0, 0, 0)]
    if column == 0:  # the x32 calls of x86-64 have numbers of their own
        program += [(at_least, 0, 1, 0x40000000), (give, 0, 0, refuse)]
    for of, argument, values, what in LOOKED_AT.values():
        found, other = (refuse, allow) if what == "denied" else (allow, refuse)
        checks = [(equal, len(values) - at, 0, value) for at, value in enumerate(values)]
        block = [(load, 0, 0, 16 + 8 * argument), *checks, (give, 0, 0, other), (give, 0, 0, found)]
        program += [(equal, 0, len(block), of[column]), *block]
    program += [(equal, len(numbers) - at, 0, number) for at, number in enumerate(numbers)]
    program += [(give, 0, 0, allow), (give, 0, 0, refuse)]
    packed = b"".join(struct.pack("=HBBI", *line) for line in program)
    kept = ctypes.create_string_buffer(packed, len(packed))
    address = struct.pack("=H6xQ", len(program), ctypes.addressof(kept))
    call("prctl", 38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    call("prctl", 22, 2, address, 0, 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def hide_memory():
    """Other processes of this user may no longer read this one's memory. Linux; elsewhere nothing happens."""
    if sys.platform.startswith("linux"):
        call("prctl", 4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
