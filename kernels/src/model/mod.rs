//! Whole encoders: token ids in, the largest logit of each term out.

mod chunks;
mod config;
mod forward;
mod rotation;
mod scratch;
mod weights;

use crate::file::{Result, Tensors};
use crate::path::Path;
use crate::pool;
use chunks::Chunk;
use config::Config;
use forward::Forward;
use rotation::Rotation;
use scratch::Scratches;
use weights::Weights;

pub use forward::Sparse;

pub struct Model {
    config: Config,
    weights: Weights,
    rotations: Vec<Rotation>,
    path: Path,
    scratches: Scratches,
}

/// Concatenated texts: `offsets` has one more entry than there are texts.
#[derive(Clone, Copy)]
pub struct Texts<'a> {
    pub ids: &'a [u32],
    pub offsets: &'a [i64],
    /// Which tokens take part in the maximum; all if absent.
    pub mask: Option<&'a [u8]>,
}

impl Texts<'_> {
    pub fn count(&self) -> usize {
        self.offsets.len() - 1
    }

    fn range(&self, text: usize) -> std::ops::Range<usize> {
        self.offsets[text] as usize..self.offsets[text + 1] as usize
    }
}

impl Model {
    pub fn new(tensors: &Tensors, path: Path) -> Result<Model> {
        let damaged = |e: String| format!("The model is damaged: {e}.");
        let config = Config::read(&tensors.config).map_err(damaged)?;
        let weights = Weights::read(tensors, &config, path.kernels()).map_err(damaged)?;
        let rotations = Rotation::tables(&config);
        Ok(Model { config, weights, rotations, path, scratches: Scratches::default() })
    }

    pub fn path(&self) -> Path {
        self.path
    }

    pub fn vocabulary(&self) -> usize {
        self.config.vocabulary
    }

    pub fn hidden(&self) -> usize {
        self.config.hidden
    }

    pub fn positions(&self) -> usize {
        self.config.positions
    }

    /// int8 products per token, without attention.
    pub fn products_per_token(&self) -> usize {
        let w = &self.weights;
        let layer = |l: &weights::LayerWeights| {
            l.qkv.products() + l.output.products() + l.up.products() + l.down.products()
        };
        w.layers.iter().map(layer).sum::<usize>() + w.transform.products() + w.head.products()
    }

    /// Refuse input that the forward pass cannot process.
    pub fn check(&self, texts: Texts) -> Result<()> {
        let (ids, offsets) = (texts.ids, texts.offsets);
        if offsets.first() != Some(&0) || offsets.last() != Some(&(ids.len() as i64)) {
            return Err(format!("offsets must begin with 0 and end with the number of ids, {}.", ids.len()));
        }
        for (text, pair) in offsets.windows(2).enumerate() {
            let length = pair[1] - pair[0];
            if length < 0 {
                return Err(format!("offsets must not fall, but text {text} has {length} tokens."));
            }
            if length as usize > self.config.positions {
                return Err(format!(
                    "Text {text} has {length} tokens; the model takes at most {}.",
                    self.config.positions
                ));
            }
        }
        if let Some(at) = ids.iter().position(|id| *id as usize >= self.config.vocabulary) {
            return Err(format!(
                "Token {at} has the id {}; the vocabulary has {} terms.",
                ids[at], self.config.vocabulary
            ));
        }
        match texts.mask {
            Some(mask) if mask.len() != ids.len() => {
                Err(format!("The mask has {} entries for {} ids.", mask.len(), ids.len()))
            }
            _ => Ok(()),
        }
    }

    /// The largest logits, `out[text * vocabulary + term]`; -inf for a text without tokens.
    pub fn encode(&self, texts: Texts, threads: usize, out: &mut [f32]) {
        assert_eq!(out.len(), texts.count() * self.config.vocabulary);
        let place = Shared(out.as_mut_ptr());
        self.each_chunk(texts, threads, &|forward, chunk| {
            let first = chunk.texts.start * self.config.vocabulary;
            // SAFETY: chunks have disjoint texts, and so disjoint rows.
            forward.dense(unsafe { place.get().add(first) });
        });
    }

    /// The terms above zero with their weights after `logs` times log(1 + x), by text.
    pub fn encode_sparse(&self, texts: Texts, threads: usize, logs: u32) -> Vec<Sparse> {
        let mut out = vec![Sparse::new(); texts.count()];
        let place = Shared(out.as_mut_ptr());
        self.each_chunk(texts, threads, &|forward, chunk| {
            // SAFETY: chunks have disjoint texts.
            let mine = unsafe {
                std::slice::from_raw_parts_mut(place.get().add(chunk.texts.start), chunk.texts.len())
            };
            forward.sparse(logs, mine);
        });
        out
    }

    /// Run chunks in parallel while there is one for every thread; all threads share the remaining ones.
    fn each_chunk(&self, texts: Texts, threads: usize, finish: &(dyn Fn(&mut Forward, &Chunk) + Sync)) {
        let chunks = chunks::cut(texts, self.config.vocabulary);
        let whole = chunks.len() - chunks.len() % threads.max(1);
        let work = |chunk: &Chunk, threads: usize| {
            let mut scratch = self.scratches.take();
            finish(&mut Forward::new(self, texts, chunk, threads, &mut scratch).run(), chunk);
            self.scratches.give_back(scratch);
        };
        pool::run(threads, whole, &|i| work(&chunks[i], 1));
        chunks[whole..].iter().for_each(|chunk| work(chunk, threads));
    }
}

/// A pointer to memory of which threads write disjoint parts.
#[derive(Clone, Copy)]
struct Shared<T>(*mut T);

// SAFETY: see its use.
unsafe impl<T> Send for Shared<T> {}
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn get(&self) -> *mut T {
        self.0
    }
}
