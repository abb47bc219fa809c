//! `vpdpbusd` on 512 bits: 64 exact products per instruction.

use super::Dot;
use crate::lanes::{Lanes, avx512::Floats};
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub struct Avx512Vnni(__m512i);

impl Dot for Avx512Vnni {
    type Floats = Floats;
    type Act = __m512i;
    type Weights = __m512i;
    const GROUP: usize = 4;
    const ACT_BYTES: usize = 1;
    const OFFSET: i32 = 0;

    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { Avx512Vnni(_mm512_setzero_si512()) }
    }
    #[inline(always)]
    unsafe fn weights(p: *const i8) -> __m512i {
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    unsafe fn act(p: *const u8) -> __m512i {
        unsafe { _mm512_set1_epi32(p.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn dot(self, a: __m512i, w: __m512i) -> Self {
        unsafe { Avx512Vnni(_mm512_dpbusd_epi32(self.0, a, w)) }
    }
    #[inline(always)]
    unsafe fn floats(self) -> Floats {
        unsafe { Floats(_mm512_cvtepi32_ps(self.0)) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut i32) {
        unsafe { _mm512_storeu_si512(p.cast(), self.0) }
    }
    #[inline(always)]
    unsafe fn put(q: Floats, row: *mut u8, i: usize) {
        unsafe { q.store_bytes(row.add(i)) }
    }
}
