//! The machine's own limits: bare loops of multiply instructions, all operands in registers.

use crate::path::Path;
use crate::pool;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Products per second of all threads together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    pub int8: f64,
    pub fp32: f64,
}

/// Run the loops of `path` on `threads` threads for about `seconds` each; rates are by wall time, or by
/// each thread's own CPU time, which other programs on the machine disturb less.
pub fn measure(path: Path, threads: usize, seconds: f64, cpu_time: bool) -> Limits {
    let (int8, fp32) = loops(path);
    let rate = |run| rate(run, threads, seconds, cpu_time);
    Limits { int8: rate(int8), fp32: rate(fp32) }
}

/// A loop with the given number of iterations; returns the number of its products.
pub(crate) type Loop = fn(u64) -> u64;

fn rate(run: Loop, threads: usize, seconds: f64, cpu_time: bool) -> f64 {
    let sum = Mutex::new(0.0);
    pool::run(threads, threads, &|_| {
        let limit = Duration::from_secs_f64(seconds);
        let (start, used) = (Instant::now(), thread_seconds());
        let mut products = 0;
        while start.elapsed() < limit {
            products += run(20_000);
        }
        let wall = start.elapsed().as_secs_f64();
        let used =
            thread_seconds().zip(used).map(|(end, start)| end - start).filter(|u| cpu_time && *u > 0.0);
        let mine = products as f64 / used.unwrap_or(wall);
        *sum.lock().expect("no thread panicked") += mine;
    });
    sum.into_inner().expect("no thread panicked")
}

/// CPU time of this thread, if the system measures it.
pub(crate) fn thread_seconds() -> Option<f64> {
    #[cfg(unix)]
    {
        // SAFETY: a plain struct to write to.
        let time = unsafe {
            let mut time: libc::timespec = std::mem::zeroed();
            libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time);
            time
        };
        Some(time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9)
    }
    #[cfg(not(unix))]
    None
}

#[cfg(target_arch = "x86_64")]
pub(crate) fn loops(path: Path) -> (Loop, Loop) {
    match path {
        Path::Avx512Vnni => (x86::vnni_512, x86::fma_512),
        Path::AvxVnni => (x86::vnni_256, x86::fma_256),
        Path::Avx2 => (x86::maddubs, x86::fma_256),
        _ => (scalar_int8, scalar_fp32),
    }
}

