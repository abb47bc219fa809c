//! int8 products: register tiles of up to six tokens by a panel of terms.

use super::{Acts, Rows};
use crate::dot::Dot;
use crate::lanes::{LANES, Lanes};
use crate::packed::Packed;
use std::ops::Range;

/// Tokens per full tile.
pub const TILE: usize = 6;

/// Call `$f::<D, M, NV>` with the number of rows as `M`.
macro_rules! by_rows {
    ($m:expr, $f:ident::<$d:ty, $nv:ident>($($arg:expr),* $(,)?)) => {
        match $m {
            1 => $f::<$d, 1, $nv>($($arg),*),
            2 => $f::<$d, 2, $nv>($($arg),*),
            3 => $f::<$d, 3, $nv>($($arg),*),
            4 => $f::<$d, 4, $nv>($($arg),*),
            5 => $f::<$d, 5, $nv>($($arg),*),
            _ => $f::<$d, 6, $nv>($($arg),*),
        }
    };
}

/// The sums of `M` tokens by `NV * 16` terms over the full depth, in registers.
///
/// `ahead` points to the data read next; each step prefetches one cache line of it.
#[inline(always)]
unsafe fn tile<D: Dot, const M: usize, const NV: usize>(
    acts: *const u8,
    stride: usize,
    weights: *const i8,
    steps: usize,
    ahead: *const i8,
) -> [[D; NV]; M] {
    unsafe {
        let mut sums = [[D::zero(); NV]; M];
        let line = LANES * D::GROUP;
        for step in 0..steps {
            let at = weights.add(step * NV * line);
            fetch(ahead.wrapping_add(step * 64));
            let mut w = [D::weights(at); NV];
            for v in 1..NV {
                w[v] = D::weights(at.add(v * line));
            }
            for m in 0..M {
                let a = D::act(acts.add(m * stride + step * D::GROUP * D::ACT_BYTES));
                for v in 0..NV {
                    sums[m][v] = sums[m][v].dot(a, w[v]);
                }
            }
        }
        sums
    }
}

/// Prefetch a cache line; an invalid address has no effect.
#[inline(always)]
fn fetch(p: *const i8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(p)
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// The address that the tile at `row` of panel `p` prefetches: its share of the next panel, or nothing new.
#[inline(always)]
unsafe fn ahead(packed: &Packed, panel: *const i8, bytes: usize, p: usize, row: usize) -> *const i8 {
    let done = row / TILE * packed.steps * 64;
    if done < bytes && p + 1 < packed.panels() { unsafe { panel.add(bytes + done) } } else { panel }
}

#[inline(always)]
unsafe fn panel_bytes<D: Dot, const NV: usize>(packed: &Packed) -> usize {
    packed.steps * D::GROUP * NV * LANES
}

/// `out[row][term] (+)= scale_row * (sum - zero_row * term's sum) * scale_term + bias`.
#[inline(always)]
pub unsafe fn linear<D: Dot, const NV: usize>(
    acts: Acts,
    rows: usize,
    packed: &Packed,
    panels: Range<usize>,
    out: Rows,
    add: bool,
) {
    unsafe {
        let bytes = panel_bytes::<D, NV>(packed);
        for p in panels {
            let panel = packed.data.as_ptr().add(p * bytes);
            let mut row = 0;
            while row < rows {
                let m = TILE.min(rows - row);
                let next = ahead(packed, panel, bytes, p, row);
                by_rows!(
                    m,
                    linear_tile::<D, NV>(acts.from_row(row), packed, p, panel, next, out.from_row(row), add)
                );
                row += m;
            }
        }
    }
}

#[inline(always)]
unsafe fn linear_tile<D: Dot, const M: usize, const NV: usize>(
    acts: Acts,
    packed: &Packed,
    p: usize,
    panel: *const i8,
    ahead: *const i8,
    out: Rows,
    add: bool,
) {
    unsafe {
        let sums = tile::<D, M, NV>(acts.data, acts.stride, panel, packed.steps, ahead);
        for v in 0..NV {
            let term = (p * NV + v) * LANES;
            let scales = D::Floats::load(packed.scale.as_ptr().add(term));
            let biases = D::Floats::load(packed.bias.as_ptr().add(term));
            let columns = D::Floats::load(packed.sums.as_ptr().add(term));
            for (m, sums) in sums.iter().enumerate() {
                let value = real::<D>(sums[v], columns, acts, m).fma(scales, biases);
                let place = out.row(m).add(term);
                let value = if add { D::Floats::load(place).add(value) } else { value };
                value.store(place);
            }
        }
    }
}

/// A sum minus its zero point, times the row's scale.
#[inline(always)]
unsafe fn real<D: Dot>(sum: D, columns: D::Floats, acts: Acts, m: usize) -> D::Floats {
    unsafe {
        let zero = D::Floats::splat(-*acts.zero.add(m));
        let scale = D::Floats::splat(*acts.scale.add(m));
        zero.fma(columns, sum.floats()).mul(scale)
    }
}

/// The raw sums, for tests: `out[row * n + term]`.
#[inline(always)]
pub unsafe fn integers<D: Dot, const NV: usize>(
    acts: Acts,
    rows: usize,
    packed: &Packed,
    panels: Range<usize>,
    out: *mut i32,
) {
    unsafe {
        let bytes = panel_bytes::<D, NV>(packed);
        for p in panels {
            let panel = packed.data.as_ptr().add(p * bytes);
            let mut row = 0;
            while row < rows {
                let m = TILE.min(rows - row);
                by_rows!(
                    m,
                    integer_tile::<D, NV>(acts.from_row(row), packed, p, panel, out.add(row * packed.n))
                );
                row += m;
            }
        }
    }
}

#[inline(always)]
unsafe fn integer_tile<D: Dot, const M: usize, const NV: usize>(
    acts: Acts,
    packed: &Packed,
    p: usize,
    panel: *const i8,
    out: *mut i32,
) {
    unsafe {
        let sums = tile::<D, M, NV>(acts.data, acts.stride, panel, packed.steps, panel);
        for (m, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let mut lanes = [0i32; LANES];
                sum.store(lanes.as_mut_ptr());
                let term = (p * NV + v) * LANES;
                for (i, lane) in lanes.iter().enumerate().take(packed.n.saturating_sub(term)) {
                    let offset = D::OFFSET * packed.sums[term + i] as i32;
                    *out.add(m * packed.n + term + i) = lane + offset;
                }
            }
        }
    }
}

