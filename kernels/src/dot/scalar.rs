//! Plain Rust.

use super::Dot;
use crate::lanes::{LANES, Lanes, scalar::Floats};

#[derive(Clone, Copy)]
pub struct Scalar([i32; LANES]);

impl Dot for Scalar {
    type Floats = Floats;
    type Act = [u8; 4];
    type Weights = [i8; 64];
    const GROUP: usize = 4;
    const ACT_BYTES: usize = 1;
    const OFFSET: i32 = 0;

    #[inline(always)]
    unsafe fn zero() -> Self {
        Scalar([0; LANES])
    }
    #[inline(always)]
    unsafe fn weights(p: *const i8) -> [i8; 64] {
        unsafe { p.cast::<[i8; 64]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn act(p: *const u8) -> [u8; 4] {
        unsafe { p.cast::<[u8; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn dot(self, a: [u8; 4], w: [i8; 64]) -> Self {
        Scalar(std::array::from_fn(|i| {
            let products = (0..4).map(|g| i32::from(a[g]) * i32::from(w[4 * i + g]));
            self.0[i] + products.sum::<i32>()
        }))
    }
    #[inline(always)]
    unsafe fn floats(self) -> Floats {
        Floats::from_integers(&self.0)
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut i32) {
        unsafe { p.cast::<[i32; LANES]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn put(q: Floats, row: *mut u8, i: usize) {
        unsafe { q.store_bytes(row.add(i)) }
    }
}