#[cfg(target_arch = "aarch64")]
pub(crate) fn loops(path: Path) -> (Loop, Loop) {
    match path {
        Path::NeonDot => (arm::sdot, arm::fmla),
        _ => (scalar_int8, scalar_fp32),
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn loops(_: Path) -> (Loop, Loop) {
    (scalar_int8, scalar_fp32)
}

fn scalar_int8(turns: u64) -> u64 {
    let mut sums = [0i32; 16];
    let (a, w) = (std::hint::black_box([3u8; 16]), std::hint::black_box([-5i8; 16]));
    for turn in 0..turns {
        for i in 0..16 {
            sums[i] = sums[i].wrapping_add((i32::from(a[i]) * i32::from(w[i])) ^ turn as i32);
        }
    }
    std::hint::black_box(sums);
    turns * 16
}

fn scalar_fp32(turns: u64) -> u64 {
    let mut sums = [0f32; 16];
    let (a, w) = (std::hint::black_box([0.5f32; 16]), std::hint::black_box([0.25f32; 16]));
    for _ in 0..turns {
        for i in 0..16 {
            sums[i] = sums[i] * w[i] + a[i];
        }
    }
    std::hint::black_box(sums);
    turns * 16
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;

    /// Run `$body` once per iteration, on any of the sixteen vector registers.
    macro_rules! bare_loop {
        ($name:ident, $products:expr, [$($body:expr),* $(,)?]) => {
            pub fn $name(turns: u64) -> u64 {
                // SAFETY: called only if the path is available; every register it changes is declared.
                unsafe {
                    asm!(
                        "vpxor xmm14, xmm14, xmm14",
                        "vpxor xmm15, xmm15, xmm15",
                        "2:",
                        $($body,)*
                        "dec {turns}",
                        "jnz 2b",
                        "vzeroupper",
                        turns = inout(reg) turns.max(1) => _,
                        out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                        out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                        out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                        out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                        options(nomem, nostack),
                    );
                }
                turns.max(1) * $products
            }
        };
    }

    /// One instruction on fourteen accumulators.
    macro_rules! fourteen {
        ($name:ident, $prefix:literal, $register:literal, $products:expr) => {
            bare_loop!($name, 14 * $products, [
                fourteen!(@ $prefix, $register, "0"), fourteen!(@ $prefix, $register, "1"),
                fourteen!(@ $prefix, $register, "2"), fourteen!(@ $prefix, $register, "3"),
                fourteen!(@ $prefix, $register, "4"), fourteen!(@ $prefix, $register, "5"),
                fourteen!(@ $prefix, $register, "6"), fourteen!(@ $prefix, $register, "7"),
                fourteen!(@ $prefix, $register, "8"), fourteen!(@ $prefix, $register, "9"),
                fourteen!(@ $prefix, $register, "10"), fourteen!(@ $prefix, $register, "11"),
                fourteen!(@ $prefix, $register, "12"), fourteen!(@ $prefix, $register, "13"),
            ]);
        };
        (@ $prefix:literal, $register:literal, $n:literal) => {
            concat!($prefix, " ", $register, $n, ", ", $register, "14, ", $register, "15")
        };
    }

    fourteen!(vnni_512, "vpdpbusd", "zmm", 64);
    fourteen!(vnni_256, "{{vex}} vpdpbusd", "ymm", 32);
    fourteen!(fma_512, "vfmadd231ps", "zmm", 16);
    fourteen!(fma_256, "vfmadd231ps", "ymm", 8);

    /// Sixty-four products: two `vpmaddubsw`, `vpaddw`, `vpmaddwd`, `vpaddd`.
    macro_rules! saturating {
        ($sum:literal, $a:literal, $b:literal) => {
            concat!(
                "vpmaddubsw ymm",
                $a,
                ", ymm14, ymm15\n",
                "vpmaddubsw ymm",
                $b,
                ", ymm14, ymm15\n",
                "vpaddw ymm",
                $a,
                ", ymm",
                $a,
                ", ymm",
                $b,
                "\n",
                "vpmaddwd ymm",
                $a,
                ", ymm",
                $a,
                ", ymm15\n",
                "vpaddd ymm",
                $sum,
                ", ymm",
                $sum,
                ", ymm",
                $a,
            )
        };
    }
    bare_loop!(
        maddubs,
        8 * 64,
        [
            saturating!("0", "8", "9"),
            saturating!("1", "10", "11"),
            saturating!("2", "12", "13"),
            saturating!("3", "8", "9"),
            saturating!("4", "10", "11"),
            saturating!("5", "12", "13"),
            saturating!("6", "8", "9"),
            saturating!("7", "10", "11"),
        ]
    );
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::asm;

    /// One instruction on sixteen accumulators.
    macro_rules! sixteen {
        ($name:ident, $instruction:literal, $sums:literal, $operands:literal, $products:expr) => {
            pub fn $name(turns: u64) -> u64 {
                // SAFETY: called only if the path is available; every register it changes is declared.
                unsafe {
                    asm!(
                        ".arch_extension dotprod",
                        "movi v30.4s, #0",
                        "movi v31.4s, #0",
                        "2:",
                        concat!($instruction, " v0.", $sums, ", v30.", $operands, ", v31.", $operands),
                        concat!($instruction, " v1.", $sums, ", v30.", $operands, ", v31.", $operands),
                        concat!($instruction, " v2.", $sums, ", v30.", $operands, ", v31.", $operands),
                        concat!($instruction, " v3.", $sums, ", v30.", $operands, ", v31.", $operands),
                        concat!($instruction, " v4.", $sums, ", v30.", $operands, ", v31.", $operands),
                        concat!($instruction, " v5.", $sums, ", v30.", $operands, ", v31.", $operands),
                        concat!($instruction, " v6.", $sums, ", v30.", $operands, ", v31.", $operands),
                        concat!($instruction, " v7.", $sums, ", v30.", $operands, ", v31.", $operands),
                        concat!($instruction, " v16.", $sums, ", v30.", $operands, ", v31.", $operands),
                        concat!($instruction, " v17.", $sums, ", v30.", $operands, ", v31.", $operands),
                        concat!($instruction, " v18.", $sums, ", v30.", $operands, ", v31.", $operands),
                        concat!($instruction, " v19.", $sums, ", v30.", $operands, ", v31.", $operands),
                        concat!($instruction, " v20.", $sums, ", v30.", $operands, ", v31.", $operands),
                        concat!($instruction, " v21.", $sums, ", v30.", $operands, ", v31.", $operands),
                        concat!($instruction, " v22.", $sums, ", v30.", $operands, ", v31.", $operands),
                        concat!($instruction, " v23.", $sums, ", v30.", $operands, ", v31.", $operands),
                        "subs {turns}, {turns}, #1",
                        "b.ne 2b",
                        turns = inout(reg) turns.max(1) => _,
                        out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                        out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                        out("v16") _, out("v17") _, out("v18") _, out("v19") _,
                        out("v20") _, out("v21") _, out("v22") _, out("v23") _,
                        out("v30") _, out("v31") _,
                        options(nomem, nostack),
                    );
                }
                turns.max(1) * 16 * $products
            }
        };
    }

    sixteen!(sdot, "sdot", "4s", "16b", 16);
    sixteen!(fmla, "fmla", "4s", "4s", 4);
}
