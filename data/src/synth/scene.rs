//! A scene: a figure, what stands in front of it, and a street behind, seen by a camera.
//!
//! Coordinates are the camera's: it stands above the origin and looks along x. One ray for each
//! quarter of a pixel finds what is seen; light is a sky and a sun.

use super::geometry::{Hit, Ray, Solid, Vec3, v};
use super::surface::{Colour, Surface, hashed, mixed, noise, rgb, scaled};
use image::{Rgb, RgbImage};

/// A solid with its surface.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) solid: Solid,
    pub(super) surface: Surface,
}

impl Part {
    pub(super) fn new(solid: Solid, surface: Surface) -> Self {
        Part { solid, surface }
    }

    /// Turned about the vertical, then moved.
    pub(super) fn placed(&self, angle: f32, to: Vec3) -> Self {
        Part {
            solid: self.solid.placed(angle, to),
            surface: self.surface.clone(),
        }
    }
}

/// A part with a ball around it, which most rays miss.
struct Bounded<'a> {
    part: &'a Part,
    middle: Vec3,
    radius: f32,
}

impl<'a> Bounded<'a> {
    fn new(part: &'a Part) -> Self {
        let (middle, radius) = part.solid.ball();
        Bounded {
            part,
            middle,
            radius,
        }
    }

    fn may_meet(&self, ray: &Ray) -> bool {
        let to = self.middle - ray.origin;
        let (along, speed) = (to.dot(ray.direction), ray.direction.dot(ray.direction));
        to.dot(to) - along * along / speed <= self.radius * self.radius
    }
}

/// How a ground is covered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ground {
    Asphalt,
    Tiles(f32),
    Grass,
    Crossing,
}

/// What is behind everything: a ground and a wall across the view.
#[derive(Clone, Debug)]
pub(super) struct Backdrop {
    pub(super) ground: Ground,
    pub(super) ground_colour: Colour,
    pub(super) wall: f32,
    pub(super) wall_height: f32,
    pub(super) wall_colour: Colour,
    /// Width and height of a window and its surroundings; none if 0.
    pub(super) windows: [f32; 2],
    pub(super) sky: Colour,
    pub(super) seed: u32,
}

/// Sun and sky.
#[derive(Clone, Copy, Debug)]
pub(super) struct Light {
    /// Towards the sun, of length 1.
    pub(super) sun: Vec3,
    pub(super) sunshine: f32,
    pub(super) ambient: f32,
}

/// The part of the view that becomes a picture, as multiples of the distance: `[left, top,
/// width, height]`, with y to the left and z upwards.
pub(super) type Window = [f32; 4];

pub(super) struct Scene<'a> {
    /// The camera's eye.
    pub(super) eye: Vec3,
    /// What it looks at.
    pub(super) target: Vec3,
    pub(super) parts: Vec<Part>,
    /// The figure's place on the ground and how far its shadow reaches.
    pub(super) shadow: (Vec3, f32),
    pub(super) backdrop: &'a Backdrop,
    pub(super) light: Light,
}

