"""Show what this machine has, what was measured on it, and which way of computing is chosen. It takes a few seconds.

    minbert doctor                                          a table, with a verdict on each line
    minbert doctor --json                                   the same for programs

Where two ways give the same results, minbert times both on one small layer and takes the faster one. The other lines
say what a run would meet here: whether the CPU and the GPU compute correctly, what the slower precisions cost, how
memory is taken, and whether the model, the data and the packages that minbert needs are there.

"float32" is how matrices are multiplied, in training above all; "reading" is how the layers of an encoder predict.

To fix a choice, so that another run computes the same to the last bit: MINBERT_LINEAR=torch, or MINBERT_LINEAR=onednn,
in the environment; for prediction also MINBERT_READING=plain, or MINBERT_READING=packed. A run of training records what
it used in run.json, and a resumed run goes on with it.

Exit status: 0 all is well, 2 something is broken; its line says what.
"""

import json
import os
import platform
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from minbert.commands import common
from minbert.errors import UserError

SIZE = 768  # numbers per token, as in bert-base, of the layer on which precisions are compared
UNKNOWN = "not measured"
CPUINFO = Path("/proc/cpuinfo")
QUOTAS = Path("/sys/fs/cgroup/cpu.max")
# Of x86 and ARM: what /proc/cpuinfo calls it, and its name. Those that matter for speed.
INSTRUCTIONS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx_vnni": "VNNI (8 bits)",
    "avx512_vnni": "VNNI (8 bits)",
    "amx_int8": "AMX (8 bits)",
    "avx512_bf16": "bfloat16",
    "amx_bf16": "AMX (bfloat16)",
    "asimddp": "dot products (8 bits)",
    "i8mm": "matrices (8 bits)",
    "bf16": "bfloat16",
    "sve": "SVE",
}
PACKAGES = ("torch", "numpy", "safetensors", "huggingface_hub", "scikit-learn", "tqdm", "filelock")


def flags(parser):
    parser.add_argument("--json", action="store_true", help="print JSON: ok, kernels, and the lines of each part")


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    json: bool


@dataclass(frozen=True)
class Line:
    """What was found about one thing. `broken`: minbert, or what was asked, would fail here."""

    name: str
    found: str
    verdict: str
    broken: bool = False


def check(args):
    return Job(args.json)


def run(job):
    """Look at each part, show it, and raise UserError if something is broken."""
    from minbert.fast import measure
    from minbert.fast.memory import retain_freed_memory

    retain_freed_memory()
    parts = {"machine": machine, "memory": memory, "kernels": kernels, "GPU": gpu, "files": files, "packages": packages}
    found = {}
    for title, look in parts.items():
        found[title] = look()
        if not job.json:
            show(title, found[title])
    broken = [line for lines in found.values() for line in lines if line.broken]
    if job.json:
        lines = {title: [asdict(line) for line in lines] for title, lines in found.items()}
        print(json.dumps({"ok": not broken, "kernels": measure.choices(), "parts": lines}, indent=1))
    if broken:
        raise UserError(f"broken here: {'; '.join(f'{line.name}: {line.verdict}' for line in broken)}")


def show(title, lines):
    """Print a part of the table."""
    print(title)
    for line in lines:
        verdict = f"BROKEN: {line.verdict}" if line.broken else line.verdict
        print(f"  {line.name:16} {line.found:38} {verdict}".rstrip(), flush=True)


# The parts


def machine():
    """The processor, the threads, and what else runs."""
    import torch

    cores, threads = usable_cores(), torch.get_num_threads()
    if threads > cores:
        verdict = f"too many: OMP_NUM_THREADS={cores} would be faster"
    else:
        verdict = "as many as there are cores" if threads == cores else "fewer than cores; OMP_NUM_THREADS sets it"
    processor, instructions = describe_processor()
    lines = [
        Line("system", f"{platform.system()} {platform.release().split('-')[0]}, {platform.machine()}", ""),
        Line("processor", processor, f"has {', '.join(instructions)}" if instructions else "instructions not known"),
        Line("threads", f"{threads}, for {cores} cores", verdict),
    ]
    if hasattr(os, "getloadavg"):
        load = os.getloadavg()[0]
        busy = "other programs are running: times are less sure" if load > cores / 2 else "quiet: times can be trusted"
        lines.append(Line("load", f"{load:.1f}", busy))
    versions = re.findall(r"(?:Math Kernel Library Version|MKL-DNN v)\s*(\d[\d.]*)", torch.__config__.show())
    libraries = "".join(f"{name} {version}, " for name, version in zip(("MKL", "oneDNN"), versions))
    lines.append(Line("torch", torch.__version__, f"{libraries}for {torch.backends.cpu.get_cpu_capability()}"))
    return lines


