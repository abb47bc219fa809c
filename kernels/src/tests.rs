//! Every path of this processor against the scalar one, to the bit: all kernels, and a whole small model.

use crate::file::Tensors;
use crate::generic::attention::{self, Head};
use crate::generic::rows::Norm;
use crate::generic::{Activation, Rows};
use crate::kernels::Kernels;
use crate::memory::Aligned;
use crate::model::{Model, Texts};
use crate::packed::padded;
use crate::path::{self, Path};
use crate::quantized::Quantized;
use crate::selfcheck;

fn paths() -> impl Iterator<Item = Path> {
    Path::ALL.into_iter().filter(|p| p.available())
}

/// Floats of about -4..4 from a fixed sequence.
fn numbers(seed: u64) -> impl FnMut() -> f32 {
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ seed;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 8.0
    }
}

fn rows_of(rows: usize, n: usize, seed: u64) -> Aligned<f32> {
    let mut next = numbers(seed);
    let wide = padded(n);
    let mut x = Aligned::zeroed(rows * wide);
    for r in 0..rows {
        for i in 0..n {
            x[r * wide + i] = next();
        }
    }
    x
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|f| f.to_bits()).collect()
}

/// Every path returns the same as the scalar one.
fn equal_everywhere<T: PartialEq + std::fmt::Debug>(what: impl Fn(&Kernels) -> T) {
    let wanted = what(Path::Scalar.kernels());
    for path in paths() {
        assert!(what(path.kernels()) == wanted, "{path:?} differs from the scalar path");
    }
}

#[test]
fn products_are_the_same_everywhere() {
    for path in paths() {
        assert!(selfcheck::passes(path), "{path:?}");
    }
}

#[test]
fn norms_are_the_same_everywhere_and_right() {
    for n in [16, 24, 130, 768] {
        equal_everywhere(|k| bits(&normed(k, n)));
        let y = normed(Path::Scalar.kernels(), n);
        let mean = y[..n].iter().sum::<f32>() / n as f32;
        let square = y[..n].iter().map(|v| v * v).sum::<f32>() / n as f32;
        assert!(mean.abs() < 1e-5 && (square - 1.0).abs() < 1e-3, "{n}: {mean} {square}");
        assert!(y[n..padded(n)].iter().all(|v| *v == 0.0), "the padding of a row of {n} is not zero");
    }
}

fn normed(kernels: &Kernels, n: usize) -> Aligned<f32> {
    let mut x = rows_of(3, n, 1);
    let mut weight = Aligned::<f32>::zeroed(padded(n));
    weight[..n].fill(1.0);
    let bias = Aligned::<f32>::zeroed(padded(n));
    let norm = Norm { weight: weight.as_ptr(), bias: bias.as_ptr(), n, eps: 1e-12 };
    let rows = Rows { data: x.as_mut_ptr(), stride: padded(n) };
    // SAFETY: the buffers have padded rows; the path is available.
    unsafe { (kernels.norm)(rows, rows, 3, norm) };
    x
}

#[test]
fn activations_are_the_same_everywhere_and_right() {
    let right: [(Activation, fn(f64) -> f64); 4] = [
        (Activation::Gelu, |x| 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))),
        (Activation::GeluTanh, |x| 0.5 * x * (1.0 + (0.797_884_560_8 * (x + 0.044715 * x.powi(3))).tanh())),
        (Activation::Relu, |x| x.max(0.0)),
        (Activation::Silu, |x| x / (1.0 + (-x).exp())),
    ];
    for (kind, wanted) in right {
        equal_everywhere(|k| bits(&activated(k, kind, 0)));
        equal_everywhere(|k| bits(&activated(k, kind, 64)));
        let (x, y) = (rows_of(2, 128, 2), activated(Path::Scalar.kernels(), kind, 0));
        for (x, y) in x.iter().zip(y.iter()).take(64) {
            let exact = wanted(f64::from(*x));
            assert!((f64::from(*y) - exact).abs() < 2e-6, "{kind:?}({x}) is {y}, not {exact}");
        }
    }
}

/// Two rows of 64 values, each followed by its gate.
fn activated(kernels: &Kernels, kind: Activation, gate: usize) -> Aligned<f32> {
    let mut h = rows_of(2, 128, 2);
    let mut acts = Quantized::new(2, 64, kernels);
    let rows = Rows { data: h.as_mut_ptr(), stride: 128 };
    // SAFETY: rows of 128 floats; the path is available.
    unsafe { (kernels.activate_quantize)(rows, 2, 64, kind, gate, acts.acts()) };
    h
}

