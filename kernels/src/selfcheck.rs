//! Compare a path with the scalar one on small products with every remainder: once, when it is chosen.

use crate::generic::Rows;
use crate::memory::Aligned;
use crate::packed::{Packed, Segment};
use crate::path::Path;
use crate::quantized::Quantized;

/// Whether the path's integers and floats equal those of the scalar path bit for bit.
pub fn passes(path: Path) -> bool {
    [(7, 64, 70), (13, 20, 33), (1, 128, 64)]
        .into_iter()
        .all(|(rows, k, n)| results(path, rows, k, n) == results(Path::Scalar, rows, k, n))
}

/// Integers, logits and maxima of products of numbers at both ends of their range.
fn results(path: Path, rows: usize, k: usize, n: usize) -> (Vec<i32>, Vec<u32>, Vec<u32>) {
    let kernels = path.kernels();
    let mut next = numbers();
    let weights: Vec<i8> = (0..n * k).map(|_| next() as i8).collect();
    let scale: Vec<f32> = (0..n).map(|i| 0.01 + i as f32 * 0.001).collect();
    let bias: Vec<f32> = (0..n).map(|i| i as f32 * 0.1 - 1.0).collect();
    let packed = Packed::new(
        &weights,
        k,
        &scale,
        &bias,
        &[Segment { start: 0, rows: n }],
        kernels.panel,
        kernels.group,
    );
    let wide = crate::packed::padded(k);
    let mut x = Aligned::<f32>::zeroed(rows * wide);
    for r in 0..rows {
        for i in 0..k {
            x[r * wide + i] = f32::from(next() as i8) / 16.0;
        }
    }
    let mut acts = Quantized::new(rows, k, kernels);
    let mut integers = vec![0i32; rows * n];
    let mut logits = Aligned::<f32>::zeroed(rows * packed.width());
    let mut maxima = vec![0f32; n];
    // SAFETY: the path is available, and the buffers have the sizes that the kernels require.
    unsafe {
        (kernels.quantize)(Rows { data: x.as_mut_ptr(), stride: wide }, rows, k, acts.acts());
        (kernels.integers)(acts.acts(), rows, &packed, 0..packed.panels(), integers.as_mut_ptr());
        let out = Rows { data: logits.as_mut_ptr(), stride: packed.width() };
        (kernels.linear)(acts.acts(), rows, &packed, 0..packed.panels(), out, false);
        let out = Rows { data: maxima.as_mut_ptr(), stride: 0 };
        (kernels.head)(acts.acts(), std::slice::from_ref(&(0..rows)), &packed, 0..packed.panels(), out);
    }
    let bits = |x: &[f32]| x.iter().map(|f| f.to_bits()).collect();
    (integers, bits(&logits[..]), bits(&maxima))
}

/// A small byte generator that returns many extreme values.
fn numbers() -> impl FnMut() -> u8 {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match state >> 60 {
            0 => 0x7f,
            1 => 0x80,
            _ => (state >> 24) as u8,
        }
    }
}
