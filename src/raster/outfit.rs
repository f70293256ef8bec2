//! What a body wears: skin, hair, an upper and a lower garment, shoes, in colours and patterns.
//! Made of the built-in body's soft masks and cloth coordinates; composed per pixel, so that hems stay crisp.
//! One file because the layers of an outfit are composed in one order.

use glam::Vec3;

use super::colormap::linear_to_srgb;
use super::light::{Material, linear};
use super::noise;
use crate::body::BodyModel;

/// The colours of a garment over its surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pattern {
    Plain,
    /// Bands of the second colour round the body; `period` in metres, `share` of it in the second colour.
    Hoops {
        period: f32,
        share: f32,
    },
    /// The same along the body.
    Pinstripes {
        period: f32,
        share: f32,
    },
    Checks {
        period: f32,
    },
    /// Irregular patches; `size` in metres.
    Patches {
        size: f32,
    },
    /// A patch of the second colour on the chest; half-width in metres.
    Print {
        size: f32,
    },
}

/// One piece of clothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Garment {
    pub colour: [u8; 3],
    pub second: [u8; 3],
    pub pattern: Pattern,
    /// Sleeve: 0 shoulder, 0.5 elbow, 1 wrist. Leg: 0 hip, 0.5 knee, 1 ankle.
    pub length: f32,
    /// 0 clings, 1 is loose; 1.5 at most.
    pub looseness: f32,
    /// Strength of folds, 0..1.
    pub folds: f32,
    /// Seed of folds and patches.
    pub seed: u32,
}

impl Garment {
    pub fn plain(colour: [u8; 3], length: f32) -> Self {
        Self { colour, second: colour, pattern: Pattern::Plain, length, looseness: 0.6, folds: 0.5, seed: 1 }
    }
}

/// Kinds of lower garment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lower {
    Trousers,
    Skirt,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Outfit {
    pub skin: [u8; 3],
    pub hair: [u8; 3],
    pub lips: [u8; 3],
    pub iris: [u8; 3],
    /// A sleeve length of 0 or less means sleeveless.
    pub upper: Garment,
    /// Whether the upper garment ends at the waistband.
    pub tucked: bool,
    pub lower: Garment,
    pub lower_kind: Lower,
    /// Barefoot if none.
    pub shoes: Option<[u8; 3]>,
    /// Height of the hair over the skull in metres.
    pub hair_volume: f32,
}

impl Default for Outfit {
    /// Short sleeves, trousers, bare feet, calm colours: how the program draws bodies.
    fn default() -> Self {
        Self {
            skin: [203, 160, 132],
            hair: [62, 46, 38],
            lips: [176, 110, 98],
            iris: [88, 74, 60],
            upper: Garment { looseness: 0.0, ..Garment::plain([92, 128, 166], 0.42) },
            tucked: false,
            lower: Garment { looseness: 0.0, ..Garment::plain([62, 68, 80], 1.0) },
            lower_kind: Lower::Trousers,
            shoes: None,
            hair_volume: 0.0,
        }
    }
}

/// Numbers of a vertex that are interpolated over a face.
const NUMBERS: usize = 15;
const UPPER: usize = 0;
const LOWER: usize = 1;
const SHOES: usize = 2;
const HAIR: usize = 3;
const BROW: usize = 4;
const LIPS: usize = 5;
const EYE: usize = 6;
const IRIS: usize = 7;
const PUPIL: usize = 8;
const SLEEVE: usize = 9;
const LEG: usize = 10;
const TRUNK: usize = 11;
/// Position in the mean body's T-pose.
const REST: usize = 12;

/// Waistband and hem on the trunk coordinate.
const WAIST: f32 = 0.19;
const HEM: f32 = -0.02;
/// A tucked garment ends a little below the waistband, so that no skin shows between.
const TUCK: f32 = 0.165;

/// An outfit on a body, ready to be drawn.
#[derive(Clone, Debug)]
pub struct Dressed<'a> {
    outfit: &'a Outfit,
    faces: &'a [[u32; 3]],
    numbers: Vec<[f32; NUMBERS]>,
}

