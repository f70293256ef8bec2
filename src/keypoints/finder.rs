//! People with keypoints of whichever network was chosen: MoveNet always finds them, HRNet looks at its boxes again.
//!
//! `predict`, `keypoints` and the window come through here.

use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::detector::{DetectOptions, Detector};
use super::hrnet::Hrnet;
use super::regions::Bbox;
use super::{KeypointError, Person};
use crate::formats::picture::Picture;
use crate::progress::Cancel;

/// Whose keypoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Ships with the program
    #[default]
    #[value(name = "movenet")]
    MoveNet,
    /// The published systems' own; its file cannot ship
    Hrnet,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MoveNet => "movenet",
            Self::Hrnet => "hrnet",
        })
    }
}

/// The networks, each read when first needed.
pub struct Finder {
    pub detector: Detector,
    again: Option<Again>,
}

/// A second look with HRNet.
struct Again {
    path: PathBuf,
    device: Device,
    network: OnceLock<Hrnet>,
}

impl Again {
    fn network(&self) -> Result<&Hrnet, KeypointError> {
        if let Some(network) = self.network.get() {
            return Ok(network);
        }
        let network = Hrnet::load(&self.path, &self.device)?;
        Ok(self.network.get_or_init(|| network))
    }
}

impl Finder {
    /// Looks for the files; `device` is where HRNet runs, MoveNet's layers know the CPU only.
    ///
    /// # Errors
    /// A file is not there.
    pub fn load(network: Network, device: &Device) -> Result<Self, KeypointError> {
        let again = match network {
            Network::MoveNet => None,
            Network::Hrnet => {
                Some(Again { path: Hrnet::find()?, device: device.clone(), network: OnceLock::new() })
            }
        };
        Ok(Self { detector: Detector::load()?, again })
    }

    /// As [`Detector::find_people`], in the same order.
    ///
    /// # Errors
    /// Empty pictures, unreadable weights, cancelled.
    pub fn find_people(
        &self,
        picture: &Picture,
        options: &DetectOptions,
        cancel: &Cancel,
    ) -> Result<Vec<Person>, KeypointError> {
        // Keypoints that are looked for again need not be fine.
        let options = DetectOptions { fine: options.fine && self.again.is_none(), ..*options };
        let people = self.detector.find_people(picture, &options, cancel)?;
        match &self.again {
            Some(again) if !people.is_empty() && !cancel.is_cancelled() => {
                again.network()?.look_again(picture, people)
            }
            _ => Ok(people),
        }
    }

    /// As [`Detector::keypoints_in_box`].
    ///
    /// # Errors
    /// Boxes without a finite positive size, unreadable weights.
    pub fn keypoints_in_box(
        &self,
        picture: &Picture,
        bbox: Bbox,
        fine: bool,
    ) -> Result<Person, KeypointError> {
        let Some(again) = &self.again else { return self.detector.keypoints_in_box(picture, bbox, fine) };
        let found = self.detector.keypoints_in_box(picture, bbox, false)?;
        // The box is the user's, whatever MoveNet makes of it.
        let people = again.network()?.look_again(picture, vec![Person { bbox, ..found.clone() }])?;
        let mut person = people.into_iter().next().unwrap_or(found);
        person.score = person.mean_score();
        Ok(person)
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn networks_are_named_as_they_are_shown() {
        for network in [Network::MoveNet, Network::Hrnet] {
            assert_eq!(Network::from_str(&network.to_string(), false), Ok(network));
        }
        assert!(Network::from_str("posenet", true).is_err());
    }

    #[test]
    fn a_missing_file_says_what_to_fetch_and_where_to_put_it() {
        if Hrnet::find().is_ok() {
            return;
        }
        let Err(error) = Finder::load(Network::Hrnet, &Device::flex()) else { panic!("nothing to find") };
        let text = error.to_string();
        for part in ["pose_hrnet_w48_384x288.pth", "deep-high-resolution-net", "model_files", "--models"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
