//! What is known about the shapes of people: means and spreads of men and women, and how shape and
//! measurements predict each other. Used to draw shapes, by sliders and by shape from measurements.

use nalgebra::{DMatrix, DVector};
use rand::Rng;
use rand_distr::StandardNormal;

use super::arrays::{BodyArrays, finite, shaped};
use super::error::BodyError;
use crate::formats::FormatError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sex {
    Man,
    Woman,
}

/// Linear statistics of the shape coefficients over adults.
#[derive(Clone, Debug)]
pub struct ShapeStatistics {
    /// Mean betas of men and of women.
    pub mean: [Vec<f32>; 2],
    /// Lower triangular factors of their covariances, row-major.
    factor: [DMatrix<f64>; 2],
    /// Share of the surface's variance that each beta holds.
    pub share: Vec<f32>,
    /// Names of the measurements (ANSUR II's), metres and kilograms.
    pub measure_names: Vec<String>,
    /// Measurements of the mean body, and how each changes with each beta (a row a measurement).
    offset: DVector<f64>,
    matrix: DMatrix<f64>,
    /// Standard deviation of what the betas do not explain.
    pub residual: Vec<f32>,
    /// For men and women: change of betas with stature (m) and weight (kg), and their means.
    from_stature_weight: [DMatrix<f64>; 2],
    stature_weight_mean: [[f32; 2]; 2],
}

impl ShapeStatistics {
    pub(super) fn from_arrays(source: &dyn BodyArrays, betas: usize) -> Result<Self, FormatError> {
        let numbers = |name: &str, shape: &[Option<usize>]| -> Result<Vec<f64>, FormatError> {
            let array = shaped(source, name, shape)?;
            Ok(finite(&array, name)?.into_iter().map(f64::from).collect())
        };
        let share = source.array("pca_share")?;
        let all = share.shape.first().copied().unwrap_or(0);
        let used = betas.min(all);
        let measure_names = source.array("measure_names")?.to_text()?.to_vec();
        let measures = Some(measure_names.len());

        let mean = numbers("beta_mean_sex", &[Some(2), Some(all)])?;
        let covariance = numbers("beta_cov_sex", &[Some(2), Some(all), Some(all)])?;
        let factor = |sex: usize| {
            let own = &covariance[sex * all * all..(sex + 1) * all * all];
            let matrix = DMatrix::from_fn(used, used, |row, col| own[row * all + col]);
            matrix.cholesky().map(|factor| factor.l()).ok_or_else(|| {
                FormatError::value("array `beta_cov_sex`: no covariance (it is not positive definite)")
            })
        };
        let slopes = numbers("beta_from_stature_weight", &[Some(2), Some(all), Some(2)])?;
        let slope = |sex: usize| DMatrix::from_fn(used, 2, |row, col| slopes[(sex * all + row) * 2 + col]);
        let means =
            finite(&*shaped(source, "stature_weight_mean", &[Some(2), Some(2)])?, "stature_weight_mean")?;
        let matrix = numbers("measure_matrix", &[measures, Some(all)])?;
        Ok(Self {
            mean: [0, 1]
                .map(|sex| mean[sex * all..sex * all + used].iter().map(|value| *value as f32).collect()),
            factor: [factor(0)?, factor(1)?],
            share: finite(&share, "pca_share")?.into_iter().take(used).collect(),
            offset: DVector::from_vec(numbers("measure_offset", &[measures])?),
            matrix: DMatrix::from_fn(measure_names.len(), used, |row, col| matrix[row * all + col]),
            residual: finite(&*shaped(source, "measure_residual_sd", &[measures])?, "measure_residual_sd")?,
            from_stature_weight: [slope(0), slope(1)],
            stature_weight_mean: [[means[0], means[1]], [means[2], means[3]]],
            measure_names,
        })
    }

    /// A random man or woman, every beta clamped to ±4, beyond which triangles start to fold.
    pub fn sample(&self, sex: Sex, rng: &mut impl Rng) -> Vec<f32> {
        let sex = sex as usize;
        let draws = DVector::from_fn(self.mean[sex].len(), |_, _| rng.sample::<f64, _>(StandardNormal));
        let spread = &self.factor[sex] * draws;
        self.mean[sex]
            .iter()
            .zip(spread.iter())
            .map(|(mean, own)| (mean + *own as f32).clamp(-4.0, 4.0))
            .collect()
    }

    /// Predicted measurements of a shape, in the order of `measure_names`.
    pub fn predict(&self, betas: &[f32]) -> Vec<f32> {
        let betas =
            DVector::from_fn(self.matrix.ncols(), |at, _| betas.get(at).copied().map_or(0.0, f64::from));
        (&self.offset + &self.matrix * betas).iter().map(|value| *value as f32).collect()
    }

    /// The likeliest shape for some known measurements (names of `measure_names`; metres, kilograms).
    ///
    /// # Errors
    /// `Value` for a name that is not known or a number that is not finite.
    pub fn shape_from_measurements(&self, known: &[(&str, f32)]) -> Result<Vec<f32>, BodyError> {
        let mut rows = Vec::new();
        for (name, value) in known {
            let row = self.measure_names.iter().position(|own| own == name).ok_or_else(|| {
                BodyError::Value(format!(
                    "no measurement `{name}` (there are: {})",
                    self.measure_names.join(", ")
                ))
            })?;
            if !value.is_finite() {
                return Err(BodyError::Value(format!("measurement `{name}` is {value}")));
            }
            rows.push((row, f64::from(*value)));
        }
        let a = DMatrix::from_fn(rows.len(), self.matrix.ncols(), |at, col| self.matrix[(rows[at].0, col)]);
        let difference = DVector::from_fn(rows.len(), |at, _| rows[at].1 - self.offset[rows[at].0]);
        // Gaussian conditioning on N(0, 1) betas; 1 cm (or 10 g) of measuring error keeps it well posed.
        let noise = DVector::from_fn(rows.len(), |at, _| f64::from(self.residual[rows[at].0]).powi(2) + 1e-4);
        let inner = &a * a.transpose() + DMatrix::from_diagonal(&noise);
        let solved = inner
            .cholesky()
            .ok_or_else(|| BodyError::Value("a measurement is given twice".to_owned()))?
            .solve(&difference);
        Ok((a.transpose() * solved).iter().map(|value| *value as f32).collect())
    }

    /// The typical man or woman of a stature (m) and weight (kg). Linear: the weight comes out within about 3 kg.
    pub fn typical(&self, sex: Sex, stature: f32, weight: f32) -> Vec<f32> {
        let sex = sex as usize;
        let [mean_stature, mean_weight] = self.stature_weight_mean[sex];
        let slope = &self.from_stature_weight[sex];
        let (ds, dw) = (f64::from(stature - mean_stature), f64::from(weight - mean_weight));
        self.mean[sex]
            .iter()
            .enumerate()
            .map(|(at, mean)| mean + (slope[(at, 0)] * ds + slope[(at, 1)] * dw) as f32)
            .collect()
    }
}
