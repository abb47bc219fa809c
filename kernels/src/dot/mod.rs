//! Integer dot products of sixteen terms at a time.
//!
//! Weights are signed 8-bit, activations unsigned 8-bit, sums 32-bit and exact: no path saturates, so
//! all of them give the same integers (a sum of 2^16 products stays below 2^31).

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512_vnni;
#[cfg(target_arch = "x86_64")]
pub mod avx_vnni;
#[cfg(target_arch = "aarch64")]
pub mod neon_dot;
pub mod scalar;

use crate::lanes::Lanes;

/// Sixteen 32-bit sums. The caller ensures that the processor has the instructions.
#[allow(clippy::missing_safety_doc)]
pub trait Dot: Copy {
    type Floats: Lanes;
    /// A group of activations of one token, broadcast.
    type Act: Copy;
    /// The same number of weights of each of sixteen terms.
    type Weights: Copy;
    /// Activations in one `Act`.
    const GROUP: usize;
    /// Bytes of one stored activation.
    const ACT_BYTES: usize;
    /// Subtracted from an activation when it is stored (128 if only signed products exist).
    const OFFSET: i32;

    unsafe fn zero() -> Self;
    unsafe fn weights(p: *const i8) -> Self::Weights;
    unsafe fn act(p: *const u8) -> Self::Act;
    unsafe fn dot(self, a: Self::Act, w: Self::Weights) -> Self;
    unsafe fn floats(self) -> Self::Floats;
    unsafe fn store(self, p: *mut i32);
    /// Store sixteen activations (integers in 0..=255) as elements `i..i + 16` of a row.
    unsafe fn put(q: Self::Floats, row: *mut u8, i: usize);
}
