//! The table of kernels of each path, compiled for its instructions.

use crate::generic::attention::Head;
use crate::generic::rows::Norm;
use crate::generic::{Activation, Acts, Rows};
use crate::packed::Packed;
use std::ops::Range;

/// The kernels of a path. Calling them requires a processor that has the path's instructions, and
/// buffers of the sizes that `generic` documents.
pub struct Kernels {
    /// Terms per panel.
    pub panel: usize,
    /// Depths per step.
    pub group: usize,
    pub act_bytes: usize,
    pub linear: unsafe fn(Acts, usize, &Packed, Range<usize>, Rows, bool),
    pub head: unsafe fn(Acts, &[Range<usize>], &Packed, Range<usize>, Rows),
    pub integers: unsafe fn(Acts, usize, &Packed, Range<usize>, *mut i32),
    pub place: unsafe fn(*const u8, usize, usize, Acts),
    pub quantize: unsafe fn(Rows, usize, usize, Acts),
    pub norm: unsafe fn(Rows, Rows, usize, Norm),
    pub norm_quantize: unsafe fn(Rows, Rows, usize, Norm, Acts),
    pub activate_quantize: unsafe fn(Rows, usize, usize, Activation, usize, Acts),
    pub activate_norm_quantize: unsafe fn(Rows, usize, Activation, Norm, Acts),
    pub embed: unsafe fn(*const u16, *const f32, *mut f32, usize),
    pub rotate: unsafe fn(*mut f32, usize, *const f32, *const f32),
    pub attention: unsafe fn(Head, *mut f32),
    pub above: unsafe fn(*const f32, usize, f32, &mut Vec<(u32, f32)>),
}

/// `$nv`: vectors of sixteen terms per panel, as many as the registers hold for six tokens.
macro_rules! table {
    ($name:ident, $dot:ty, $nv:literal $(, $features:literal)?) => {
        pub mod $name {
            use super::*;
            use crate::dot::Dot;
            use crate::generic::{attention, product, rows};
            use crate::lanes::LANES;

            type D = $dot;
            type F = <D as Dot>::Floats;

            $(#[target_feature(enable = $features)])?
            unsafe fn linear(a: Acts, rows: usize, w: &Packed, p: Range<usize>, out: Rows, add: bool) {
                unsafe { product::linear::<D, $nv>(a, rows, w, p, out, add) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn head(a: Acts, texts: &[Range<usize>], w: &Packed, p: Range<usize>, out: Rows) {
                unsafe { product::head::<D, $nv>(a, texts, w, p, out) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn integers(a: Acts, rows: usize, w: &Packed, p: Range<usize>, out: *mut i32) {
                unsafe { product::integers::<D, $nv>(a, rows, w, p, out) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn place(bytes: *const u8, rows: usize, k: usize, a: Acts) {
                unsafe { rows::place::<D>(bytes, rows, k, a) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn quantize(x: Rows, rows: usize, k: usize, a: Acts) {
                unsafe { rows::quantize::<D>(x, rows, k, a) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn norm(x: Rows, y: Rows, rows: usize, n: Norm) {
                unsafe { rows::norm::<F>(x, y, rows, n) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn norm_quantize(x: Rows, y: Rows, rows: usize, n: Norm, a: Acts) {
                unsafe { rows::norm_quantize::<D>(x, y, rows, n, a) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn activate_quantize(h: Rows, rows: usize, n: usize, k: Activation, gate: usize, a: Acts) {
                unsafe { rows::activate_quantize::<D>(h, rows, n, k, gate, a) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn activate_norm_quantize(h: Rows, rows: usize, k: Activation, n: Norm, a: Acts) {
                unsafe { rows::activate_norm_quantize::<D>(h, rows, k, n, a) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn embed(word: *const u16, position: *const f32, x: *mut f32, n: usize) {
                unsafe { rows::embed::<F>(word, position, x, n) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn rotate(x: *mut f32, d: usize, cosines: *const f32, sines: *const f32) {
                unsafe { rows::rotate(x, d, cosines, sines) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn attend(h: attention::Head, scratch: *mut f32) {
                unsafe { attention::attention::<F, $nv>(h, scratch) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn above(x: *const f32, n: usize, bound: f32, out: &mut Vec<(u32, f32)>) {
                unsafe { rows::above::<F>(x, n, bound, out) }
            }

            pub static TABLE: Kernels = Kernels {
                panel: $nv * LANES,
                group: <D as Dot>::GROUP,
                act_bytes: <D as Dot>::ACT_BYTES,
                linear,
                head,
                integers,
                place,
                quantize,
                norm,
                norm_quantize,
                activate_quantize,
                activate_norm_quantize,
                embed,
                rotate,
                attention: attend,
                above,
            };
        }
    };
}

#[cfg(target_arch = "x86_64")]
table!(
    avx512_vnni,
    crate::dot::avx512_vnni::Avx512Vnni,
    4,
    "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"
);
#[cfg(target_arch = "x86_64")]
table!(avx_vnni, crate::dot::avx_vnni::AvxVnni, 1, "avxvnni,avx2,fma,f16c");
#[cfg(target_arch = "x86_64")]
table!(avx2, crate::dot::avx2::Avx2, 1, "avx2,fma,f16c");
#[cfg(target_arch = "aarch64")]
table!(neon_dot, crate::dot::neon_dot::NeonDot, 1, "neon,dotprod");
table!(scalar, crate::dot::scalar::Scalar, 1);
