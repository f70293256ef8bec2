//! Weight files: safetensors with PyTorch's names in, modules filled all or not at all; and back out.
//!
//! file ──[`read`]──▶ named tensors (finite, f32) ──[`fill`]──▶ module        module ──[`save`]──▶ file

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::Module;
use burn::store::{BurnToPyTorchAdapter, ModuleSnapshot, PyTorchToBurnAdapter, bridge};
use burn::tensor::TensorData;
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::TensorError;
use crate::formats::atomic::write_atomic;

/// One tensor of a weight file, row-major.
#[derive(Clone, Debug)]
pub struct NamedTensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// All tensors and remarks of a weight file.
#[derive(Clone, Debug, Default)]
pub struct WeightFile {
    pub tensors: Vec<NamedTensor>,
    pub metadata: BTreeMap<String, String>,
}

/// How floats are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    Half,
    Single,
}

/// Reads a safetensors file; half-precision values are widened, whole-number tensors (counters) left out.
///
/// # Errors
/// [`TensorError::Read`], `Malformed` (truncated, not safetensors), `NotFloat`, `NotFinite`.
pub fn read(path: &Path) -> Result<WeightFile, TensorError> {
    let bytes = std::fs::read(path).map_err(|reason| TensorError::Read { reason, path: path.into() })?;
    parse(&bytes, path)
}

/// [`read`] for bytes at hand; `path` is named in errors.
///
/// # Errors
/// As [`read`].
pub fn parse(bytes: &[u8], path: &Path) -> Result<WeightFile, TensorError> {
    let malformed = |reason: safetensors::SafeTensorError| TensorError::Malformed {
        reason: reason.to_string(),
        path: path.into(),
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    let file = SafeTensors::deserialize(bytes).map_err(malformed)?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter() {
        let Some(values) = floats(&view) else {
            if matches!(view.dtype(), Dtype::I64 | Dtype::I32 | Dtype::U64 | Dtype::U32) {
                continue;
            }
            let dtype = format!("{:?}", view.dtype());
            return Err(TensorError::NotFloat { name: name.to_owned(), dtype, path: path.into() });
        };
        tensors.push(NamedTensor { name: name.to_owned(), shape: view.shape().to_vec(), values });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    check_finite(&tensors, path)?;
    Ok(WeightFile { tensors, metadata })
}

fn floats(view: &TensorView) -> Option<Vec<f32>> {
    let data = view.data();
    Some(match view.dtype() {
        Dtype::F32 => data.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        Dtype::F16 => data.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
        Dtype::BF16 => data.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect(),
        Dtype::F64 => data.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b) as f32).collect(),
        _ => return None,
    })
}

fn check_finite(tensors: &[NamedTensor], path: &Path) -> Result<(), TensorError> {
    for tensor in tensors {
        if let Some(element) = tensor.values.iter().position(|v| !v.is_finite()) {
            return Err(TensorError::NotFinite { name: tensor.name.clone(), element, path: path.into() });
        }
    }
    Ok(())
}

/// Fills every weight of `module` from `tensors` (PyTorch's names and layout) and returns the names that it
/// has no place for. Nothing is changed where an error is returned. `path` is named in errors.
///
/// # Errors
/// [`TensorError::Missing`], `Shape`, `NotFinite`.
pub fn fill<M: Module>(
    module: &mut M,
    tensors: Vec<NamedTensor>,
    path: &Path,
) -> Result<Vec<String>, TensorError> {
    check_finite(&tensors, path)?;
    let by_name: HashMap<&str, &NamedTensor> = tensors.iter().map(|t| (t.name.as_str(), t)).collect();
    let mut missing = Vec::new();
    for wanted in module.collect(None, Some(Box::new(BurnToPyTorchAdapter)), true) {
        let expected: Vec<usize> = wanted.shape.to_vec();
        match by_name.get(wanted.name.as_str()) {
            None => missing.push(wanted.name.clone()),
            Some(found)
                if found.shape != expected || found.values.len() != expected.iter().product::<usize>() =>
            {
                let (name, found) = (found.name.clone(), found.shape.clone());
                return Err(TensorError::Shape { name, found, expected, path: path.into() });
            }
            Some(_) => {}
        }
    }
    if let Some(first) = missing.first() {
        return Err(TensorError::Missing { count: missing.len(), first: first.clone(), path: path.into() });
    }
    let packed = tensors.into_iter().map(|NamedTensor { name, shape, values }| {
        bridge::from_data(TensorData::new(values, shape), name, None)
    });
    let result = module.apply(packed.collect(), None, Some(Box::new(PyTorchToBurnAdapter)), true);
    match result.errors.first() {
        Some(error) => Err(TensorError::Malformed { reason: error.to_string(), path: path.into() }),
        None => Ok(result.unused),
    }
}

