//! Attention of one head over one text, in fp32, six queries at a time.

use super::rows::exp;
use crate::lanes::{LANES, Lanes};

/// Queries per tile.
const TILE: usize = 6;

/// One head of one text, within the rows that hold queries, keys and values.
#[derive(Clone, Copy)]
pub struct Head {
    /// The head's first query; the context overwrites the queries.
    pub queries: *mut f32,
    pub keys: *const f32,
    pub values: *const f32,
    /// Floats from one token to the next.
    pub stride: usize,
    pub tokens: usize,
    pub depth: usize,
    /// Number of visible tokens on either side; 0 for all.
    pub window: usize,
    pub scale: f32,
}

/// Keys per row of the scratch. The extra vector keeps rows of a power of two out of the same cache sets.
fn pitch(tokens: usize) -> usize {
    tokens.next_multiple_of(64) + LANES
}

/// Floats of scratch that `attention` needs.
pub fn scratch(tokens: usize, depth: usize) -> usize {
    (depth + TILE) * pitch(tokens) + tokens * depth.next_multiple_of(LANES) + 64
}

#[inline(always)]
pub unsafe fn attention<F: Lanes, const NV: usize>(head: Head, scratch: *mut f32) {
    unsafe {
        let pitch = pitch(head.tokens);
        let keys = scratch;
        let scores = keys.add(head.depth * pitch);
        let values = scores.add(TILE * pitch);
        turn_keys(head, keys, pitch);
        let wide = copy_values(head, values);
        let mut row = 0;
        while row < head.tokens {
            let m = TILE.min(head.tokens - row);
            let (first, last) = seen(head, row, m, NV * LANES);
            match m {
                1 => block::<F, 1, NV>(head, row, first, last, keys, pitch, scores, values, wide),
                2 => block::<F, 2, NV>(head, row, first, last, keys, pitch, scores, values, wide),
                3 => block::<F, 3, NV>(head, row, first, last, keys, pitch, scores, values, wide),
                4 => block::<F, 4, NV>(head, row, first, last, keys, pitch, scores, values, wide),
                5 => block::<F, 5, NV>(head, row, first, last, keys, pitch, scores, values, wide),
                _ => block::<F, 6, NV>(head, row, first, last, keys, pitch, scores, values, wide),
            }
            row += m;
        }
    }
}

/// Keys that any of `m` rows sees: from a multiple of `align` up to the last, which is excluded.
#[inline(always)]
fn seen(head: Head, row: usize, m: usize, align: usize) -> (usize, usize) {
    let (first, _) = sight(head, row);
    let (_, last) = sight(head, row + m - 1);
    (first / align * align, last)
}

/// Keys that one row sees.
#[inline(always)]
fn sight(head: Head, row: usize) -> (usize, usize) {
    if head.window == 0 {
        return (0, head.tokens);
    }
    (row.saturating_sub(head.window), head.tokens.min(row + head.window + 1))
}

/// `keys[depth][token]`.
#[inline(always)]
unsafe fn turn_keys(head: Head, keys: *mut f32, pitch: usize) {
    unsafe {
        for j in 0..head.tokens {
            let key = head.keys.add(j * head.stride);
            for i in 0..head.depth {
                *keys.add(i * pitch + j) = *key.add(i);
            }
        }
    }
}

/// Copy the values contiguously, in whole vectors; returns the floats per value.
#[inline(always)]
unsafe fn copy_values(head: Head, values: *mut f32) -> usize {
    unsafe {
        let wide = head.depth.next_multiple_of(LANES);
        for j in 0..head.tokens {
            let place = values.add(j * wide);
            std::ptr::copy_nonoverlapping(head.values.add(j * head.stride), place, head.depth);
            for i in head.depth..wide {
                *place.add(i) = 0.0;
            }
        }
        wide
    }
}

