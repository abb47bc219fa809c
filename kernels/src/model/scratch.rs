//! Working memory, kept between calls.

use crate::memory::Aligned;
use crate::quantized::Quantized;
use std::cell::RefCell;
use std::sync::Mutex;

/// The memory that a chunk needs throughout.
pub struct Scratch {
    /// Rows of the hidden width.
    pub x: Aligned<f32>,
    /// Queries, keys and values.
    pub qkv: Aligned<f32>,
    pub acts: Quantized,
    /// The largest logits of a chunk, if they are not written to the caller's array.
    pub logits: Aligned<f32>,
}

/// Working memory with more floats than this is freed after use (texts of thousands of tokens).
const KEPT: usize = 4 << 20;

#[derive(Default)]
pub struct Scratches(Mutex<Vec<Scratch>>);

impl Scratches {
    /// Never waits: a lock that another thread held during a fork stays locked in the child.
    pub fn take(&self) -> Scratch {
        let kept = self.0.try_lock().ok().and_then(|mut kept| kept.pop());
        kept.unwrap_or_else(|| Scratch {
            x: Aligned::zeroed(0),
            qkv: Aligned::zeroed(0),
            acts: Quantized::empty(),
            logits: Aligned::zeroed(0),
        })
    }

    pub fn give_back(&self, scratch: Scratch) {
        if scratch.qkv.len() + scratch.logits.len() <= KEPT
            && let Ok(mut kept) = self.0.try_lock()
        {
            kept.push(scratch);
        }
    }
}

/// The memory that a thread needs for one task: attention, or a block of rows.
pub struct Local {
    pub attention: Aligned<f32>,
    pub inner: Aligned<f32>,
    pub acts: Quantized,
    pub row: Aligned<f32>,
}

thread_local! {
    static LOCAL: RefCell<Local> = RefCell::new(Local {
        attention: Aligned::zeroed(0),
        inner: Aligned::zeroed(0),
        acts: Quantized::empty(),
        row: Aligned::zeroed(0),
    });
}

/// Working memory of this thread. Tasks that use it start no other tasks that use it.
pub fn local<R>(f: impl FnOnce(&mut Local) -> R) -> R {
    LOCAL.with_borrow_mut(f)
}
