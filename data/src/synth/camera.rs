//! Cameras: each has its place, its street, its light and its faults.

use super::geometry::{Solid, Vec3, v};
use super::scene::{Backdrop, Ground, Light, Part, Scene, Window};
use super::surface::{Surface, between, pick, rgb};
use super::{Hardness, Kind};
use engine::rng::{Key, Rng};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{ExtendedColorType, ImageEncoder, RgbImage};

/// What a camera makes of a figure.
pub(super) struct Camera {
    kind: Kind,
    hardness: Hardness,
    eye: Vec3,
    /// Where figures pass: how far away, at least and at most.
    distance: [f32; 2],
    /// How far they pass to either side.
    aside: f32,
    /// The way that most figures go, as the angle from which they are seen, and how much it
    /// varies.
    yaw: [f32; 2],
    backdrop: Backdrop,
    clutter: Vec<Part>,
    light: Light,
    /// Of red, green and blue.
    gain: [f32; 3],
    gamma: f32,
    saturation: f32,
    blur: f32,
    noise: f32,
    quality: [u8; 2],
}

/// How well the detector's box fits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fit {
    Usual,
    /// So badly that the picture is junk.
    Poor,
}

/// Where a figure is, and which way it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passage {
    pub(super) at: Vec3,
    pub(super) yaw: f32,
    /// Of the sun, which comes and goes.
    pub(super) weather: f32,
}

impl Camera {
    pub(super) fn draw(key: Key, kind: Kind, hardness: &Hardness) -> Self {
        let rng = &mut key.rng();
        let strength = hardness.cameras;
        let (height, distance, aside) = match kind {
            Kind::People => (between(rng, 2.2, 4.5), between(rng, 5.0, 9.0), 1.6),
            Kind::Vehicles => (between(rng, 4.0, 7.0), between(rng, 11.0, 18.0), 3.0),
        };
        let sun = v(
            between(rng, -1.0, 0.4),
            between(rng, -1.0, 1.0),
            between(rng, 0.5, 1.2),
        );
        let about = |rng: &mut Rng, spread: f32| (spread * strength * rng.normal() as f32).exp();
        let exposure = about(rng, 0.24);
        let warmth = 0.1 * strength * rng.normal() as f32;
        let tint = 0.05 * strength * rng.normal() as f32;
        let sunshine = between(rng, 0.15, 0.75);
        let wall = distance * between(rng, 1.7, 3.0);
        let scale = if kind == Kind::People { 1.0 } else { 2.0 };
        let backdrop = Backdrop {
            ground: pick(
                rng,
                &[
                    (Ground::Asphalt, 2.0),
                    (Ground::Tiles(0.6 * scale), 2.0),
                    (Ground::Grass, 1.0),
                    (Ground::Crossing, 1.5),
                ],
            ),
            ground_colour: rgb(pick(
                rng,
                &[
                    (0x77756f, 2.0),
                    (0x8f8a80, 2.0),
                    (0x5c6b4a, 1.0),
                    (0x6a6f78, 1.0),
                ],
            )),
            wall,
            wall_height: scale * between(rng, 2.0, 9.0),
            wall_colour: rgb(pick(
                rng,
                &[
                    (0x8c6b58, 1.0),
                    (0xb3aa9a, 2.0),
                    (0x4f6145, 1.5),
                    (0x7d8288, 1.5),
                    (0xcdbd94, 1.0),
                ],
            )),
            windows: match rng.chance(0.6) {
                true => [between(rng, 1.2, 2.6), between(rng, 1.8, 3.0)].map(|w| scale * w),
                false => [0.0; 2],
            },
            sky: rgb(pick(
                rng,
                &[(0xc9d4de, 2.0), (0xdedede, 2.0), (0x9fbbd8, 1.0)],
            )),
            seed: rng.bits() as u32,
        };
        let clutter = clutter(rng, wall, scale);
        Camera {
            kind,
            hardness: *hardness,
            eye: v(0.0, 0.0, height),
            distance: [distance, 1.35 * distance],
            aside,
            yaw: [between(rng, 0.0, std::f32::consts::TAU), hardness.yaw],
            backdrop,
            clutter,
            light: Light {
                sun: sun.unit(),
                sunshine,
                ambient: 1.02 - 0.62 * sunshine,
            },
            gain: [warmth, tint, -warmth].map(|g| exposure * g.exp()),
            gamma: about(rng, 0.14),
            saturation: (1.0 + 0.25 * strength * rng.normal() as f32).clamp(0.35, 1.5),
            blur: strength * between(rng, 0.0, 0.5),
            noise: strength * between(rng, 1.0, 5.0),
            quality: [between(rng, 55.0, 80.0) as u8, 92],
        }
    }

