//! A model's weights, packed for the path in use.

use super::config::Config;
use crate::file::{Halves, Result, Tensors};
use crate::generic::rows::Norm;
use crate::kernels::Kernels;
use crate::memory::Aligned;
use crate::packed::{Packed, Segment, padded};

pub struct Weights {
    pub words: Halves,
    /// Positions (and the one token type), added to the words; rows of the padded width.
    pub positions: Option<Aligned<f32>>,
    pub embedding_norm: NormWeights,
    pub layers: Vec<LayerWeights>,
    pub final_norm: Option<NormWeights>,
    pub transform: Packed,
    pub transform_norm: NormWeights,
    pub head: Packed,
}

pub struct LayerWeights {
    pub qkv: Packed,
    pub output: Packed,
    pub up: Packed,
    pub down: Packed,
    /// Of the attention block; absent if there is nothing to normalize.
    pub attention_norm: Option<NormWeights>,
    pub block_norm: NormWeights,
}

pub struct NormWeights {
    weight: Aligned<f32>,
    bias: Aligned<f32>,
    n: usize,
    eps: f32,
}

impl NormWeights {
    pub fn norm(&self) -> Norm {
        Norm { weight: self.weight.as_ptr(), bias: self.bias.as_ptr(), n: self.n, eps: self.eps }
    }
}

/// The arguments for reading a tensor.
struct Reader<'a> {
    tensors: &'a Tensors,
    kernels: &'a Kernels,
    config: &'a Config,
}

impl Weights {
    pub fn read(tensors: &Tensors, config: &Config, kernels: &Kernels) -> Result<Weights> {
        let reader = Reader { tensors, kernels, config };
        let (hidden, vocabulary) = (config.hidden, config.vocabulary);
        Ok(Weights {
            words: tensors.halves("embeddings.words", &[vocabulary, hidden])?,
            positions: reader.positions()?,
            embedding_norm: reader.norm("embeddings.norm")?,
            layers: (0..config.layers.len()).map(|i| reader.layer(i)).collect::<Result<_>>()?,
            final_norm: if config.pre_norm { Some(reader.norm("final_norm")?) } else { None },
            transform: reader.linear("transform", hidden, &[hidden])?,
            transform_norm: reader.norm("transform.norm")?,
            head: reader.linear("head", hidden, &[vocabulary])?,
        })
    }
}

impl Reader<'_> {
    fn layer(&self, i: usize) -> Result<LayerWeights> {
        let (hidden, inner) = (self.config.hidden, self.config.intermediate);
        let up: &[usize] = if self.config.gated { &[inner, inner] } else { &[inner] };
        let attention_norm = format!("layers.{i}.attention_norm");
        Ok(LayerWeights {
            qkv: self.linear(&format!("layers.{i}.qkv"), hidden, &[hidden; 3])?,
            output: self.linear(&format!("layers.{i}.output"), hidden, &[hidden])?,
            up: self.linear(&format!("layers.{i}.up"), hidden, up)?,
            down: self.linear(&format!("layers.{i}.down"), inner, &[hidden])?,
            attention_norm: if self.config.layers[i].norm { Some(self.norm(&attention_norm)?) } else { None },
            block_norm: self.norm(&format!("layers.{i}.block_norm"))?,
        })
    }

    /// Weights of all segments, stacked: rows by `k`.
    fn linear(&self, name: &str, k: usize, rows: &[usize]) -> Result<Packed> {
        let n = rows.iter().sum();
        let segments: Vec<Segment> = rows
            .iter()
            .enumerate()
            .map(|(i, r)| Segment { start: rows[..i].iter().sum(), rows: *r })
            .collect();
        let weight = format!("{name}.weight");
        let weights = self.tensors.int8(&weight, &[n, k])?;
        let scale = self.tensors.floats(&format!("{name}.scale"), &[n])?;
        if scale[..n].iter().any(|s| *s <= 0.0) {
            return Err(format!("the scales of {name:?} are not all above 0"));
        }
        let bias = format!("{name}.bias");
        let bias =
            if self.tensors.has(&bias) { self.tensors.floats(&bias, &[n])? } else { Aligned::zeroed(n) };
        let packed =
            Packed::new(weights, k, &scale, &bias, &segments, self.kernels.panel, self.kernels.group);
        self.tensors.done_with(&weight);
        Ok(packed)
    }

    fn norm(&self, name: &str) -> Result<NormWeights> {
        let n = self.config.hidden;
        let bias = format!("{name}.bias");
        Ok(NormWeights {
            weight: self.tensors.floats(&format!("{name}.weight"), &[n])?,
            bias: if self.tensors.has(&bias) {
                self.tensors.floats(&bias, &[n])?
            } else {
                Aligned::zeroed(n.next_multiple_of(64))
            },
            n,
            eps: self.config.eps,
        })
    }

    fn positions(&self) -> Result<Option<Aligned<f32>>> {
        if !self.config.absolute {
            return Ok(None);
        }
        let (rows, hidden) = (self.config.positions, self.config.hidden);
        let table = self.tensors.floats("embeddings.positions", &[rows, hidden])?;
        let wide = padded(hidden);
        let mut padded = Aligned::zeroed(rows * wide);
        for (to, from) in padded.chunks_exact_mut(wide).zip(table.chunks_exact(hidden)) {
            to[..hidden].copy_from_slice(from);
        }
        Ok(Some(padded))
    }
}
