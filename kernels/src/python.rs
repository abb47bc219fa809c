//! The Python module `splade_kernels._native`, a thin layer over buffers; `splade_kernels` checks the input.

use crate::file::Tensors;
use crate::generic::Rows;
use crate::kernels::Kernels;
use crate::memory::Aligned;
use crate::model::{Model, Texts};
use crate::packed::{Packed, Segment, padded};
use crate::path::{self, Path};
use crate::quantized::Quantized;
use crate::{limits, pool, selfcheck};
use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::{PyUserWarning, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyByteArray;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// A contiguous array of the caller, held while its memory is used.
struct Array<T: Element>(PyBuffer<T>);

impl<T: Element + Copy> Array<T> {
    fn get(any: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = PyBuffer::<T>::get(any)?;
        if !buffer.is_c_contiguous() {
            return Err(PyValueError::new_err("The array is not contiguous."));
        }
        Ok(Array(buffer))
    }

    fn slice(&self) -> &[T] {
        if self.0.item_count() == 0 {
            return &[];
        }
        // SAFETY: contiguous items; the caller of the package does not write to them meanwhile.
        unsafe { std::slice::from_raw_parts(self.0.buf_ptr().cast(), self.0.item_count()) }
    }

    #[allow(clippy::mut_from_ref)]
    fn slice_mut(&self) -> PyResult<&mut [T]> {
        if self.0.readonly() {
            return Err(PyValueError::new_err("The array for the result cannot be written to."));
        }
        if self.0.item_count() == 0 {
            return Ok(&mut []);
        }
        // SAFETY: as above, and the package passes an array that it owns.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.0.buf_ptr().cast(), self.0.item_count()) })
    }
}

/// The path of that name, or the one in use; the first choice also emits its warnings.
fn pick(py: Python<'_>, name: Option<&str>) -> PyResult<Path> {
    let Some(name) = name else { return in_use(py) };
    let found = Path::from_name(name).filter(|p| p.available());
    found.ok_or_else(|| {
        let names: Vec<&str> = Path::ALL.iter().filter(|p| p.available()).map(|p| p.name()).collect();
        PyValueError::new_err(format!("This processor has no path {name:?}; it has {}.", names.join(", ")))
    })
}

fn in_use(py: Python<'_>) -> PyResult<Path> {
    static SAID: AtomicBool = AtomicBool::new(false);
    let choice = path::chosen();
    if !SAID.swap(true, Ordering::Relaxed) {
        warn(py, &choice.warnings)?;
    }
    Ok(choice.path)
}

fn warn(py: Python<'_>, warnings: &[String]) -> PyResult<()> {
    for warning in warnings {
        let text = std::ffi::CString::new(warning.as_str())?;
        PyErr::warn(py, &py.get_type::<PyUserWarning>(), &text, 2)?;
    }
    Ok(())
}

fn threads_of(threads: Option<usize>) -> PyResult<usize> {
    match threads {
        None => Ok(pool::default_threads()),
        Some(0) => Err(PyValueError::new_err("threads must be at least 1.")),
        Some(n) => Ok(n),
    }
}

fn error(message: String) -> PyErr {
    PyValueError::new_err(message)
}

#[pyclass(name = "Model", module = "splade_kernels._native", frozen)]
struct PyModel(Model);

#[pymethods]
impl PyModel {
    #[staticmethod]
    #[pyo3(signature = (file, path=None))]
    fn load(py: Python<'_>, file: std::path::PathBuf, path: Option<&str>) -> PyResult<Self> {
        let path = pick(py, path)?;
        py.detach(|| Model::new(&Tensors::open(&file)?, path)).map(PyModel).map_err(error)
    }

    #[staticmethod]
    #[pyo3(signature = (data, path=None))]
    fn from_bytes(py: Python<'_>, data: Vec<u8>, path: Option<&str>) -> PyResult<Self> {
        let path = pick(py, path)?;
        py.detach(|| Model::new(&Tensors::from_bytes(data)?, path)).map(PyModel).map_err(error)
    }

    #[pyo3(signature = (ids, offsets, mask, threads, out))]
    fn encode_into(
        &self,
        py: Python<'_>,
        ids: &Bound<'_, PyAny>,
        offsets: &Bound<'_, PyAny>,
        mask: Option<&Bound<'_, PyAny>>,
        threads: Option<usize>,
        out: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let threads = threads_of(threads)?;
        let (ids, offsets, out) = (Array::get(ids)?, Array::get(offsets)?, Array::get(out)?);
        let mask = mask.map(Array::get).transpose()?;
        let texts =
            Texts { ids: ids.slice(), offsets: offsets.slice(), mask: mask.as_ref().map(Array::slice) };
        let out: &mut [f32] = out.slice_mut()?;
        self.0.check(texts).map_err(error)?;
        if out.len() != texts.count() * self.0.vocabulary() {
            return Err(PyValueError::new_err("The array for the result has another size."));
        }
        py.detach(|| self.0.encode(texts, threads, out));
        Ok(())
    }

    /// Offsets (int64), terms (uint32) and weights (float32) as bytes.
    #[pyo3(signature = (ids, offsets, mask, threads, logs))]
    #[allow(clippy::type_complexity)]
    fn encode_sparse<'py>(
        &self,
        py: Python<'py>,
        ids: &Bound<'_, PyAny>,
        offsets: &Bound<'_, PyAny>,
        mask: Option<&Bound<'_, PyAny>>,
        threads: Option<usize>,
        logs: u32,
    ) -> PyResult<(Bound<'py, PyByteArray>, Bound<'py, PyByteArray>, Bound<'py, PyByteArray>)> {
        let threads = threads_of(threads)?;
        let (ids, offsets) = (Array::get(ids)?, Array::get(offsets)?);
        let mask = mask.map(Array::get).transpose()?;
        let texts =
            Texts { ids: ids.slice(), offsets: offsets.slice(), mask: mask.as_ref().map(Array::slice) };
        self.0.check(texts).map_err(error)?;
        let (ends, terms, weights) = py.detach(|| {
            let sparse = self.0.encode_sparse(texts, threads, logs);
            let count = sparse.iter().map(Vec::len).sum::<usize>();
            let mut ends = Vec::with_capacity(8 * (sparse.len() + 1));
            let (mut terms, mut weights) = (Vec::with_capacity(4 * count), Vec::with_capacity(4 * count));
            ends.extend(0i64.to_ne_bytes());
            for text in sparse {
                for (term, weight) in text {
                    terms.extend(term.to_ne_bytes());
                    weights.extend(weight.to_ne_bytes());
                }
                ends.extend((terms.len() as i64 / 4).to_ne_bytes());
            }
            (ends, terms, weights)
        });
        Ok((PyByteArray::new(py, &ends), PyByteArray::new(py, &terms), PyByteArray::new(py, &weights)))
    }

    #[getter]
    fn path(&self) -> &'static str {
        self.0.path().name()
    }

    #[getter]
    fn vocabulary(&self) -> usize {
        self.0.vocabulary()
    }

    #[getter]
    fn hidden(&self) -> usize {
        self.0.hidden()
    }

    #[getter]
    fn max_tokens(&self) -> usize {
        self.0.positions()
    }

    #[getter]
    fn products_per_token(&self) -> usize {
        self.0.products_per_token()
    }
}