    /// A figure comes by.
    pub(super) fn passage(&self, rng: &mut Rng) -> Passage {
        let [mean, spread] = self.yaw;
        // Some go the other way.
        let back = if rng.chance(0.3) {
            std::f32::consts::PI
        } else {
            0.0
        };
        let [near, far] = self.distance;
        Passage {
            at: v(
                between(rng, near, far),
                between(rng, -self.aside, self.aside),
                0.0,
            ),
            yaw: mean + back + spread * rng.normal() as f32,
            weather: between(rng, 0.75, 1.2),
        }
    }

    /// A moment later.
    pub(super) fn onwards(&self, passage: Passage, rng: &mut Rng) -> Passage {
        Passage {
            at: passage.at + v(between(rng, -0.5, 0.5), between(rng, -0.4, 0.4), 0.0),
            yaw: passage.yaw + 0.22 * rng.normal() as f32,
            weather: passage.weather,
        }
    }

    /// Takes a picture, as the bytes of a JPEG file: of the figure, its parts at the origin and
    /// looking along x, and whoever passes in front of it. Pictures of people have 64 by 128
    /// pixels, those of vehicles the sides' ratio of the box.
    pub(super) fn shoot(
        &self,
        figure: &[Part],
        passage: Passage,
        in_front: Vec<Part>,
        fit: Fit,
        rng: &mut Rng,
    ) -> Vec<u8> {
        let (kind, hardness) = (self.kind, &self.hardness);
        let placed: Vec<Part> = figure
            .iter()
            .map(|p| p.placed(passage.yaw, passage.at))
            .collect();
        let middle = if kind == Kind::People { 0.9 } else { 0.7 };
        let mut scene = Scene {
            eye: self.eye,
            target: passage.at + v(0.0, 0.0, middle),
            parts: Vec::new(),
            shadow: (passage.at, if kind == Kind::People { 0.6 } else { 2.4 }),
            backdrop: &self.backdrop,
            light: Light {
                sunshine: self.light.sunshine * passage.weather,
                ..self.light
            },
        };
        let window = boxed(scene.bounds(&placed), kind, fit, hardness, rng);
        scene.parts = placed;
        scene.parts.extend(in_front);
        scene.parts.extend(self.clutter.iter().cloned());
        let [width, height] = match kind {
            Kind::People => [64, 128],
            Kind::Vehicles => {
                let long = between(rng, 90.0, 150.0);
                let scale = long / window[2].max(window[3]);
                [window[2], window[3]].map(|side| ((scale * side) as u32).max(16))
            }
        };
        // Who is far away has fewer pixels than the picture.
        let loss = 1.0 + hardness.blur * between(rng, 0.0, 1.2);
        let seen = [width, height].map(|side| ((side as f32 / loss) as u32).max(12));
        let mut image = scene.render(window, seen);
        let soft = self.blur + hardness.blur * between(rng, 0.0, 0.5);
        if soft > 0.25 {
            image = imageops::blur(&image, soft);
        }
        self.respond(&mut image, rng);
        if seen != [width, height] {
            image = imageops::resize(&image, width, height, FilterType::Triangle);
        }
        let [least, most] = self.quality.map(f32::from);
        encode(&image, between(rng, least, most) as u8)
    }

