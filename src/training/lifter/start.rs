//! The weights that a run starts from: fresh ones, those of a file, or the trunk of one file with the picture
//! network of another.

use std::path::Path;

use burn::tensor::Device;

use super::plain::Layout;
use crate::estimators::lifter::LifterConfig;
use crate::estimators::lifter::config::InputKind;
use crate::estimators::lifter::network::LifterNetwork;
use crate::estimators::lifter::weights;
use crate::training::{TrainConfig, TrainError};

/// The network, and whether its trunk was trained without the pictures that it is to read now.
pub(super) fn start(
    config: &TrainConfig,
    layout: &Layout,
    device: &Device,
) -> Result<(LifterNetwork, bool), TrainError> {
    let wrong =
        |path: &Path| TrainError::Config(format!("another layout than the config's: {}", path.display()));
    let network = config.network.init(device);
    let Some(path) = &config.from else {
        return match &config.picture_from {
            Some(_) => Err(TrainError::Config("--picture-from goes with --from".into())),
            None => Ok((network, false)),
        };
    };
    let (loaded, known) = weights::load(path, device)?;
    let mut numbers = loaded.numbers();
    let grown = known.input == InputKind::Keypoints && config.input == InputKind::Both;
    let LifterConfig { input, picture_widths, picture_hidden, .. } = config.network;
    let fits = |known: LifterConfig| {
        LifterConfig { input, picture_widths, picture_hidden, ..known } == config.network
    };
    if !(fits(known.clone()) && (grown || known == config.network)) {
        return Err(wrong(path));
    }
    if grown {
        // A fresh picture network adds nothing yet.
        numbers.extend_from_slice(&network.numbers()[layout.of_picture()]);
    }
    if let Some(path) = &config.picture_from {
        let (other, known) = weights::load(path, device)?;
        if known != config.network || !known.input.reads_picture() {
            return Err(wrong(path));
        }
        numbers.truncate(layout.of_picture().start);
        numbers.extend_from_slice(&other.numbers()[layout.of_picture()]);
    }
    Ok((network.with_numbers(&numbers), grown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trunk_and_a_picture_network_are_put_together() {
        let folder = tempfile::tempdir().expect("a folder");
        let small = |input: InputKind| LifterConfig {
            width: 16,
            inner: 8,
            blocks: 1,
            distribution_width: 8,
            input,
            picture_widths: [3, 4, 5, 6],
            picture_hidden: 7,
            ..LifterConfig::default()
        };
        let device = Device::flex();
        let save = |input: InputKind, value: f32| {
            let config = small(input);
            let numbers = vec![value; Layout::new(&config).len()];
            let path = folder.path().join(format!("{value}.safetensors"));
            weights::save(&config.init(&device).with_numbers(&numbers), &config, &path).expect("written");
            path
        };
        let (trunk, looking) = (save(InputKind::Keypoints, 0.25), save(InputKind::Both, 0.5));
        let mut config = TrainConfig {
            input: InputKind::Both,
            network: small(InputKind::Both),
            from: Some(trunk),
            ..TrainConfig::default()
        };
        let layout = Layout::new(&config.network);
        let (fresh, grown) = start(&config, &layout, &device).expect("it fits");
        assert!(grown && fresh.numbers()[..layout.of_picture().start].iter().all(|n| *n == 0.25));
        config.picture_from = Some(looking.clone());
        let (joined, _) = start(&config, &layout, &device).expect("both fit");
        assert!(joined.numbers()[..layout.of_picture().start].iter().all(|n| *n == 0.25));
        assert!(joined.numbers()[layout.of_picture()].iter().all(|n| *n == 0.5));
        config.from = Some(looking);
        assert!(!start(&config, &layout, &device).expect("the same layout").1);
        config.network.width = 17;
        assert!(start(&config, &Layout::new(&config.network), &device).is_err());
        config.from = None;
        assert!(start(&config, &layout, &device).is_err());
    }
}