#[pyclass(name = "Linear", module = "splade_kernels._native", frozen)]
struct PyLinear {
    packed: Packed,
    kernels: &'static Kernels,
}

#[pymethods]
impl PyLinear {
    #[new]
    #[pyo3(signature = (weights, scale, bias, k, path=None))]
    fn new(
        py: Python<'_>,
        weights: &Bound<'_, PyAny>,
        scale: &Bound<'_, PyAny>,
        bias: &Bound<'_, PyAny>,
        k: usize,
        path: Option<&str>,
    ) -> PyResult<Self> {
        let kernels = pick(py, path)?.kernels();
        let (weights, scale, bias) = (Array::<i8>::get(weights)?, Array::get(scale)?, Array::get(bias)?);
        let (n, weights) = (scale.slice().len(), weights.slice());
        if weights.len() != n * k || bias.slice().len() != n || n == 0 || k == 0 {
            return Err(PyValueError::new_err("Weights, scale and bias do not fit together."));
        }
        let all = [Segment { start: 0, rows: n }];
        let packed = Packed::new(weights, k, scale.slice(), bias.slice(), &all, kernels.panel, kernels.group);
        Ok(PyLinear { packed, kernels })
    }

    /// The exact integer sums of quantized rows.
    fn integers_into(
        &self,
        py: Python<'_>,
        rows: &Bound<'_, PyAny>,
        threads: Option<usize>,
        out: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let threads = threads_of(threads)?;
        let (rows, out) = (Array::<u8>::get(rows)?, Array::<i32>::get(out)?);
        let (bytes, out) = (rows.slice(), out.slice_mut()?);
        let count = bytes.len() / self.packed.k;
        self.fits(count, bytes.len(), out.len())?;
        let place = Place(out.as_mut_ptr());
        py.detach(|| {
            let mut acts = Quantized::new(count, self.packed.k, self.kernels);
            let acts = Place(acts.acts());
            // SAFETY: sizes were checked; panels have disjoint columns.
            unsafe { (self.kernels.place)(bytes.as_ptr(), count, self.packed.k, acts.get()) };
            self.by_panels(threads, &|panels| unsafe {
                (self.kernels.integers)(acts.get(), count, &self.packed, panels, place.get());
            });
        });
        Ok(())
    }

