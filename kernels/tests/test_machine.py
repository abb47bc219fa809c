"""Threads, forks, dispatch and memory, each in a process of its own."""

import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

import splade_kernels as sk

HERE = pathlib.Path(__file__).parent
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="affinity and /proc are Linux's")


def run(code: str, **variables: str) -> str:
    """Run a program; `small`, `sk`, `np` and a `model` with some texts are there."""
    prelude = f"""
        import os, sys, time
        sys.path.insert(0, {str(HERE)!r})
        import numpy as np
        import splade_kernels as sk
        import small
        def make():
            return sk.Model.from_arrays(small.config(), small.tensors())
        ids, offsets = small.texts([90] * 40)
    """
    program = textwrap.dedent(prelude) + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "", **variables},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@LINUX
def test_threads_follow_affinity_and_omp_num_threads() -> None:
    allowed = len(os.sched_getaffinity(0))
    assert 1 <= int(run("print(sk.threads())")) <= allowed
    assert run("print(sk.threads())", OMP_NUM_THREADS="1").strip() == "1"
    assert int(run("print(sk.threads())", OMP_NUM_THREADS="999")) <= allowed
    one = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(sk.threads())"
    assert run(one).strip() == "1"


@LINUX
def test_a_child_has_threads_of_its_own() -> None:
    run("""
        model = make()
        wanted = model.encode(ids, offsets, threads=3)
        for _ in range(3):
            child = os.fork()
            if child == 0:
                same = np.array_equal(model.encode(ids, offsets, threads=3), wanted)
                os._exit(0 if same else 1)
            assert os.waitpid(child, 0)[1] == 0
        assert np.array_equal(model.encode(ids, offsets, threads=3), wanted)
    """)


@LINUX
def test_waiting_threads_take_no_time() -> None:
    run("""
        model = make()
        model.encode(ids, offsets, threads=4)
        before = time.process_time()
        time.sleep(1)
        assert time.process_time() - before < 0.01, time.process_time() - before
    """)


def test_several_threads_of_the_caller_share_a_model() -> None:
    run("""
        from concurrent.futures import ThreadPoolExecutor
        model = make()
        wanted = model.encode(ids, offsets, threads=1)
        with ThreadPoolExecutor(6) as pool:
            results = list(pool.map(lambda n: model.encode(ids, offsets, threads=n), [1, 2, 3] * 8))
        assert all(np.array_equal(result, wanted) for result in results)
    """)


def test_the_gil_is_released() -> None:
    run("""
        import threading
        model = make()
        ids, offsets = small.texts([96] * 3000)
        turns, done = 0, threading.Event()
        def count():
            global turns
            while not done.is_set():
                turns += 1
                time.sleep(0.001)
        counter = threading.Thread(target=count)
        counter.start()
        time.sleep(0.05)
        before = turns
        start = time.perf_counter()
        model.encode_sparse(ids, offsets)
        seconds = time.perf_counter() - start
        during = turns - before
        done.set(); counter.join()
        assert during >= 3 or seconds < 0.05, (during, seconds)
    """)


@pytest.mark.parametrize("path", sk.paths())
def test_the_environment_names_a_path(path: str) -> None:
    got = run("print(sk.path(), make().path)", SPLADE_KERNELS_PATH=path)
    assert got.split() == [path, path]


def test_an_unknown_path_is_warned_about() -> None:
    got = run(
        """
        import warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            used = sk.path()
            sk.path()
        assert used == sk.paths()[0]
        print(*(w.message for w in caught), sep="|")
        """,
        SPLADE_KERNELS_PATH="mmx",
    )
    assert got.startswith('SPLADE_KERNELS_PATH names the path "mmx", which this processor does not')
    assert "|" not in got


@pytest.mark.parametrize("path", sk.paths())
def test_every_path_passes_its_self_check(path: str) -> None:
    assert sk.self_check(path)


@pytest.mark.skipif(len(sk.paths()) < 2, reason="this processor has the scalar path only")
def test_a_path_that_is_wrong_is_not_used() -> None:
    from splade_kernels import _native

    best, second, *_ = sk.paths()
    used, warnings = _native.choose(None, [best])
    assert used == second
    assert warnings == [
        f"The {best} kernels gave a wrong result in their self-check on this processor and are not "
        "used; please report it with cpu_features()."
    ]
    assert _native.choose(None, sk.paths())[0] == "scalar"


def test_limits_are_measured_on_each_path() -> None:
    for path in sk.paths():
        limits = sk.limits(1, seconds=0.01, path=path)
        assert limits.int8 > 1e8
        assert limits.fp32 > 1e8
        assert (limits.threads, limits.path) == (1, path)


@LINUX
def test_memory_does_not_grow_with_the_batch() -> None:
    run("""
        def peak():
            status = open("/proc/self/status").read()
            return int(status.split("VmHWM:")[1].split()[0]) / 1024
        model = make()
        ids, offsets = small.texts([96] * 50)
        model.encode_sparse(ids, offsets)
        before = peak()
        ids, offsets = small.texts([96] * 5000)
        rows, terms, weights = model.encode_sparse(ids, offsets)
        result = (terms.nbytes + weights.nbytes) / (1 << 20)
        assert peak() - before < 3 * result + 4, (before, peak(), result)
    """)
