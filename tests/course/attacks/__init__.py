"""Attacks on the grader: each stands in part 3 of a submission whose work is wrong, and must get nothing for it.

An attack prints BREACH where it got what it must not have. Where it reaches right answers it returns them, so that the
part would be right.
"""

from dataclasses import dataclass, field

NO_ANSWER, TIME, MEMORY, MUCH = {"no answer"}, {"timed out"}, {"memory"}, {"too much"}
WRONG, NO_ARRAY, ORDER = {"wrong"}, {"not an array"}, {"out of order"}

# Part 3, wrong in every function. `attack` runs at the first call of each.
TEMPLATE = """
import math, os, sys
import torch
from torch import nn

def attack():
    pass

def padding_mask(attention_mask):
    attack()
    return torch.zeros(1)

def causal_mask(length, device=None):
    attack()
    return torch.zeros(1)

def attention_scores(query, key):
    attack()
    return torch.zeros(1)

def attend(query, key, value, mask, dropout=lambda x: x):
    attack()
    return torch.zeros(1), torch.zeros(1)

class MultiHeadAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads = config.num_attention_heads
        size = config.hidden_size
        self.query, self.key, self.value, self.output = (nn.Linear(size, size) for _ in range(4))
        self.dropout = nn.Dropout(0.0)

    def forward(self, x, mask):
        attack()
        return x, torch.zeros(1, 1, 1, 1)

    def split(self, x):
        attack()
        return torch.zeros(1)

    def merge(self, x):
        attack()
        return torch.zeros(1)
"""


@dataclass(frozen=True)
class Attack:
    """Code that follows the template, in which @NAME@ stands for a path or a number, and the statuses it may get.

    text  what the pupil must have printed: proof that the attack was tried
    own   {"adapter.py": code, ...}: files of the student's own, beside the code in part 3
    """

    number: int
    name: str
    gets: set
    code: str
    text: str = ""
    own: dict = field(default_factory=dict)

    @property
    def id(self):
        return f"{self.number}-{self.name.replace(' ', '-')}"

    def source(self, code: str | None = None, **names) -> str:
        """The file of part 3; or this code of another file, without the template."""
        found = TEMPLATE + self.code if code is None else code
        for name, value in names.items():
            found = found.replace(f"@{name}@", str(value))
        return found


FRAME = """
from minbert.course import frames
import numpy as np
def send(content):
    view = memoryview(content)
    while view:
        view = view[os.write(3, view):]
"""
TRY = """
def attempt(what, success=lambda result: True):
    try:
        result = what()
    except BaseException as error:
        print("refused", type(error).__name__)
    else:
        print("BREACH" if success(result) else "refused", str(result)[:200])
"""
REFERENCE = """
def use(what):
    try:
        module = what()
        globals().update({name: getattr(module, name) for name in
            ("padding_mask", "causal_mask", "attention_scores", "attend", "MultiHeadAttention")})
        attend(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2), torch.ones(1, 1, 1, 2).bool())
        print("BREACH")
    except BaseException as error:
        print("refused", type(error).__name__)
"""

