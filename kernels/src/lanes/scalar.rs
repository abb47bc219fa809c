//! Plain Rust: the reference for the other paths, and the fallback on processors without their instructions.

use super::{LANES, Lanes, half_to_float};

#[derive(Clone, Copy)]
pub struct Floats([f32; LANES]);

impl Floats {
    #[inline(always)]
    pub fn from_integers(x: &[i32; LANES]) -> Self {
        Floats(std::array::from_fn(|i| x[i] as f32))
    }

    #[inline(always)]
    fn zip(self, o: Self, join: impl Fn(f32, f32) -> f32) -> Self {
        Floats(std::array::from_fn(|i| join(self.0[i], o.0[i])))
    }
}

impl Lanes for Floats {
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Floats([x; LANES])
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        Floats(unsafe { p.cast::<[f32; LANES]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        unsafe { p.cast::<[f32; LANES]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn load_half(p: *const u16) -> Self {
        let halves = unsafe { p.cast::<[u16; LANES]>().read_unaligned() };
        Floats(halves.map(half_to_float))
    }
    #[inline(always)]
    unsafe fn add(self, o: Self) -> Self {
        self.zip(o, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, o: Self) -> Self {
        self.zip(o, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(self, o: Self) -> Self {
        self.zip(o, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(self, o: Self) -> Self {
        self.zip(o, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn max(self, o: Self) -> Self {
        self.zip(o, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(self, o: Self) -> Self {
        self.zip(o, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        Floats(std::array::from_fn(|i| self.0[i].mul_add(b.0[i], c.0[i])))
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        Floats(self.0.map(f32::round_ties_even))
    }
    #[inline(always)]
    unsafe fn pow2(self) -> Self {
        Floats(self.0.map(|n| f32::from_bits(((n as i32 + 127) as u32) << 23)))
    }
    #[inline(always)]
    unsafe fn store_bytes(self, p: *mut u8) {
        unsafe { p.cast::<[u8; LANES]>().write_unaligned(self.0.map(|x| x as u8)) }
    }
    #[inline(always)]
    unsafe fn store_words(self, p: *mut u16) {
        unsafe { p.cast::<[u16; LANES]>().write_unaligned(self.0.map(|x| x as u16)) }
    }
    #[inline(always)]
    unsafe fn any_above(self, bound: Self) -> bool {
        self.0.iter().zip(bound.0).any(|(a, b)| *a > b)
    }
}
