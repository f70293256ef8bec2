//! One recorded case, and what a function answers to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use humanifold::formats::{Array, FormatError, Npz};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Largest difference that passes: `abs + rel * |want|`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Tolerance {
    #[serde(default)]
    pub abs: f64,
    #[serde(default)]
    pub rel: f64,
}

#[derive(Deserialize)]
struct CaseFile {
    kind: String,
    #[serde(default)]
    params: Map<String, Value>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    tolerance: BTreeMap<String, Tolerance>,
    error: Option<String>,
}

pub struct Case {
    pub kind: String,
    pub params: Map<String, Value>,
    pub tolerance: BTreeMap<String, Tolerance>,
    /// The word with which the input must be refused.
    pub error: Option<String>,
    files: BTreeMap<String, PathBuf>,
    arrays: Npz,
}

/// Why a function has no outputs.
#[derive(Debug)]
pub enum Failure {
    /// The program refused the input, with the word of its error.
    Refused { word: String, message: String },
    /// The case itself could not be used (a parameter is missing, an option is unknown).
    Broken(String),
}

pub type CaseResult = Result<Outputs, Failure>;

/// What runs a case of one kind.
pub type Function = fn(&Case) -> CaseResult;

/// An area's kinds by name.
pub type Kinds = Vec<(&'static str, Function)>;

impl Failure {
    pub fn refused(word: &str, message: impl ToString) -> Self {
        Self::Refused { word: word.to_owned(), message: message.to_string() }
    }

    pub fn broken(message: impl ToString) -> Self {
        Self::Broken(message.to_string())
    }
}

impl From<FormatError> for Failure {
    fn from(error: FormatError) -> Self {
        Self::refused(error.word(), &error)
    }
}

/// What a function gives back, by the names of the case's `out_` arrays without their prefix.
#[derive(Default)]
pub struct Outputs(pub BTreeMap<String, Array>);

#[allow(dead_code, reason = "a kit: not every area uses every helper")]
impl Outputs {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn array(mut self, name: &str, array: Array) -> Self {
        self.0.insert(name.to_owned(), array);
        self
    }

    pub fn f32(self, name: &str, shape: &[usize], values: Vec<f32>) -> Self {
        self.array(name, Array::f32(shape, values))
    }

    pub fn f64(self, name: &str, shape: &[usize], values: Vec<f64>) -> Self {
        self.array(name, Array::f64(shape, values))
    }

    pub fn i64(self, name: &str, shape: &[usize], values: Vec<i64>) -> Self {
        self.array(name, Array::i64(shape, values))
    }

    pub fn u8(self, name: &str, shape: &[usize], values: Vec<u8>) -> Self {
        self.array(name, Array::u8(shape, values))
    }

    /// Flags, stored as 0 and 1.
    pub fn bools(self, name: &str, shape: &[usize], values: impl IntoIterator<Item = bool>) -> Self {
        self.array(name, Array::u8(shape, values.into_iter().map(u8::from).collect()))
    }

    pub fn scalar(self, name: &str, value: f64) -> Self {
        self.array(name, Array::scalar_f64(value))
    }
}

#[allow(dead_code, reason = "a kit: not every area uses every helper")]
impl Case {
    /// `None` for JSON that is no case.
    pub fn read(path: &Path) -> Result<Option<Self>, String> {
        let text = std::fs::read(path).map_err(|error| format!("cannot be read ({error})"))?;
        let value: Value = serde_json::from_slice(&text).map_err(|error| format!("not JSON ({error})"))?;
        if value.get("kind").is_none() {
            return Ok(None);
        }
        let file: CaseFile =
            serde_json::from_value(value).map_err(|error| format!("not a case ({error})"))?;
        let arrays = Npz::read(&path.with_extension("npz")).map_err(|error| error.to_string())?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let files = file.files.into_iter().map(|(name, file)| (name, folder.join(file))).collect();
        Ok(Some(Self {
            kind: file.kind,
            params: file.params,
            files,
            tolerance: file.tolerance,
            error: file.error,
            arrays,
        }))
    }

    // Inputs are named without their prefix `in_`.

    pub fn has(&self, name: &str) -> bool {
        self.arrays.contains(&format!("in_{name}"))
    }

    pub fn input(&self, name: &str) -> Result<&Array, Failure> {
        self.arrays.get(&format!("in_{name}")).map_err(Failure::broken)
    }

    /// Names of all inputs.
    pub fn inputs(&self) -> Vec<String> {
        self.arrays.names().filter_map(|name| name.strip_prefix("in_")).map(str::to_owned).collect()
    }

    pub fn shape(&self, name: &str) -> Result<Vec<usize>, Failure> {
        Ok(self.input(name)?.shape.clone())
    }

    pub fn f32(&self, name: &str) -> Result<Vec<f32>, Failure> {
        self.input(name)?.to_f32().map_err(Failure::broken)
    }

    pub fn f64(&self, name: &str) -> Result<Vec<f64>, Failure> {
        self.input(name)?.to_f64().map_err(Failure::broken)
    }

    pub fn i64(&self, name: &str) -> Result<Vec<i64>, Failure> {
        self.input(name)?.to_i64().map_err(Failure::broken)
    }

    pub fn usize(&self, name: &str) -> Result<Vec<usize>, Failure> {
        self.input(name)?.to_usize().map_err(Failure::broken)
    }

    /// The expected array of an output (for its shape; the runner compares its values).
    pub fn expected(&self, name: &str) -> Result<&Array, Failure> {
        self.arrays.get(&format!("out_{name}")).map_err(Failure::broken)
    }

    // Parameters.

    pub fn param(&self, name: &str) -> Result<&Value, Failure> {
        self.params.get(name).ok_or_else(|| Failure::broken(format!("no parameter `{name}`")))
    }

    pub fn has_param(&self, name: &str) -> bool {
        self.params.get(name).is_some_and(|value| !value.is_null())
    }

    pub fn text(&self, name: &str) -> Result<&str, Failure> {
        self.param(name)?.as_str().ok_or_else(|| Failure::broken(format!("parameter `{name}` is no text")))
    }

    pub fn number(&self, name: &str) -> Result<f64, Failure> {
        self.param(name)?.as_f64().ok_or_else(|| Failure::broken(format!("parameter `{name}` is no number")))
    }

    pub fn count(&self, name: &str) -> Result<usize, Failure> {
        self.param(name)?
            .as_u64()
            .map(|value| value as usize)
            .ok_or_else(|| Failure::broken(format!("parameter `{name}` is no count")))
    }

    /// `false` where the parameter is absent.
    pub fn flag(&self, name: &str) -> bool {
        self.params
            .get(name)
            .is_some_and(|value| value.as_bool() == Some(true) || value.as_f64() == Some(1.0))
    }

    /// A list of numbers.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>, Failure> {
        self.param(name)?
            .as_array()
            .and_then(|list| list.iter().map(Value::as_f64).collect())
            .ok_or_else(|| Failure::broken(format!("parameter `{name}` is no list of numbers")))
    }

    /// A file of the case, by its role ("model", "input").
    pub fn file(&self, role: &str) -> Result<&Path, Failure> {
        self.files.get(role).map(PathBuf::as_path).ok_or_else(|| Failure::broken(format!("no file `{role}`")))
    }
}