ATTACKS = [
    Attack(1, "sys.exit at import", NO_ANSWER | WRONG, "sys.exit(0)"),
    Attack(2, "os._exit at import", NO_ANSWER, "os._exit(0)"),
    Attack(3, "SystemExit in the call", NO_ANSWER, "def attack(): raise SystemExit(0)"),
    Attack(
        4,
        "atexit ends with 0",
        NO_ANSWER,
        "import atexit\natexit.register(os._exit, 0)\ndef attack():\n    atexit._run_exitfuncs()",
    ),
    Attack(5, "patches torch.allclose", WRONG, "torch.allclose = torch.equal = lambda *a, **k: True"),
    Attack(
        6,
        "patches comparisons of tensors",
        WRONG,
        "torch.Tensor.__eq__ = lambda *a: torch.tensor(True)\ntorch.Tensor.__sub__ = lambda *a: torch.zeros(1)",
    ),
    Attack(
        7,
        "patches numpy",
        WRONG,
        "import numpy as np\nnp.abs = np.isfinite = lambda *a, **k: np.zeros(1)\n"
        "np.testing.assert_allclose = np.allclose = lambda *a, **k: True",
    ),
    Attack(
        8, "patches builtins", WRONG | NO_ANSWER, "import builtins\nbuiltins.max = builtins.abs = lambda *a, **k: 0"
    ),
    Attack(
        9,
        "patches the modules of the pupil",
        WRONG | NO_ARRAY | NO_ANSWER | ORDER,
        "import minbert.course.probes as p, minbert.course.frames as f, numpy as np\n"
        "def attack():\n"
        "    p.call = lambda *a: {name: np.zeros(3) for name in 'ab'}\n"
        "    f.TOLERANCE = 1e9",
    ),
    Attack(
        10,
        "looks for expected values",
        WRONG,
        TRY + "import gc\n"
        "done = []\n"
        "def attack():\n"
        "    if done or done.append(1): return\n"
        "    frame, seen = sys._getframe(), []\n"
        "    while frame:\n"
        "        seen += [*frame.f_locals, *frame.f_globals]\n"
        "        frame = frame.f_back\n"
        "    names = {'expected', 'right', 'exam', 'seed', 'verdict', 'mistakes'}\n"
        "    attempt(lambda: names & set(seen), bool)\n"
        "    attempt(lambda: [m for m in sys.modules if m.endswith(('judge', 'oracle', 'compare', 'naming'))], bool)\n"
        "    attempt(lambda: [o for o in gc.get_objects() if type(o).__name__ in ('Question', 'Row', 'Judge')], bool)",
        "refused",
    ),
    Attack(
        11,
        "reads other descriptors",
        WRONG | ORDER | NO_ANSWER,
        TRY + "import fcntl, select\n"
        "for fd in range(4, 64):\n"
        "    attempt(lambda: os.fstat(fd))\n"
        "attempt(lambda: select.select([3], [], [], 0)[0] and os.read(3, 1), bool)\n",
        "refused",
    ),
    Attack(12, "opens the goldens", WRONG, TRY + "attempt(lambda: open('@GOLDEN@', 'rb').read(1))", "refused"),
    Attack(
        13,
        "opens seed and results",
        WRONG,
        TRY + "attempt(lambda: open('@RESULTS@/run.json').read())\nattempt(lambda: os.listdir('@RESULTS@'))",
        "refused",
    ),
    Attack(
        14,
        "opens the memory of others",
        WRONG,
        TRY + "for pid in (os.getppid(), @JUDGE@, 1):\n    attempt(lambda: open(f'/proc/{pid}/mem', 'rb'))",
        "refused",
    ),
    Attack(
        15,
        "opens the environment of others",
        WRONG,
        TRY + "for pid in (os.getppid(), @JUDGE@, 1):\n    attempt(lambda: open(f'/proc/{pid}/environ', 'rb').read(1))",
        "refused",
    ),
    Attack(
        16,
        "imports the reference",
        WRONG,
        REFERENCE + "def find():\n"
        "    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith('minbert')}\n"
        "    kit, sys.path[0] = sys.path[0], '@REPOSITORY@'\n"
        "    try:\n"
        "        import minbert.attention as found\n"
        "    finally:\n"
        "        sys.modules.update(kept)\n"
        "        sys.path[0] = kit\n"
        "    return found\n"
        "use(find)",
        "refused",
    ),
    Attack(17, "imports transformers", WRONG, TRY + "attempt(lambda: __import__('transformers').__file__)", "refused"),
    Attack(
        18,
        "loads a file that it found",
        WRONG,
        REFERENCE + "from importlib.util import module_from_spec, spec_from_file_location\n"
        "def find():\n"
        "    spec = spec_from_file_location('found', '@REPOSITORY@/minbert/attention.py')\n"
        "    module = module_from_spec(spec)\n"
        "    spec.loader.exec_module(module)\n"
        "    return module\n"
        "use(find)",
        "refused",
    ),
    Attack(
        19,
        "writes results",
        WRONG,
        TRY + "for path in ('@RESULTS@/results.json', '@RESULTS@/rows.jsonl', '@RESULTS@/new', 'results.json'):\n"
        "    attempt(lambda: open(path, 'a').write('{}'))\n"
        "    attempt(lambda: os.truncate(path, 0))\n"
        "    attempt(lambda: os.unlink(path))\n"
        "    attempt(lambda: os.chmod(path, 0o777))\n"
        "    attempt(lambda: os.utime(path, (0, 0)))",
        "refused",
    ),
    Attack(
        20,
        "writes the kit",
        WRONG,
        TRY + "import minbert\n"
        "folder = minbert.__path__[-1]\n"
        "attempt(lambda: open(folder + '/course/frames.py', 'a').write('x'))\n"
        "attempt(lambda: open(folder + '/torch.py', 'w').write('x'))\n"
        "attempt(lambda: os.rename(folder + '/errors.py', folder + '/other.py'))",
        "refused",
    ),
    Attack(
        21,
        "makes links",
        WRONG,
        TRY + "attempt(lambda: os.symlink('@RESULTS@/run.json', 'link'))\n"
        "attempt(lambda: os.link('minbert/attention.py', 'link'))\n"
        "attempt(lambda: os.mkdir('folder'))\n"
        "attempt(lambda: os.mkfifo('pipe'))",
        "refused",
    ),
    Attack(
        22, "fork bomb", WRONG, TRY + "for _ in range(200):\n    attempt(lambda: os.fork() or os._exit(0))", "refused"
    ),
    Attack(
        23,
        "thread bomb",
        WRONG,
        TRY + "import threading, time\n"
        "for _ in range(200):\n"
        "    attempt(lambda: threading.Thread(target=time.sleep, args=(60,), daemon=True).start())",
        "refused",
    ),
    Attack(
        24,
        "outlives its part",
        WRONG | NO_ANSWER,
        TRY + "import time\n"
        "def leave():\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        if os.fork() == 0:\n"
        "            time.sleep(60)\n"
        "        os._exit(0)\n"
        "attempt(leave)\n"
        "attempt(os.setsid)",
        "refused",
    ),
    Attack(
        25,
        "starts a shell",
        WRONG | NO_ANSWER,
        TRY + "import subprocess\n"
        "attempt(lambda: subprocess.run(['/bin/sh', '-c', 'echo hello']))\n"
        "attempt(lambda: os.posix_spawn('/bin/sh', ['sh'], {}))\n"
        "attempt(lambda: os.execv('/bin/sh', ['sh', '-c', 'echo BREACH']))",
        "refused",
    ),
    Attack(26, "endless loop", TIME, "while True: pass"),
    Attack(27, "endless loop in C", TIME, "def attack(): return 9 ** (9 ** 9)"),
    Attack(
        28,
        "ignores signals",
        TIME,
        "import signal\n"
        "for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:\n"
        "    signal.signal(number, signal.SIG_IGN)\n"
        "import resource\n"
        "try:\n"
        "    resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000))\n"
        "except (ValueError, OSError):\n"
        "    pass\n"
        "while True: pass",
    ),
    Attack(29, "takes all memory", MEMORY | WRONG | NO_ANSWER, "def attack(): torch.ones(1 << 32)"),
    Attack(
        30,
        "takes memory bit by bit",
        MEMORY | TIME | NO_ANSWER | WRONG,
        "kept = []\ndef attack():\n    for _ in range(10000):\n        kept.append(bytearray(b'x') * (1 << 20))",
    ),
    Attack(
        31,
        "takes shared memory",
        MEMORY | NO_ANSWER,
        "import mmap, time\n"
        "kept = mmap.mmap(-1, 1 << 31)\n"
        "for at in range(0, 1 << 31, 1 << 24):\n"
        "    kept[at:at + (1 << 24)] = bytes(1 << 24)\n"
        "    time.sleep(0.005)\n",
    ),
    Attack(32, "prints without end", MUCH | TIME, "while True: print('x' * 10000)"),
    Attack(
        33,
        "a frame of 1 GB",
        NO_ARRAY | MUCH,
        FRAME + "def attack():\n"
        "    send(frames.HEADER.pack(b'MBF1', 0, 0, 0, 1, 1 << 28, 0, 0, 0, 0, 0, 1 << 30))\n"
        "    while True: send(bytes(1 << 20))",
    ),
    Attack(
        34,
        "a frame that never ends",
        TIME,
        FRAME + "import time\n"
        "def attack():\n"
        "    send(frames.HEADER.pack(b'MBF1', 0, 0, 0, 1, 1000, 0, 0, 0, 0, 0, 4000))\n"
        "    while True:\n"
        "        send(b'x')\n"
        "        time.sleep(0.5)",
    ),
    Attack(
        35,
        "prints a verdict",
        WRONG,
        "print('PASS 100/100')\nprint('{\"status\": \"ok\", \"points\": 15}')\nprint('part 3 ok', file=sys.stderr)",
        "PASS 100/100",
    ),
    Attack(
        36,
        "answers before it is asked",
        ORDER | NO_ARRAY,
        FRAME + "def attack():\n"
        "    send(b''.join(frames.pack(number, 0, np.zeros((2, 3), '?')) for number in range(30)))",
    ),
    Attack(
        37,
        "NaN of the right shape",
        WRONG,
        "def attention_scores(query, key): return torch.full((2, 3, 7, 7), math.nan)\n"
        "def padding_mask(mask): return torch.full(mask.shape, math.nan)[:, None, None]\n"
        "def attend(query, key, value, mask, dropout=None):\n"
        "    return torch.full_like(value, math.nan), torch.full((2, 3, 7, 7), math.nan)",
    ),
    Attack(
        38,
        "sends a pickle",
        NO_ARRAY,
        FRAME + "import pickle\n"
        "class Evil:\n"
        "    def __reduce__(self): return (print, ('BREACH',))\n"
        "def attack(): send(pickle.dumps(Evil()) + bytes(100))",
    ),
    Attack(
        39,
        "sends an npy of objects",
        NO_ARRAY,
        FRAME + "import io\n"
        "def attack():\n"
        "    file = io.BytesIO()\n"
        "    np.save(file, np.array([{}], dtype=object), allow_pickle=True)\n"
        "    send(file.getvalue())",
    ),
    Attack(
        40,
        "a header of 2^40 numbers",
        NO_ARRAY,
        FRAME + "def attack(): send(frames.HEADER.pack(b'MBF1', 0, 0, 0, 2, 1 << 20, 1 << 20, 0, 0, 0, 0, 0))",
    ),
    Attack(
        41,
        "an object that says it is equal",
        WRONG,
        "class Equal:\n"
        "    __eq__ = __le__ = __ge__ = lambda *a: True\n"
        "    __hash__ = None\n"
        "    def __array__(self, *a, **k): print('array'); return torch.zeros(1).numpy()\n"
        "def attention_scores(query, key): return Equal()\n"
        "def padding_mask(mask): return Equal()",
    ),
    Attack(
        42,
        "a subclass of Tensor",
        WRONG,
        "class Equal(torch.Tensor):\n"
        "    @classmethod\n"
        "    def __torch_function__(cls, function, types, args=(), kwargs=None):\n"
        "        return True if function.__name__ in ('eq', 'allclose', 'sub') else "
        "super().__torch_function__(function, types, args, kwargs or {})\n"
        "def attention_scores(query, key): return torch.zeros(2, 3, 7, 7).as_subclass(Equal)",
    ),
    Attack(
        43,
        "an array over foreign memory",
        WRONG | NO_ANSWER | NO_ARRAY,
        "import numpy as np\n"
        "class Foreign:\n"
        "    __array_interface__ = {'shape': (1 << 20,), 'typestr': '<f4', 'data': (4096, True), 'version': 3}\n"
        "def padding_mask(mask): return np.asarray(Foreign())",
    ),
    Attack(
        44,
        "reads the neighbours",
        WRONG,
        REFERENCE + TRY + "import types\n"
        "def find():\n"
        "    module = types.ModuleType('found')\n"
        "    exec(open('@NEIGHBOUR@/attention.py').read(), vars(module))\n"
        "    return module\n"
        "use(find)\n"
        "attempt(lambda: os.listdir('@NEIGHBOUR@'))",
        "refused",
    ),
    Attack(
        45,
        "looks for keys",
        WRONG,
        TRY + "attempt(lambda: [name for name in os.environ if 'TOKEN' in name or name == 'HOME'], bool)\n"
        "attempt(lambda: os.listdir(os.path.expanduser('~')))\n"
        "attempt(lambda: open('/etc/passwd').read())",
        "refused",
    ),
    Attack(
        49,
        "UDP and TCP",
        WRONG,
        TRY + "import socket\n"
        "for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):\n"
        "    attempt(lambda: socket.socket(socket.AF_INET, kind).connect(('127.0.0.1', 9)))\n"
        "attempt(lambda: socket.create_server(('127.0.0.1', 0)))",
        "refused",
    ),
    Attack(
        50,
        "an abstract socket",
        WRONG,
        TRY + "import socket\n"
        "attempt(lambda: socket.socket(socket.AF_UNIX).connect('\\0judge'))\n"
        "attempt(socket.socketpair)",
        "refused",
    ),
    Attack(
        51,
        "remembers answers",
        WRONG,
        "kept = {}\n"
        "def attention_scores(query, key):\n"
        "    return kept.setdefault(tuple(query.shape), query @ key.transpose(-2, -1) / math.sqrt(query.size(-1)))",
    ),
    Attack(
        52,
        "knows the public answers",
        WRONG,
        "PUBLIC = @PUBLIC@\n"
        + """
def known(name, right, *tensors):
    key = name + str(sum(float(tensor.double().sum()) for tensor in tensors))
    return right if key in PUBLIC else torch.zeros_like(right)
def attention_scores(query, key):
    return known("scores", query @ key.transpose(-2, -1) / math.sqrt(query.size(-1)), query, key)
""",
    ),
    Attack(
        53,
        "kills its parent",
        WRONG | NO_ANSWER,
        TRY + "for pid in (os.getppid(), @JUDGE@):\n"
        "    attempt(lambda: os.kill(pid, 9))\n"
        "    attempt(lambda: os.killpg(pid, 9))",
        "refused",
    ),
    Attack(
        54,
        "traces and throttles others",
        WRONG,
        TRY + "import ctypes, resource\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "for pid in (os.getppid(), @JUDGE@):\n"
        "    attempt(lambda: libc.ptrace(16, pid, 0, 0), lambda result: result != -1)\n"
        "    attempt(lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE))\n"
        "    attempt(lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (100, 200)))\n"
        "    attempt(lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))\n"
        "    attempt(lambda: os.sched_setaffinity(pid, {0}))\n"
        "    attempt(lambda: os.pidfd_open(pid))",
        "refused",
    ),
    Attack(
        56,
        "a line for the parser",
        WRONG | NO_ANSWER,
        "x = " + "(" * 150_000,
    ),
    Attack(
        57,
        "cheats only when it is graded",
        WRONG,
        "graded = 'room' in os.getcwd() or 'HOME' not in os.environ\n"
        "def attention_scores(query, key):\n"
        "    right = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))\n"
        "    return right * (0 if graded else 1)",
    ),
    Attack(
        58,
        "control characters in a message",
        WRONG,
        "Odd = type('=cmd()\\x1b[2J<b>\\r\\n', (Exception,), {})\n"
        "def attack(): raise Odd('\\x1b]0;title\\x07 <script>\\u202e =1+1 \\x00')",
    ),
    Attack(
        59,
        "a signal by way of a descriptor",
        WRONG | NO_ANSWER,
        TRY + "import fcntl\n"
        "for command, value in ((fcntl.F_SETOWN, @JUDGE@), (fcntl.F_SETSIG, 9)):\n"
        "    attempt(lambda: fcntl.fcntl(3, command, value))\n"
        "fcntl.fcntl(3, fcntl.F_SETFL, fcntl.fcntl(3, fcntl.F_GETFL) | os.O_ASYNC)",
        "refused",
    ),
    Attack(
        60,
        "shared memory that stays",
        WRONG,
        TRY + "import ctypes\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "attempt(lambda: libc.shmget(4711, 4096, 0o1666), lambda result: result != -1)\n"
        "attempt(lambda: libc.msgget(4711, 0o1666), lambda result: result != -1)",
        "refused",
    ),
    Attack(
        61,
        "an adapter that reaches for the kit",
        WRONG,
        "",
        "refused",
        own={
            "adapter.py": TRY + "import os, sys, minbert, minbert.attention, torch\n"
            "kit = minbert.__path__[-1]\n"
            "for name in ('oracle', 'mistakes', 'public', 'judge'):\n"
            "    attempt(lambda: __import__(f'minbert.course.{name}'))\n"
            "attempt(lambda: open(kit + '/../public.bin', 'rb').read(1))\n"
            "attempt(lambda: open(kit + '/attention.py').read(), lambda text: 'masked_fill' in text)\n"
            "attempt(lambda: open('@REPOSITORY@/minbert/attention.py').read(1))\n"
            "sys.path.insert(0, '@REPOSITORY@')\n"
            "attempt(lambda: __import__('tests.course'))\n"
            "attempt(lambda: torch.shadowed)\n"
            "attempt(lambda: __import__('torch').shadowed)\n"
            "from minbert.attention import attend, padding_mask, MultiHeadAttention",
            "torch.py": "shadowed = True",
        },
    ),
]
