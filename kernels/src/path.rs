//! Choose the kernels: the fastest path that the processor supports and that passes the self-check.

use crate::kernels::{self, Kernels};
use crate::selfcheck;
use std::sync::OnceLock;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Path {
    Avx512Vnni,
    AvxVnni,
    Avx2,
    NeonDot,
    Scalar,
}

impl Path {
    /// All paths, fastest first.
    pub const ALL: [Path; 5] = [Path::Avx512Vnni, Path::AvxVnni, Path::Avx2, Path::NeonDot, Path::Scalar];

    pub fn name(self) -> &'static str {
        match self {
            Path::Avx512Vnni => "avx512_vnni",
            Path::AvxVnni => "avx_vnni",
            Path::Avx2 => "avx2",
            Path::NeonDot => "neon_dot",
            Path::Scalar => "scalar",
        }
    }

    pub fn from_name(name: &str) -> Option<Path> {
        Path::ALL.into_iter().find(|p| p.name() == name)
    }

    /// Whether this processor (and operating system) supports it.
    pub fn available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Path::Avx512Vnni => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vnni")
                    && Path::Avx2.available()
            }
            #[cfg(target_arch = "x86_64")]
            Path::AvxVnni => is_x86_feature_detected!("avxvnni") && Path::Avx2.available(),
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "aarch64")]
            Path::NeonDot => std::arch::is_aarch64_feature_detected!("dotprod"),
            Path::Scalar => true,
            _ => false,
        }
    }

    pub fn kernels(self) -> &'static Kernels {
        match self {
            #[cfg(target_arch = "x86_64")]
            Path::Avx512Vnni => &kernels::avx512_vnni::TABLE,
            #[cfg(target_arch = "x86_64")]
            Path::AvxVnni => &kernels::avx_vnni::TABLE,
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => &kernels::avx2::TABLE,
            #[cfg(target_arch = "aarch64")]
            Path::NeonDot => &kernels::neon_dot::TABLE,
            _ => &kernels::scalar::TABLE,
        }
    }
}

/// The environment variable that names a path to use instead of the fastest.
pub const VARIABLE: &str = "SPLADE_KERNELS_PATH";

/// The path in use, with warnings about the paths that failed.
pub struct Choice {
    pub path: Path,
    pub warnings: Vec<String>,
}

pub fn chosen() -> &'static Choice {
    static CHOICE: OnceLock<Choice> = OnceLock::new();
    CHOICE.get_or_init(|| choose(std::env::var(VARIABLE).ok().as_deref(), &selfcheck::passes))
}

/// The requested path, or the fastest one; paths whose results differ from the scalar path are skipped.
pub fn choose(wanted: Option<&str>, right: &dyn Fn(Path) -> bool) -> Choice {
    let mut warnings = Vec::new();
    let mut paths: Vec<Path> = Path::ALL.into_iter().filter(|p| p.available()).collect();
    if let Some(name) = wanted.filter(|n| !n.is_empty()) {
        let names: Vec<&str> = paths.iter().map(|p| p.name()).collect();
        match paths.iter().position(|p| p.name() == name) {
            Some(at) => drop(paths.drain(..at)),
            None => warnings.push(format!(
                "{VARIABLE} names the path {name:?}, which this processor does not have; it has {}. {} is used.",
                names.join(", "),
                names[0]
            )),
        }
    }
    for path in paths {
        if path == Path::Scalar || right(path) {
            return Choice { path, warnings };
        }
        warnings.push(format!(
            "The {} kernels gave a wrong result in their self-check on this processor and are not used; please report it with cpu_features().",
            path.name()
        ));
    }
    unreachable!("the scalar path is always there")
}

/// The relevant instruction sets of this processor.
pub fn features() -> Vec<&'static str> {
    let mut found = Vec::new();
    #[cfg(target_arch = "x86_64")]
    macro_rules! look {
        ($($name:tt),*) => { $(if is_x86_feature_detected!($name) { found.push($name); })* };
    }
    #[cfg(target_arch = "x86_64")]
    look!(
        "sse4.2",
        "avx",
        "avx2",
        "fma",
        "f16c",
        "avxvnni",
        "avx512f",
        "avx512bw",
        "avx512vl",
        "avx512dq",
        "avx512vnni",
        "avx512bf16",
        "avx512fp16"
    );
    #[cfg(target_arch = "aarch64")]
    macro_rules! look {
        ($($name:tt),*) => {
            $(if std::arch::is_aarch64_feature_detected!($name) { found.push($name); })*
        };
    }
    #[cfg(target_arch = "aarch64")]
    look!("neon", "dotprod", "i8mm", "fp16", "bf16", "sve");
    found
}
