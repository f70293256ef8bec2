// The floor: half-metre lines that fade into the background, and soft contact shadows under the limbs.
#import bevy_pbr::forward_io::VertexOutput

const SHADOWS: u32 = 8u;

// Colours in sRGB's encoding.
struct Floor {
    background: vec4<f32>,
    colour: vec4<f32>,
    line: vec4<f32>,
    // A circle (middle x, z, radius) outside of which there is no shadow, and how many there are.
    reach: vec4<f32>,
    // Middle (x, z), one over the radius, strength.
    shadows: array<vec4<f32>, SHADOWS>,
}

@group(#{MATERIAL_BIND_GROUP}) @binding(0) var<uniform> ground: Floor;

@fragment
fn fragment(in: VertexOutput) -> @location(0) vec4<f32> {
    let place = in.world_position.xz;
    // Size of a pixel on the floor. Lines too close together to be told apart fade out instead of shimmering.
    let pixel = max(fwidth(place), vec2(1e-5));
    let coarsest = max(pixel.x, pixel.y);
    let metres = abs(fract(place - 0.5) - 0.5) / pixel;
    let halves = 0.5 * abs(fract(2.0 * place - 0.5) - 0.5) / pixel;
    let metre = max(1.0 - min(metres.x, metres.y) / 1.3, 0.0) * saturate(1.5 - 3.9 * coarsest);
    let half = max(1.0 - min(halves.x, halves.y), 0.0) * saturate(1.5 - 6.0 * coarsest);
    var colour = mix(ground.colour.rgb, ground.line.rgb, max(0.45 * half, metre));

    // A bound that is known only here: where it is 0 a software adapter leaves the loop out instead of unrolling it.
    let from_middle = place - ground.reach.xy;
    let near = dot(from_middle, from_middle) < ground.reach.z * ground.reach.z;
    let count = select(0u, min(u32(ground.reach.w), SHADOWS), near);
    var light = 1.0;
    for (var i = 0u; i < count; i += 1u) {
        let shadow = ground.shadows[i];
        let offset = (place - shadow.xy) * shadow.z;
        // Close to a Gaussian, and cheap.
        let depth = max(1.0 - 0.25 * dot(offset, offset), 0.0);
        light *= 1.0 - shadow.w * (depth * depth) * (depth * depth);
    }
    let away = smoothstep(1.2, 3.3, length(place));
    return vec4(mix(colour * light, ground.background.rgb, away), 1.0);
}
