// egui's triangles, written as they are: in sRGB's encoding, as everything in the window, from textures that are read
// without decoding. Takes the place of bevy_egui's own shader, which decodes for a target that encodes again.

struct Transform {
    scale: vec2<f32>,
    translation: vec2<f32>,
}

@group(0) @binding(0) var<uniform> transform: Transform;

#ifdef BINDLESS
struct Which {
    texture: u32,
}
@group(1) @binding(0) var textures: binding_array<texture_2d<f32>>;
@group(1) @binding(1) var samplers: binding_array<sampler>;
var<immediate> which: Which;
#else
@group(1) @binding(0) var picture: texture_2d<f32>;
@group(1) @binding(1) var picture_sampler: sampler;
#endif

struct Varying {
    @builtin(position) position: vec4<f32>,
    @location(0) color: vec4<f32>,
    @location(1) uv: vec2<f32>,
}

@vertex
fn vs_main(
    @location(0) position: vec2<f32>,
    @location(1) uv: vec2<f32>,
    @location(2) color: vec4<f32>,
) -> Varying {
    return Varying(vec4(position * transform.scale + transform.translation, 0.0, 1.0), color, uv);
}

@fragment
fn fs_main(in: Varying) -> @location(0) vec4<f32> {
#ifdef BINDLESS
    let texel = textureSample(textures[which.texture], samplers[which.texture], in.uv);
#else
    let texel = textureSample(picture, picture_sampler, in.uv);
#endif
    return texel * in.color;
}
