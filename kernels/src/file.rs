//! The model file: safetensors with int8 weights, their scales, halves for the embeddings, and the
//! configuration as JSON under `__metadata__.config`.

use crate::memory::Aligned;
use memmap2::Mmap;
use serde_json::Value;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// The file format; other formats are refused.
pub const FORMAT: &str = "splade-kernels-1";

pub type Result<T> = std::result::Result<T, String>;

pub enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

#[derive(Clone)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    start: usize,
    end: usize,
}

pub struct Tensors {
    bytes: Arc<Bytes>,
    entries: HashMap<String, Entry>,
    pub config: Value,
}

impl Tensors {
    pub fn open(path: &Path) -> Result<Tensors> {
        let shown = path.display();
        let file = File::open(path).map_err(|e| format!("The model file {shown} cannot be opened: {e}."))?;
        // SAFETY: the file is not changed while it is mapped: replacing a model means writing a new file.
        let map = unsafe { Mmap::map(&file) }
            .map_err(|e| format!("The model file {shown} cannot be read: {e}."))?;
        Tensors::read(Bytes::Mapped(map)).map_err(|e| format!("The model file {shown} is damaged: {e}."))
    }

    pub fn from_bytes(bytes: Vec<u8>) -> Result<Tensors> {
        Tensors::read(Bytes::Owned(bytes)).map_err(|e| format!("The model is damaged: {e}."))
    }

    fn read(bytes: Bytes) -> Result<Tensors> {
        let head = bytes.get(..8).ok_or("it has fewer than 8 bytes")?;
        let length = u64::from_le_bytes(head.try_into().expect("eight bytes"));
        let start = usize::try_from(length).ok().and_then(|n| n.checked_add(8)).filter(|s| *s <= bytes.len());
        let start = start.ok_or_else(|| format!("its header of {length} bytes goes beyond its end"))?;
        let header: Value =
            serde_json::from_slice(&bytes[8..start]).map_err(|e| format!("its header is not JSON ({e})"))?;
        let header = header.as_object().ok_or("its header is not a JSON object")?;
        let mut entries = HashMap::new();
        for (name, value) in header.iter().filter(|(name, _)| *name != "__metadata__") {
            let entry = entry(value, start, bytes.len())
                .ok_or_else(|| format!("the tensor {name:?} goes beyond its end"))?;
            entries.insert(name.clone(), entry);
        }
        let metadata = header.get("__metadata__").ok_or("it has no metadata")?;
        let format = metadata.get("format").and_then(Value::as_str).unwrap_or("");
        if format != FORMAT {
            return Err(format!("its format is {format:?}, this version of splade_kernels reads {FORMAT:?}"));
        }
        let config = metadata.get("config").and_then(Value::as_str).ok_or("it has no configuration")?;
        let config =
            serde_json::from_str(config).map_err(|e| format!("its configuration is not JSON ({e})"))?;
        Ok(Tensors { bytes: Arc::new(bytes), entries, config })
    }

    fn entry(&self, name: &str, dtype: &str, shape: &[usize]) -> Result<&Entry> {
        let entry = self.entries.get(name).ok_or_else(|| format!("the tensor {name:?} is missing"))?;
        if entry.dtype != dtype || entry.shape != shape {
            return Err(format!(
                "the tensor {name:?} is {} {:?}, not {dtype} {shape:?}",
                entry.dtype, entry.shape
            ));
        }
        Ok(entry)
    }

    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    pub fn int8(&self, name: &str, shape: &[usize]) -> Result<&[i8]> {
        let entry = self.entry(name, "I8", shape)?;
        let bytes = &self.bytes[entry.start..entry.end];
        // SAFETY: every bit pattern is a valid byte.
        Ok(unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) })
    }

    /// Floats, padded with zeros to whole vectors.
    pub fn floats(&self, name: &str, shape: &[usize]) -> Result<Aligned<f32>> {
        let entry = self.entry(name, "F32", shape)?;
        let count = shape.iter().product::<usize>();
        let mut out = Aligned::zeroed(count.next_multiple_of(64));
        for (value, bytes) in out.iter_mut().zip(self.bytes[entry.start..entry.end].chunks_exact(4)) {
            *value = f32::from_le_bytes(bytes.try_into().expect("four bytes"));
        }
        if out.iter().any(|x| !x.is_finite()) {
            return Err(format!("the tensor {name:?} holds a value that is not finite"));
        }
        Ok(out)
    }

    /// A table of halves, read from the mapped file without a copy.
    pub fn halves(&self, name: &str, shape: &[usize]) -> Result<Halves> {
        let entry = self.entry(name, "F16", shape)?;
        if !entry.start.is_multiple_of(2) {
            return Err(format!("the tensor {name:?} does not begin on an even byte"));
        }
        Ok(Halves { bytes: self.bytes.clone(), start: entry.start, width: shape[1] })
    }

    /// Tell the system that it may drop the tensor's pages from memory.
    #[cfg(not(unix))]
    pub fn done_with(&self, _: &str) {}

    /// Tell the system that it may drop the tensor's pages from memory.
    #[cfg(unix)]
    pub fn done_with(&self, name: &str) {
        if let (Bytes::Mapped(map), Some(entry)) = (&*self.bytes, self.entries.get(name)) {
            let page = 4096;
            let (start, end) = (entry.start.next_multiple_of(page), entry.end / page * page);
            if start < end {
                // SAFETY: the pages belong to an unchanged file and are read again on the next access.
                let _ = unsafe {
                    map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start)
                };
            }
        }
    }
}

/// A tensor's header entry, if the tensor lies within the file.
fn entry(value: &Value, start: usize, end: usize) -> Option<Entry> {
    let dtype = value.get("dtype")?.as_str()?.to_owned();
    let numbers = |key: &str| -> Option<Vec<usize>> {
        value.get(key)?.as_array()?.iter().map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok())).collect()
    };
    let shape = numbers("shape")?;
    let offsets = numbers("data_offsets")?;
    let [from, to] = offsets[..] else { return None };
    let size = match dtype.as_str() {
        "I8" => 1,
        "F16" => 2,
        "F32" => 4,
        _ => return None,
    };
    let count = shape.iter().try_fold(1usize, |n, s| n.checked_mul(*s))?.checked_mul(size)?;
    let (from, to) = (start.checked_add(from)?, start.checked_add(to)?);
    (from <= to && to <= end && to - from == count).then_some(Entry { dtype, shape, start: from, end: to })
}

/// Rows of IEEE half-precision numbers in the file.
pub struct Halves {
    bytes: Arc<Bytes>,
    start: usize,
    width: usize,
}

impl Halves {
    /// The row's first number; the row lies within the table because `halves` checked its shape.
    pub fn row(&self, row: usize) -> *const u16 {
        let at = self.start + row * self.width * 2;
        self.bytes[at..at + self.width * 2].as_ptr().cast()
    }
}