def kernels():
    """Which kernel and which precision is the faster one here, and whether the results are right."""
    import torch
    from torch import nn
    from torch.nn import functional

    from minbert.fast import linear, measure, reading
    from minbert.fast.dropout import Dropout
    from minbert.fast.linear import Linear
    from minbert.runs import precision

    lines = [choice("float32", linear.KERNEL, "is used"), choice("reading", reading.KERNEL, "predicts")]
    if any(line.broken for line in lines):
        return lines
    packed = reading.KERNEL.chosen == "packed"
    layer = nn.utils.skip_init(Linear, SIZE, SIZE)
    layer.weight.data, layer.bias.data = measure.example(SIZE, SIZE), measure.example(SIZE)
    for name, advice in (("int8", "--precision int8 goes on in fp32"), ("bf16", "leave --precision bf16 out")):
        seconds = precision.layer_times(layer, name, packed)
        slower = seconds[name] / seconds["fp32"]
        if measure.fastest(seconds, name) == "fp32":
            verdict = f"{slower:.1f} times slower than fp32: {advice}"
        else:
            verdict = f"{1 / slower:.1f} times as fast as fp32"
        lines.append(Line(name, times(seconds), verdict))
    x, layer = measure.example(256, SIZE), Dropout(0.1)
    with torch.random.fork_rng(devices=[]):
        seconds = measure.race({"torch": lambda: functional.dropout(x, 0.1), "minbert": lambda: layer(x)})
    lines.append(
        Line("dropout", times(seconds), f"{seconds['torch'] / seconds['minbert']:.1f} times as fast as torch's")
    )
    for name in ("fp32", "bf16"):
        lines.append(self_test(f"{name} results", "cpu", name))
    return lines


def choice(name, kernel, verb):
    """What was measured of a measure.Choice, and what it is: "onednn is used"."""
    from minbert.fast import measure

    try:
        kernel.get()
    except UserError as error:
        return Line(name, UNKNOWN, str(error), broken=True)
    seconds = kernel.seconds or (measure.race(ways) if len(ways := kernel.ways()) > 1 else {})
    reason = "" if kernel.because == "measured" else f" ({kernel.because})"
    return Line(name, times(seconds) or UNKNOWN, f"{kernel.chosen} {verb}{reason}")


def self_test(name, device, precision):
    """A tiny model, forward, backward and a step of the optimizer, on a device against float64."""
    import torch

    from minbert.runs import selftest

    try:
        selftest.compare(torch.device(device), precision, learns=True)
    except UserError as error:
        return Line(name, "self-test", str(error), broken=True)
    return Line(name, "self-test: a step of a tiny model", "correct")


def memory():
    """What fresh memory costs, and whether torch is spared it."""
    from minbert.fast import memory

    # in this order: memory that is kept would be used again, and show nothing of large pages
    share, kept, costs = memory.in_large_pages(), memory.is_kept(), memory.page_costs()
    ms = {name: f"{1000 * value:.1f} ms" for name, value in costs.items()}
    again = {True: "is kept for the next batch", False: "is given back, and asked for again", None: UNKNOWN}[kept]
    setting = memory.large_pages() or "unknown"
    large = UNKNOWN if share is None else f"torch gets {share:.0%} of a tensor in large pages (Linux: {setting})"
    return [
        Line("freed memory", f"32 MB: new {ms['small']}, kept {ms['again']}" if ms else UNKNOWN, again),
        Line("large pages", f"32 MB: small {ms['small']}, large {ms['large']}" if ms else UNKNOWN, large),
    ]


