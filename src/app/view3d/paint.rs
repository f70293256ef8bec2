//! Colours of the bodies' points: skin, one plain colour, or the spread of the samples.

use std::sync::Arc;

use bevy::prelude::*;

use super::crowd::CrowdAssets;
use super::materials::BodyMaterial;
use super::{MainBody, OnStage, dress};
use crate::app::session::{Axis, Colouring, Session, Spread};
use crate::raster::colormap::{Colormap, srgb_to_linear};

/// Everything that decides the colours.
#[derive(Clone, PartialEq)]
pub(super) struct Painted {
    pub(super) colouring: Colouring,
    axis: Axis,
    spread: Option<usize>,
}

/// Colours of the body and, side by side, of the samples.
pub(super) fn paint(
    session: Res<Session>,
    mut on_stage: ResMut<OnStage>,
    main: Res<MainBody>,
    crowd_assets: Option<Res<CrowdAssets>>,
    mut meshes: ResMut<Assets<Mesh>>,
    mut materials: ResMut<Assets<BodyMaterial>>,
) {
    let Some(model) = &main.model else { return };
    let spread = session.spread.as_ref().filter(|spread| spread.total.len() == model.num_vertices());
    let colouring = match session.view.colouring {
        Colouring::Uncertainty if spread.is_none() => Colouring::Plain,
        Colouring::Clothed if model.extras.is_none() => Colouring::Plain,
        other => other,
    };
    let painted = Painted {
        colouring,
        axis: session.view.axis,
        spread: spread.filter(|_| colouring == Colouring::Uncertainty).map(|s| Arc::as_ptr(s) as usize),
    };
    if on_stage.painted.as_ref() == Some(&painted) {
        return;
    }
    let linear = |rgb: [u8; 3]| {
        let [r, g, b] = rgb.map(srgb_to_linear);
        [r, g, b, 1.0]
    };
    let colours: Vec<[f32; 4]> = match (colouring, spread, &model.extras) {
        (Colouring::Uncertainty, Some(spread), _) => {
            let top = legend_top(spread);
            let values = spread.axis(session.view.axis);
            Colormap::Ember.colours(values, 0.0, top).into_iter().map(linear).collect()
        }
        (Colouring::Clothed, _, Some(extras)) => dress::skin_colours(extras),
        _ => vec![[1.0; 4]; model.num_vertices()],
    };
    let crowd_mesh = crowd_assets.map(|assets| assets.mesh.clone());
    for handle in std::iter::once(main.mesh.clone()).chain(crowd_mesh) {
        if let Some(mut mesh) = meshes.get_mut(&handle) {
            mesh.insert_attribute(Mesh::ATTRIBUTE_COLOR, colours.clone());
        }
    }
    if let Some(mut material) = materials.get_mut(&main.material) {
        material.look.plain = f32::from(colouring == Colouring::Plain);
        material.look.clothed = f32::from(colouring == Colouring::Clothed);
    }
    on_stage.painted = Some(painted);
}

/// Upper end of the colour bar in metres: a round number that few points exceed.
pub fn legend_top(spread: &Spread) -> f32 {
    let mut values = spread.total.clone();
    if values.is_empty() {
        return 0.05;
    }
    let at = (values.len() as f32 * 0.98) as usize;
    let at = at.min(values.len() - 1);
    let (_, high, _) = values.select_nth_unstable_by(at, f32::total_cmp);
    let high = *high;
    [0.01, 0.02, 0.05, 0.10, 0.15, 0.20, 0.30, 0.40, 0.50]
        .into_iter()
        .find(|top| *top >= high)
        .unwrap_or(high)
}
