//! The forward pass over one chunk.
//!
//! Between two attentions everything is done row by row, so that a range of rows goes through a whole layer
//! while it is in the caches. A row's result depends neither on its neighbours nor on the thread.

use super::chunks::Chunk;
use super::rotation::Rotation;
use super::scratch::{Local, Scratch, local};
use super::weights::LayerWeights;
use super::{Model, Shared, Texts};
use crate::generic::attention::{self, Head};
use crate::generic::product::TILE;
use crate::generic::{Acts, Rows};
use crate::kernels::Kernels;
use crate::packed::{Packed, padded};
use crate::pool;
use std::ops::Range;

/// Terms and weights of one text, terms ascending.
pub type Sparse = Vec<(u32, f32)>;

/// Floats of the feed-forward block's inner rows that are computed at a time: most of an L2 cache.
const INNER: usize = 192 << 10;
/// Products below which waking another thread costs more than it saves.
const WORTH_SHARING: usize = 8 << 20;
/// Rows below which a thread has too little work to be worth reading the weights.
const ROWS: usize = 4 * TILE;

pub struct Forward<'a> {
    model: &'a Model,
    kernels: &'static Kernels,
    ids: &'a [u32],
    mask: Option<&'a [u8]>,
    /// Rows of each text.
    texts: Vec<Range<usize>>,
    rows: usize,
    threads: usize,
    buffers: Buffers,
    scratch: &'a mut Scratch,
}

/// Where the rows of the chunk are.
#[derive(Clone, Copy)]
struct Buffers {
    x: Rows,
    qkv: Rows,
    acts: Acts,
}

// SAFETY: threads work on disjoint rows or columns.
unsafe impl Send for Buffers {}
unsafe impl Sync for Buffers {}

impl<'a> Forward<'a> {
    pub fn new(
        model: &'a Model,
        texts: Texts<'a>,
        chunk: &Chunk,
        threads: usize,
        scratch: &'a mut Scratch,
    ) -> Self {
        let kernels = model.path.kernels();
        let all = texts.offsets[chunk.texts.start] as usize..texts.offsets[chunk.texts.end] as usize;
        let (rows, hidden) = (all.len(), model.config.hidden);
        let wide = padded(hidden);
        scratch.x.reserve(rows * wide);
        scratch.qkv.reserve(rows * 3 * wide);
        scratch.acts.reserve(rows, hidden, kernels);
        let buffers = Buffers {
            x: Rows { data: scratch.x.as_mut_ptr(), stride: wide },
            qkv: Rows { data: scratch.qkv.as_mut_ptr(), stride: 3 * wide },
            acts: scratch.acts.acts(),
        };
        let shift = |r: Range<usize>| r.start - all.start..r.end - all.start;
        Forward {
            model,
            kernels,
            ids: &texts.ids[all.clone()],
            mask: texts.mask.map(|mask| &mask[all.clone()]),
            texts: chunk.texts.clone().map(|t| shift(texts.range(t))).collect(),
            rows,
            threads,
            buffers,
            scratch,
        }
    }

    /// Everything up to the head.
    pub fn run(mut self) -> Self {
        if self.rows == 0 {
            return self;
        }
        let this = &self;
        this.by_rows(&|rows, threads| this.first(rows, threads));
        for layer in 0..this.model.weights.layers.len() {
            this.attend(layer);
            this.by_rows(&|rows, threads| this.layer(layer, rows, threads));
        }
        self.leave_out();
        self
    }

    /// Split the rows if there are enough for all threads; otherwise share the products of all rows.
    fn by_rows(&self, work: &(dyn Fn(Range<usize>, usize) + Sync)) {
        if self.threads > 1 && self.rows >= self.threads * ROWS {
            let part = self.rows.div_ceil(2 * self.threads).max(ROWS).next_multiple_of(TILE);
            let parts = self.rows.div_ceil(part);
            pool::run(self.threads, parts, &|i| work(i * part..((i + 1) * part).min(self.rows), 1));
        } else {
            work(0..self.rows, self.threads);
        }
    }

