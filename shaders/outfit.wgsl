// Clothes: where they end is decided a pixel at a time, so that hems stay crisp on a coarse mesh.
#define_import_path humanifold::outfit

struct Outfit {
    hair: vec4<f32>,
    // Colour, and the length of the sleeves (0 shoulder, 0.5 elbow, 1 wrist).
    upper: vec4<f32>,
    // Colour, and the length of the legs (0 hip, 0.5 knee, 1 ankle).
    lower: vec4<f32>,
    shoes: vec4<f32>,
}

// The hem of the shirt and the waistband, along the trunk.
const HEM: f32 = -0.02;
const WAIST: f32 = 0.19;

// `cover`: soft masks of upper, lower, shoes, hair. `coords`: along sleeve, leg, trunk.
fn dressed(skin: vec3<f32>, cover: vec4<f32>, coords: vec3<f32>, outfit: Outfit) -> vec3<f32> {
    let edges = smoothstep(vec4(0.42), vec4(0.58), cover);
    var colour = mix(skin, outfit.hair.rgb, smoothstep(0.3, 0.7, cover.w));
    let leg = 1.0 - smoothstep(-0.006, 0.006, coords.y - outfit.lower.w);
    colour = mix(colour, outfit.lower.rgb, edges.y * leg);
    let sleeve = 1.0 - smoothstep(-0.008, 0.008, coords.x - outfit.upper.w);
    let hem = smoothstep(-0.006, 0.006, coords.z - HEM);
    // A stitched edge along hem and cuff.
    let stitch = (1.0 - smoothstep(0.0, 0.008, abs(coords.z - HEM - 0.02)))
        + (1.0 - smoothstep(0.0, 0.012, abs(coords.x - outfit.upper.w + 0.03)));
    colour = mix(colour, outfit.upper.rgb * (1.0 - 0.2 * min(stitch, 1.0)), edges.x * sleeve * hem);
    return mix(colour, outfit.shoes.rgb, edges.z);
}
