//! Operations on whole rows of floats: quantizing, layer norm, activations, embeddings, rotations.
//!
//! Rows are padded with zeros to whole vectors, and every function here preserves the padding.

use super::{Activation, Acts, Rows};
use crate::dot::Dot;
use crate::lanes::{LANES, Lanes};

/// Quantize to unsigned 8-bit, with a scale and zero point from the row's smallest and largest value.
#[inline(always)]
pub unsafe fn quantize<D: Dot>(x: Rows, rows: usize, k: usize, acts: Acts) {
    unsafe {
        for r in 0..rows {
            quantize_row::<D>(x.row(r), k, acts.from_row(r));
        }
    }
}

#[inline(always)]
unsafe fn quantize_row<D: Dot>(x: *const f32, k: usize, acts: Acts) {
    unsafe {
        let none = D::Floats::splat(0.0);
        let (mut low, mut high) = (none, none);
        for i in (0..k).step_by(LANES) {
            let v = D::Floats::load(x.add(i));
            low = low.min(v);
            high = high.max(v);
        }
        let (low, high) = (low.minimum(), high.maximum());
        let span = high - low;
        let per_unit = if span > 0.0 { 255.0 / span } else { 0.0 };
        let zero = (-low * per_unit).round_ties_even();
        *acts.scale = span / 255.0;
        *acts.zero = zero - D::OFFSET as f32;
        let (factor, shift) = (D::Floats::splat(per_unit), D::Floats::splat(zero));
        let most = D::Floats::splat(255.0);
        for i in (0..k).step_by(LANES) {
            let q = D::Floats::load(x.add(i)).mul(factor).round().add(shift);
            D::put(q.max(none).min(most), acts.data, i);
        }
    }
}

/// Convert rows that are already quantized to the path's own format.
#[inline(always)]
pub unsafe fn place<D: Dot>(bytes: *const u8, rows: usize, k: usize, acts: Acts) {
    unsafe {
        for r in 0..rows {
            for i in (0..k).step_by(LANES) {
                let mut lanes = [0.0f32; LANES];
                for (j, lane) in lanes.iter_mut().enumerate().take(k - i) {
                    *lane = f32::from(*bytes.add(r * k + i + j));
                }
                D::put(D::Floats::load(lanes.as_ptr()), acts.from_row(r).data, i);
            }
        }
    }
}

/// A layer norm's parameters, padded with zeros.
#[derive(Clone, Copy)]
pub struct Norm {
    pub weight: *const f32,
    pub bias: *const f32,
    pub n: usize,
    pub eps: f32,
}

/// `y = norm(x)`; `x` and `y` may be the same buffer.
#[inline(always)]
pub unsafe fn norm<F: Lanes>(x: Rows, y: Rows, rows: usize, norm: Norm) {
    unsafe {
        for r in 0..rows {
            norm_row::<F>(x.row(r), y.row(r), norm);
        }
    }
}

/// `y = norm(x)` and its quantized form. All of `y`'s rows may share one place.
#[inline(always)]
pub unsafe fn norm_quantize<D: Dot>(x: Rows, y: Rows, rows: usize, norm: Norm, acts: Acts) {
    unsafe {
        for r in 0..rows {
            norm_row::<D::Floats>(x.row(r), y.row(r), norm);
            quantize_row::<D>(y.row(r), norm.n, acts.from_row(r));
        }
    }
}

#[inline(always)]
unsafe fn norm_row<F: Lanes>(x: *const f32, y: *mut f32, norm: Norm) {
    unsafe {
        let n = norm.n;
        let mut total = F::splat(0.0);
        for i in (0..n).step_by(LANES) {
            total = total.add(F::load(x.add(i)));
        }
        let mean = total.sum() / n as f32;
        let means = F::splat(mean);
        let mut squares = F::splat(0.0);
        for i in (0..n).step_by(LANES) {
            let d = F::load(x.add(i)).sub(means);
            squares = d.fma(d, squares);
        }
        // Each zero of the padding has added the square of the mean.
        let beyond = (n.next_multiple_of(LANES) - n) as f32;
        let variance = (squares.sum() - beyond * mean * mean) / n as f32;
        let factor = F::splat(1.0 / (variance + norm.eps).sqrt());
        for i in (0..n).step_by(LANES) {
            let d = F::load(x.add(i)).sub(means).mul(factor);
            d.fma(F::load(norm.weight.add(i)), F::load(norm.bias.add(i))).store(y.add(i));
        }
    }
}

/// `x[row] = word + position`, the word a row of halves; without positions `position` is null.
#[inline(always)]
pub unsafe fn embed<F: Lanes>(word: *const u16, position: *const f32, x: *mut f32, n: usize) {
    unsafe {
        for i in (0..n).step_by(LANES) {
            let mut v = if i + LANES <= n {
                F::load_half(word.add(i))
            } else {
                let mut tail = [0u16; LANES];
                std::ptr::copy_nonoverlapping(word.add(i), tail.as_mut_ptr(), n - i);
                F::load_half(tail.as_ptr())
            };
            if !position.is_null() {
                v = v.add(F::load(position.add(i)));
            }
            v.store(x.add(i));
        }
    }
}

/// The activation of each value; if `gate` is not 0, times the value `gate` columns further on.
#[inline(always)]
pub unsafe fn activate_quantize<D: Dot>(
    h: Rows,
    rows: usize,
    n: usize,
    kind: Activation,
    gate: usize,
    acts: Acts,
) {
    unsafe {
        for r in 0..rows {
            activate_row::<D::Floats>(h.row(r), n, kind, gate);
            quantize_row::<D>(h.row(r), n, acts.from_row(r));
        }
    }
}

