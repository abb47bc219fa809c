//! int8 products, the fused vocabulary head and whole encoders of SPLADE models on CPUs.
#![allow(clippy::needless_range_loop, clippy::missing_safety_doc, clippy::type_complexity)]

pub mod dot;
pub mod file;
pub mod generic;
pub mod kernels;
pub mod lanes;
pub mod limits;
pub mod memory;
pub mod model;
pub mod packed;
pub mod path;
pub mod pool;
#[cfg(feature = "python")]
mod python;
pub mod quantized;
pub mod selfcheck;
#[cfg(test)]
mod tests;
