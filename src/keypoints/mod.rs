//! Photo to people with 17 COCO keypoints.

pub mod person;

pub use person::{COCO_KEYPOINTS, Crop, Keypoint, KeypointSource, Person, PersonMask};
