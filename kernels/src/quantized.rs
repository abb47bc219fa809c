//! Buffers for quantized rows.

use crate::generic::Acts;
use crate::kernels::Kernels;
use crate::memory::Aligned;
use crate::packed::padded;

pub struct Quantized {
    data: Aligned<u8>,
    scale: Aligned<f32>,
    zero: Aligned<f32>,
    stride: usize,
}

impl Quantized {
    /// A buffer for `rows` rows of `k` activations.
    pub fn new(rows: usize, k: usize, kernels: &Kernels) -> Quantized {
        let stride = padded(k) * kernels.act_bytes;
        Quantized {
            data: Aligned::zeroed(rows * stride),
            scale: Aligned::zeroed(rows),
            zero: Aligned::zeroed(rows),
            stride,
        }
    }

    pub fn empty() -> Quantized {
        Quantized { data: Aligned::zeroed(0), scale: Aligned::zeroed(0), zero: Aligned::zeroed(0), stride: 0 }
    }

    /// Like `new`, but reuses the memory if it is large enough.
    pub fn reserve(&mut self, rows: usize, k: usize, kernels: &Kernels) {
        self.stride = padded(k) * kernels.act_bytes;
        self.data.reserve(rows * self.stride);
        self.scale.reserve(rows);
        self.zero.reserve(rows);
    }

    pub fn acts(&mut self) -> Acts {
        Acts {
            data: self.data.as_mut_ptr(),
            stride: self.stride,
            scale: self.scale.as_mut_ptr(),
            zero: self.zero.as_mut_ptr(),
        }
    }
}