/// A point of a dressed surface.
#[derive(Clone, Copy, Debug)]
pub struct Surface {
    pub material: Material,
    /// Added to the unit normal before it is normalised again: folds.
    pub bump: Vec3,
}

fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

impl Outfit {
    /// Puts the outfit on a body; `None` for a body without masks (a licensed SMPL).
    pub fn on<'a>(&'a self, model: &'a BodyModel) -> Option<Dressed<'a>> {
        let extras = model.extras.as_ref()?;
        let count = model.num_vertices();
        let upper = extras.mask(if self.upper.length > 0.0 { "upper_long" } else { "upper_sleeveless" });
        let lower = extras.mask(match self.lower_kind {
            Lower::Trousers => "trousers",
            Lower::Skirt => "skirt",
        });
        let masks = [
            upper,
            lower,
            extras.mask("shoes"),
            extras.mask("hair"),
            extras.mask("brow"),
            extras.mask("lips"),
            extras.mask("eye"),
            extras.mask("iris"),
            extras.mask("pupil"),
        ];
        let numbers = (0..count)
            .map(|v| {
                let mut n = [0.0; NUMBERS];
                for (value, mask) in n.iter_mut().zip(masks) {
                    *value = mask.get(v).copied().unwrap_or(0.0);
                }
                let [sleeve, leg, trunk] = extras.cloth_coords.get(v).copied().unwrap_or([-1.0; 3]);
                let rest = model.v_template[v];
                n[SLEEVE] = sleeve;
                n[LEG] = leg;
                n[TRUNK] = trunk;
                n[REST..].copy_from_slice(&rest.to_array());
                n
            })
            .collect();
        Some(Dressed { outfit: self, faces: &model.faces, numbers })
    }

    /// How far clothes and hair stand off the rest surface, a point: offsets to be added before posing.
    pub fn offsets(&self, model: &BodyModel) -> Vec<Vec3> {
        let Some(extras) = &model.extras else {
            return Vec::new();
        };
        let upper = extras.mask(if self.upper.length > 0.0 { "upper_long" } else { "upper_sleeveless" });
        let lower = extras.mask("trousers");
        let (skirt, hair, shoes) = (extras.mask("skirt"), extras.mask("hair"), extras.mask("shoes"));
        (0..model.num_vertices())
            .map(|v| {
                let at = |mask: &[f32]| mask.get(v).copied().unwrap_or(0.0);
                let [sleeve, leg, trunk] = extras.cloth_coords.get(v).copied().unwrap_or([-1.0; 3]);
                let loose = extras.cloth_looseness.get(v).copied().unwrap_or(0.0);
                let normal = extras.cloth_normal.get(v).copied().unwrap_or(Vec3::ZERO);
                let hem = if self.tucked { TUCK } else { HEM };
                let top = at(upper)
                    * (1.0 - smoothstep(self.upper.length - 0.02, self.upper.length + 0.04, sleeve))
                    * smoothstep(hem - 0.02, hem + 0.02, trunk);
                let mut thickness = top * (0.003 + self.upper.looseness * loose);
                let mut push = Vec3::ZERO;
                match self.lower_kind {
                    Lower::Trousers => {
                        let cover = at(lower)
                            * (1.0 - smoothstep(self.lower.length - 0.02, self.lower.length + 0.03, leg));
                        thickness = thickness.max(cover * (0.003 + self.lower.looseness * loose));
                    }
                    Lower::Skirt => {
                        let direction = extras.skirt_direction.get(v).copied().unwrap_or(Vec3::ZERO);
                        push = direction * (at(skirt) * (0.01 + 0.06 * self.lower.looseness));
                    }
                }
                if self.shoes.is_some() {
                    thickness = thickness.max(0.007 * at(shoes));
                }
                thickness += self.hair_volume * at(hair);
                normal * thickness + push
            })
            .collect()
    }
}

