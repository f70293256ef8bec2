//! The samples: one mesh, one material, an instance a sample; shaped and skinned in the vertex shader.

use bevy::asset::RenderAssetUsages;
use bevy::camera::visibility::NoFrustumCulling;
use bevy::mesh::{Indices, MeshTag, PrimitiveTopology};
use bevy::prelude::*;
use bevy::render::storage::ShaderBuffer;

use super::dress::{OutfitLook, with_clothes};
use super::materials::{CrowdLook, CrowdMaterial};
use super::stage::Crowd;
use crate::app::session::MOST_SAMPLES;
use crate::app::theme;
use crate::body::BodyModel;
use crate::geometry::simplify::simplify;

/// Triangles of a ghost; the second number where there are many ghosts.
const GHOST_FACES: [usize; 2] = [2400, 900];
/// More ghosts than this are many: together they blur what the coarser mesh leaves out.
const FEW_GHOSTS: usize = 20;

/// Handles of the crowd's assets, there once a body is loaded.
#[derive(Resource)]
pub struct CrowdAssets {
    pub mesh: Handle<Mesh>,
    /// The same points with fewer triangles.
    coarse: [Handle<Mesh>; 2],
    ghosts: Handle<CrowdMaterial>,
    solid: Handle<CrowdMaterial>,
    transforms: Handle<ShaderBuffer>,
    betas: Handle<ShaderBuffer>,
    transforms_size: usize,
    betas_size: usize,
}

/// An instance.
#[derive(Component)]
pub struct Member;

/// How the crowd is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Manner {
    Hidden,
    /// Translucent, around the body in the middle.
    Ghosts,
    Solid {
        plain: bool,
        clothed: bool,
    },
}

/// Four influences a vertex packed as the shader unpacks them; weaker ones of licensed bodies with more are left out.
fn packed_skin(model: &BodyModel) -> Vec<[u32; 4]> {
    (0..model.num_vertices())
        .map(|vertex| {
            let mut influences: Vec<(usize, f32)> = model.weights.entries(vertex).collect();
            influences.sort_by(|a, b| b.1.total_cmp(&a.1));
            influences.truncate(4);
            let sum: f32 = influences.iter().map(|(_, weight)| weight).sum();
            let mut packed = [0; 4];
            for (packed, (joint, weight)) in packed.iter_mut().zip(influences) {
                let weight = (weight / sum.max(1e-6) * 8_388_608.0).round().clamp(0.0, 16_777_215.0) as u32;
                *packed = ((joint as u32) << 24) | weight;
            }
            packed
        })
        .collect()
}

/// The rest mesh as bevy wants it; colours are white until painted.
pub fn mesh_of(model: &BodyModel, positions: Vec<[f32; 3]>, normals: Vec<[f32; 3]>) -> Mesh {
    mesh_with(model, &model.faces, positions, normals)
}

/// The same for a translucent body.
pub fn ghost_mesh_of(model: &BodyModel, positions: Vec<[f32; 3]>, normals: Vec<[f32; 3]>) -> Mesh {
    mesh_with(model, &coarse_faces(model, GHOST_FACES[0]), positions, normals)
}

/// Fewer triangles over the same points, so that shapes and skinning stay theirs.
fn coarse_faces(model: &BodyModel, most: usize) -> Vec<[u32; 3]> {
    // A closed surface has half as many points as triangles.
    let coarse = simplify(&model.v_template, &model.faces, most / 2);
    let original = |corner: u32| coarse.points.get(corner as usize).copied().unwrap_or_default();
    coarse.faces.iter().map(|face| face.map(original)).collect()
}

fn mesh_with(
    model: &BodyModel,
    faces: &[[u32; 3]],
    positions: Vec<[f32; 3]>,
    normals: Vec<[f32; 3]>,
) -> Mesh {
    let colours = vec![[1.0f32; 4]; positions.len()];
    let mesh = Mesh::new(PrimitiveTopology::TriangleList, RenderAssetUsages::default())
        .with_inserted_attribute(Mesh::ATTRIBUTE_POSITION, positions)
        .with_inserted_attribute(Mesh::ATTRIBUTE_NORMAL, normals)
        .with_inserted_attribute(Mesh::ATTRIBUTE_COLOR, colours)
        .with_inserted_indices(Indices::U32(faces.iter().flatten().copied().collect()));
    with_clothes(mesh, model)
}