    /// Embeddings, and the input of the first attention.
    fn first(&self, rows: Range<usize>, threads: usize) {
        let weights = &self.model.weights;
        for row in rows.clone() {
            let position = weights.positions.as_ref().map_or(std::ptr::null(), |table| {
                table[self.position(row) * self.buffers.x.stride..].as_ptr()
            });
            let word = weights.words.row(self.ids[row] as usize);
            // SAFETY: `check` has validated the id and the length; the row belongs to this range.
            unsafe {
                (self.kernels.embed)(word, position, self.buffers.x.row(row), self.model.config.hidden)
            };
        }
        let norm = weights.embedding_norm.norm();
        let x = self.x(&rows);
        // SAFETY: rows of this range.
        unsafe { (self.kernels.norm)(x, x, rows.len(), norm) };
        local(|local| self.queries(0, &rows, threads, local));
    }

    /// Queries, keys and values of a layer, computed from `x`.
    fn queries(&self, layer: usize, rows: &Range<usize>, threads: usize, local: &mut Local) {
        let weights = &self.model.weights.layers[layer];
        let norm = weights.attention_norm.as_ref().filter(|_| self.model.config.pre_norm);
        match norm {
            Some(norm) => self.norm_quantize(rows, norm.norm(), false, local),
            None => self.quantize(self.x(rows), rows),
        }
        let qkv = unsafe { self.buffers.qkv.from_row(rows.start) };
        self.linear(self.acts(rows), rows.len(), &weights.qkv, qkv, false, threads);
        self.rotate(layer, rows);
    }

    fn rotate(&self, layer: usize, rows: &Range<usize>) {
        let config = &self.model.config;
        let Some(rotation) = Rotation::of(&self.model.rotations, config.layers[layer].theta) else { return };
        for row in rows.clone() {
            let (cosines, sines) = rotation.at(self.position(row));
            for head in 0..2 * config.heads {
                let wide = padded(config.hidden);
                let column = head / config.heads * wide + head % config.heads * config.depth();
                // SAFETY: a head of the row's queries or keys.
                unsafe {
                    let place = self.buffers.qkv.row(row).add(column);
                    (self.kernels.rotate)(place, config.depth(), cosines, sines);
                }
            }
        }
    }

    fn attend(&self, layer: usize) {
        let config = &self.model.config;
        let tasks = self.texts.len() * config.heads;
        let work: usize = self.texts.iter().map(|t| t.len() * t.len() * config.hidden * 2).sum();
        // An fp32 product costs about four int8 ones.
        let threads = if work * 4 < WORTH_SHARING { 1 } else { self.threads };
        pool::run(threads, tasks, &|task| {
            let text = &self.texts[task / config.heads];
            if text.is_empty() {
                return;
            }
            let needed = attention::scratch(text.len(), config.depth());
            local(|local| {
                local.attention.reserve(needed);
                // SAFETY: only this task uses this head of this text; the scratch is large enough.
                unsafe {
                    let head = self.head_of(text, task % config.heads, config.layers[layer].window);
                    (self.kernels.attention)(head, local.attention.as_mut_ptr());
                }
                if local.attention.len() > LARGE {
                    local.attention = crate::memory::Aligned::zeroed(0);
                }
            });
        });
    }

    unsafe fn head_of(&self, text: &Range<usize>, head: usize, window: usize) -> Head {
        let config = &self.model.config;
        let wide = padded(config.hidden);
        unsafe {
            let queries = self.buffers.qkv.row(text.start).add(head * config.depth());
            Head {
                queries,
                keys: queries.add(wide),
                values: queries.add(2 * wide),
                stride: self.buffers.qkv.stride,
                tokens: text.len(),
                depth: config.depth(),
                window,
                scale: 1.0 / (config.depth() as f32).sqrt(),
            }
        }
    }