impl Dressed<'_> {
    /// The surface at a point of a face.
    pub fn surface(&self, face: usize, weights: [f32; 3]) -> Surface {
        let [a, b, c] = self.faces[face].map(|v| &self.numbers[v as usize]);
        self.at(&std::array::from_fn(|i| a[i] * weights[0] + b[i] * weights[1] + c[i] * weights[2]))
    }

    /// sRGB colours of the vertices: for drawing with plain vertex colours.
    pub fn vertex_colours(&self) -> Vec<[u8; 3]> {
        self.numbers.iter().map(|n| self.at(n).material.albedo.to_array().map(linear_to_srgb)).collect()
    }

    fn at(&self, n: &[f32; NUMBERS]) -> Surface {
        let outfit = self.outfit;
        let rest = Vec3::new(n[REST], n[REST + 1], n[REST + 2]);

        // Skin is a little uneven, redder where blood is near.
        let mottle = noise::cloud(rest * 38.0, 5) - 0.5;
        let mut material = Material::skin(outfit.skin);
        material.albedo *= Vec3::ONE + mottle * Vec3::new(0.10, 0.16, 0.18);
        let over = |material: &mut Material, cover: f32, top: Material| {
            if cover > 0.0 {
                material.albedo = material.albedo.lerp(top.albedo, cover);
                material.gloss += (top.gloss - material.gloss) * cover;
                material.shininess += (top.shininess - material.shininess) * cover;
                material.wrap = material.wrap.lerp(top.wrap, cover);
            }
        };
        let mut bump = Vec3::ZERO;
        over(&mut material, 0.75 * n[BROW], Material::matt(outfit.hair));
        over(&mut material, 0.8 * n[LIPS], Material { gloss: 0.2, ..Material::skin(outfit.lips) });
        let hair = smoothstep(0.3, 0.7, n[HAIR] + 0.12 * (noise::value(rest * 120.0, 9) - 0.5));
        if hair > 0.0 {
            let strands = noise::value(Vec3::new(rest.x * 420.0, rest.y * 60.0, rest.z * 160.0), 11);
            let mut top = Material { gloss: 0.12, shininess: 30.0, ..Material::matt(outfit.hair) };
            top.albedo *= 0.7 + 0.6 * strands;
            over(&mut material, hair, top);
            bump += Vec3::new(strands - 0.5, 0.0, 0.0) * (0.5 * hair);
        }

        let lower = match outfit.lower_kind {
            Lower::Trousers => {
                edge(n[LOWER]) * (1.0 - smoothstep(-0.006, 0.006, n[LEG] - outfit.lower.length))
            }
            Lower::Skirt => edge(n[LOWER]),
        };
        if lower > 0.0 {
            let cloth = cloth(&outfit.lower, rest, n[SLEEVE] > 0.0);
            let band = n[TRUNK] - WAIST;
            let belt = 1.0 - 0.25 * (1.0 - smoothstep(0.0, 0.012, band.abs()));
            over(&mut material, lower, Material { albedo: cloth.material.albedo * belt, ..cloth.material });
            bump = bump.lerp(cloth.bump, lower);
        }
        let hem = if outfit.tucked { TUCK } else { HEM };
        let mut upper = edge(n[UPPER]) * smoothstep(-0.006, 0.006, n[TRUNK] - hem);
        if outfit.upper.length > 0.0 {
            upper *= 1.0 - smoothstep(-0.008, 0.008, n[SLEEVE] - outfit.upper.length);
        }
        if upper > 0.0 {
            let cloth = cloth(&outfit.upper, rest, n[SLEEVE] > 0.0);
            // A stitched edge: a darker line along hem and cuff.
            let line = |distance: f32, width: f32| 1.0 - smoothstep(0.0, width, distance.abs());
            let stitch = line(n[TRUNK] - hem - 0.02, 0.008)
                + if outfit.upper.length > 0.0 {
                    line(n[SLEEVE] - outfit.upper.length + 0.03, 0.012)
                } else {
                    0.0
                };
            let shade = 1.0 - 0.18 * stitch.min(1.0);
            over(&mut material, upper, Material { albedo: cloth.material.albedo * shade, ..cloth.material });
            bump = bump.lerp(cloth.bump, upper);
        }
        if let Some(shoes) = outfit.shoes {
            let cover = edge(n[SHOES]);
            over(&mut material, cover, Material { gloss: 0.18, shininess: 30.0, ..Material::matt(shoes) });
            bump *= 1.0 - cover;
        }
        let shiny = |rgb: [u8; 3]| Material { gloss: 0.5, shininess: 60.0, ..Material::matt(rgb) };
        over(&mut material, n[EYE], shiny([226, 220, 214]));
        over(&mut material, edge(n[IRIS]), shiny(outfit.iris));
        over(&mut material, edge(n[PUPIL]), shiny([14, 12, 12]));
        Surface { material, bump }
    }
}