/// By its series, which is accurate for small arguments such as these.
fn erf(x: f64) -> f64 {
    let (mut sum, mut term) = (x, x);
    for n in 1..100 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

#[test]
fn attention_is_the_same_everywhere_and_right() {
    for (tokens, depth, window) in [(1, 64, 0), (7, 26, 0), (100, 64, 0), (70, 32, 5), (200, 64, 64)] {
        equal_everywhere(|k| bits(&attended(k, tokens, depth, window)));
        let got = attended(Path::Scalar.kernels(), tokens, depth, window);
        let wanted = plain_attention(tokens, depth, window);
        for (got, wanted) in got.iter().zip(&wanted) {
            assert!((f64::from(*got) - wanted).abs() < 1e-5, "{tokens} {depth} {window}: {got} {wanted}");
        }
    }
}

/// The contexts, `tokens` by `depth`.
fn attended(kernels: &Kernels, tokens: usize, depth: usize, window: usize) -> Vec<f32> {
    let wide = padded(3 * depth);
    let mut qkv = rows_of(tokens, 3 * depth, 3);
    let mut scratch = Aligned::<f32>::zeroed(attention::scratch(tokens, depth));
    // SAFETY: queries, keys and values lie side by side in each row.
    unsafe {
        let queries = qkv.as_mut_ptr();
        let head = Head {
            queries,
            keys: queries.add(depth),
            values: queries.add(2 * depth),
            stride: wide,
            tokens,
            depth,
            window,
            scale: 0.125,
        };
        (kernels.attention)(head, scratch.as_mut_ptr());
    }
    qkv.chunks(wide).flat_map(|row| row[..depth].to_vec()).collect()
}

fn plain_attention(tokens: usize, depth: usize, window: usize) -> Vec<f64> {
    let (qkv, wide) = (rows_of(tokens, 3 * depth, 3), padded(3 * depth));
    let at = |t: usize, part: usize, i: usize| f64::from(qkv[t * wide + part * depth + i]);
    let mut out = Vec::new();
    for q in 0..tokens {
        let seen: Vec<usize> = (0..tokens).filter(|k| window == 0 || q.abs_diff(*k) <= window).collect();
        let score = |k: usize| (0..depth).map(|i| at(q, 0, i) * at(k, 1, i)).sum::<f64>() * 0.125;
        let scores: Vec<f64> = seen.iter().map(|k| score(*k)).collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|s| (s - largest).exp()).collect();
        let sum: f64 = weights.iter().sum();
        for i in 0..depth {
            out.push(seen.iter().zip(&weights).map(|(k, w)| w * at(*k, 2, i)).sum::<f64>() / sum);
        }
    }
    out
}

#[test]
fn embeddings_are_the_same_everywhere_and_right() {
    // Normal halves, denormals, zeros, both signs.
    let halves: Vec<u16> =
        (0..40).map(|i| [0x3c00, 0xc000, 0x0001, 0x83ff, 0x0000, 0x3555][i % 6] + i as u16).collect();
    equal_everywhere(|k| bits(&embedded(k, &halves)));
    let x = embedded(Path::Scalar.kernels(), &[0x3c00, 0xc000, 0x0001, 0x8000, 0x7bff]);
    assert_eq!(&x[..5], &[1.0, -2.0, 2f32.powi(-24), 0.0, 65504.0]);
}

fn embedded(kernels: &Kernels, halves: &[u16]) -> Aligned<f32> {
    let mut x = Aligned::zeroed(64);
    // SAFETY: the buffer has room for a padded row.
    unsafe { (kernels.embed)(halves.as_ptr(), std::ptr::null(), x.as_mut_ptr(), halves.len()) };
    x
}

#[test]
fn terms_above_a_bound_are_found_in_order() {
    let row: Vec<f32> = (0..77).map(|i| if i % 7 == 3 { i as f32 } else { -1.0 }).collect();
    for path in paths() {
        let mut found = Vec::new();
        // SAFETY: 77 floats; the path is available.
        unsafe { (path.kernels().above)(row.as_ptr(), row.len(), 0.0, &mut found) };
        let wanted: Vec<(u32, f32)> = (3..77).step_by(7).map(|i| (i, i as f32)).collect();
        assert_eq!(found, wanted, "{path:?}");
    }
}

