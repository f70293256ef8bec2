//! The window: one plugin a feature.
