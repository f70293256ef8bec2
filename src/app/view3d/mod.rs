//! The stage: floor, orbit camera, the body in the middle, the samples around it.
//!
//! Session ──StageRequest──▶ worker ──Staged──▶ mesh and buffers ──▶ GPU

pub mod crowd;
pub mod dress;
pub mod floor;
pub mod materials;
pub mod orbit;
pub mod paint;
pub mod rows;
pub mod stage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bevy::asset::AssetEventSystems;
use bevy::camera::visibility::{NoFrustumCulling, VisibilitySystems};
use bevy::camera::{CameraUpdateSystems, CompositingSpace};
use bevy::core_pipeline::tonemapping::{DebandDither, Tonemapping};
use bevy::light::cluster::{ClusterConfig, GlobalClusterSettings};
use bevy::prelude::*;
use bevy::render::renderer::RenderAdapterInfo;
use bevy::render::storage::ShaderBuffer;
use bevy::render::view::NoIndirectDrawing;
use bevy::transform::TransformSystems;

use self::crowd::{CrowdAssets, Manner, Member};
use self::materials::{BodyLook, BodyMaterial, CrowdMaterial, FloorMaterial};
use self::orbit::Orbit;
use self::paint::{Painted, paint};
use self::stage::{Crowd, Stage, StageRequest};
use super::action::Action;
use super::session::{Colouring, Scene, Session};
use super::{Acting, Collecting, Waker, estimates, theme};
use crate::body::BodyModel;
use crate::estimators::Estimate;

pub struct View3dPlugin;

impl Plugin for View3dPlugin {
    fn build(&self, app: &mut App) {
        app.add_plugins(materials::MaterialsPlugin)
            .init_resource::<Orbit>()
            .init_resource::<OnStage>()
            .insert_resource(ClearColor(stage_colour()))
            .add_systems(Startup, (spawn_camera, floor::spawn, spawn_body, start_worker))
            .add_systems(
                Update,
                (ask.after(estimates::collect), take.in_set(Collecting), paint, arrange).chain(),
            )
            .add_systems(
                PostUpdate,
                // Once more, so that what an action of this update changed is drawn with it.
                (
                    ask.after(Acting).after(estimates::collect_at_once),
                    take,
                    paint,
                    arrange,
                    orbit::place_camera.before(CameraUpdateSystems),
                )
                    .chain()
                    .before(AssetEventSystems)
                    .before(VisibilitySystems::VisibilityPropagate)
                    .before(TransformSystems::Propagate),
            )
            .add_systems(PostUpdate, act.in_set(Acting));
    }
}

fn stage_colour() -> Color {
    Color::srgb_u8(theme::STAGE.r(), theme::STAGE.g(), theme::STAGE.b())
}

/// How long a frame waits for a pose that was asked for: about as long as posing takes. Without it every answer would
/// come a frame late, and frames of a software adapter are long.
const POSING: Duration = Duration::from_millis(30);

/// Samples that a software adapter draws while a keypoint is held.
const DRAFT: usize = 24;

/// What was asked of the worker and what it gave last.
#[derive(Resource, Default)]
struct OnStage {
    asked: Option<Asked>,
    revision: u64,
    answered: u64,
    /// Bodies that were loaded.
    models: u64,
    crowd: Arc<Crowd>,
    /// Vertex colours now on the mesh.
    painted: Option<Painted>,
    arranged: Option<(u64, usize, Manner)>,
}

/// Everything that decides what is posed; another value asks the worker anew.
#[derive(Clone, PartialEq)]
struct Asked {
    estimate: Option<usize>,
    sample: Option<usize>,
    frame: Option<(usize, usize)>,
    before: Option<usize>,
    side_by_side: bool,
}

/// The body in the middle.
#[derive(Resource)]
struct MainBody {
    entity: Entity,
    mesh: Handle<Mesh>,
    material: Handle<BodyMaterial>,
    /// The estimate before the last edit.
    ghost: Entity,
    ghost_mesh: Handle<Mesh>,
    /// The model whose triangles the mesh has.
    model: Option<Arc<BodyModel>>,
}

pub fn software(adapter: &RenderAdapterInfo) -> bool {
    format!("{:?}", adapter.device_type) == "Cpu"
}

/// Software adapters pay for every sample of a pixel.
fn antialiasing(adapter: &RenderAdapterInfo) -> Msaa {
    if software(adapter) { Msaa::Off } else { Msaa::Sample4 }
}

fn spawn_camera(
    mut commands: Commands,
    adapter: Res<RenderAdapterInfo>,
    mut session: ResMut<Session>,
    mut lights: ResMut<GlobalClusterSettings>,
) {
    session.device = adapter.name.clone();
    // There are no lights to sort.
    lights.gpu_clustering = None;
    commands.spawn((
        Camera3d::default(),
        Tonemapping::None,
        DebandDither::Disabled,
        CompositingSpace::Srgb,
        antialiasing(&adapter),
        ClusterConfig::Single,
        // For a handful of draws, working out on the GPU what to draw costs more than it saves.
        NoIndirectDrawing,
        Transform::from_xyz(0.0, 1.0, 4.0),
    ));
}

