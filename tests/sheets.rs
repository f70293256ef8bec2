//! Sheets to be looked at, not measured: `cargo test --release --test sheets -- --ignored`. They go to the folder that
//! `HUMANIFOLD_SHEETS` names, else to the system's temporary folder; poses come from `HUMANIFOLD_POSES` (npz), else from
//! the built-in prior.

#![cfg(unix)]

use std::path::{Path, PathBuf};

use glam::{Mat3, Vec3};
use humanifold::body::{BodyModel, BodyState};
use humanifold::formats::picture::Picture;
use humanifold::geometry::camera::{Camera, Projection};
use humanifold::progress::{Cancel, Event, Reporter};
use humanifold::raster::{MeshStyle, Raster, draw_body, view};
use humanifold::synthetic::augment::jpeg_bytes;
use humanifold::synthetic::examples::example_photos;
use humanifold::synthetic::photo::photograph;
use humanifold::synthetic::*;

fn target(name: &str) -> PathBuf {
    std::env::var_os("HUMANIFOLD_SHEETS").map_or_else(std::env::temp_dir, PathBuf::from).join(name)
}

fn poses() -> PoseSource {
    let path = std::env::var_os("HUMANIFOLD_POSES").map(PathBuf::from);
    PoseSource::open(path.as_deref()).unwrap()
}

fn paste(sheet: &mut Picture, cell: &Picture, x0: usize, y0: usize) {
    let width = sheet.width;
    let rgb = sheet.rgb_mut();
    for y in 0..cell.height {
        let line = &cell.rgb[y * cell.width * 3..(y + 1) * cell.width * 3];
        rgb[((y0 + y) * width + x0) * 3..][..line.len()].copy_from_slice(line);
    }
}

/// Seconds this thread has computed; unlike the clock it does not count waiting for others.
fn processor_time() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the one struct it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn least(times: impl Iterator<Item = f64>) -> f64 {
    times.fold(f64::INFINITY, f64::min) * 1e3
}

#[test]
#[ignore = "draws pictures to be looked at"]
fn overlays() {
    let model = BodyModel::default_body().unwrap();
    let mut state = model.rest_state();
    state.body_pose[15] = Mat3::from_rotation_z(-1.1);
    state.body_pose[16] = Mat3::from_rotation_z(1.1);
    state.body_pose[0] = Mat3::from_rotation_x(-0.6);
    state.body_pose[3] = Mat3::from_rotation_x(0.5);
    let mut sheet = Picture::filled(1500, 600, [232, 234, 238]);
    for i in 0..5 {
        state.global_orient = Mat3::from_rotation_y(i as f32 * 0.7 - 0.7);
        let posed = model.pose(&state, true);
        let mut cell = Picture::filled(300, 600, [232, 234, 238]);
        let camera = view::fitting(&posed.vertices, 300, 600, 0.05);
        let style = if i < 2 { MeshStyle::default() } else { MeshStyle::dressed() };
        let times = (0..5).map(|_| {
            let start = processor_time();
            draw_body(&mut cell, &model, &posed.vertices, &camera, &style);
            processor_time() - start
        });
        println!("overlay {:.1} ms", least(times));
        paste(&mut sheet, &cell, 300 * i, 0);
    }
    sheet.write_png(&target("overlays.png")).unwrap();
    let posed = model.pose(&state, true);
    let vertices: Vec<Vec3> = posed.vertices.iter().map(|v| *v - Vec3::Z * 2.5).collect();
    let camera = Camera {
        projection: Projection::Perspective { focal_px: 300.0, principal_px: [128.0, 100.0] },
        size: [256.0; 2],
    };
    let mut raster = Raster::new(256, 256);
    let times = (0..300).map(|_| {
        let start = processor_time();
        raster.render(&vertices, &model.faces, &camera);
        processor_time() - start
    });
    println!("z-buffer at 256 x 256: {:.3} ms", least(times));
}

