"""Shared by the benchmarks: the collection they run on, and the cost of a process."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
SAMPLE = ROOT / "splade_connectors" / "sample"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished process.

    Attributes:
        output: what it wrote to stdout.
        wall_s: wall time, in seconds.
        cpu_s: user and system time in seconds, including its children.
        peak_mib: peak resident set, in MiB.
    """

    output: str
    wall_s: float
    cpu_s: float
    peak_mib: float


def run(command: Sequence[str]) -> Run:
    """Run a process to its end and measure it; exit if it fails.

    The kernel measures this one process: `resource.RUSAGE_CHILDREN` would give the largest of all
    so far.
    """
    begun = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout
        with process.stdout:
            output = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            sys.exit(f"{' '.join(command)}\nended with {process.returncode}:\n{errors.read()}")
    return Run(
        output=output,
        wall_s=time.perf_counter() - begun,
        cpu_s=used.ru_utime + used.ru_stime,
        peak_mib=_mib(used),
    )


def _mib(used: resource.struct_rusage) -> float:
    # Linux counts in KiB, macOS in bytes.
    return used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def machine() -> dict[str, object]:
    """Describe processor and versions, without the name of a host, a user or a path."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    known = {key.strip(): value.strip() for key, _, value in (row.partition(":") for row in lines)}
    wanted = ("fma", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8", "asimddp", "i8mm")
    flags = (known.get("flags") or known.get("Features") or "").split()
    versions = {}
    for package in ("splade-kernels", "onnxruntime", "torch", "sentence-transformers"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "processor": known.get("model name", platform.processor()),
        "cores": len(os.sched_getaffinity(0)),
        "flags": [flag for flag in wanted if flag in flags],
        "load": round(os.getloadavg()[0], 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
    }


_LIMITS = """
import json, splade_kernels
found = splade_kernels.limits(seconds=0.3)
busy = splade_kernels.limits(seconds=0.3, cpu_time=True)
print(json.dumps({"int8": found.int8, "fp32": found.fp32, "int8_cpu": busy.int8 / busy.threads}))
"""


def limits() -> dict[str, float]:
    """Measure the products of bare loops in a separate process; 0 if unknown.

    `int8` and `fp32` are per second with all threads; `int8_cpu` is per second of CPU time, which
    other work on the machine does not change.
    """
    import importlib.util

    if importlib.util.find_spec("splade_kernels") is None:
        return {"int8": 0.0, "fp32": 0.0, "int8_cpu": 0.0}
    measured: dict[str, float] = json.loads(run([sys.executable, "-c", _LIMITS]).output)
    return measured


def save(file: Path, result: dict[str, object]) -> None:
    """Write numbers to a file, as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def command_line(*arguments: str) -> list[str]:
    """The command `splade-connectors …` that is installed beside this Python."""
    return [str(Path(sys.executable).with_name("splade-connectors")), *arguments]


def beir_folder() -> Path:
    """The folder `$SPLADE_SCIFACT`, or that of the project's CI, or the sample collection."""
    given = os.environ.get("SPLADE_SCIFACT")
    folder = Path(given) if given else SHARED / "data" / "scifact"
    return folder if given or (folder / "corpus.jsonl").is_file() else SAMPLE


def weights_folder() -> Path:
    """The folder `$SPLADE_TINY`, or that of the project's CI: the bundled model's weights."""
    return Path(os.environ.get("SPLADE_TINY", SHARED / "models" / "splade-tiny"))


def texts(path: Path, count: int) -> list[str]:
    """The first texts of a BEIR file, title and text joined, repeated if there are too few."""
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]
    found = [f"{row.get('title', '')} {row['text']}".strip() for row in rows]
    return [found[at % len(found)] for at in range(count)]
