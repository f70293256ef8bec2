// The finished window onto the screen's texture, whose format encodes what is written.
#import humanifold::srgb::decoded

@group(0) @binding(0) var canvas: texture_2d<f32>;

@fragment
fn fs_main(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
    let color = textureLoad(canvas, vec2<i32>(position.xy), 0);
    return vec4(decoded(color.rgb), color.a);
}
