"""The processor's capabilities, and the kernels in use."""

from dataclasses import dataclass

from splade_kernels import _native


@dataclass(frozen=True, slots=True)
class Limits:
    """Products per second that bare multiply loops reach here, over all threads."""

    int8: float
    fp32: float
    threads: int
    path: str


def path() -> str:
    """The dispatch path in use: the fastest of this processor that passes its self-check.

    `avx512_vnni`, `avx_vnni`, `avx2`, `neon_dot` or `scalar`. The environment variable
    `SPLADE_KERNELS_PATH` selects another one; it is read once, at the first use.
    """
    return _native.path()


def paths() -> list[str]:
    """The dispatch paths of this processor, fastest first."""
    return _native.paths()


def self_check(path: str) -> bool:
    """Whether a path's integers and floats equal those of the scalar path bit for bit."""
    return _native.self_check(path)


def cpu_features() -> list[str]:
    """The relevant instruction sets of this processor."""
    return _native.cpu_features()


def threads() -> int:
    """The default number of threads.

    The number of processors that affinity and the cgroup allow this process, and at most
    `OMP_NUM_THREADS`.
    """
    return _native.default_threads()


def limits(
    threads: int | None = None,
    *,
    seconds: float = 0.1,
    path: str | None = None,
    cpu_time: bool = False,
) -> Limits:
    """Measure the machine's own limits: two loops of `seconds` each on every thread.

    int8 measures `vpdpbusd` if the path has it; on `avx2`, two `vpmaddubsw`, `vpaddw`, `vpmaddwd`
    and `vpaddd` for 64 products; on `neon_dot`, `sdot`. fp32 measures fused multiply-add. With
    `cpu_time` the rates are per second of each thread's CPU time instead of wall time.
    """
    count = _native.default_threads() if threads is None else threads
    int8, fp32 = _native.limits_of(count, seconds, path, cpu_time)
    return Limits(int8=int8, fp32=fp32, threads=count, path=path or _native.path())
