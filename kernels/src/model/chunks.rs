//! Split batches into chunks, each computed by one thread at a time.

use super::Texts;
use std::ops::Range;

/// Tokens of a chunk of several texts. Their activations fit into the L2 and L3 caches, and the
/// weights are read once for all of them.
const TOKENS: usize = 256;
/// Maximum number of output floats of a chunk.
const OUTPUT: usize = 4 << 20;

/// Consecutive texts. A text is never split.
pub struct Chunk {
    pub texts: Range<usize>,
}

pub fn cut(texts: Texts, vocabulary: usize) -> Vec<Chunk> {
    let most = (OUTPUT / vocabulary).max(1);
    let mut chunks = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for text in 0..texts.count() {
        let length = texts.range(text).len();
        if text > start && (tokens + length > TOKENS || text - start >= most) {
            chunks.push(Chunk { texts: start..text });
            (start, tokens) = (text, 0);
        }
        tokens += length;
    }
    if start < texts.count() {
        chunks.push(Chunk { texts: start..texts.count() });
    }
    chunks
}