#[test]
#[ignore = "draws pictures to be looked at"]
fn scenes() {
    let model = BodyModel::default_body().unwrap();
    let poses = poses();
    let maker = SceneMaker::new(&model, &poses, SceneConfig::default()).unwrap();
    let mut buffers = SceneBuffers::default();
    let mut sheet = Picture::filled(256 * 7, 256 * 5, [255; 3]);
    let mut times = Vec::new();
    for i in 0..35 {
        let start = processor_time();
        let sample = maker.at(3, i as u64, &mut buffers);
        times.push(processor_time() - start);
        let mut cell = sample.picture;
        for (place, seen) in sample.truth.coco17.iter().zip(sample.truth.visibility) {
            let colour = match seen {
                Visibility::Visible => [0, 255, 0],
                Visibility::SelfOccluded => [255, 160, 0],
                Visibility::Occluded => [255, 0, 0],
                Visibility::OutOfFrame => continue,
            };
            for k in 0..9 {
                let x = (place.x as usize + k % 3).clamp(1, 256) - 1;
                let y = (place.y as usize + k / 3).clamp(1, 256) - 1;
                cell.rgb_mut()[(y * 256 + x) * 3..][..3].copy_from_slice(&colour);
            }
        }
        paste(&mut sheet, &cell, i % 7 * 256, i / 7 * 256);
    }
    times.sort_by(f64::total_cmp);
    println!("scene: median {:.1} ms, least {:.1} ms", times[17] * 1e3, times[0] * 1e3);
    sheet.write_png(&target("scenes.png")).unwrap();

    let sampler = LiftingSampler::new(&model, &poses, CameraConfig::default()).unwrap();
    let times = (0..10).map(|round| {
        let start = processor_time();
        for item in 0..500 {
            std::hint::black_box(sampler.at(round, item));
        }
        (processor_time() - start) / 500.0
    });
    println!("lifting sample: {:.4} ms", least(times));
}

#[test]
#[ignore = "draws pictures to be looked at"]
fn pose_samples() {
    let model = BodyModel::default_body().unwrap();
    let poses = poses();
    let mut sheet = Picture::filled(140 * 12, 190 * 5, [232, 234, 238]);
    for i in 0..60usize {
        let pose = poses.sample(&mut stream(7, i as u64));
        let state = BodyState {
            global_orient: Mat3::from_rotation_y((i % 3) as f32 * 0.5 - 0.5) * pose.root(),
            body_pose: pose.rotations(),
            ..model.rest_state()
        };
        let posed = model.pose(&state, true);
        let middle = view::middle(&posed.vertices);
        let vertices: Vec<Vec3> = posed.vertices.iter().map(|p| *p - middle).collect();
        let mut cell = Picture::filled(140, 190, [232, 234, 238]);
        let projection = Projection::WeakPerspective { scale_px: 88.0, origin_px: [70.0, 95.0] };
        let camera = Camera { projection, size: [140.0, 190.0] };
        draw_body(&mut cell, &model, &vertices, &camera, &MeshStyle::dressed());
        paste(&mut sheet, &cell, i % 12 * 140, i / 12 * 190);
    }
    sheet.write_png(&target("poses.png")).unwrap();
}

#[test]
#[ignore = "draws pictures to be looked at"]
fn photographs() {
    let model = BodyModel::default_body().unwrap();
    for (name, plan) in example_photos(&model) {
        let start = processor_time();
        let picture = photograph(&model, &plan);
        println!("{name}: {:.1} s on the calling thread", processor_time() - start);
        let bytes = jpeg_bytes(&picture, 90).unwrap();
        std::fs::write(target(&format!("{name}.jpg")), bytes).unwrap();
    }
}

#[test]
#[ignore = "fits the prior to HUMANIFOLD_POSES; takes minutes"]
fn prior() {
    // HUMANIFOLD_COMPONENTS chooses the number of Gaussians.
    let Some(poses) = std::env::var_os("HUMANIFOLD_POSES") else {
        return;
    };
    let components: usize =
        std::env::var("HUMANIFOLD_COMPONENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let config = PriorFitConfig {
        poses: Path::new(&poses).to_owned(),
        out: target(&format!("pose_prior_{components}.npz")),
        components,
        ..PriorFitConfig::default()
    };
    let reporter = Reporter::new(|event| {
        if let Event::Metric { name, step, value } = event
            && step % 5 == 4
        {
            println!("round {step}: {name} {value:.2}");
        }
    });
    fit_prior(&config, &reporter, &Cancel::new()).unwrap();
}
