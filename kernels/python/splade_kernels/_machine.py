"""What the processor can do, and which kernels are used on it."""

from dataclasses import dataclass

from splade_kernels import _native


@dataclass(frozen=True, slots=True)
class Limits:
    """What bare loops of multiply instructions reach here, in products a second of all threads."""

    int8: float
    fp32: float
    threads: int
    path: str


def path() -> str:
    """The dispatch path in use: the fastest one that this processor has and that is right on it.

    `avx512_vnni`, `avx_vnni`, `avx2`, `neon_dot` or `scalar`. The environment variable
    `SPLADE_KERNELS_PATH` names another one; it is read once, at the first use.
    """
    return _native.path()


def paths() -> list[str]:
    """The dispatch paths of this processor, from the fastest."""
    return _native.paths()


def self_check(path: str) -> bool:
    """Whether a path gives the integers of the scalar path, and its floats to the bit."""
    return _native.self_check(path)


def cpu_features() -> list[str]:
    """The processor's instructions that matter here."""
    return _native.cpu_features()


def threads() -> int:
    """Threads used when none are named.

    As many as there are processors that affinity and the cgroup leave this process, and at most
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

    int8 is `vpdpbusd` where the path has it, on `avx2` two `vpmaddubsw`, `vpaddw`, `vpmaddwd` and
    `vpaddd` for 64 products, on `neon_dot` `sdot`; fp32 is fused multiply-add. With `cpu_time` the
    seconds are those that each thread had of a processor, not those that passed.
    """
    count = _native.default_threads() if threads is None else threads
    int8, fp32 = _native.limits_of(count, seconds, path, cpu_time)
    return Limits(int8=int8, fp32=fp32, threads=count, path=path or _native.path())
