//! Light on a surface: a key light with a soft terminator, a fill, light from sky and ground, a soft highlight.
//! All colours here are linear light; [`encode`] turns them into sRGB bytes.

use std::sync::OnceLock;

use glam::Vec3;

use super::colormap::{linear_to_srgb, srgb_to_linear};

/// The lights of a scene, in the space of the vertices they shine on (usually the camera's).
#[derive(Clone, Copy, Debug)]
pub struct Light {
    /// Unit vector towards the key light.
    pub key_direction: Vec3,
    pub key: Vec3,
    /// Unit vector towards the fill light, which casts no shadow.
    pub fill_direction: Vec3,
    pub fill: Vec3,
    /// Unit vector upwards; what faces it gets `sky`, what turns away gets `ground`.
    pub up: Vec3,
    pub sky: Vec3,
    pub ground: Vec3,
}

impl Default for Light {
    /// A bright, soft studio: key from the upper left in front, cool fill from the right.
    fn default() -> Self {
        Self {
            key_direction: Vec3::new(-0.45, 0.65, 0.7).normalize(),
            key: Vec3::new(0.98, 0.94, 0.88) * 0.80,
            fill_direction: Vec3::new(0.8, 0.15, 0.5).normalize(),
            fill: Vec3::new(0.75, 0.85, 1.0) * 0.16,
            up: Vec3::Y,
            sky: Vec3::new(0.92, 0.97, 1.05) * 0.42,
            ground: Vec3::new(0.75, 0.68, 0.62) * 0.20,
        }
    }
}

/// What a surface does with light.
#[derive(Clone, Copy, Debug)]
pub struct Material {
    /// Linear colour.
    pub albedo: Vec3,
    /// Strength of the highlight, 0..1.
    pub gloss: f32,
    /// Exponent of the highlight; skin 20, cloth 8, leather 40.
    pub shininess: f32,
    /// How far light bleeds over the terminator, per channel; skin reddens there.
    pub wrap: Vec3,
}

impl Material {
    /// A dull surface of an sRGB colour.
    pub fn matt(rgb: [u8; 3]) -> Self {
        Self { albedo: linear(rgb), gloss: 0.04, shininess: 10.0, wrap: Vec3::splat(0.12) }
    }

    /// Skin of an sRGB colour.
    pub fn skin(rgb: [u8; 3]) -> Self {
        Self { albedo: linear(rgb), gloss: 0.10, shininess: 18.0, wrap: Vec3::new(0.32, 0.16, 0.10) }
    }
}

impl Light {
    /// Light from sky and ground on an unshadowed surface of this normal.
    pub fn ambient(&self, normal: Vec3) -> Vec3 {
        self.ground.lerp(self.sky, 0.5 + 0.5 * normal.dot(self.up))
    }

    /// Light leaving the surface towards the viewer. `view`: unit vector to the camera; `ambient`: light from sky and
    /// ground ([`Light::ambient`] or [`super::SkyVisibility`]); `key_visible`: 0 in shadow, 1 in light.
    pub fn shade(
        &self,
        material: &Material,
        normal: Vec3,
        view: Vec3,
        ambient: Vec3,
        key_visible: f32,
    ) -> Vec3 {
        let wrapped = |direction: Vec3| {
            let cosine = normal.dot(direction);
            let lit = (Vec3::splat(cosine) + material.wrap) / (Vec3::ONE + material.wrap);
            let lit = lit.max(Vec3::ZERO);
            // The square of the wrapped part keeps the terminator soft without flattening the lit side.
            lit * lit.lerp(Vec3::ONE, 0.6)
        };
        let half = (self.key_direction + view).normalize_or_zero();
        let facing = normal.dot(self.key_direction).max(0.0).sqrt();
        let highlight = normal.dot(half).max(0.0).powf(material.shininess) * facing * material.gloss;
        let rim = (1.0 - normal.dot(view).max(0.0)).powi(4) * material.gloss * 0.6;
        let diffuse = ambient
            + self.key * wrapped(self.key_direction) * key_visible
            + self.fill * wrapped(self.fill_direction);
        material.albedo * diffuse + self.key * (highlight * key_visible) + ambient * rim
    }
}

/// sRGB bytes to linear light.
pub fn linear(rgb: [u8; 3]) -> Vec3 {
    Vec3::from(rgb.map(srgb_to_linear))
}

/// Linear light to sRGB bytes; bright values roll off instead of clipping.
pub fn encode(light: Vec3) -> [u8; 3] {
    const STEPS: usize = 4096;
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    let table = TABLE
        .get_or_init(|| (0..=STEPS).map(|i| linear_to_srgb((i as f32 / STEPS as f32).powi(2))).collect());
    let shoulder = |v: f32| if v <= 0.7 { v } else { 1.0 - 0.3 * (-(v - 0.7) / 0.3).exp() };
    light.to_array().map(|v| table[(shoulder(v.max(0.0)).min(1.0).sqrt() * STEPS as f32 + 0.5) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_inverts_linear_below_the_shoulder() {
        for v in 0..=210u8 {
            let [r, g, b] = encode(linear([v; 3]));
            assert!(r == g && g == b && r.abs_diff(v) <= 1, "{v} {r}");
        }
        assert_eq!(encode(Vec3::new(f32::NAN, -1.0, 1e9)), [0, 0, 255]);
    }

    #[test]
    fn the_lit_side_is_brighter() {
        let light = Light::default();
        let material = Material::matt([180, 180, 180]);
        let shade = |n: Vec3| light.shade(&material, n, Vec3::Z, light.ambient(n), 1.0).y;
        assert!(shade(light.key_direction) > 3.0 * shade(-light.key_direction));
        let shadowed = light.shade(&material, Vec3::Z, Vec3::Z, light.ambient(Vec3::Z), 0.0).y;
        assert!(shadowed < shade(Vec3::Z));
    }
}