/// [`read`] and [`fill`]; returns the file's metadata.
///
/// # Errors
/// As [`read`] and [`fill`].
pub fn load<M: Module>(module: &mut M, path: &Path) -> Result<BTreeMap<String, String>, TensorError> {
    let file = read(path)?;
    let unused = fill(module, file.tensors, path)?;
    if !unused.is_empty() {
        tracing::warn!("{} weights have no place in the network, the first is {}", unused.len(), unused[0]);
    }
    Ok(file.metadata)
}

/// Every weight of `module` under PyTorch's names and layout, ordered by name.
///
/// # Errors
/// [`TensorError::Malformed`] where a weight cannot be fetched from its device; `path` is named in it.
pub fn collect<M: Module>(module: &M, path: &Path) -> Result<Vec<NamedTensor>, TensorError> {
    let mut tensors = Vec::new();
    for packed in module.collect(None, Some(Box::new(BurnToPyTorchAdapter)), true) {
        let (name, shape) = (packed.name.clone(), packed.shape.to_vec());
        let malformed = |reason: String| TensorError::Malformed { reason, path: path.into() };
        let data = bridge::into_data(packed).map_err(|e| malformed(e.to_string()))?;
        let values = data.convert::<f32>().try_to_vec::<f32>().map_err(|e| malformed(format!("{e:?}")))?;
        tensors.push(NamedTensor { name, shape, values });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tensors)
}

/// Writes every weight of `module` with `metadata`; the file appears whole or not at all.
///
/// # Errors
/// [`TensorError::NotFinite`] (a diverged network is not saved), [`TensorError::Write`].
pub fn save<M: Module>(
    module: &M,
    path: &Path,
    precision: Precision,
    metadata: &BTreeMap<String, String>,
) -> Result<(), TensorError> {
    let tensors = collect(module, path)?;
    check_finite(&tensors, path)?;
    let bytes = to_bytes(&tensors, precision, metadata)
        .map_err(|e| TensorError::Malformed { reason: e.to_string(), path: path.into() })?;
    Ok(write_atomic(path, &bytes)?)
}

