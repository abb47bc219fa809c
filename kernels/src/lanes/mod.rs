//! Sixteen floats at a time, in the registers that the processor has.
//!
//! Every operation is exact or correctly rounded and every reduction adds in one fixed order, so a
//! result is the same to the bit on AVX-512, AVX2, NEON and plain Rust.

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
#[cfg(target_arch = "aarch64")]
pub mod neon;
pub mod scalar;

/// Floats in one `Lanes`.
pub const LANES: usize = 16;

/// Sixteen `f32`. The caller ensures that the processor has the instructions.
#[allow(clippy::missing_safety_doc)]
pub trait Lanes: Copy {
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(p: *const f32) -> Self;
    unsafe fn store(self, p: *mut f32);
    /// Sixteen IEEE half-precision numbers.
    unsafe fn load_half(p: *const u16) -> Self;
    unsafe fn add(self, o: Self) -> Self;
    unsafe fn sub(self, o: Self) -> Self;
    unsafe fn mul(self, o: Self) -> Self;
    unsafe fn div(self, o: Self) -> Self;
    unsafe fn max(self, o: Self) -> Self;
    unsafe fn min(self, o: Self) -> Self;
    /// `self * b + c`, rounded once.
    unsafe fn fma(self, b: Self, c: Self) -> Self;
    /// Round to the nearest integer, ties to even.
    unsafe fn round(self) -> Self;
    /// 2 to the power of these integers, which lie in -126..=127.
    unsafe fn pow2(self) -> Self;
    /// Integers in 0..=255 as bytes.
    unsafe fn store_bytes(self, p: *mut u8);
    /// Integers in 0..=255 as 16-bit words.
    unsafe fn store_words(self, p: *mut u16);
    /// Whether any lane is above zero.
    unsafe fn any_above(self, bound: Self) -> bool;

    #[inline(always)]
    unsafe fn to_array(self) -> [f32; LANES] {
        let mut out = [0.0; LANES];
        unsafe { self.store(out.as_mut_ptr()) };
        out
    }

    /// Add the upper half to the lower half repeatedly: 8, 4, 2, 1.
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        fold(unsafe { self.to_array() }, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn maximum(self) -> f32 {
        fold(unsafe { self.to_array() }, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    unsafe fn minimum(self) -> f32 {
        fold(unsafe { self.to_array() }, |a, b| if a < b { a } else { b })
    }
}

#[inline(always)]
fn fold(mut a: [f32; LANES], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            a[i] = join(a[i], a[i + half]);
        }
        half /= 2;
    }
    a[0]
}

/// An IEEE half-precision number as `f32`; exact.
#[inline(always)]
pub fn half_to_float(h: u16) -> f32 {
    let sign = u32::from(h & 0x8000) << 16;
    let rest = u32::from(h & 0x7fff);
    let magnitude = if rest >= 0x7c00 {
        0x7f80_0000 | ((rest & 0x3ff) << 13)
    } else if rest >= 0x400 {
        (rest << 13) + 0x3800_0000
    } else {
        // A denormal: `rest` units of 2^-24.
        return f32::from_bits((rest as f32 * 5.960_464_5e-8).to_bits() | sign);
    };
    f32::from_bits(magnitude | sign)
}