/// A soft mask made crisp.
fn edge(mask: f32) -> f32 {
    smoothstep(0.42, 0.58, mask)
}

/// The cloth of a garment at a point of the rest body. Hoops run round trunk and sleeves, stripes along them.
fn cloth(garment: &Garment, rest: Vec3, sleeve: bool) -> Surface {
    let (along, across) =
        if sleeve { (0.35 - rest.x.abs(), 1.3 * (rest.y + rest.z)) } else { (rest.y, rest.x) };
    let (first, second) = (linear(garment.colour), linear(garment.second));
    let wave = |x: f32, period: f32| (x / period).rem_euclid(1.0);
    let share = match garment.pattern {
        Pattern::Plain => 0.0,
        Pattern::Hoops { period, share } => f32::from(wave(along, period) < share),
        Pattern::Pinstripes { period, share } => f32::from(wave(across, period) < share),
        Pattern::Checks { period } => {
            0.5 * f32::from(wave(along, period) < 0.5) + 0.5 * f32::from(wave(across, period) < 0.5)
        }
        Pattern::Patches { size } => smoothstep(0.48, 0.52, noise::cloud(rest / size, garment.seed)),
        Pattern::Print { size } => {
            let inside = rest.z > 0.0 && rest.x.abs() < size && (rest.y - 0.08).abs() < 0.7 * size;
            f32::from(inside) * f32::from(noise::value(rest * 45.0, garment.seed) < 0.72)
        }
    };
    let weave = noise::value(rest * 700.0, garment.seed ^ 0x77) - 0.5;
    let wear = noise::cloud(rest * 9.0, garment.seed ^ 0x33) - 0.5;
    let albedo = first.lerp(second, share) * (1.0 + 0.10 * weave + 0.14 * wear);
    // Folds: long across the body, short along it, so that they hang.
    let mut bump = Vec3::ZERO;
    if garment.folds > 0.0 {
        let p = Vec3::new(rest.x * 17.0, rest.y * 8.0 + rest.x * 4.0, rest.z * 17.0);
        let (_, slope) = noise::value_and_slope(p, garment.seed ^ 0x11);
        let (_, fine) = noise::value_and_slope(p * 2.7, garment.seed ^ 0x22);
        bump = (slope * 0.30 + fine * 0.12) * garment.folds;
    }
    let material = Material { albedo, gloss: 0.025, shininess: 6.0, wrap: Vec3::splat(0.08) };
    Surface { material, bump }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_outfit_leaves_face_and_hands_bare() {
        let model = BodyModel::default_body().unwrap();
        let outfit = Outfit::default();
        let dressed = outfit.on(&model).unwrap();
        let parts = &model.extras.as_ref().unwrap().part24_face;
        let (mut bare_hands, mut hands, mut clad_trunk, mut trunk) = (0, 0, 0, 0);
        let skin = linear(outfit.skin);
        for (face, part) in parts.iter().enumerate() {
            let colour = dressed.surface(face, [1.0 / 3.0; 3]).material.albedo;
            let is_skin = (colour - skin).length() < 0.12 * skin.length();
            match part {
                3 | 4 => (bare_hands, hands) = (bare_hands + usize::from(is_skin), hands + 1),
                1 | 2 => (clad_trunk, trunk) = (clad_trunk + usize::from(!is_skin), trunk + 1),
                _ => {}
            }
        }
        assert!(bare_hands as f32 > 0.97 * hands as f32, "{bare_hands} of {hands}");
        assert!(clad_trunk as f32 > 0.9 * trunk as f32, "{clad_trunk} of {trunk}");
        let offsets = outfit.offsets(&model);
        assert!(offsets.iter().all(|o| o.length() < 0.02));
        assert_eq!(dressed.vertex_colours().len(), model.num_vertices());
    }
}
