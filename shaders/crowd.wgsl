// All samples in one draw: each instance shapes and skins the shared mesh by its own numbers.
#import bevy_pbr::{
    mesh_bindings::mesh,
    view_transformations::position_world_to_clip,
}
#import humanifold::outfit::{Outfit, dressed}
#import humanifold::shading::light
#import humanifold::srgb::encoded

struct Look {
    tint: vec4<f32>,
    // 0: the vertices' own colours, 1: the tint alone.
    plain: f32,
    // 1: clothes over the vertices' colours.
    clothed: f32,
    betas: u32,
    joints: u32,
    // A pixel shows every second ghost (2) or every fourth (4), its neighbours the others; 1: all.
    every: u32,
}

@group(#{MATERIAL_BIND_GROUP}) @binding(0) var<uniform> look: Look;
// Rest to world, three rows a joint, joints after one another, bodies after one another.
@group(#{MATERIAL_BIND_GROUP}) @binding(1) var<storage, read> transforms: array<vec4<f32>>;
// Shape coefficients, bodies after one another.
@group(#{MATERIAL_BIND_GROUP}) @binding(2) var<storage, read> betas: array<f32>;
// Shape directions, all of a vertex after one another.
@group(#{MATERIAL_BIND_GROUP}) @binding(3) var<storage, read> shapes: array<vec4<f32>>;
// Four influences a vertex: the joint in the upper 8 bits, the weight in the lower 24 (2^23 is 1).
@group(#{MATERIAL_BIND_GROUP}) @binding(4) var<storage, read> skin: array<vec4<u32>>;
@group(#{MATERIAL_BIND_GROUP}) @binding(5) var<uniform> outfit: Outfit;

struct Vertex {
    @builtin(instance_index) instance_index: u32,
    @builtin(vertex_index) vertex_index: u32,
    @location(0) position: vec3<f32>,
    @location(1) normal: vec3<f32>,
    @location(2) cover: vec4<f32>,
    @location(3) coords: vec3<f32>,
    @location(5) color: vec4<f32>,
}

struct Varying {
    @builtin(position) position: vec4<f32>,
#ifdef GHOST
    // A hundred translucent layers a pixel: the colour is worked out at the points.
    @location(0) @interpolate(linear) color: vec3<f32>,
    @location(1) @interpolate(flat) body: u32,
#else
    @location(0) light_scale: vec3<f32>,
    @location(1) light_add: vec3<f32>,
    @location(2) color: vec3<f32>,
    @location(3) cover: vec4<f32>,
    @location(4) coords: vec3<f32>,
#endif
}

@vertex
fn vertex(in: Vertex) -> Varying {
    let body = mesh[in.instance_index].tag;
    let index = in.vertex_index - mesh[in.instance_index].first_vertex_index;

    var rest = in.position;
    for (var i = 0u; i < look.betas; i += 1u) {
        rest += betas[body * look.betas + i] * shapes[index * look.betas + i].xyz;
    }

    let influences = skin[index];
    var x = vec4(0.0);
    var y = vec4(0.0);
    var z = vec4(0.0);
    for (var i = 0u; i < 4u; i += 1u) {
        let influence = influences[i];
        let weight = f32(influence & 0xFFFFFFu) / 8388608.0;
        if weight == 0.0 {
            continue;
        }
        let row = (body * look.joints + (influence >> 24u)) * 3u;
        x += weight * transforms[row];
        y += weight * transforms[row + 1u];
        z += weight * transforms[row + 2u];
    }
    let point = vec4(rest, 1.0);
    let direction = vec4(in.normal, 0.0);

    let world_position = vec3(dot(x, point), dot(y, point), dot(z, point));
    let world_normal = vec3(dot(x, direction), dot(y, direction), dot(z, direction));

    let arriving = light(world_normal, world_position);
    var out: Varying;
    out.position = position_world_to_clip(world_position);
#ifdef GHOST
    out.body = body;
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
    let pixel = vec2<u32>(in.position.xy);
    // Half a chessboard for 2, a square of four for 4.
    let turn = select((pixel.x & 1u) + 2u * (pixel.y & 1u), (pixel.x + pixel.y) & 1u, look.every == 2u);
    if (in.body & (look.every - 1u)) != (turn & (look.every - 1u)) {
        discard;
    }
    // Thin layers change a colour by hardly one of 256 levels: without grain, rounding would swallow them.
    let phase = 0.618034 * f32(in.body);
    let noise = fract(52.9829189 * fract(dot(vec2<f32>(pixel), vec2(0.06711056, 0.00583715))) + phase);
    return vec4(in.color + (noise - 0.5) / (255.0 * look.tint.a), look.tint.a);
#else
    var albedo = in.color;
    if look.clothed > 0.5 {
        albedo = dressed(albedo, in.cover, in.coords, outfit);
    }
    albedo = mix(albedo, look.tint.rgb, look.plain);
    return vec4(encoded(albedo * in.light_scale + in.light_add), look.tint.a);
#endif
}