#[test]
fn a_path_that_is_wrong_is_passed_over_with_a_warning() {
    let best = paths().next().expect("the scalar path at least");
    let choice = path::choose(None, &|p| p != best);
    if best == Path::Scalar {
        assert!(choice.path == Path::Scalar && choice.warnings.is_empty());
    } else {
        assert_ne!(choice.path, best);
        assert!(choice.warnings[0].starts_with(&format!("The {} kernels gave a wrong result", best.name())));
    }
}

#[test]
fn whole_models_are_the_same_everywhere_alone_and_in_batches() {
    for rotated in [false, true] {
        let tensors = Tensors::from_bytes(small_model(rotated)).expect("a whole model");
        let ids: Vec<u32> = (0..90).map(|i| i * 37 % 50).collect();
        let offsets = [0, 1, 1, 40, 90];
        let texts = Texts { ids: &ids, offsets: &offsets, mask: None };
        let encode = |path: Path, threads: usize| {
            let model = Model::new(&tensors, path).expect("a whole model");
            let mut out = vec![0.0; texts.count() * model.vocabulary()];
            model.encode(texts, threads, &mut out);
            (bits(&out), model)
        };
        let (wanted, model) = encode(Path::Scalar, 1);
        for path in paths() {
            for threads in [1, 2, 5] {
                assert!(
                    encode(path, threads).0 == wanted,
                    "{path:?} with {threads} threads, rotated: {rotated}"
                );
            }
        }
        let mut alone = vec![0.0; model.vocabulary()];
        model.encode(Texts { ids: &ids[40..], offsets: &[0, 50], mask: None }, 2, &mut alone);
        assert!(bits(&alone) == wanted[3 * alone.len()..], "a text alone differs from the text in a batch");
        assert!(wanted[alone.len()..2 * alone.len()].iter().all(|b| f32::from_bits(*b) == f32::NEG_INFINITY));
    }
}

/// A file with two layers, like those of BERT or ModernBERT.
fn small_model(rotated: bool) -> Vec<u8> {
    let (hidden, inner, vocabulary) = (24, 40, 50);
    let mut file = File::default();
    let mut next = numbers(5);
    file.put(
        "embeddings.words",
        "F16",
        &[vocabulary, hidden],
        (0..vocabulary * hidden)
            .flat_map(|i| ((0x3000u16 + (i * 37 % 2048) as u16) | ((i % 2) << 15) as u16).to_le_bytes())
            .collect(),
    );
    if !rotated {
        file.floats("embeddings.positions", &[64, hidden], &mut next);
    }
    file.norm("embeddings.norm", hidden, &mut next);
    for i in 0..2 {
        file.linear(&format!("layers.{i}.qkv"), 3 * hidden, hidden, &mut next);
        file.linear(&format!("layers.{i}.output"), hidden, hidden, &mut next);
        file.linear(&format!("layers.{i}.up"), if rotated { 2 * inner } else { inner }, hidden, &mut next);
        file.linear(&format!("layers.{i}.down"), hidden, inner, &mut next);
        file.norm(&format!("layers.{i}.attention_norm"), hidden, &mut next);
        file.norm(&format!("layers.{i}.block_norm"), hidden, &mut next);
    }
    file.norm("final_norm", hidden, &mut next);
    file.linear("transform", hidden, hidden, &mut next);
    file.norm("transform.norm", hidden, &mut next);
    file.linear("head", vocabulary, hidden, &mut next);
    let layer = |window: u32, norm: bool| serde_json::json!({"window": window, "theta": if rotated { 100.0 } else { 0.0 }, "norm": norm});
    file.finish(&serde_json::json!({
        "vocabulary": vocabulary, "hidden": hidden, "intermediate": inner, "heads": 2, "positions": 64,
        "absolute": !rotated, "eps": 1e-5, "activation": "gelu", "gated": rotated, "pre_norm": rotated,
        "head_activation": "gelu",
        "layers": [layer(0, !rotated), layer(if rotated { 6 } else { 0 }, true)],
    }))
}

#[derive(Default)]
struct File {
    header: serde_json::Map<String, serde_json::Value>,
    data: Vec<u8>,
}

