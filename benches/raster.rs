//! How fast bodies are drawn: `cargo bench --bench raster`.

use glam::Vec3;
use humanifold::body::{BodyModel, Posed};
use humanifold::formats::Picture;
use humanifold::geometry::camera::{Camera, Projection};
use humanifold::raster::{MeshStyle, Raster, draw_body, vertex_normals};

fn main() {
    divan::main();
}

fn standing(model: &BodyModel) -> (Posed, Camera) {
    let mut state = model.rest_state();
    state.transl = Vec3::new(0.0, 0.1, -3.0);
    state.body_pose[15] = glam::Mat3::from_rotation_z(-1.1);
    state.body_pose[16] = glam::Mat3::from_rotation_z(1.1);
    let projection = Projection::Perspective { focal_px: 380.0, principal_px: [128.0; 2] };
    (model.pose(&state, true), Camera { projection, size: [256.0; 2] })
}

#[divan::bench(args = [256, 512, 1024])]
fn z_buffer(bencher: divan::Bencher, size: usize) {
    let model = BodyModel::default_body().expect("the built-in body is shipped");
    let (posed, camera) = standing(&model);
    let camera =
        humanifold::raster::view::window(&camera, glam::Vec2::ZERO, size as f32 / 256.0, [size as f32; 2]);
    let mut raster = Raster::new(size, size);
    bencher
        .counter(divan::counter::ItemsCount::new(1usize))
        .bench_local(|| raster.render(&posed.vertices, &model.faces, &camera));
}

#[divan::bench]
fn passes_at_256(bencher: divan::Bencher) {
    let model = BodyModel::default_body().expect("the built-in body is shipped");
    let (posed, camera) = standing(&model);
    let mut raster = Raster::new(256, 256);
    raster.render(&posed.vertices, &model.faces, &camera);
    let normals = vertex_normals(&posed.vertices, &model.faces);
    bencher.bench_local(|| {
        (
            raster.silhouette(),
            raster.labels(&model.joint_face),
            raster.depth_map(),
            raster.normal_map(&model.faces, &normals),
        )
    });
}

#[divan::bench(args = [0, 16])]
fn overlay_at_512(bencher: divan::Bencher, occlusion_directions: usize) {
    let model = BodyModel::default_body().expect("the built-in body is shipped");
    let (posed, camera) = standing(&model);
    let style = MeshStyle { occlusion_directions, ..MeshStyle::dressed() };
    let mut picture = Picture::filled(512, 512, [240; 3]);
    bencher.bench_local(|| draw_body(&mut picture, &model, &posed.vertices, &camera, &style));
}
