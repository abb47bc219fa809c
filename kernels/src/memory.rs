//! Buffers aligned to cache lines.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};

/// A zeroed array, aligned to 64 bytes and padded at its end, so that vector reads may go past the end.
pub struct Aligned<T: Copy> {
    data: *mut T,
    len: usize,
    layout: Layout,
}

// SAFETY: it owns its memory as a Vec does.
unsafe impl<T: Copy + Send> Send for Aligned<T> {}
unsafe impl<T: Copy + Sync> Sync for Aligned<T> {}

/// Bytes of padding at the end.
const ROOM: usize = 128;

impl<T: Copy> Aligned<T> {
    /// `len` zeros (of a type whose zero is all bits zero).
    pub fn zeroed(len: usize) -> Self {
        let layout = Layout::from_size_align(len * size_of::<T>() + ROOM, 64).expect("the size fits");
        // SAFETY: the layout is not empty.
        let data = unsafe { alloc_zeroed(layout) }.cast::<T>();
        if data.is_null() {
            handle_alloc_error(layout);
        }
        Aligned { data, len, layout }
    }

    /// Provide at least `len` elements: keeps the array, or allocates a zeroed one without copying.
    pub fn reserve(&mut self, len: usize) {
        if len > self.len {
            *self = Aligned::zeroed(len);
        }
    }
}

impl<T: Copy> Drop for Aligned<T> {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.data.cast(), self.layout) }
    }
}

impl<T: Copy> Deref for Aligned<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `len` initialized elements.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

impl<T: Copy> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: `len` initialized elements, borrowed uniquely.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.len) }
    }
}