    /// From the attention's contexts to the input of the next attention, or of the head.
    fn layer(&self, layer: usize, rows: Range<usize>, threads: usize) {
        let model = self.model;
        let weights = &model.weights.layers[layer];
        local(|local| {
            // SAFETY: rows of this range.
            let contexts = unsafe { self.buffers.qkv.from_row(rows.start) };
            self.quantize(contexts, &rows);
            self.linear(self.acts(&rows), rows.len(), &weights.output, self.x(&rows), true, threads);
            let (before, behind) = if model.config.pre_norm {
                (Some(&weights.block_norm), None)
            } else {
                (weights.attention_norm.as_ref(), Some(&weights.block_norm))
            };
            if let Some(norm) = before {
                self.norm_quantize(&rows, norm.norm(), !model.config.pre_norm, local);
            }
            self.feed_forward(weights, &rows, threads, local);
            if let Some(norm) = behind {
                // SAFETY: rows of this range.
                unsafe { (self.kernels.norm)(self.x(&rows), self.x(&rows), rows.len(), norm.norm()) };
            }
            if layer + 1 < model.weights.layers.len() {
                self.queries(layer + 1, &rows, threads, local);
            } else {
                self.transform(&rows, threads, local);
            }
        });
    }

    /// `x += down(activation(up(acts)))`, some rows at a time.
    fn feed_forward(&self, weights: &LayerWeights, rows: &Range<usize>, threads: usize, local: &mut Local) {
        let config = &self.model.config;
        let gate = if config.gated { padded(config.intermediate) } else { 0 };
        let wide = weights.up.width();
        let part = (INNER / wide / TILE).max(1) * TILE;
        let part = part.min(rows.len());
        local.inner.reserve(part * wide);
        local.acts.reserve(part, config.intermediate, self.kernels);
        let inner = Rows { data: local.inner.as_mut_ptr(), stride: wide };
        let acts = local.acts.acts();
        for start in rows.clone().step_by(part) {
            let some = start..(start + part).min(rows.end);
            self.linear(self.acts(&some), some.len(), &weights.up, inner, false, threads);
            // SAFETY: the buffers hold `part` rows.
            unsafe {
                let (n, kind) = (config.intermediate, config.activation);
                (self.kernels.activate_quantize)(inner, some.len(), n, kind, gate, acts);
            }
            self.linear(acts, some.len(), &weights.down, self.x(&some), true, threads);
        }
    }

    /// The head's transform, quantized.
    fn transform(&self, rows: &Range<usize>, threads: usize, local: &mut Local) {
        let (config, weights) = (&self.model.config, &self.model.weights);
        match &weights.final_norm {
            Some(norm) => self.norm_quantize(rows, norm.norm(), false, local),
            None => self.quantize(self.x(rows), rows),
        }
        self.linear(self.acts(rows), rows.len(), &weights.transform, self.x(rows), false, threads);
        let norm = weights.transform_norm.norm();
        // SAFETY: rows of this range.
        unsafe {
            (self.kernels.activate_norm_quantize)(
                self.x(rows),
                rows.len(),
                config.head_activation,
                norm,
                self.acts(rows),
            );
        }
    }

    /// Compact the rows that take part in the maximum.
    fn leave_out(&mut self) {
        let Some(mask) = self.mask else { return };
        let mut kept = 0;
        for text in &mut self.texts {
            let start = kept;
            for row in text.clone().filter(|row| mask[*row] != 0) {
                // SAFETY: both are rows of the buffers, and `kept <= row`.
                unsafe {
                    let (from, to) = (self.buffers.acts.from_row(row), self.buffers.acts.from_row(kept));
                    std::ptr::copy(from.data, to.data, from.stride);
                    *to.scale = *from.scale;
                    *to.zero = *from.zero;
                }
                kept += 1;
            }
            *text = start..kept;
        }
        self.rows = kept;
    }