/// The fused head: `out[text][term]` is the largest logit of the text's tokens; no logit is written.
///
/// `texts` are ranges of rows. A term's scale is positive, so it and the bias wait until the end.
#[inline(always)]
pub unsafe fn head<D: Dot, const NV: usize>(
    acts: Acts,
    texts: &[Range<usize>],
    packed: &Packed,
    panels: Range<usize>,
    out: Rows,
) {
    unsafe {
        let bytes = panel_bytes::<D, NV>(packed);
        for p in panels {
            let panel = packed.data.as_ptr().add(p * bytes);
            for (t, text) in texts.iter().enumerate() {
                let mut largest = [D::Floats::splat(f32::NEG_INFINITY); NV];
                let mut row = text.start;
                while row < text.end {
                    let m = TILE.min(text.end - row);
                    let next = ahead(packed, panel, bytes, p, row);
                    by_rows!(m, head_tile::<D, NV>(acts.from_row(row), packed, p, panel, next, &mut largest));
                    row += m;
                }
                finish::<D, NV>(packed, p, &largest, out.row(t));
            }
        }
    }
}

#[inline(always)]
unsafe fn head_tile<D: Dot, const M: usize, const NV: usize>(
    acts: Acts,
    packed: &Packed,
    p: usize,
    panel: *const i8,
    ahead: *const i8,
    largest: &mut [D::Floats; NV],
) {
    unsafe {
        let sums = tile::<D, M, NV>(acts.data, acts.stride, panel, packed.steps, ahead);
        for v in 0..NV {
            let columns = D::Floats::load(packed.sums.as_ptr().add((p * NV + v) * LANES));
            let mut most = largest[v];
            for (m, sums) in sums.iter().enumerate() {
                most = most.max(real::<D>(sums[v], columns, acts, m));
            }
            largest[v] = most;
        }
    }
}

#[inline(always)]
unsafe fn finish<D: Dot, const NV: usize>(
    packed: &Packed,
    p: usize,
    largest: &[D::Floats; NV],
    out: *mut f32,
) {
    unsafe {
        for (v, most) in largest.iter().enumerate() {
            let term = (p * NV + v) * LANES;
            let scales = D::Floats::load(packed.scale.as_ptr().add(term));
            let biases = D::Floats::load(packed.bias.as_ptr().add(term));
            let values = most.fma(scales, biases);
            if term + LANES <= packed.n {
                values.store(out.add(term));
            } else if term < packed.n {
                let lanes = values.to_array();
                std::ptr::copy_nonoverlapping(lanes.as_ptr(), out.add(term), packed.n - term);
            }
        }
    }
}
