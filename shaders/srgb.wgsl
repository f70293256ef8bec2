// The window is composed in sRGB's encoding: shaders light in linear colours and encode what they write.
// Polynomials instead of powers, fitted so that every one of 256 levels comes out as with the exact curve: a software
// adapter spends most of a frame here.
#define_import_path humanifold::srgb

fn encoded(linear: vec3<f32>) -> vec3<f32> {
    let s = sqrt(max(linear, vec3(0.0)));
    let bright = (((-0.3095879 * s + 0.8428375) * s - 0.9449034) * s + 1.4479135) * s - 0.037006;
    return select(bright, 12.92 * linear, linear < vec3(0.0031308));
}

// Its inverse for values of 8 bits.
fn decoded(x: vec3<f32>) -> vec3<f32> {
    return ((((0.7506189 * x - 1.7774254) * x + 1.7691429) * x + 0.1950007) * x + 0.066434) * x;
}