impl File {
    fn put(&mut self, name: &str, dtype: &str, shape: &[usize], bytes: Vec<u8>) {
        let (start, end) = (self.data.len(), self.data.len() + bytes.len());
        self.data.extend(bytes);
        let entry = serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]});
        self.header.insert(name.into(), entry);
    }

    fn floats(&mut self, name: &str, shape: &[usize], next: &mut impl FnMut() -> f32) {
        let count = shape.iter().product();
        self.put(name, "F32", shape, (0..count).flat_map(|_| (next() / 8.0).to_le_bytes()).collect());
    }

    fn norm(&mut self, name: &str, n: usize, next: &mut impl FnMut() -> f32) {
        self.floats(&format!("{name}.weight"), &[n], next);
        self.floats(&format!("{name}.bias"), &[n], next);
    }

    fn linear(&mut self, name: &str, n: usize, k: usize, next: &mut impl FnMut() -> f32) {
        let weights = (0..n * k).map(|_| (next() * 31.0) as i8 as u8).collect();
        self.put(&format!("{name}.weight"), "I8", &[n, k], weights);
        let scale = (0..n).flat_map(|i| (0.002f32 + i as f32 * 1e-5).to_le_bytes()).collect();
        self.put(&format!("{name}.scale"), "F32", &[n], scale);
        self.floats(&format!("{name}.bias"), &[n], next);
    }

    fn finish(mut self, config: &serde_json::Value) -> Vec<u8> {
        let metadata = serde_json::json!({"format": crate::file::FORMAT, "config": config.to_string()});
        self.header.insert("__metadata__".into(), metadata);
        let mut header = serde_json::Value::Object(self.header).to_string();
        header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &self.data].concat()
    }
}

/// `cargo test --release -- --ignored --nocapture speeds` prints products per second of CPU time.
#[test]
#[ignore = "prints figures, asserts nothing"]
fn speeds() {
    for path in paths().filter(|p| *p != Path::Scalar) {
        let kernels = path.kernels();
        let mut best = [0f64; 2];
        for _ in 0..30 {
            let (int8, fp32) = crate::limits::loops(path);
            for (best, run) in best.iter_mut().zip([int8, fp32]) {
                *best = best.max(fastest(1, &mut || run(20_000)));
            }
        }
        println!("{path:?}: int8 {:.0} fp32 {:.0} of bare loops", best[0], best[1]);
        for (tokens, depth) in [(32, 64), (240, 64), (512, 64), (240, 32)] {
            let mut qkv = rows_of(tokens, 3 * depth, 3);
            let mut scratch = Aligned::<f32>::zeroed(attention::scratch(tokens, depth));
            let wide = padded(3 * depth);
            let speed = fastest(200, &mut || {
                // SAFETY: as in `attended`.
                unsafe {
                    let queries = qkv.as_mut_ptr();
                    let (keys, values) = (queries.add(depth), queries.add(2 * depth));
                    let (stride, window, scale) = (wide, 0, 0.125);
                    let head = Head { queries, keys, values, stride, tokens, depth, window, scale };
                    (kernels.attention)(head, scratch.as_mut_ptr());
                }
                (2 * tokens * tokens * depth) as u64
            });
            println!("  attention {tokens} x {depth}: {speed:.1} of {:.0}", best[1]);
        }
        for kind in [Activation::Gelu, Activation::Relu] {
            let mut h = rows_of(64, 3072, 2);
            let mut acts = Quantized::new(64, 3072, kernels);
            let rows = Rows { data: h.as_mut_ptr(), stride: 3072 };
            // SAFETY: 64 rows.
            let speed = fastest(50, &mut || {
                unsafe { (kernels.activate_quantize)(rows, 64, 3072, kind, 0, acts.acts()) };
                64 * 3072
            });
            println!("  {kind:?} and quantize: {speed:.2} G/s");
        }
    }
}

/// The fastest of several runs, in billions per second of this thread's CPU time.
fn fastest(runs: usize, work: &mut dyn FnMut() -> u64) -> f64 {
    let clock = || crate::limits::thread_seconds().expect("a clock of this thread");
    (0..runs).fold(0.0, |best, _| {
        let start = clock();
        let done = work();
        best.max(done as f64 / (clock() - start) / 1e9)
    })
}