fn spawn_body(
    mut commands: Commands,
    mut meshes: ResMut<Assets<Mesh>>,
    mut materials: ResMut<Assets<BodyMaterial>>,
) {
    let [r, g, b] = theme::linear(theme::CLAY);
    let material = materials.add(BodyMaterial {
        look: BodyLook { tint: Vec4::new(r, g, b, 1.0), plain: 0.0, clothed: 0.0 },
        outfit: dress::OutfitLook::default(),
        translucent: false,
    });
    let [r, g, b] = theme::linear(theme::ACCENT);
    let ghost_material = materials.add(BodyMaterial {
        look: BodyLook { tint: Vec4::new(r, g, b, 0.35), plain: 1.0, clothed: 0.0 },
        outfit: dress::OutfitLook::default(),
        translucent: true,
    });
    let mesh = meshes.add(Mesh::from(Cuboid::from_length(0.001)));
    let mut spawn = |material: &Handle<BodyMaterial>| {
        let parts = (Visibility::Hidden, MeshMaterial3d(material.clone()), Mesh3d(mesh.clone()));
        commands.spawn((parts, NoFrustumCulling)).id()
    };
    let (entity, ghost) = (spawn(&material), spawn(&ghost_material));
    let ghost_mesh = mesh.clone();
    commands.insert_resource(MainBody { entity, mesh, material, ghost, ghost_mesh, model: None });
}

fn start_worker(mut commands: Commands, waker: Res<Waker>, mut session: ResMut<Session>) {
    match Stage::start(waker.0.clone()) {
        Ok(stage) => commands.insert_resource(stage),
        Err(error) => session.error = Some(format!("no thread for posing could be started: {error}")),
    }
}

fn address(estimate: &Arc<Estimate>) -> usize {
    Arc::as_ptr(estimate) as usize
}

/// Asks the worker for what the session shows, where that changed.
fn ask(session: Res<Session>, stage: Option<Res<Stage>>, mut on_stage: ResMut<OnStage>) {
    let Some(stage) = stage else { return };
    let estimate = session.shown.as_ref().map(|shown| shown.estimate.clone());
    let timeline = session.timeline.as_ref().filter(|timeline| timeline.on_stage);
    let sample = session.view.sample;
    let asked = Asked {
        estimate: estimate.as_ref().map(address),
        sample,
        frame: timeline.map(|timeline| (Arc::as_ptr(&timeline.trajectory) as usize, timeline.frame)),
        before: session.ghost().map(address),
        side_by_side: session.view.scene == Scene::SideBySide,
    };
    if on_stage.asked.as_ref() == Some(&asked) {
        return;
    }
    on_stage.revision += 1;
    let body = timeline
        .and_then(|timeline| timeline.trajectory.frames.get(timeline.frame).cloned())
        .or_else(|| estimate.as_ref()?.samples.get(sample?).cloned());
    stage.request(StageRequest {
        revision: on_stage.revision,
        body,
        estimate,
        before: session.ghost().cloned(),
        side_by_side: asked.side_by_side,
    });
    on_stage.asked = Some(asked);
}

