//! Random body shapes.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::body::{BodyModel, Sex};

/// Beyond this the surface of the built-in body starts to fold.
const LIMIT: f32 = 4.0;
/// Standard deviation of the broad half of the shapes; wider than people, as in published training recipes.
const BROAD_SD: f32 = 1.25;

/// Random shape coefficients: half follow the statistics of men and women where the body has them, the others
/// spread more widely, so that rare builds are seen too.
pub fn sample_betas(model: &BodyModel, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let (measured, man): (bool, bool) = (rng.random(), rng.random());
    match &model.extras {
        Some(extras) if measured => extras.statistics.sample(if man { Sex::Man } else { Sex::Woman }, rng),
        _ => (0..model.num_betas())
            .map(|i| {
                // Coefficients past the tenth describe detail; keep them calm.
                let sd = if i < 10 { BROAD_SD } else { 0.5 };
                (rng.sample::<f32, _>(StandardNormal) * sd).clamp(-LIMIT, LIMIT)
            })
            .collect(),
    }
}