#[inline(always)]
unsafe fn block<F: Lanes, const M: usize, const NV: usize>(
    head: Head,
    row: usize,
    first: usize,
    last: usize,
    keys: *const f32,
    pitch: usize,
    scores: *mut f32,
    values: *const f32,
    wide: usize,
) {
    unsafe {
        let queries = head.queries.add(row * head.stride);
        let mut j = first;
        while j < last {
            score_tile::<F, M, NV>(queries, head, keys.add(j), pitch, scores.add(j - first));
            j += NV * LANES;
        }
        let mut factors = [0.0f32; M];
        for (m, factor) in factors.iter_mut().enumerate() {
            let (from, to) = sight(head, row + m);
            *factor = softmax::<F>(scores.add(m * pitch), from - first, to - first, last - first, head.scale);
        }
        let mut v = 0;
        while v + NV * LANES <= wide {
            context_tile::<F, M, NV>(
                scores,
                pitch,
                values.add(first * wide),
                wide,
                last - first,
                v,
                head,
                row,
                &factors,
            );
            v += NV * LANES;
        }
        while v < wide {
            context_tile::<F, M, 1>(
                scores,
                pitch,
                values.add(first * wide),
                wide,
                last - first,
                v,
                head,
                row,
                &factors,
            );
            v += LANES;
        }
    }
}

/// Scores of `M` queries against `NV * 16` keys.
#[inline(always)]
unsafe fn score_tile<F: Lanes, const M: usize, const NV: usize>(
    queries: *const f32,
    head: Head,
    keys: *const f32,
    pitch: usize,
    out: *mut f32,
) {
    unsafe {
        let mut sums = [[F::splat(0.0); NV]; M];
        for i in 0..head.depth {
            let mut k = [F::load(keys.add(i * pitch)); NV];
            for v in 1..NV {
                k[v] = F::load(keys.add(i * pitch + v * LANES));
            }
            for m in 0..M {
                let q = F::splat(*queries.add(m * head.stride + i));
                for v in 0..NV {
                    sums[m][v] = q.fma(k[v], sums[m][v]);
                }
            }
        }
        for m in 0..M {
            for v in 0..NV {
                sums[m][v].store(out.add(m * pitch + v * LANES));
            }
        }
    }
}

/// Turn scores into weights `e^(scale * (score - largest))` within `from..to`, and 0 elsewhere in `0..end`;
/// returns one over their sum.
#[inline(always)]
unsafe fn softmax<F: Lanes>(s: *mut f32, from: usize, to: usize, end: usize, scale: f32) -> f32 {
    unsafe {
        let whole = end.next_multiple_of(LANES);
        fill(s, 0, from, f32::NEG_INFINITY);
        fill(s, to, whole, f32::NEG_INFINITY);
        let mut largest = F::splat(f32::NEG_INFINITY);
        for i in (0..whole).step_by(LANES) {
            largest = largest.max(F::load(s.add(i)));
        }
        let (largest, scales) = (F::splat(largest.maximum()), F::splat(scale));
        for i in (0..whole).step_by(LANES) {
            exp(F::load(s.add(i)).sub(largest).mul(scales)).store(s.add(i));
        }
        fill(s, 0, from, 0.0);
        fill(s, to, whole, 0.0);
        let mut sum = F::splat(0.0);
        for i in (0..whole).step_by(LANES) {
            sum = sum.add(F::load(s.add(i)));
        }
        1.0 / sum.sum()
    }
}

#[inline(always)]
unsafe fn fill(s: *mut f32, from: usize, to: usize, x: f32) {
    for i in from..to {
        unsafe { *s.add(i) = x };
    }
}

/// The weighted sum of the values: columns `v..v + NV * 16` of `M` contexts, over the queries.
#[inline(always)]
unsafe fn context_tile<F: Lanes, const M: usize, const NV: usize>(
    weights: *const f32,
    pitch: usize,
    values: *const f32,
    wide: usize,
    keys: usize,
    v: usize,
    head: Head,
    row: usize,
    factors: &[f32; M],
) {
    unsafe {
        let mut sums = [[F::splat(0.0); NV]; M];
        for j in 0..keys {
            let place = values.add(j * wide + v);
            let mut value = [F::load(place); NV];
            for n in 1..NV {
                value[n] = F::load(place.add(n * LANES));
            }
            for m in 0..M {
                let w = F::splat(*weights.add(m * pitch + j));
                for n in 0..NV {
                    sums[m][n] = w.fma(value[n], sums[m][n]);
                }
            }
        }
        for m in 0..M {
            let out = head.queries.add((row + m) * head.stride);
            for n in 0..NV {
                let column = v + n * LANES;
                let lanes = sums[m][n].mul(F::splat(factors[m]));
                if column + LANES <= head.depth {
                    lanes.store(out.add(column));
                } else {
                    let lanes = lanes.to_array();
                    std::ptr::copy_nonoverlapping(lanes.as_ptr(), out.add(column), head.depth - column);
                }
            }
        }
    }
}