/// The head's transform: activation, norm, quantized.
#[inline(always)]
pub unsafe fn activate_norm_quantize<D: Dot>(h: Rows, rows: usize, kind: Activation, norm: Norm, acts: Acts) {
    unsafe {
        for r in 0..rows {
            let row = h.row(r);
            activate_row::<D::Floats>(row, norm.n, kind, 0);
            norm_row::<D::Floats>(row, row, norm);
            quantize_row::<D>(row, norm.n, acts.from_row(r));
        }
    }
}

#[inline(always)]
unsafe fn activate_row<F: Lanes>(h: *mut f32, n: usize, kind: Activation, gate: usize) {
    // A macro and not a closure: closures are compiled without the path's instructions.
    macro_rules! each {
        ($x:ident => $y:expr) => {
            for i in (0..n).step_by(LANES) {
                let $x = F::load(h.add(i));
                let y = $y;
                let y = if gate == 0 { y } else { y.mul(F::load(h.add(gate + i))) };
                y.store(h.add(i));
            }
        };
    }
    unsafe {
        match kind {
            Activation::Gelu => each!(x => gelu(x)),
            Activation::GeluTanh => each!(x => gelu_tanh(x)),
            Activation::Relu => each!(x => x.max(F::splat(0.0))),
            Activation::Silu => each!(x => x.mul(sigmoid(x))),
        }
    }
}

/// `x / 2 * (1 + erf(x / sqrt 2))`; erf by a rational function, accurate to 4e-7 (as in Eigen and XLA).
#[inline(always)]
unsafe fn gelu<F: Lanes>(x: F) -> F {
    unsafe {
        let bound = F::splat(4.0);
        let t = x.mul(F::splat(std::f32::consts::FRAC_1_SQRT_2)).min(bound).max(F::splat(-4.0));
        let s = t.mul(t);
        let top = polynomial(
            s,
            [
                -2.726_142_3e-10,
                2.770_681_4e-8,
                -2.101_024e-6,
                -5.692_506_4e-5,
                -7.349_906_3e-4,
                -2.954_6e-3,
                -1.609_603_3e-2,
            ],
        );
        let bottom =
            polynomial(s, [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2]);
        let erf = t.mul(top).div(bottom);
        let half = x.mul(F::splat(0.5));
        half.fma(erf, half)
    }
}

/// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`, which is `x` times a sigmoid.
#[inline(always)]
unsafe fn gelu_tanh<F: Lanes>(x: F) -> F {
    unsafe {
        let cubic = x.mul(x).fma(F::splat(0.044_715), F::splat(1.0)).mul(x);
        x.mul(sigmoid(cubic.mul(F::splat(1.595_769))))
    }
}

#[inline(always)]
unsafe fn sigmoid<F: Lanes>(x: F) -> F {
    unsafe {
        let one = F::splat(1.0);
        one.div(one.add(exp(F::splat(0.0).sub(x))))
    }
}

/// `e^x`, accurate to two units in the last place; the argument is clamped to -87..=88.
#[inline(always)]
pub unsafe fn exp<F: Lanes>(x: F) -> F {
    unsafe {
        let x = x.max(F::splat(-87.0)).min(F::splat(88.0));
        let n = x.mul(F::splat(std::f32::consts::LOG2_E)).round();
        let r = n.fma(F::splat(-0.693_359_4), x);
        let r = n.fma(F::splat(2.121_944_4e-4), r);
        let p =
            polynomial(r, [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5]);
        p.fma(r.mul(r), r).add(F::splat(1.0)).mul(n.pow2())
    }
}

/// Coefficients from the highest power down.
#[inline(always)]
unsafe fn polynomial<F: Lanes, const N: usize>(x: F, coefficients: [f32; N]) -> F {
    unsafe {
        let mut sum = F::splat(coefficients[0]);
        for c in &coefficients[1..] {
            sum = sum.fma(x, F::splat(*c));
        }
        sum
    }
}

/// Rotary positions: the two halves of a head turned by `cosines` and `sines` (`d / 2` each).
#[inline(always)]
pub unsafe fn rotate(x: *mut f32, d: usize, cosines: *const f32, sines: *const f32) {
    unsafe {
        let half = d / 2;
        for i in 0..half {
            let (a, b) = (*x.add(i), *x.add(i + half));
            let (c, s) = (*cosines.add(i), *sines.add(i));
            *x.add(i) = a * c - b * s;
            *x.add(i + half) = b * c + a * s;
        }
    }
}

/// Terms of a row above `bound`, in order.
#[inline(always)]
pub unsafe fn above<F: Lanes>(x: *const f32, n: usize, bound: f32, out: &mut Vec<(u32, f32)>) {
    unsafe {
        let bounds = F::splat(bound);
        let mut i = 0;
        while i + LANES <= n {
            if F::load(x.add(i)).any_above(bounds) {
                for j in i..i + LANES {
                    keep(*x.add(j), j, bound, out);
                }
            }
            i += LANES;
        }
        for j in i..n {
            keep(*x.add(j), j, bound, out);
        }
    }
}

#[inline(always)]
fn keep(value: f32, term: usize, bound: f32, out: &mut Vec<(u32, f32)>) {
    if value > bound {
        out.push((term as u32, value));
    }
}