    /// Light becomes numbers, with the camera's colours and noise.
    fn respond(&self, image: &mut RgbImage, rng: &mut Rng) {
        for pixel in image.pixels_mut() {
            let light: [f32; 3] = std::array::from_fn(|c| {
                let level = f32::from(pixel.0[c]) / 255.0;
                (level * self.gain[c]).min(1.2).powf(self.gamma)
            });
            let grey = 0.3 * light[0] + 0.59 * light[1] + 0.11 * light[2];
            // Noise of the whole pixel and a little of each colour.
            let common = self.noise * rng.normal() as f32;
            for (c, level) in pixel.0.iter_mut().enumerate() {
                let colour = grey + self.saturation * (light[c] - grey);
                let own = 0.4 * self.noise * rng.normal() as f32;
                *level = (255.0 * colour + common + own).round().clamp(0.0, 255.0) as u8;
            }
        }
    }
}

/// The detector's box around a figure.
fn boxed(bounds: Window, kind: Kind, fit: Fit, hardness: &Hardness, rng: &mut Rng) -> Window {
    let [mut left, mut top, mut wide, tall] = bounds;
    if kind == Kind::People {
        // A box for a standing person, whatever arms and legs do.
        let usual = (0.42 * tall).max(wide);
        left -= 0.5 * (usual - wide);
        wide = usual;
    }
    let (shift, size) = match fit {
        Fit::Usual => (hardness.boxes, hardness.boxes),
        Fit::Poor => (0.35, 0.3),
    };
    let moved = |rng: &mut Rng| shift * rng.range(-1.0, 1.0) as f32;
    let (across, down) = match fit {
        Fit::Usual => (moved(rng), moved(rng)),
        // Off by so much to one side that the boxes share less than half.
        Fit::Poor => {
            let far = |rng: &mut Rng| {
                let sign = if rng.chance(0.5) { 1.0 } else { -1.0 };
                sign * between(rng, 0.3, 0.6)
            };
            (far(rng), far(rng))
        }
    };
    let grown = |rng: &mut Rng| 1.06 + size * rng.range(-0.6, 1.2) as f32;
    let (new_wide, new_tall) = (wide * grown(rng), tall * grown(rng));
    left += across * wide - 0.5 * (new_wide - wide);
    top += down * tall - 0.5 * (new_tall - tall);
    [left, top, new_wide, new_tall]
}

/// Things that always stand in the view, behind where figures pass: posts, boxes, a kerb.
fn clutter(rng: &mut Rng, wall: f32, scale: f32) -> Vec<Part> {
    let count = 2 + rng.below(4);
    let thing = |_| {
        let at = v(
            wall * between(rng, 0.75, 0.98),
            scale * between(rng, -5.0, 5.0),
            0.0,
        );
        let colour = rgb(pick(
            rng,
            &[
                (0x3d3f42, 2.0),
                (0x8b8d8a, 1.0),
                (0x49613f, 2.0),
                (0x7b4a36, 1.0),
                (0x2f4d6b, 1.0),
            ],
        ));
        let half = match rng.below(3) {
            0 => v(0.06, 0.06, 1.8),
            1 => v(0.3, 0.7, 0.45),
            _ => v(0.3, between(rng, 0.6, 1.6), 0.9),
        } * scale;
        Part::new(
            Solid::block(at + v(0.0, 0.0, half.z), half),
            Surface::plain(colour),
        )
    };
    (0..count).map(thing).collect()
}

fn encode(image: &RgbImage, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .write_image(
            image.as_raw(),
            image.width(),
            image.height(),
            ExtendedColorType::Rgb8,
        )
        .expect("memory takes it, and the sizes fit");
    bytes
}