/// Uploads what the worker posed.
#[allow(clippy::too_many_arguments)]
fn take(
    mut commands: Commands,
    stage: Option<Res<Stage>>,
    (mut on_stage, mut session, mut orbit): (ResMut<OnStage>, ResMut<Session>, ResMut<Orbit>),
    mut main: ResMut<MainBody>,
    mut meshes: ResMut<Assets<Mesh>>,
    mut buffers: ResMut<Assets<ShaderBuffer>>,
    (mut crowd_materials, mut floor_materials): (
        ResMut<Assets<CrowdMaterial>>,
        ResMut<Assets<FloorMaterial>>,
    ),
    (floor, crowd_assets): (Res<floor::Floor>, Option<Res<CrowdAssets>>),
) {
    let Some(stage) = stage else { return };
    let began = Instant::now();
    let answer = loop {
        match stage.answers.take() {
            Some(answer) => break answer,
            None if on_stage.answered == on_stage.revision || began.elapsed() > POSING => return,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    let staged = match answer {
        Ok(staged) => staged,
        Err(error) => {
            on_stage.answered = on_stage.revision;
            session.error = Some(error);
            return;
        }
    };
    on_stage.answered = staged.revision;
    floor::cast(
        &floor,
        &mut floor_materials,
        (session.view.scene != Scene::SideBySide).then_some(staged.joints.as_slice()),
    );
    let same_model = main.model.as_ref().is_some_and(|model| Arc::ptr_eq(model, &staged.model));
    if same_model {
        if let Some(mut mesh) = meshes.get_mut(&main.mesh) {
            mesh.insert_attribute(Mesh::ATTRIBUTE_POSITION, staged.vertices);
            mesh.insert_attribute(Mesh::ATTRIBUTE_NORMAL, staged.normals);
        }
    } else {
        main.ghost_mesh =
            meshes.add(crowd::ghost_mesh_of(&staged.model, staged.vertices.clone(), staged.normals.clone()));
        commands.entity(main.ghost).insert(Mesh3d(main.ghost_mesh.clone()));
        main.mesh = meshes.add(crowd::mesh_of(&staged.model, staged.vertices, staged.normals));
        commands.entity(main.entity).insert(Mesh3d(main.mesh.clone()));
        let assets = CrowdAssets::new(&staged.model, &mut meshes, &mut crowd_materials, &mut buffers);
        if let Some(crowd) = &staged.crowd {
            assets.upload(crowd, &mut buffers);
        }
        commands.insert_resource(assets);
        main.model = Some(staged.model.clone());
        session.body = Some(staged.model.clone());
        on_stage.painted = None;
        on_stage.models += 1;
    }
    let ghost_visibility = if staged.before.is_some() { Visibility::Inherited } else { Visibility::Hidden };
    commands.entity(main.ghost).insert(ghost_visibility);
    if let Some((points, normals)) = staged.before
        && let Some(mut mesh) = meshes.get_mut(&main.ghost_mesh)
    {
        mesh.insert_attribute(Mesh::ATTRIBUTE_POSITION, points);
        mesh.insert_attribute(Mesh::ATTRIBUTE_NORMAL, normals);
    }
    if let Some(crowd) = staged.crowd {
        if same_model && let Some(assets) = crowd_assets {
            assets.upload(&crowd, &mut buffers);
        }
        session.figures = crowd.figures.clone();
        on_stage.crowd = crowd;
    }
    if staged.changed_scene {
        orbit.frame(&staged.extent);
    }
}

/// As many instances as there are samples, and what is visible at all.
#[allow(clippy::too_many_arguments)]
fn arrange(
    mut commands: Commands,
    session: Res<Session>,
    mut on_stage: ResMut<OnStage>,
    main: Res<MainBody>,
    crowd_assets: Option<Res<CrowdAssets>>,
    members: Query<Entity, With<Member>>,
    mut materials: ResMut<Assets<CrowdMaterial>>,
    adapter: Res<RenderAdapterInfo>,
    mut visibilities: Query<&mut Visibility>,
) {
    let Some(assets) = crowd_assets else { return };
    let bodies = on_stage.crowd.bodies;
    let playing = session.timeline.as_ref().is_some_and(|timeline| timeline.on_stage);
    let colouring = on_stage.painted.as_ref().map(|painted| painted.colouring);
    let plain = colouring == Some(Colouring::Plain);
    let clothed = colouring == Some(Colouring::Clothed);
    let manner = match session.view.scene {
        _ if bodies == 0 || playing => Manner::Hidden,
        Scene::One => Manner::Hidden,
        Scene::Cloud => Manner::Ghosts,
        Scene::SideBySide => Manner::Solid { plain, clothed },
    };
    let drawn = match manner {
        Manner::Hidden => 0,
        // A software adapter could not follow the hand with all of them.
        Manner::Ghosts if session.hand && software(&adapter) => bodies.min(DRAFT),
        _ => bodies,
    };
    let wanted = (on_stage.models, drawn, manner);
    if on_stage.arranged != Some(wanted) {
        assets.arrange(drawn, manner, &mut commands, &members, &mut materials);
        on_stage.arranged = Some(wanted);
    }
    let main_visible = main.model.is_some() && !matches!(manner, Manner::Solid { .. });
    let visibility = if main_visible { Visibility::Inherited } else { Visibility::Hidden };
    if let Ok(mut current) = visibilities.get_mut(main.entity) {
        current.set_if_neq(visibility);
    }
}

fn act(mut actions: MessageReader<Action>, mut session: ResMut<Session>, mut orbit: ResMut<Orbit>) {
    for action in actions.read() {
        match action {
            Action::Show(scene) => {
                session.view.scene = *scene;
                if *scene == Scene::SideBySide {
                    (orbit.yaw, orbit.pitch) = (0.0, orbit.pitch.max(rows::PITCH));
                }
            }
            Action::Colour(colouring) => session.view.colouring = *colouring,
            Action::UncertaintyAxis(axis) => session.view.axis = *axis,
            Action::LookFrom(side) => orbit.look_from(*side),
            Action::Zoom(factor) => orbit.zoom(*factor),
            _ => {}
        }
    }
}
