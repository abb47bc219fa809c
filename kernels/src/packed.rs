//! A weight matrix in the order in which the kernels read it: panels of terms, each over the full depth.

use crate::memory::Aligned;

/// Signed 8-bit weights of `n` terms by `k`, with a scale and a bias per term.
///
/// `data` is `[panel][step][term in the panel][group]`: the operands of one step of a tile are contiguous,
/// and a panel is read from start to end.
pub struct Packed {
    pub n: usize,
    pub k: usize,
    /// Terms per panel.
    pub panel: usize,
    /// Steps of `group` depths; the last one is padded with zeros.
    pub steps: usize,
    pub data: Aligned<i8>,
    pub scale: Aligned<f32>,
    pub bias: Aligned<f32>,
    /// The sum of each term's weights, for the zero points of the activations.
    pub sums: Aligned<f32>,
}

/// A range of rows of a weight matrix; each one starts at a multiple of 64 output columns.
#[derive(Clone, Copy)]
pub struct Segment {
    pub start: usize,
    pub rows: usize,
}

/// Output columns of one segment: every row of an activation buffer consists of whole vectors and panels.
pub fn padded(n: usize) -> usize {
    n.next_multiple_of(64)
}

impl Packed {
    /// Pack row-major weights (`n` rows of `k`).
    pub fn new(
        weights: &[i8],
        k: usize,
        scale: &[f32],
        bias: &[f32],
        segments: &[Segment],
        panel: usize,
        group: usize,
    ) -> Packed {
        let n = segments[..segments.len() - 1].iter().map(|s| padded(s.rows)).sum::<usize>()
            + segments[segments.len() - 1].rows;
        let width = padded(n);
        let steps = k.div_ceil(group);
        let mut packed = Packed {
            n,
            k,
            panel,
            steps,
            data: Aligned::zeroed(width * steps * group),
            scale: Aligned::zeroed(width),
            bias: Aligned::zeroed(width),
            sums: Aligned::zeroed(width),
        };
        let mut column = 0;
        for segment in segments {
            for row in segment.start..segment.start + segment.rows {
                packed.put(&weights[row * k..(row + 1) * k], column, group);
                packed.scale[column] = scale[row];
                packed.bias[column] = bias.get(row).copied().unwrap_or(0.0);
                column += 1;
            }
            column = padded(column);
        }
        packed
    }

    fn put(&mut self, row: &[i8], column: usize, group: usize) {
        let step = self.panel * group;
        let start = (column / self.panel) * self.panel * self.steps * group + (column % self.panel) * group;
        let mut sum = 0i32;
        for (i, chunk) in row.chunks(group).enumerate() {
            let at = start + i * step;
            self.data[at..at + chunk.len()].copy_from_slice(chunk);
        }
        for &w in row {
            sum += i32::from(w);
        }
        self.sums[column] = sum as f32;
    }

    /// Panels, the last of which may be partly empty.
    pub fn panels(&self) -> usize {
        self.n.div_ceil(self.panel)
    }

    /// Columns of an output row.
    pub fn width(&self) -> usize {
        padded(self.n)
    }

    /// Products per row.
    pub fn products(&self) -> usize {
        self.n * self.k
    }
}