/// The bytes of a safetensors file.
///
/// # Errors
/// Where two tensors have one name, or a shape does not fit its values.
pub fn to_bytes(
    tensors: &[NamedTensor],
    precision: Precision,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, safetensors::SafeTensorError> {
    let stored: Vec<Vec<u8>> = tensors
        .iter()
        .map(|tensor| match precision {
            Precision::Single => tensor.values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Precision::Half => tensor.values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
        })
        .collect();
    let dtype = match precision {
        Precision::Single => Dtype::F32,
        Precision::Half => Dtype::F16,
    };
    let views = tensors
        .iter()
        .zip(&stored)
        .map(|(tensor, bytes)| {
            Ok((tensor.name.as_str(), TensorView::new(dtype, tensor.shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    let metadata = (!metadata.is_empty()).then(|| metadata.clone().into_iter().collect());
    safetensors::serialize(views, metadata)
}

#[cfg(test)]
mod tests {
    use burn::nn::{GroupNorm, GroupNormConfig, Linear, LinearConfig};
    use burn::tensor::{Device, Distribution, Tensor};

    use super::*;
    use crate::tensors::conv::{Conv2d, Conv2dConfig};

    #[derive(Module, Debug)]
    struct Net {
        conv: Conv2d,
        norm: GroupNorm,
        head: Linear,
    }

    fn net() -> Net {
        let device = Device::flex();
        Net {
            conv: Conv2dConfig::square([2, 4], 3, 1, 1).init(&device),
            norm: GroupNormConfig::new(2, 4).init(&device),
            head: LinearConfig::new(4, 3).init(&device),
        }
    }

    fn forward(net: &Net, x: Tensor<4>) -> Vec<f32> {
        let x = net.norm.forward(net.conv.forward(x));
        let x: Tensor<2> = x.flatten::<3>(2, 3).mean_dim(2).squeeze_dim(2);
        net.head.forward(x).into_data().try_to_vec().unwrap()
    }

    #[test]
    fn a_saved_network_computes_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        let net_a = net();
        let x = Tensor::random([1, 2, 5, 6], Distribution::Default, &Device::flex());
        let remarks = BTreeMap::from([("steps".to_owned(), "12".to_owned())]);
        for (precision, tolerance) in [(Precision::Single, 0.0), (Precision::Half, 5e-3)] {
            save(&net_a, &path, precision, &remarks).unwrap();
            let mut net_b = net();
            assert_eq!(load(&mut net_b, &path).unwrap(), remarks);
            for (a, b) in forward(&net_a, x.clone()).iter().zip(forward(&net_b, x.clone())) {
                assert!((a - b).abs() <= tolerance, "{precision:?}: {a} {b}");
            }
        }
        let names: Vec<String> = read(&path).unwrap().tensors.into_iter().map(|t| t.name).collect();
        let expected = ["conv.bias", "conv.weight", "head.bias", "head.weight", "norm.bias", "norm.weight"];
        assert_eq!(names, expected);
        let head = read(&path).unwrap().tensors.into_iter().find(|t| t.name == "head.weight").unwrap();
        assert_eq!(head.shape, [3, 4], "rows are outputs, as in PyTorch");
    }

    #[test]
    fn wrong_files_are_refused_and_nothing_is_changed() {
        let path = Path::new("weights.safetensors");
        let mut net = net();
        let before = collect(&net, path).unwrap();
        let fill_with = |net: &mut Net, change: &dyn Fn(&mut Vec<NamedTensor>)| {
            let mut tensors = collect(net, path).unwrap();
            tensors.iter_mut().flat_map(|t| &mut t.values).for_each(|v| *v += 1.0);
            change(&mut tensors);
            fill(net, tensors, path)
        };
        let missing = fill_with(&mut net, &|t| drop(t.remove(0)));
        assert!(matches!(missing, Err(TensorError::Missing { count: 1, .. })), "{missing:?}");
        let shape = fill_with(&mut net, &|t| t[3].shape = vec![4, 3]);
        assert!(matches!(shape, Err(TensorError::Shape { .. })), "{shape:?}");
        let nan = fill_with(&mut net, &|t| t[1].values[2] = f32::NAN);
        assert!(matches!(nan, Err(TensorError::NotFinite { element: 2, .. })), "{nan:?}");
        for (a, b) in before.iter().zip(collect(&net, path).unwrap()) {
            assert_eq!(a.values, b.values, "{}", a.name);
        }
        let extra = NamedTensor { name: "extra".to_owned(), shape: vec![1], values: vec![0.0] };
        assert_eq!(fill_with(&mut net, &|t| t.push(extra.clone())).unwrap(), ["extra"]);
    }

    #[test]
    fn truncated_files_are_refused() {
        let path = Path::new("weights.safetensors");
        let bytes = to_bytes(&collect(&net(), path).unwrap(), Precision::Half, &BTreeMap::new()).unwrap();
        for len in [0, 4, 100, bytes.len() - 1] {
            let result = parse(&bytes[..len], path);
            assert!(matches!(result, Err(TensorError::Malformed { .. })), "{len}: {result:?}");
        }
        assert_eq!(parse(&bytes, path).unwrap().tensors.len(), 6);
    }
}
