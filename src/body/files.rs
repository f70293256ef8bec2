//! Opening body files of any kind by what is in them: npz, SMPL's own pickles, cleaned ones. Names of files say
//! nothing here but the sex, where the file itself does not.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::arrays::BodyArrays;
use super::error::BodyError;
use super::joint_sets::PICKED_SMPL;
use super::load::LoadOptions;
use super::model::BodyModel;
use super::sparse::SparseRows;
use crate::formats::npy::read_npy;
use crate::formats::pickle::parse_pickle;
use crate::formats::values::{Node, Values};
use crate::formats::{Array, FormatError, Limits, Npz, model_files, read_bytes, recognise};

/// Files with the published networks' regressors, in the order of their joints: 9, 19 and 17 of them.
const REGRESSORS: [&str; 3] = ["J_regressor_extra.npy", "cocoplus_regressor.npy", "J_regressor_h36m.npy"];

/// Places of a sparse matrix that is made dense; SMPL-X's regressor has 576,125.
const LARGEST_DENSE: usize = 1 << 22;

impl BodyArrays for Values {
    fn has(&self, name: &str) -> bool {
        self.entry(self.top(), name).is_some()
    }

    fn array(&self, name: &str) -> Result<Cow<'_, Array>, FormatError> {
        let id =
            self.entry(self.top(), name).ok_or_else(|| FormatError::missing(format!("no array `{name}`")))?;
        match self.get(id) {
            Node::Array(array) => Ok(Cow::Borrowed(array)),
            Node::Sparse(sparse) if sparse.shape[0].saturating_mul(sparse.shape[1]) <= LARGEST_DENSE => {
                Ok(Cow::Owned(sparse.dense()))
            }
            other => Err(FormatError::value(format!("`{name}` is {}, no array", other.what()))),
        }
    }

    fn text(&self, name: &str) -> Option<String> {
        self.entry(self.top(), name).and_then(|id| self.text(id)).map(str::to_owned)
    }
}

/// The arrays of a body file, whichever kind of file it is.
///
/// # Errors
/// What is wrong with the file, or what it is instead.
pub fn open(path: &Path) -> Result<Box<dyn BodyArrays>, FormatError> {
    open_bytes(read_bytes(path)?, path)
}

/// As [`open`], from bytes; `path` is named in errors.
///
/// # Errors
/// As [`open`].
pub fn open_bytes(bytes: Vec<u8>, path: &Path) -> Result<Box<dyn BodyArrays>, FormatError> {
    let source: Box<dyn BodyArrays> = if bytes.starts_with(b"PK") {
        let npz = Npz::from_bytes(bytes, path)?;
        refuse_others(&npz.names().collect::<Vec<_>>()).map_err(|error| error.at(path))?;
        Box::new(npz)
    } else {
        let values = parse_pickle(&bytes, &Limits::default()).map_err(|error| error.at(path))?;
        let keys = values.entries(values.top());
        refuse_others(&keys.iter().map(|(key, _)| *key).collect::<Vec<_>>())
            .map_err(|error| error.at(path))?;
        Box::new(values)
    };
    Ok(source)
}

/// Says what a file is that is no body.
fn refuse_others(keys: &[&str]) -> Result<(), FormatError> {
    match recognise::by_keys(keys) {
        None | Some(recognise::Content::Body(_)) => Ok(()),
        Some(other) => {
            Err(FormatError::missing(format!("no array `v_template`: this is {}", other.description())))
        }
    }
}

impl BodyModel {
    /// Reads a body of any family from an npz file or a pickle: 10 shape directions, no expressions. A body with
    /// SMPL's mesh gets the published networks' joints where their regressors lie beside it, above it or among the
    /// model files.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn load(path: &Path) -> Result<Self, BodyError> {
        let mut model = Self::load_with(path, LoadOptions::default())?;
        if model.extra66.is_none() && model.num_vertices() == 6890 {
            model.find_regressors(path)?;
        }
        Ok(model)
    }

    /// # Errors
    /// What is wrong with the file.
    pub fn load_with(path: &Path, options: LoadOptions) -> Result<Self, BodyError> {
        Self::from_arrays(open(path)?.as_ref(), options).map_err(|error| match error {
            BodyError::File(error) => BodyError::File(error.at(path)),
            other => other,
        })
    }

    /// Takes the three published regressors from the first folder that has all of them.
    fn find_regressors(&mut self, body: &Path) -> Result<(), BodyError> {
        let near = body.ancestors().skip(1).take(2).map(Path::to_path_buf);
        let has_all = |folder: &PathBuf| REGRESSORS.iter().all(|name| folder.join(name).is_file());
        let Some(folder) = near.chain(model_files::folders()).find(has_all) else { return Ok(()) };
        let read = |name: &str| -> Result<SparseRows, BodyError> {
            let path = folder.join(name);
            let array = read_npy(&path)?;
            array.expect_shape(&[None, Some(6890)]).map_err(|error| error.at(&path))?;
            let values = array.to_f32().map_err(|error| error.at(&path))?;
            Ok(SparseRows::from_dense(array.shape[0], 6890, &values))
        };
        let [extra, cocoplus, h36m] = REGRESSORS;
        self.set_regressors(&PICKED_SMPL, &read(extra)?, &read(cocoplus)?, &read(h36m)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_body_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("SMPL_NEUTRAL.pkl");
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            BodyModel::load(&path).unwrap_err().to_string()
        };
        assert!(refused(b"<html>please log in</html>").contains("web page"));
        assert!(refused(b"version https://git-lfs.github.com/spec/v1\n").contains("git-lfs"));
        assert!(refused(b"").contains("empty"));
        assert!(refused(b"cos\nsystem\n(S'true'\ntR.").contains("os.system"));
        // {'poses': None, 'trans': None}
        let motion = refused(b"\x80\x02}(U\x05posesNU\x05transNu.");
        assert!(motion.contains("a motion") && motion.ends_with("SMPL_NEUTRAL.pkl"), "{motion}");
    }
}
