//! Sixteen floats in four 128-bit registers.

use super::{LANES, Lanes, half_to_float};
use std::arch::aarch64::*;

#[derive(Clone, Copy)]
pub struct Floats(pub [float32x4_t; 4]);

macro_rules! each {
    ($i:ident => $e:expr) => {
        Floats([
            {
                let $i = 0;
                $e
            },
            {
                let $i = 1;
                $e
            },
            {
                let $i = 2;
                $e
            },
            {
                let $i = 3;
                $e
            },
        ])
    };
}

impl Lanes for Floats {
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        unsafe { Floats([vdupq_n_f32(x); 4]) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        unsafe { each!(i => vld1q_f32(p.add(4 * i))) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        unsafe {
            for i in 0..4 {
                vst1q_f32(p.add(4 * i), self.0[i]);
            }
        }
    }
    #[inline(always)]
    unsafe fn load_half(p: *const u16) -> Self {
        unsafe {
            let halves = p.cast::<[u16; LANES]>().read_unaligned();
            let floats = halves.map(half_to_float);
            Self::load(floats.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn add(self, o: Self) -> Self {
        unsafe { each!(i => vaddq_f32(self.0[i], o.0[i])) }
    }
    #[inline(always)]
    unsafe fn sub(self, o: Self) -> Self {
        unsafe { each!(i => vsubq_f32(self.0[i], o.0[i])) }
    }
    #[inline(always)]
    unsafe fn mul(self, o: Self) -> Self {
        unsafe { each!(i => vmulq_f32(self.0[i], o.0[i])) }
    }
    #[inline(always)]
    unsafe fn div(self, o: Self) -> Self {
        unsafe { each!(i => vdivq_f32(self.0[i], o.0[i])) }
    }
    #[inline(always)]
    unsafe fn max(self, o: Self) -> Self {
        unsafe { each!(i => vmaxq_f32(self.0[i], o.0[i])) }
    }
    #[inline(always)]
    unsafe fn min(self, o: Self) -> Self {
        unsafe { each!(i => vminq_f32(self.0[i], o.0[i])) }
    }
    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        unsafe { each!(i => vfmaq_f32(c.0[i], self.0[i], b.0[i])) }
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        unsafe { each!(i => vrndnq_f32(self.0[i])) }
    }
    #[inline(always)]
    unsafe fn pow2(self) -> Self {
        unsafe {
            each!(i => {
                let biased = vaddq_s32(vcvtnq_s32_f32(self.0[i]), vdupq_n_s32(127));
                vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased))
            })
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, p: *mut u8) {
        unsafe {
            let w = words(self);
            vst1q_u8(p, vcombine_u8(vmovn_u16(w[0]), vmovn_u16(w[1])));
        }
    }
    #[inline(always)]
    unsafe fn store_words(self, p: *mut u16) {
        unsafe {
            let w = words(self);
            vst1q_u16(p, w[0]);
            vst1q_u16(p.add(8), w[1]);
        }
    }
    #[inline(always)]
    unsafe fn any_above(self, bound: Self) -> bool {
        unsafe {
            let a = vorrq_u32(vcgtq_f32(self.0[0], bound.0[0]), vcgtq_f32(self.0[1], bound.0[1]));
            let b = vorrq_u32(vcgtq_f32(self.0[2], bound.0[2]), vcgtq_f32(self.0[3], bound.0[3]));
            vmaxvq_u32(vorrq_u32(a, b)) != 0
        }
    }
}

#[inline(always)]
unsafe fn words(x: Floats) -> [uint16x8_t; 2] {
    unsafe {
        let narrow = |a: float32x4_t| vmovn_u32(vcvtnq_u32_f32(a));
        [vcombine_u16(narrow(x.0[0]), narrow(x.0[1])), vcombine_u16(narrow(x.0[2]), narrow(x.0[3]))]
    }
}
