//! `vpdpbusd` on 256 bits (AVX-VNNI): 32 exact products per instruction.

use super::Dot;
use crate::lanes::{Lanes, avx2::Floats};
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub struct AvxVnni(__m256i, __m256i);

impl Dot for AvxVnni {
    type Floats = Floats;
    type Act = __m256i;
    type Weights = (__m256i, __m256i);
    const GROUP: usize = 4;
    const ACT_BYTES: usize = 1;
    const OFFSET: i32 = 0;

    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { AvxVnni(_mm256_setzero_si256(), _mm256_setzero_si256()) }
    }
    #[inline(always)]
    unsafe fn weights(p: *const i8) -> Self::Weights {
        unsafe { (_mm256_loadu_si256(p.cast()), _mm256_loadu_si256(p.add(32).cast())) }
    }
    #[inline(always)]
    unsafe fn act(p: *const u8) -> __m256i {
        unsafe { _mm256_set1_epi32(p.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn dot(self, a: __m256i, w: Self::Weights) -> Self {
        unsafe {
            let low = _mm256_dpbusd_avx_epi32(self.0, a, w.0);
            AvxVnni(low, _mm256_dpbusd_avx_epi32(self.1, a, w.1))
        }
    }
    #[inline(always)]
    unsafe fn floats(self) -> Floats {
        unsafe { Floats(_mm256_cvtepi32_ps(self.0), _mm256_cvtepi32_ps(self.1)) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut i32) {
        unsafe {
            _mm256_storeu_si256(p.cast(), self.0);
            _mm256_storeu_si256(p.add(8).cast(), self.1);
        }
    }
    #[inline(always)]
    unsafe fn put(q: Floats, row: *mut u8, i: usize) {
        unsafe { q.store_bytes(row.add(i)) }
    }
}
