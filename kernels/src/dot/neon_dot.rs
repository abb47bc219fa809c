//! `sdot` of Armv8.2: 16 exact products per instruction, of signed bytes only, so that activations are
//! stored minus 128, and the zero point is shifted by as much.

use super::Dot;
use crate::lanes::{Lanes, neon::Floats};
use std::arch::aarch64::*;
use std::arch::asm;

#[derive(Clone, Copy)]
pub struct NeonDot([int32x4_t; 4]);

impl Dot for NeonDot {
    type Floats = Floats;
    type Act = int8x16_t;
    type Weights = [int8x16_t; 4];
    const GROUP: usize = 4;
    const ACT_BYTES: usize = 1;
    const OFFSET: i32 = 128;

    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { NeonDot([vdupq_n_s32(0); 4]) }
    }
    #[inline(always)]
    unsafe fn weights(p: *const i8) -> Self::Weights {
        unsafe { [vld1q_s8(p), vld1q_s8(p.add(16)), vld1q_s8(p.add(32)), vld1q_s8(p.add(48))] }
    }
    #[inline(always)]
    unsafe fn act(p: *const u8) -> int8x16_t {
        unsafe { vreinterpretq_s8_s32(vdupq_n_s32(p.cast::<i32>().read_unaligned())) }
    }
    #[inline(always)]
    unsafe fn dot(self, a: int8x16_t, w: Self::Weights) -> Self {
        let mut sums = self.0;
        for i in 0..4 {
            // The intrinsic is not stable (stdarch_neon_dotprod).
            unsafe {
                asm!(
                    ".arch_extension dotprod",
                    "sdot {s:v}.4s, {w:v}.16b, {a:v}.16b",
                    s = inout(vreg) sums[i],
                    w = in(vreg) w[i],
                    a = in(vreg) a,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
        }
        NeonDot(sums)
    }
    #[inline(always)]
    unsafe fn floats(self) -> Floats {
        unsafe {
            Floats([
                vcvtq_f32_s32(self.0[0]),
                vcvtq_f32_s32(self.0[1]),
                vcvtq_f32_s32(self.0[2]),
                vcvtq_f32_s32(self.0[3]),
            ])
        }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut i32) {
        unsafe {
            for i in 0..4 {
                vst1q_s32(p.add(4 * i), self.0[i]);
            }
        }
    }
    #[inline(always)]
    unsafe fn put(q: Floats, row: *mut u8, i: usize) {
        unsafe {
            q.store_bytes(row.add(i));
            let p = row.add(i);
            vst1q_u8(p, veorq_u8(vld1q_u8(p), vdupq_n_u8(0x80)));
        }
    }
}