def gpu():
    """The GPUs, and whether they compute correctly."""
    import torch

    from minbert.runs import selftest

    if torch.cuda.is_available():
        lines = []
        for number in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(number)
            found = f"{facts.name}, {facts.total_memory / 2**30:.0f} GB"
            lines.append(Line(f"cuda:{number}", found, "used unless you say --device cpu" if number == 0 else ""))
            lines += [self_test(f"  {name}", f"cuda:{number}", name) for name in ("fp32", "bf16")]
        return lines
    if torch.backends.mps.is_available():
        return [Line("mps", "Apple GPU", "used unless you say --device cpu"), self_test("  fp32", "mps", "fp32")]
    reason = selftest.unusable_gpu()
    return [Line("GPU", "not usable" if reason else "none", f"{reason or 'everything runs on the CPU'}")]


def files():
    """The model and the texts that come with minbert, and where other models are looked for."""
    from minbert import BertModel, shipped
    from minbert.files.examples import read_examples
    from minbert.weights import hub

    lines = []
    try:
        folder = hub.find("tiny")
        model = BertModel.from_pretrained(folder)
        size = sum(parameter.numel() for parameter in model.parameters())
        lines.append(Line("tiny", short(folder), f"the shipped model: loads, {size:,} parameters"))
    except UserError as error:
        lines.append(Line("tiny", "the shipped model", str(error), broken=True))
    try:
        paths = [shipped.folder("data") / "reviews" / f"{part}.csv" for part in ("train", "dev", "test")]
        counts = " + ".join(str(len(read_examples(path).texts)) for path in paths)
        lines.append(Line("reviews", short(paths[0].parent), f"the shipped texts: {counts} rows"))
    except UserError as error:
        lines.append(Line("reviews", "the shipped texts", str(error), broken=True))
    for folder in dict.fromkeys(hub.checkpoints()):
        names = ", ".join(sorted(path.parent.name for path in folder.glob("*/config.json")))
        lines.append(Line("models in", short(folder), names or "none"))
    here = [name for name, known in hub.KNOWN.items() if downloaded(known)]
    lines.append(Line("downloads in", short(hub.download_cache()), f"of the known models: {', '.join(here) or 'none'}"))
    return lines


def packages():
    """The versions of what minbert needs."""
    from importlib.metadata import PackageNotFoundError, requires, version

    minimum = dict.fromkeys(PACKAGES, "")
    with suppress(PackageNotFoundError, TypeError):  # a clone that was not installed
        wanted = [re.match(r"([\w-]+) *(?:>= *([\d.]+))?", text) for text in requires("minbert") if "extra" not in text]
        minimum = {match[1]: match[2] or "" for match in wanted}
    lines = [Line("python", platform.python_version(), "needed: 3.10 or newer")]
    for name, least in minimum.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            lines.append(Line(name, "missing", f"pip install {name}", broken=True))
            continue
        old = numbers(found) < numbers(least)
        verdict = f"needed: {least} or newer" if least else "any version will do"
        lines.append(Line(name, found, f"too old: pip install '{name}>={least}'" if old else verdict, broken=old))
    return lines


# What they ask


def usable_cores():
    """How many cores this process may use: those it is bound to, and no more than its container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = QUOTAS.read_text().split()
        return max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no container, or "max": no quota
        return cores


def describe_processor():
    """The CPU's name, and its instructions that matter: a list of names."""
    try:
        text = CPUINFO.read_text()
    except OSError:
        return platform.processor() or platform.machine(), []
    name = re.search(r"model name\s*: (.*)", text)
    listed = re.search(r"(?:flags|Features)\s*: (.*)", text)
    words = listed[1].split() if listed else []
    instructions = dict.fromkeys(INSTRUCTIONS[word] for word in INSTRUCTIONS if word in words)
    return name[1] if name else platform.machine(), list(instructions)


def times(seconds):
    """{"torch": 0.001, "onednn": 0.002} -> torch 1 ms, onednn 2 ms"""
    return ", ".join(f"{name} {1000 * value:.3g} ms" for name, value in seconds.items())


def numbers(version):
    """ "2.13.0+cpu" -> [2, 13, 0]"""
    return [int(part) for part in re.match(r"[\d.]*", version)[0].split(".") if part]


def short(path):
    from minbert.runs import report

    return report.short(path)


def downloaded(known):
    """Whether a known model is here, as a package or in the cache of huggingface_hub."""
    from minbert.weights import hub

    try:
        return bool(hub.installed(known, tokenizer_only=False) or hub.cached(known, tokenizer_only=False))
    except UserError:  # damaged
        return False


def main(arguments):
    run(check(common.parse("doctor", __doc__, flags, arguments)))
