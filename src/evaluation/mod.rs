//! Metrics, data sets, protocols and calibration.

pub mod people_2d;