impl Scene<'_> {
    /// Forward, right and up of the camera.
    fn axes(&self) -> [Vec3; 3] {
        let forward = (self.target - self.eye).unit();
        let right = forward.cross(v(0.0, 0.0, 1.0)).unit();
        [forward, right, right.cross(forward)]
    }

    /// The smallest window that shows all of some parts.
    pub(super) fn bounds(&self, parts: &[Part]) -> Window {
        let [forward, right, up] = self.axes();
        let (mut low, mut high) = ([f32::MAX; 2], [f32::MIN; 2]);
        for point in parts.iter().flat_map(|part| part.solid.outline()) {
            let d = point - self.eye;
            let depth = d.dot(forward).max(0.1);
            for (axis, at) in [d.dot(right) / depth, -d.dot(up) / depth]
                .into_iter()
                .enumerate()
            {
                low[axis] = low[axis].min(at);
                high[axis] = high[axis].max(at);
            }
        }
        [low[0], low[1], high[0] - low[0], high[1] - low[1]]
    }

    /// A picture of `width` by `height` pixels.
    pub(super) fn render(&self, window: Window, [width, height]: [u32; 2]) -> RgbImage {
        let [forward, right, up] = self.axes();
        let [left, top, wide, tall] = window;
        let parts: Vec<Bounded<'_>> = self.parts.iter().map(Bounded::new).collect();
        RgbImage::from_fn(width, height, |x, y| {
            let mut light = [0.0; 3];
            // Four rays on a turned square, so that edges of any direction are smooth.
            for [dx, dy] in [
                [0.375, 0.125],
                [0.875, 0.375],
                [0.125, 0.625],
                [0.625, 0.875],
            ] {
                let across = left + wide * (x as f32 + dx) / width as f32;
                let down = top + tall * (y as f32 + dy) / height as f32;
                let seen = self.trace(
                    &parts,
                    &Ray {
                        origin: self.eye,
                        direction: forward + right * across - up * down,
                    },
                );
                (0..3).for_each(|c| light[c] += 0.25 * seen[c]);
            }
            Rgb(light.map(|l| (255.0 * l.clamp(0.0, 1.0).powf(1.0 / 2.2) + 0.5) as u8))
        })
    }

    fn trace(&self, parts: &[Bounded<'_>], ray: &Ray) -> Colour {
        let mut nearest: Option<(Hit, &Surface)> = None;
        for Bounded { part, .. } in parts.iter().filter(|part| part.may_meet(ray)) {
            if let Some(hit) = part.solid.hit(ray)
                && nearest.as_ref().is_none_or(|(old, _)| hit.t < old.t)
            {
                nearest = Some((hit, &part.surface));
            }
        }
        let Some((hit, surface)) = nearest else {
            return self.behind(ray);
        };
        let lit = scaled(surface.at(hit.own), self.light.on(hit.normal));
        if surface.gloss == 0.0 {
            return lit;
        }
        let view = ray.direction.unit();
        let mirrored = view - hit.normal * (2.0 * view.dot(hit.normal));
        let glare = mirrored.dot(self.light.sun).max(0.0).powi(24) * self.light.sunshine;
        // Shallow views mirror more.
        let edge = 1.0 + 3.0 * (1.0 + view.dot(hit.normal)).clamp(0.0, 1.0).powi(3);
        let sky = (0.25 + 0.75 * mirrored.z.max(0.0)) * edge;
        let share = (surface.gloss * sky).min(0.9);
        mixed(lit, self.backdrop.sky, share).map(|c| c + 0.5 * surface.gloss * glare)
    }

    fn behind(&self, ray: &Ray) -> Colour {
        let backdrop = self.backdrop;
        let wall = (backdrop.wall - ray.origin.x) / ray.direction.x;
        let p = ray.at(wall);
        if p.z > 0.0 {
            return if p.z > backdrop.wall_height {
                backdrop.sky
            } else {
                scaled(backdrop.wall_at(p.y, p.z), self.light.on(v(-1.0, 0.0, 0.0)))
            };
        }
        let p = ray.at(-ray.origin.z / ray.direction.z);
        let (feet, reach) = self.shadow;
        let away = v(self.light.sun.x, self.light.sun.y, 0.0) * -0.4 * reach;
        let d = p - feet - away;
        let shade = 1.0 - 0.6 * (-2.0 * d.dot(d) / (reach * reach)).exp();
        scaled(
            backdrop.ground_at(p.x, p.y),
            shade * self.light.on(v(0.0, 0.0, 1.0)),
        )
    }
}

impl Light {
    fn on(&self, normal: Vec3) -> f32 {
        let sky = self.ambient * (0.75 + 0.25 * normal.z);
        sky + self.sunshine * normal.dot(self.sun).max(0.0)
    }
}

impl Backdrop {
    fn wall_at(&self, y: f32, z: f32) -> Colour {
        let stain = 0.8 + 0.4 * noise(0.7 * y, 0.7 * z, self.seed);
        let [wide, tall] = self.windows;
        if wide > 0.0 {
            let (column, row) = ((y / wide).floor(), (z / tall).floor());
            let (x, h) = (y / wide - column, z / tall - row);
            if (0.2..0.8).contains(&x) && (0.25..0.8).contains(&h) {
                let light = hashed(column as i32, row as i32, self.seed);
                return mixed(rgb(0x1c242c), rgb(0x9fb0bd), light * light);
            }
        } else if (z / 0.3 - (z / 0.3).floor()) < 0.12 {
            return scaled(self.wall_colour, 0.7 * stain);
        }
        scaled(self.wall_colour, stain)
    }

    fn ground_at(&self, x: f32, y: f32) -> Colour {
        let fine = noise(9.0 * x, 9.0 * y, self.seed);
        let coarse = noise(0.8 * x, 0.8 * y, self.seed ^ 1);
        let worn = scaled(self.ground_colour, 0.7 + 0.25 * fine + 0.35 * coarse);
        match self.ground {
            Ground::Asphalt => worn,
            Ground::Grass => scaled(worn, 0.6 + 0.8 * noise(25.0 * x, 25.0 * y, self.seed ^ 2)),
            Ground::Tiles(side) => {
                let (u, w) = (x / side, y / side);
                let edge = (u - u.floor()).min(w - w.floor()) < 0.06;
                let tone = 0.85 + 0.3 * hashed(u.floor() as i32, w.floor() as i32, self.seed);
                scaled(worn, if edge { 0.55 } else { tone })
            }
            Ground::Crossing => {
                let stripe =
                    (y / 1.1 - (y / 1.1).floor()) < 0.5 && (x / 9.0 - (x / 9.0).floor()) < 0.45;
                if stripe {
                    mixed(worn, rgb(0xe8e8e4), 0.8)
                } else {
                    worn
                }
            }
        }
    }
}
