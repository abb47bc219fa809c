//! Sixteen floats in two 256-bit registers (AVX2, FMA, F16C).

use super::Lanes;
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub struct Floats(pub __m256, pub __m256);

macro_rules! both {
    ($f:ident, $a:expr, $b:expr) => {
        Floats($f($a.0, $b.0), $f($a.1, $b.1))
    };
}

impl Lanes for Floats {
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        unsafe { Floats(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        unsafe { Floats(_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        unsafe {
            _mm256_storeu_ps(p, self.0);
            _mm256_storeu_ps(p.add(8), self.1);
        }
    }
    #[inline(always)]
    unsafe fn load_half(p: *const u16) -> Self {
        unsafe {
            Floats(
                _mm256_cvtph_ps(_mm_loadu_si128(p.cast())),
                _mm256_cvtph_ps(_mm_loadu_si128(p.add(8).cast())),
            )
        }
    }
    #[inline(always)]
    unsafe fn add(self, o: Self) -> Self {
        unsafe { both!(_mm256_add_ps, self, o) }
    }
    #[inline(always)]
    unsafe fn sub(self, o: Self) -> Self {
        unsafe { both!(_mm256_sub_ps, self, o) }
    }
    #[inline(always)]
    unsafe fn mul(self, o: Self) -> Self {
        unsafe { both!(_mm256_mul_ps, self, o) }
    }
    #[inline(always)]
    unsafe fn div(self, o: Self) -> Self {
        unsafe { both!(_mm256_div_ps, self, o) }
    }
    #[inline(always)]
    unsafe fn max(self, o: Self) -> Self {
        unsafe { both!(_mm256_max_ps, self, o) }
    }
    #[inline(always)]
    unsafe fn min(self, o: Self) -> Self {
        unsafe { both!(_mm256_min_ps, self, o) }
    }
    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        unsafe { Floats(_mm256_fmadd_ps(self.0, b.0, c.0), _mm256_fmadd_ps(self.1, b.1, c.1)) }
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        unsafe { Floats(_mm256_round_ps::<0x08>(self.0), _mm256_round_ps::<0x08>(self.1)) }
    }
    #[inline(always)]
    unsafe fn pow2(self) -> Self {
        unsafe { Floats(pow2(self.0), pow2(self.1)) }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, p: *mut u8) {
        unsafe {
            let words = words(self);
            let low = _mm256_castsi256_si128(words);
            let high = _mm256_extracti128_si256::<1>(words);
            _mm_storeu_si128(p.cast(), _mm_packus_epi16(low, high));
        }
    }
    #[inline(always)]
    unsafe fn store_words(self, p: *mut u16) {
        unsafe { _mm256_storeu_si256(p.cast(), words(self)) }
    }
    #[inline(always)]
    unsafe fn any_above(self, bound: Self) -> bool {
        unsafe {
            let a = _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, bound.0);
            let b = _mm256_cmp_ps::<_CMP_GT_OQ>(self.1, bound.1);
            _mm256_movemask_ps(_mm256_or_ps(a, b)) != 0
        }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        unsafe {
            let a = _mm256_add_ps(self.0, self.1);
            let b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let c = _mm_add_ps(b, _mm_movehl_ps(b, b));
            _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)))
        }
    }
}

#[inline(always)]
unsafe fn pow2(n: __m256) -> __m256 {
    unsafe {
        let biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
    }
}

/// Sixteen 16-bit words in order.
#[inline(always)]
unsafe fn words(x: Floats) -> __m256i {
    unsafe {
        let packed = _mm256_packus_epi32(_mm256_cvtps_epi32(x.0), _mm256_cvtps_epi32(x.1));
        _mm256_permute4x64_epi64::<0b11_01_10_00>(packed)
    }
}