    /// Quantize rows of floats and multiply them.
    fn forward_into(
        &self,
        py: Python<'_>,
        x: &Bound<'_, PyAny>,
        threads: Option<usize>,
        out: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let threads = threads_of(threads)?;
        let (x, out) = (Array::<f32>::get(x)?, Array::<f32>::get(out)?);
        let (x, out) = (x.slice(), out.slice_mut()?);
        let count = x.len() / self.packed.k;
        self.fits(count, x.len(), out.len())?;
        py.detach(|| {
            let mut acts = self.quantized(x, count);
            let acts = Place(acts.acts());
            let wide = self.packed.width();
            let mut full = Aligned::<f32>::zeroed(count * wide);
            let place = Place(full.as_mut_ptr());
            self.by_panels(threads, &|panels| {
                let out = Rows { data: place.get(), stride: wide };
                // SAFETY: as above.
                unsafe { (self.kernels.linear)(acts.get(), count, &self.packed, panels, out, false) };
            });
            for (to, from) in out.chunks_exact_mut(self.packed.n).zip(full.chunks_exact(wide)) {
                to.copy_from_slice(&from[..self.packed.n]);
            }
        });
        Ok(())
    }

    /// Quantize rows of floats; the largest logit of each text's rows. Returns the seconds of the product.
    fn maximum_into(
        &self,
        py: Python<'_>,
        x: &Bound<'_, PyAny>,
        offsets: &Bound<'_, PyAny>,
        threads: Option<usize>,
        out: &Bound<'_, PyAny>,
    ) -> PyResult<f64> {
        let threads = threads_of(threads)?;
        let (x, offsets, out) = (Array::<f32>::get(x)?, Array::<i64>::get(offsets)?, Array::<f32>::get(out)?);
        let (x, offsets, out) = (x.slice(), offsets.slice(), out.slice_mut()?);
        let count = x.len() / self.packed.k;
        let texts: Vec<Range<usize>> = offsets.windows(2).map(|o| o[0] as usize..o[1] as usize).collect();
        let inside = texts.iter().all(|t| t.start < t.end && t.end <= count);
        if !inside || x.len() != count * self.packed.k || out.len() != texts.len() * self.packed.n {
            return Err(PyValueError::new_err("Rows, offsets and result do not fit together."));
        }
        let place = Place(out.as_mut_ptr());
        Ok(py.detach(|| {
            let mut acts = self.quantized(x, count);
            let acts = Place(acts.acts());
            let start = std::time::Instant::now();
            self.by_panels(threads, &|panels| {
                let out = Rows { data: place.get(), stride: self.packed.n };
                // SAFETY: as above.
                unsafe { (self.kernels.head)(acts.get(), &texts, &self.packed, panels, out) };
            });
            start.elapsed().as_secs_f64()
        }))
    }
}

impl PyLinear {
    fn fits(&self, rows: usize, values: usize, out: usize) -> PyResult<()> {
        if rows * self.packed.k == values && rows * self.packed.n == out {
            return Ok(());
        }
        Err(PyValueError::new_err("Rows and result do not fit together."))
    }

