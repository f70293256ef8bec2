// The floor: half-metre lines that fade into the background, and soft contact shadows under the limbs.
#import bevy_pbr::forward_io::VertexOutput

const SHADOWS: u32 = 8u;

// Colours in sRGB's encoding.
struct Floor {
    background: vec4<f32>,
    colour: vec4<f32>,
    line: vec4<f32>,
    // Middle (x, z), radius, strength.
    shadows: array<vec4<f32>, SHADOWS>,
}

@group(#{MATERIAL_BIND_GROUP}) @binding(0) var<uniform> ground: Floor;

// 1 on lines `step` metres apart, antialiased.
fn grid(place: vec2<f32>, step: f32, width: f32) -> f32 {
    let scaled = place / step;
    let blur = fwidth(scaled) * width;
    let near = abs(fract(scaled - 0.5) - 0.5) / max(blur, vec2(1e-5));
    // Lines too close together to be told apart fade out instead of shimmering.
    let fade = clamp(1.5 - max(blur.x, blur.y) * 3.0, 0.0, 1.0);
    return (1.0 - min(min(near.x, near.y), 1.0)) * fade;
}

@fragment
fn fragment(in: VertexOutput) -> @location(0) vec4<f32> {
    let place = in.world_position.xz;
    let lines = max(grid(place, 0.5, 1.0) * 0.45, grid(place, 1.0, 1.3));
    var colour = mix(ground.colour.rgb, ground.line.rgb, lines);
    var light = 1.0;
    for (var i = 0u; i < SHADOWS; i += 1u) {
        let shadow = ground.shadows[i];
        let offset = (place - shadow.xy) / max(shadow.z, 1e-3);
        // Close to a Gaussian, and cheap.
        let near = max(1.0 - 0.25 * dot(offset, offset), 0.0);
        light *= 1.0 - shadow.w * (near * near) * (near * near);
    }
    let away = smoothstep(1.2, 3.3, length(place));
    return vec4(mix(colour * light, ground.background.rgb, away), 1.0);
}
