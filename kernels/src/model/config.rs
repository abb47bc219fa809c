//! The configuration of an encoder.

use crate::file::Result;
use crate::generic::Activation;
use serde_json::Value;

pub struct Config {
    pub vocabulary: usize,
    pub hidden: usize,
    pub intermediate: usize,
    pub heads: usize,
    pub layers: Vec<Layer>,
    /// Maximum number of tokens of a text: the rows of the position table, or of the rotations.
    pub positions: usize,
    /// Whether a position table is added to the words; otherwise queries and keys are rotated.
    pub absolute: bool,
    pub eps: f32,
    pub activation: Activation,
    /// Whether the feed-forward block multiplies one half of its inner values by the other.
    pub gated: bool,
    /// Whether norms come before the blocks (ModernBERT) or after them (BERT).
    pub pre_norm: bool,
    pub head_activation: Activation,
}

/// The settings that may differ between layers.
pub struct Layer {
    /// Number of visible tokens on either side; 0 for all.
    pub window: usize,
    /// Base of the rotations; 0 for none.
    pub theta: f32,
    /// Whether a norm comes before the attention (not in the first layer of ModernBERT).
    pub norm: bool,
}

impl Config {
    pub fn read(json: &Value) -> Result<Config> {
        let heads = size(json, "heads")?;
        let hidden = size(json, "hidden")?;
        let config = Config {
            vocabulary: size(json, "vocabulary")?,
            hidden,
            intermediate: size(json, "intermediate")?,
            heads,
            layers: layers(json)?,
            positions: size(json, "positions")?,
            absolute: flag(json, "absolute")?,
            eps: number(json, "eps")? as f32,
            activation: activation(json, "activation")?,
            gated: flag(json, "gated")?,
            pre_norm: flag(json, "pre_norm")?,
            head_activation: activation(json, "head_activation")?,
        };
        if !hidden.is_multiple_of(heads) {
            return Err(format!("{hidden} hidden values cannot be shared among {heads} heads"));
        }
        if !config.absolute && !config.depth().is_multiple_of(2) {
            return Err(format!("heads of {} values cannot be rotated", config.depth()));
        }
        Ok(config)
    }

    /// Values of one head.
    pub fn depth(&self) -> usize {
        self.hidden / self.heads
    }
}

fn layers(json: &Value) -> Result<Vec<Layer>> {
    let layers = json.get("layers").and_then(Value::as_array).ok_or("\"layers\" is not a list")?;
    if layers.is_empty() {
        return Err("it has no layers".into());
    }
    layers
        .iter()
        .map(|layer| {
            Ok(Layer {
                window: number(layer, "window")? as usize,
                theta: number(layer, "theta")? as f32,
                norm: flag(layer, "norm")?,
            })
        })
        .collect()
}

fn number(json: &Value, key: &str) -> Result<f64> {
    let number = json.get(key).and_then(Value::as_f64).filter(|x| *x >= 0.0);
    number.ok_or_else(|| format!("{key:?} of its configuration is not a number of at least 0"))
}

fn size(json: &Value, key: &str) -> Result<usize> {
    let number = json.get(key).and_then(Value::as_u64).filter(|n| (1..=1 << 24).contains(n));
    let number = number.ok_or_else(|| format!("{key:?} of its configuration is not a size"))?;
    Ok(number as usize)
}

fn flag(json: &Value, key: &str) -> Result<bool> {
    json.get(key)
        .and_then(Value::as_bool)
        .ok_or_else(|| format!("{key:?} of its configuration is neither true nor false"))
}

fn activation(json: &Value, key: &str) -> Result<Activation> {
    match json.get(key).and_then(Value::as_str) {
        Some("gelu") => Ok(Activation::Gelu),
        Some("gelu_tanh") => Ok(Activation::GeluTanh),
        Some("relu") => Ok(Activation::Relu),
        Some("silu") => Ok(Activation::Silu),
        other => Err(format!("{key:?} of its configuration is {other:?}, not gelu, gelu_tanh, relu or silu")),
    }
}
