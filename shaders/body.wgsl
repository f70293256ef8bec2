// The one body in the middle: posed on the CPU with all its correctives.
#import bevy_pbr::view_transformations::position_world_to_clip
#import humanifold::outfit::{Outfit, dressed}
#import humanifold::shading::light
#import humanifold::srgb::encoded

struct Look {
    // Linear colour, and how opaque.
    tint: vec4<f32>,
    // 0: the vertices' own colours, 1: the tint alone.
    plain: f32,
    // 1: clothes over the vertices' colours.
    clothed: f32,
}

@group(#{MATERIAL_BIND_GROUP}) @binding(0) var<uniform> look: Look;
@group(#{MATERIAL_BIND_GROUP}) @binding(1) var<uniform> outfit: Outfit;

struct Vertex {
    @location(0) position: vec3<f32>,
    @location(1) normal: vec3<f32>,
    @location(2) cover: vec4<f32>,
    @location(3) coords: vec3<f32>,
    @location(5) color: vec4<f32>,
}

struct Varying {
    @builtin(position) position: vec4<f32>,
#ifdef GHOST
    // One translucent colour.
    @location(0) @interpolate(linear) color: vec3<f32>,
#else
    @location(0) light_scale: vec3<f32>,
    @location(1) light_add: vec3<f32>,
    @location(2) color: vec3<f32>,
    @location(3) cover: vec4<f32>,
    @location(4) coords: vec3<f32>,
#endif
}

// Positions are in the stage's space already.
@vertex
fn vertex(in: Vertex) -> Varying {
    var out: Varying;
    let arriving = light(in.normal, in.position);
    out.position = position_world_to_clip(in.position);
#ifdef GHOST
    out.color = encoded(look.tint.rgb * arriving.scale + arriving.add);
#else
    out.light_scale = arriving.scale;
    out.light_add = arriving.add;
    out.color = in.color.rgb;
    out.cover = in.cover;
    out.coords = in.coords;
#endif
    return out;
}

@fragment
fn fragment(in: Varying) -> @location(0) vec4<f32> {
#ifdef GHOST
    return vec4(in.color, look.tint.a);
#else
    var albedo = in.color;
    if look.clothed > 0.5 {
        albedo = dressed(albedo, in.cover, in.coords, outfit);
    }
    albedo = mix(albedo, look.tint.rgb, look.plain);
    return vec4(encoded(albedo * in.light_scale + in.light_add), look.tint.a);
#endif
}
