//! The names that may occur, and no other.

use crate::formats::error::FormatError;
use crate::formats::items::Element;
use crate::formats::values::SparseFormat;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Reconstruct,
    Scalar,
    FromBuffer,
    Ndarray,
    Matrix,
    Dtype,
    Encode,
    OrderedDict,
    DefaultDict,
    Set,
    FrozenSet,
    ByteArray,
    /// `object`, an argument of `_reconstructor`.
    Object,
    /// Stands for a class that may be an argument, never called.
    Argument,
    /// Makes the objects of old protocols.
    Reconstructor,
    Sparse(SparseFormat),
    Chumpy(Chumpy),
    Torch(TorchName),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chumpy {
    Ch,
    Select,
    Reshape,
    Transpose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TorchName {
    Size,
    Device,
    /// `None` where the type is not in the class (bytes).
    Storage(Element),
    /// A type as data.
    Type(&'static str),
    RebuildTensor,
    RebuildTensorV2,
    RebuildParameter,
}

/// The name behind a module and a name, both exact.
pub(super) fn named(module: &str, name: &str, torch: bool) -> Result<Name, FormatError> {
    plain(module, name)
        .or_else(|| if torch { torch_name(module, name).map(Name::Torch) } else { None })
        .ok_or_else(|| refused(module, name))
}

fn refused(module: &str, name: &str) -> FormatError {
    let shown = |text: &str| text.chars().take(60).collect::<String>().escape_debug().to_string();
    let advice = if module.starts_with("chumpy") {
        "; clean the model with smplx's tools/clean_ch.py, which makes plain arrays of such objects"
    } else if module.starts_with("torch") || module.starts_with("__torch__") {
        "; save the network's state_dict, not the network itself"
    } else {
        "; nothing of it was run"
    };
    FormatError::unsafe_input(format!(
        "the pickle names `{}.{}`, which is not on the list of names that are read{advice}",
        shown(module),
        shown(name)
    ))
}

fn plain(module: &str, name: &str) -> Option<Name> {
    Some(match (module, name) {
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Name::Reconstruct,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Name::Scalar,
        ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Name::FromBuffer,
        ("numpy", "ndarray") => Name::Ndarray,
        ("numpy" | "numpy.matrixlib.defmatrix", "matrix") => Name::Matrix,
        ("numpy", "dtype") => Name::Dtype,
        ("_codecs", "encode") => Name::Encode,
        ("collections", "OrderedDict") => Name::OrderedDict,
        ("collections", "defaultdict") => Name::DefaultDict,
        ("builtins" | "__builtin__", "set") => Name::Set,
        ("builtins" | "__builtin__", "frozenset") => Name::FrozenSet,
        ("builtins" | "__builtin__", "bytearray") => Name::ByteArray,
        ("builtins" | "__builtin__", "object") => Name::Object,
        ("builtins" | "__builtin__", "list" | "dict" | "int" | "float") => Name::Argument,
        ("copy_reg" | "copyreg", "_reconstructor") => Name::Reconstructor,
        ("chumpy.ch" | "chumpy", "Ch") => Name::Chumpy(Chumpy::Ch),
        ("chumpy.reordering", "Select") => Name::Chumpy(Chumpy::Select),
        ("chumpy.reordering", "Reshape") => Name::Chumpy(Chumpy::Reshape),
        ("chumpy.reordering", "transpose") => Name::Chumpy(Chumpy::Transpose),
        _ => {
            let rest = module.strip_prefix("scipy.sparse.")?;
            let kind = rest.strip_prefix('_').unwrap_or(rest);
            let (class, form) = name.split_once('_')?;
            if class != kind || !matches!(form, "matrix" | "array") {
                return None;
            }
            Name::Sparse(match kind {
                "csc" => SparseFormat::Csc,
                "csr" => SparseFormat::Csr,
                "coo" => SparseFormat::Coo,
                _ => return None,
            })
        }
    })
}

fn torch_name(module: &str, name: &str) -> Option<TorchName> {
    let storage = |element| Some(TorchName::Storage(element));
    match (module, name) {
        ("torch._utils", "_rebuild_tensor_v2") => Some(TorchName::RebuildTensorV2),
        ("torch._utils", "_rebuild_tensor") => Some(TorchName::RebuildTensor),
        ("torch._utils", "_rebuild_parameter") => Some(TorchName::RebuildParameter),
        ("torch.storage", "UntypedStorage") => storage(Element::U8),
        ("torch", name) => match name {
            "Size" => Some(TorchName::Size),
            "device" => Some(TorchName::Device),
            "FloatStorage" => storage(Element::F32),
            "DoubleStorage" => storage(Element::F64),
            "HalfStorage" => storage(Element::F16),
            "BFloat16Storage" => storage(Element::BF16),
            "LongStorage" => storage(Element::I64),
            "IntStorage" => storage(Element::I32),
            "ShortStorage" => storage(Element::I16),
            "CharStorage" => storage(Element::I8),
            "ByteStorage" => storage(Element::U8),
            "BoolStorage" => storage(Element::Bool),
            "float32" => Some(TorchName::Type("torch.float32")),
            "float64" => Some(TorchName::Type("torch.float64")),
            "float16" => Some(TorchName::Type("torch.float16")),
            "bfloat16" => Some(TorchName::Type("torch.bfloat16")),
            "int64" => Some(TorchName::Type("torch.int64")),
            "int32" => Some(TorchName::Type("torch.int32")),
            "int16" => Some(TorchName::Type("torch.int16")),
            "int8" => Some(TorchName::Type("torch.int8")),
            "uint8" => Some(TorchName::Type("torch.uint8")),
            "bool" => Some(TorchName::Type("torch.bool")),
            _ => None,
        },
        _ => None,
    }
}
