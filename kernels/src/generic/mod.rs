//! The kernels, written once over `Dot` and `Lanes`; `kernels.rs` compiles them for each path.
//!
//! They work on raw pointers, so that threads can write to disjoint rows or columns of one buffer;
//! the forward pass (`model`) knows and checks the sizes.
#![allow(clippy::missing_safety_doc, clippy::too_many_arguments)]

pub mod attention;
pub mod product;
pub mod rows;

/// Quantized rows: bytes (or 16-bit words) in the path's own form, with a scale and a zero point each.
#[derive(Clone, Copy)]
pub struct Acts {
    pub data: *mut u8,
    /// Bytes from one row to the next.
    pub stride: usize,
    pub scale: *mut f32,
    /// The zero point minus the path's offset.
    pub zero: *mut f32,
}

impl Acts {
    #[inline(always)]
    pub unsafe fn from_row(self, row: usize) -> Acts {
        unsafe {
            Acts {
                data: self.data.add(row * self.stride),
                stride: self.stride,
                scale: self.scale.add(row),
                zero: self.zero.add(row),
            }
        }
    }
}

/// Rows of a matrix in a buffer of floats.
#[derive(Clone, Copy)]
pub struct Rows {
    pub data: *mut f32,
    /// Floats from one row to the next; 0 if all rows share one place.
    pub stride: usize,
}

impl Rows {
    #[inline(always)]
    pub unsafe fn row(self, row: usize) -> *mut f32 {
        unsafe { self.data.add(row * self.stride) }
    }

    #[inline(always)]
    pub unsafe fn from_row(self, row: usize) -> Rows {
        unsafe { Rows { data: self.row(row), stride: self.stride } }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activation {
    Gelu,
    GeluTanh,
    Relu,
    Silu,
}
