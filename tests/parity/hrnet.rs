//! Kind `hrnet` of `humaniflow`: the 2D-pose network, its keypoints, the choice of the box.

use burn::tensor::{Device, Tensor, TensorData};
use humanifold::keypoints::hrnet::{
    Found, HrnetConfig, Input, Network, Weights, WeightsError, centre_most, peaks,
};
use humanifold::keypoints::planes::Planes;

use crate::case::{Case, CaseResult, Failure, Kinds, Outputs};
use crate::hash1::{self, Rule};

pub fn kinds() -> Kinds {
    vec![("hrnet", hrnet)]
}

fn hrnet(case: &Case) -> CaseResult {
    match case.text("op")? {
        "forward" => forward(case),
        "keypoints" => keypoints(case),
        "predict" => predict(case),
        other => Err(Failure::broken(format!("unknown op `{other}`"))),
    }
}

/// The network asks for each of its tensors, which then follow from their names.
fn network(case: &Case, device: &Device) -> Result<Network, Failure> {
    let modules: Vec<usize> = case.numbers("modules")?.into_iter().map(|n| n as usize).collect();
    let modules = modules.try_into().map_err(|_| Failure::broken("three numbers of modules"))?;
    let config = HrnetConfig {
        channels: case.count("channels")?,
        modules,
        blocks: case.count("blocks")?,
        ..HrnetConfig::default()
    };
    let rule = Rule::of(case)?;
    let mut weights = Weights::by_rule(move |name, shape| rule.tensor(name, shape));
    Network::new(&config, &mut weights, device).map_err(|error: WeightsError| Failure::broken(error))
}

fn forward(case: &Case) -> CaseResult {
    let device = Device::flex();
    let network = network(case, &device)?;
    let (shape, values) = hash1::input(case)?;
    let heatmaps = network.forward(Tensor::<4>::from_data(TensorData::new(values, shape), &device));
    let shape = heatmaps.dims();
    let values = heatmaps.into_data().try_to_vec::<f32>().map_err(|e| Failure::broken(format!("{e:?}")))?;
    Ok(Outputs::new().f32("heatmaps", &shape, values))
}

/// Heatmaps of each picture of the case.
fn heatmaps(case: &Case) -> Result<Vec<Planes>, Failure> {
    let shape = case.shape("heatmaps")?;
    let &[_, count, height, width] = shape.as_slice() else {
        return Err(Failure::broken("heatmaps have four dimensions"));
    };
    let values = case.f32("heatmaps")?;
    let maps = values.chunks_exact(count * height * width);
    Ok(maps.map(|values| Planes { count, height, width, values: values.to_vec() }).collect())
}

/// Keypoints and confidences of each picture, one after the other.
fn decoded(maps: &[Planes], size: [usize; 2]) -> (Vec<f32>, Vec<f32>) {
    let found = maps.iter().flat_map(|maps| peaks(maps, size));
    let (places, scores): (Vec<[f32; 2]>, Vec<f32>) = found.map(|(at, v)| (at.to_array(), v)).unzip();
    (places.concat(), scores)
}

fn keypoints(case: &Case) -> CaseResult {
    let maps = heatmaps(case)?;
    let first = maps.first().ok_or_else(|| Failure::broken("no heatmaps"))?;
    // In cells.
    let (places, scores) = decoded(&maps, [first.width, first.height]);
    Ok(Outputs::new().f32("joints2D", &[maps.len(), first.count, 2], places).f32(
        "confidence",
        &[maps.len(), first.count],
        scores,
    ))
}

fn predict(case: &Case) -> CaseResult {
    let size = case.numbers("image_size")?;
    let size = match size[..] {
        [width, height] => [width as usize, height as usize],
        _ => return Err(Failure::broken("`image_size` is no width and height")),
    };
    let &[count, height, width] = case.shape("image")?.as_slice() else {
        return Err(Failure::broken("a picture has three dimensions"));
    };
    let photo = Planes { count, height, width, values: case.f32("image")? };
    let mut found = Vec::new();
    if case.has("boxes") {
        let (scores, labels) = (case.f32("scores")?, case.f64("labels")?);
        let boxes = case.f32("boxes")?;
        for ((bbox, score), label) in boxes.as_chunks::<4>().0.iter().zip(scores).zip(labels) {
            found.push(Found { bbox: *bbox, person: label == 1.0, score });
        }
    }
    let region = centre_most(&found, case.number("threshold")? as f32, height, width);
    let input = Input::new(&photo, region, size, case.number("scale")? as f32);
    let (places, scores) = decoded(&heatmaps(case)?, size);
    let shape = [count, size[1], size[0]];
    Ok(Outputs::new()
        .f32("cropped_image", &shape, input.picture.values)
        .f32("network_input", &shape, input.normalised.values)
        .f32("joints2D", &[scores.len(), 2], places)
        .f32("joints2Dconfs", &[scores.len()], scores)
        .f32("bbox_centre", &[2], input.region.centre.to_vec())
        .f32("bbox_height", &[1], vec![input.region.height])
        .f32("bbox_width", &[1], vec![input.region.width]))
}