impl CrowdAssets {
    pub fn new(
        model: &BodyModel,
        meshes: &mut Assets<Mesh>,
        materials: &mut Assets<CrowdMaterial>,
        buffers: &mut Assets<ShaderBuffer>,
    ) -> Self {
        let betas_each = model.num_betas();
        let shapes: Vec<[f32; 4]> = (0..model.num_vertices())
            .flat_map(|vertex| {
                model.shapedirs.iter().map(move |direction| {
                    let at = |axis: usize| direction.get(vertex * 3 + axis).copied().unwrap_or(0.0);
                    [at(0), at(1), at(2), 0.0]
                })
            })
            .collect();
        let transforms_size = MOST_SAMPLES * model.num_joints() * 3;
        let betas_size = (MOST_SAMPLES * betas_each).max(1);
        // Buffers never change their size: a bind group would keep the old one.
        let transforms = buffers.add(ShaderBuffer::from(vec![[0.0f32; 4]; transforms_size]));
        let betas = buffers.add(ShaderBuffer::from(vec![0.0f32; betas_size]));
        let material = |tint: [f32; 4],
                        plain: f32,
                        translucent: bool,
                        shapes: &Handle<ShaderBuffer>,
                        skin: &Handle<ShaderBuffer>| {
            CrowdMaterial {
                look: CrowdLook {
                    tint: Vec4::from_array(tint),
                    plain,
                    clothed: 0.0,
                    betas: betas_each as u32,
                    joints: model.num_joints() as u32,
                    every: 1,
                },
                transforms: transforms.clone(),
                betas: betas.clone(),
                shapes: shapes.clone(),
                skin: skin.clone(),
                outfit: OutfitLook::default(),
                translucent,
            }
        };
        let shapes = buffers.add(ShaderBuffer::from(if shapes.is_empty() { vec![[0.0; 4]] } else { shapes }));
        let skin = buffers.add(ShaderBuffer::from(packed_skin(model)));
        let [r, g, b] = theme::linear(theme::GHOST);
        let ghosts = materials.add(material([r, g, b, 0.1], 1.0, true, &shapes, &skin));
        let solid = materials.add(material([r, g, b, 1.0], 0.0, false, &shapes, &skin));
        let positions: Vec<[f32; 3]> = model.v_template.iter().map(|v| v.to_array()).collect();
        let normals: Vec<[f32; 3]> = model.normals(&model.v_template).iter().map(|n| n.to_array()).collect();
        let coarse = GHOST_FACES.map(|most| {
            meshes.add(mesh_with(model, &coarse_faces(model, most), positions.clone(), normals.clone()))
        });
        let mesh = meshes.add(mesh_of(model, positions, normals));
        Self { mesh, coarse, ghosts, solid, transforms, betas, transforms_size, betas_size }
    }

    /// Uploads the samples' numbers.
    pub fn upload(&self, crowd: &Crowd, buffers: &mut Assets<ShaderBuffer>) {
        let mut transforms = crowd.transforms.clone();
        transforms.resize(self.transforms_size, [0.0; 4]);
        let mut betas = crowd.betas.clone();
        betas.resize(self.betas_size, 0.0);
        if let Some(mut buffer) = buffers.get_mut(&self.transforms) {
            buffer.set_data(transforms);
        }
        if let Some(mut buffer) = buffers.get_mut(&self.betas) {
            buffer.set_data(betas);
        }
    }

    /// Makes as many instances as there are samples, drawn in the given manner.
    pub fn arrange(
        &self,
        bodies: usize,
        manner: Manner,
        commands: &mut Commands,
        members: &Query<Entity, With<Member>>,
        materials: &mut Assets<CrowdMaterial>,
    ) {
        for entity in members {
            commands.entity(entity).despawn();
        }
        let (mesh, material) = match manner {
            Manner::Hidden => return,
            Manner::Ghosts => (&self.coarse[usize::from(bodies > FEW_GHOSTS)], &self.ghosts),
            Manner::Solid { .. } => (&self.mesh, &self.solid),
        };
        let bodies = bodies.min(MOST_SAMPLES);
        if let Some(mut material) = materials.get_mut(material) {
            match manner {
                // Half of them stand before the body in the middle; where those agree they cover 60 % of it. More
                // layers than a pixel of 8 bits can tell apart are shared among neighbouring pixels.
                Manner::Ghosts => {
                    let every = match bodies {
                        0..=60 => 1,
                        61..=120 => 2,
                        _ => 4,
                    };
                    material.look.every = every;
                    let layers = (bodies as f32 * 0.5 / every as f32).max(0.5);
                    material.look.tint.w = (1.0 - 0.4f32.powf(1.0 / layers)).clamp(0.012, 0.3);
                }
                Manner::Solid { plain, clothed } => {
                    let [r, g, b] = theme::linear(theme::CLAY);
                    material.look.tint = Vec4::new(r, g, b, 1.0);
                    material.look.plain = f32::from(plain);
                    material.look.clothed = f32::from(clothed);
                }
                Manner::Hidden => {}
            }
        }
        commands.spawn_batch((0..bodies as u32).map({
            let (mesh, material) = (mesh.clone(), material.clone());
            move |body| {
                (
                    Mesh3d(mesh.clone()),
                    MeshMaterial3d(material.clone()),
                    MeshTag(body),
                    Member,
                    NoFrustumCulling,
                )
            }
        }));
    }
}