    fn quantized(&self, x: &[f32], rows: usize) -> Quantized {
        quantized(x, rows, self.packed.k, self.kernels)
    }

    fn by_panels(&self, threads: usize, work: &(dyn Fn(Range<usize>) + Sync)) {
        let panels = self.packed.panels();
        let part = panels.div_ceil(4 * threads);
        pool::run(threads, panels.div_ceil(part), &|i| work(i * part..((i + 1) * part).min(panels)));
    }
}

fn quantized(x: &[f32], rows: usize, k: usize, kernels: &Kernels) -> Quantized {
    let wide = padded(k);
    let mut room = Aligned::<f32>::zeroed(rows * wide);
    for (to, from) in room.chunks_exact_mut(wide).zip(x.chunks_exact(k)) {
        to[..k].copy_from_slice(from);
    }
    let mut acts = Quantized::new(rows, k, kernels);
    // SAFETY: the buffer has padded rows.
    unsafe { (kernels.quantize)(Rows { data: room.as_mut_ptr(), stride: wide }, rows, k, acts.acts()) };
    acts
}

/// A pointer to memory of which threads write disjoint columns.
#[derive(Clone, Copy)]
struct Place<T: Copy>(T);

// SAFETY: see its use.
unsafe impl<T: Copy> Send for Place<T> {}
unsafe impl<T: Copy> Sync for Place<T> {}

impl<T: Copy> Place<T> {
    fn get(&self) -> T {
        self.0
    }
}

/// The path in use.
#[pyfunction]
#[pyo3(name = "path")]
fn path_name(py: Python<'_>) -> PyResult<&'static str> {
    in_use(py).map(Path::name)
}

/// Paths of this processor, fastest first.
#[pyfunction]
fn paths() -> Vec<&'static str> {
    Path::ALL.into_iter().filter(|p| p.available()).map(Path::name).collect()
}

/// Whether a path returns the same results as the scalar path.
#[pyfunction]
fn self_check(py: Python<'_>, path: &str) -> PyResult<bool> {
    let path = pick(py, Some(path))?;
    Ok(py.detach(|| selfcheck::passes(path)))
}

/// The path that would be chosen, with its warnings, if these paths failed their self-check.
#[pyfunction]
#[pyo3(signature = (wanted, wrong))]
fn choose(wanted: Option<&str>, wrong: Vec<String>) -> (&'static str, Vec<String>) {
    let choice = path::choose(wanted, &|p| !wrong.iter().any(|w| w == p.name()));
    (choice.path.name(), choice.warnings)
}

/// int8 and fp32 products per second.
#[pyfunction]
#[pyo3(signature = (threads=None, seconds=0.1, path=None, cpu_time=false))]
fn limits_of(
    py: Python<'_>,
    threads: Option<usize>,
    seconds: f64,
    path: Option<&str>,
    cpu_time: bool,
) -> PyResult<(f64, f64)> {
    let (threads, path) = (threads_of(threads)?, pick(py, path)?);
    let limits = py.detach(|| limits::measure(path, threads, seconds.clamp(0.001, 60.0), cpu_time));
    Ok((limits.int8, limits.fp32))
}

/// Default number of threads.
#[pyfunction]
fn default_threads() -> usize {
    pool::default_threads()
}

/// The relevant instruction sets of this processor.
#[pyfunction]
fn cpu_features() -> Vec<&'static str> {
    crate::path::features()
}

#[pymodule]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("VERSION", env!("CARGO_PKG_VERSION"))?;
    m.add("FORMAT", crate::file::FORMAT)?;
    m.add_class::<PyModel>()?;
    m.add_class::<PyLinear>()?;
    m.add_function(wrap_pyfunction!(path_name, m)?)?;
    m.add_function(wrap_pyfunction!(paths, m)?)?;
    m.add_function(wrap_pyfunction!(self_check, m)?)?;
    m.add_function(wrap_pyfunction!(choose, m)?)?;
    m.add_function(wrap_pyfunction!(limits_of, m)?)?;
    m.add_function(wrap_pyfunction!(default_threads, m)?)?;
    m.add_function(wrap_pyfunction!(cpu_features, m)?)?;
    Ok(())
}