    /// Write the largest logits to `out`, one row of the vocabulary's length per text.
    pub fn dense(&mut self, out: *mut f32) {
        let head = &self.model.weights.head;
        let n = head.n;
        let place = Shared(out);
        let (acts, texts) = (self.buffers, &self.texts);
        self.shared_panels(head, self.rows, self.threads, &|panels| {
            let out = Rows { data: place.get(), stride: n };
            // SAFETY: only this task writes to the panels' columns; `out` has a row for each text.
            unsafe { (self.kernels.head)(acts.get().acts, texts, head, panels, out) };
        });
        for (t, text) in self.texts.iter().enumerate() {
            if text.is_empty() {
                // SAFETY: the text's row.
                unsafe { std::slice::from_raw_parts_mut(out.add(t * n), n) }.fill(f32::NEG_INFINITY);
            }
        }
    }

    /// Terms above zero, after `logs` times log(1 + x).
    pub fn sparse(&mut self, logs: u32, out: &mut [Sparse]) {
        let n = self.model.weights.head.n;
        self.scratch.logits.reserve(self.texts.len() * n);
        let logits = self.scratch.logits.as_mut_ptr();
        self.dense(logits);
        for (t, terms) in out.iter_mut().enumerate() {
            // SAFETY: `dense` has written the text's row.
            unsafe { (self.kernels.above)(logits.add(t * n), n, 0.0, terms) };
            for _ in 0..logs {
                terms.iter_mut().for_each(|(_, weight)| *weight = weight.ln_1p());
            }
        }
    }

    fn norm_quantize(
        &self,
        rows: &Range<usize>,
        norm: crate::generic::rows::Norm,
        keep: bool,
        local: &mut Local,
    ) {
        local.row.reserve(padded(norm.n));
        let x = self.x(rows);
        let y = if keep { x } else { Rows { data: local.row.as_mut_ptr(), stride: 0 } };
        // SAFETY: rows of this range.
        unsafe { (self.kernels.norm_quantize)(x, y, rows.len(), norm, self.acts(rows)) };
    }

    fn quantize(&self, x: Rows, rows: &Range<usize>) {
        // SAFETY: rows of this range.
        unsafe { (self.kernels.quantize)(x, rows.len(), self.model.config.hidden, self.acts(rows)) };
    }

    fn linear(&self, acts: Acts, rows: usize, packed: &Packed, out: Rows, add: bool, threads: usize) {
        let buffers = Buffers { x: out, qkv: out, acts };
        self.shared_panels(packed, rows, threads, &|panels| {
            let b = buffers.get();
            // SAFETY: only this task writes to the panels' columns.
            unsafe { (self.kernels.linear)(b.acts, rows, packed, panels, b.x, add) };
        });
    }

    fn shared_panels(
        &self,
        packed: &Packed,
        rows: usize,
        threads: usize,
        work: &(dyn Fn(Range<usize>) + Sync),
    ) {
        let panels = packed.panels();
        if threads == 1 || rows * packed.products() < WORTH_SHARING {
            return work(0..panels);
        }
        let part = panels.div_ceil(2 * threads);
        pool::run(threads, panels.div_ceil(part), &|i| work(i * part..((i + 1) * part).min(panels)));
    }

    fn x(&self, rows: &Range<usize>) -> Rows {
        // SAFETY: the range lies in the buffer.
        unsafe { self.buffers.x.from_row(rows.start) }
    }

    fn acts(&self, rows: &Range<usize>) -> Acts {
        // SAFETY: the range lies in the buffer.
        unsafe { self.buffers.acts.from_row(rows.start) }
    }

    /// The position of a row in its text.
    fn position(&self, row: usize) -> usize {
        let text = self.texts.partition_point(|t| t.end <= row);
        row - self.texts[text].start
    }
}

/// Attention scratch with more floats than this is freed after use.
const LARGE: usize = 1 << 20;

impl Buffers {
    fn get(&self) -> Buffers {
        *self
    }
}

// SAFETY: shared by threads that work on disjoint rows or columns; the scratch is only accessed
// through a unique borrow.
unsafe impl Sync for Forward<'_> {}
