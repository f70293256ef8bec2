// Soft light for bodies: a sky above, warm bounce from the floor, one wide key light beside the camera, a thin rim.
#define_import_path humanifold::shading

#import bevy_pbr::mesh_view_bindings::view

// What arrives at the eye is `albedo * scale + add`.
struct Light {
    scale: vec3<f32>,
    add: vec3<f32>,
}

// Worked out at the points of a mesh: triangles are a few pixels large, and a software adapter shades whole blocks of
// pixels for each.
fn light(normal: vec3<f32>, world_position: vec3<f32>) -> Light {
    let n = normalize(normal);
    let eye = normalize(view.world_position - world_position);
    // The key light stands to the upper left of whoever looks, so that no side of a body is ever in the dark.
    let right = view.world_from_view[0].xyz;
    let back = view.world_from_view[2].xyz;
    let key_direction = normalize(-0.55 * right + 0.75 * back + vec3(0.0, 0.8, 0.0));
    let sky = mix(vec3(0.25, 0.235, 0.22), vec3(0.42, 0.45, 0.50), 0.5 + 0.5 * n.y);
    let wrap = 0.25;
    let key = max(dot(n, key_direction) + wrap, 0.0) / (1.0 + wrap);
    let halfway = normalize(key_direction + eye);
    let gloss = 0.05 * pow(max(dot(n, halfway), 0.0), 22.0);
    let rim = 0.10 * pow(1.0 - max(dot(n, eye), 0.0), 3.0) * vec3(0.8, 0.9, 1.0);
    return Light(sky + key * vec3(0.74, 0.71, 0.66) + rim, gloss + 0.3 * rim);
}
