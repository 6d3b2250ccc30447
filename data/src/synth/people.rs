//! People: bodies that walk, in clothes that many of them share.
//!
//! What is worn is drawn from two keys: that of a group, which decides what is seen first (the
//! kind and colour of clothes), and that of the person, which decides the details (patterns,
//! prints, bags, hair, shoes, build). People of one group are told apart by details alone.

use super::geometry::{Solid, Vec3, v};
use super::scene::Part;
use super::surface::{Colour, Patch, Pattern, Surface, between, facing, mixed, pick, rgb, scaled};
use engine::rng::{Key, Rng};

const TOPS: [(u32, f64); 12] = [
    (0x1b1b1e, 5.0),
    (0x6b6e73, 3.0),
    (0xd6d6d2, 4.0),
    (0x1f2a4d, 3.0),
    (0x35589a, 2.0),
    (0x9c2a2e, 2.0),
    (0x3a6b45, 1.0),
    (0xc9a832, 1.0),
    (0xc98a9b, 1.0),
    (0x5b3f73, 1.0),
    (0x5e4634, 1.0),
    (0xb8a27f, 1.0),
];
const BOTTOMS: [(u32, f64); 7] = [
    (0x1a1a1d, 5.0),
    (0x2c3a58, 4.0),
    (0x5e7796, 3.0),
    (0x55585c, 2.0),
    (0x8a7a5a, 2.0),
    (0xcfcdc6, 1.0),
    (0x4d3a2e, 1.0),
];
const ACCENTS: [(u32, f64); 9] = [
    (0x1b1b1e, 2.0),
    (0xe4e4df, 3.0),
    (0xb3262c, 2.0),
    (0x2f57a8, 2.0),
    (0xd8b02e, 1.5),
    (0x2f7d4f, 1.5),
    (0xd9772b, 1.0),
    (0x8d4b9a, 1.0),
    (0x6a6d72, 1.0),
];
const HAIR: [(u32, f64); 5] = [
    (0x17130f, 5.0),
    (0x3b2a1d, 3.0),
    (0x7a5a36, 1.5),
    (0xb89a62, 1.0),
    (0x8f8f8c, 1.0),
];
const SKIN: [(u32, f64); 4] = [
    (0xe0b393, 3.0),
    (0xc8946c, 3.0),
    (0x9a6a48, 2.0),
    (0x5f4030, 1.0),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Legs {
    Trousers,
    Shorts,
    Skirt,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Style {
    Short,
    Long,
    Bun,
    Bald,
    Cap,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bag {
    None,
    Backpack,
    /// On the hip of the left (1) or right (-1) side, its strap across the chest.
    Shoulder(f32),
    /// In the hand of a side.
    Hand(f32),
}

/// Somebody, as seen every time.
pub(super) struct Person {
    height: f32,
    build: f32,
    leg: f32,
    skin: Colour,
    hair: Colour,
    style: Style,
    hat: Colour,
    top: Surface,
    /// A shirt with these sleeves: down to the hand (1) or the elbow (0).
    long_sleeves: bool,
    sleeve: Colour,
    coat: bool,
    legs: Legs,
    bottom: Surface,
    shoes: Colour,
    socks: Colour,
    bag: Bag,
    bag_colour: Colour,
    bag_mark: Colour,
    scarf: Option<Colour>,
    stride: f32,
}

/// A moment of a walk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pose {
    /// Of the two steps, in radians.
    pub(super) phase: f32,
    /// How far the legs swing, 0 standing to 1 striding.
    pub(super) swing: f32,
}

impl Person {
    pub(super) fn draw(group: Key, own: Key) -> Self {
        let looks = &mut group.rng();
        let rng = &mut own.rng();
        let top = rgb(pick(looks, &TOPS));
        let bottom = rgb(pick(looks, &BOTTOMS));
        let legs = pick(
            looks,
            &[
                (Legs::Trousers, 7.0),
                (Legs::Shorts, 2.0),
                (Legs::Skirt, 2.0),
            ],
        );
        let coat = looks.chance(0.25);
        let long_sleeves = looks.chance(0.55);
        let accent = |rng: &mut Rng| rgb(pick(rng, &ACCENTS));
        let top = garment(rng, top);
        let mut trousers = Surface::plain(bottom);
        if rng.chance(0.25) {
            // A stripe down the sides.
            trousers.second = accent(rng);
            trousers.pattern = Pattern::Pinstripes(2.0, 0.16);
        }
        let bag = match rng.below(10) {
            0..4 => Bag::None,
            4..7 => Bag::Backpack,
            side @ 7..9 => Bag::Shoulder(if side == 7 { 1.0 } else { -1.0 }),
            _ => Bag::Hand(if rng.chance(0.5) { 1.0 } else { -1.0 }),
        };
        let sleeve = match rng.chance(0.2) {
            true => accent(rng),
            false => top.colour,
        };
        Person {
            height: between(rng, 1.52, 1.92),
            build: between(rng, 0.86, 1.2),
            leg: between(rng, 0.94, 1.05),
            skin: rgb(pick(rng, &SKIN)),
            hair: rgb(pick(rng, &HAIR)),
            style: pick(
                rng,
                &[
                    (Style::Short, 5.0),
                    (Style::Long, 3.0),
                    (Style::Bun, 1.0),
                    (Style::Bald, 0.7),
                    (Style::Cap, 1.5),
                ],
            ),
            hat: accent(rng),
            sleeve,
            top,
            long_sleeves,
            coat,
            legs,
            bottom: trousers,
            shoes: accent(rng),
            socks: rgb(pick(rng, &[(0xd8d8d4, 1.0), (0x222226, 1.0)])),
            bag,
            bag_colour: accent(rng),
            bag_mark: accent(rng),
            scarf: rng.chance(0.12).then(|| accent(rng)),
            stride: between(rng, 0.7, 1.1),
        }
    }

    /// The body at the origin, looking along x.
    pub(super) fn parts(&self, pose: Pose) -> Vec<Part> {
        let mut parts = Vec::with_capacity(32);
        let swing = 0.5 * self.stride * pose.swing;
        let hips = self.walk(swing, pose.phase, &mut parts);
        self.dress(hips, swing, pose.phase, &mut parts);
        self.head(hips, &mut parts);
        parts
    }

    /// Legs and feet; returns the height of the hips, which lets the lower foot touch the ground.
    fn walk(&self, swing: f32, phase: f32, parts: &mut Vec<Part>) -> f32 {
        let h = self.height;
        let length = 0.245 * h * self.leg;
        let joints = |side: f32| {
            let angle = swing
                * (phase
                    + if side > 0.0 {
                        0.0
                    } else {
                        std::f32::consts::PI
                    })
                .sin();
            // The knee bends while the leg comes forward.
            let forward = (phase
                + if side > 0.0 {
                    0.0
                } else {
                    std::f32::consts::PI
                })
            .cos();
            let bend = 0.05 + 1.3 * swing * forward.max(0.0);
            let knee = v(angle.sin(), 0.0, -angle.cos()) * length;
            let back = angle - bend;
            (knee, knee + v(back.sin(), 0.0, -back.cos()) * length)
        };
        let lowest = joints(1.0).1.z.min(joints(-1.0).1.z);
        let hips = 0.045 * h - lowest;
        for side in [1.0, -1.0] {
            let hip = v(0.0, side * 0.052 * h * self.build, hips);
            let (knee, ankle) = joints(side);
            let (knee, ankle) = (hip + knee, hip + ankle);
            let skin = Surface::plain(self.skin);
            let (thigh, shin) = match self.legs {
                Legs::Trousers => (self.bottom.clone(), self.bottom.clone()),
                Legs::Shorts => (self.bottom.clone(), skin),
                Legs::Skirt => (skin.clone(), skin),
            };
            let wide = 0.8 + 0.2 * self.build;
            parts.push(Part::new(Solid::limb(knee, hip, 0.048 * h * wide), thigh));
            parts.push(Part::new(Solid::limb(ankle, knee, 0.036 * h * wide), shin));
            if self.legs == Legs::Shorts {
                let socks = Surface::plain(self.socks);
                let top = ankle + (knee - ankle) * 0.3;
                parts.push(Part::new(Solid::limb(ankle, top, 0.037 * h * wide), socks));
            }
            let mut shoe = Surface::plain(self.shoes);
            shoe.second = rgb(0xd0d0cc);
            let foot = ankle + v(0.03 * h, 0.0, -0.02 * h);
            parts.push(Part::new(
                Solid::ellipsoid(foot, v(0.075, 0.03, 0.028) * h),
                shoe,
            ));
        }
        hips
    }

    fn dress(&self, hips: f32, swing: f32, phase: f32, parts: &mut Vec<Part>) {
        let h = self.height;
        let (wide, deep) = (0.112 * h * self.build, 0.068 * h * (0.6 + 0.4 * self.build));
        let shoulders = hips + 0.3 * h;
        let hem = hips - if self.coat { 0.14 * h } else { 0.025 * h };
        let torso = Solid::trunk(v(0.0, 0.0, hem), shoulders - hem, 0.84, 1.0, [deep, wide]);
        parts.push(Part::new(torso, self.top.clone()));
        parts.push(Part::new(
            Solid::ellipsoid(v(0.0, 0.0, shoulders), v(deep, wide, 0.04 * h)),
            Surface::plain(self.top.colour),
        ));
        let pelvis = Solid::ellipsoid(v(0.0, 0.0, hips), v(0.95 * deep, 0.93 * wide, 0.075 * h));
        parts.push(Part::new(pelvis, self.bottom.clone()));
        if self.legs == Legs::Skirt {
            let low = v(0.0, 0.0, hips - 0.2 * h);
            let skirt = Solid::trunk(low, 0.22 * h, 1.25, 0.95, [deep * 1.05, wide]);
            parts.push(Part::new(skirt, self.bottom.clone()));
        }
        for side in [1.0, -1.0] {
            let angle = -0.8
                * swing
                * (phase
                    + if side > 0.0 {
                        0.0
                    } else {
                        std::f32::consts::PI
                    })
                .sin();
            let shoulder = v(0.0, side * (0.97 * wide + 0.006 * h), shoulders - 0.012 * h);
            let elbow = shoulder + v(angle.sin(), 0.11 * side, -angle.cos()) * (0.165 * h);
            let bent = angle + 0.25 + 0.4 * swing;
            let hand = elbow + v(bent.sin(), -0.05 * side, -bent.cos()) * (0.15 * h);
            let sleeve = Surface::plain(self.sleeve);
            let lower = if self.long_sleeves {
                sleeve.clone()
            } else {
                Surface::plain(self.skin)
            };
            parts.push(Part::new(Solid::limb(elbow, shoulder, 0.03 * h), sleeve));
            parts.push(Part::new(Solid::limb(hand, elbow, 0.026 * h), lower));
            let palm = Solid::ellipsoid(hand, v(0.025, 0.02, 0.035) * h);
            parts.push(Part::new(palm, Surface::plain(self.skin)));
            if self.bag == Bag::Hand(side) {
                let bag = Solid::block(hand - v(0.0, 0.0, 0.1 * h), v(0.09, 0.03, 0.065) * h);
                parts.push(Part::new(bag, self.bag_surface()));
            }
        }
        match self.bag {
            Bag::Backpack => {
                let centre = v(-deep - 0.035 * h, 0.0, shoulders - 0.13 * h);
                let pack = Solid::ellipsoid(centre, v(0.065 * h, 0.8 * wide, 0.135 * h));
                parts.push(Part::new(pack, self.bag_surface()));
                for side in [1.0, -1.0] {
                    let y = side * 0.55 * wide;
                    let from = v(0.9 * deep, y, shoulders - 0.14 * h);
                    let to = v(0.65 * deep, y, shoulders + 0.02 * h);
                    let strap = Surface::plain(self.bag_colour);
                    parts.push(Part::new(Solid::limb(from, to, 0.014 * h), strap));
                }
            }
            Bag::Shoulder(side) => {
                let centre = v(0.0, side * (wide + 0.055 * h), hips);
                let bag = Solid::block(centre, v(0.09, 0.03, 0.065) * h);
                parts.push(Part::new(bag, self.bag_surface()));
                for front in [1.0, -1.0] {
                    let x = front * 1.02 * deep;
                    let from = v(x, side * 0.85 * wide, hips + 0.06 * h);
                    let to = v(0.7 * x, -0.6 * side * wide, shoulders + 0.02 * h);
                    let strap = Surface::plain(scaled(self.bag_colour, 0.8));
                    parts.push(Part::new(Solid::limb(from, to, 0.011 * h), strap));
                }
            }
            Bag::None | Bag::Hand(_) => {}
        }
    }

    fn bag_surface(&self) -> Surface {
        let mut surface = Surface::plain(self.bag_colour);
        surface.patches.push(Patch {
            low: v(-9.0, -0.55, -0.75),
            high: v(9.0, 0.55, -0.15),
            colour: mixed(self.bag_colour, self.bag_mark, 0.8),
            round: false,
        });
        surface
    }

    fn head(&self, hips: f32, parts: &mut Vec<Part>) {
        let h = self.height;
        let neck = v(0.005 * h, 0.0, hips + 0.325 * h);
        let centre = v(0.015 * h, 0.0, hips + 0.405 * h);
        let around = |colour| Surface::plain(colour);
        parts.push(Part::new(
            Solid::limb(neck - v(0.0, 0.0, 0.02 * h), centre, 0.03 * h),
            around(self.skin),
        ));
        let mut face = around(self.skin);
        face.patches.push(facing(
            true,
            [0.0, 0.12],
            [0.62, 0.1],
            scaled(self.skin, 0.45),
        ));
        let radii = v(0.057, 0.05, 0.068) * h;
        parts.push(Part::new(Solid::ellipsoid(centre, radii), face));
        if let Some(colour) = self.scarf {
            let scarf = Solid::ellipsoid(neck, v(0.055, 0.06, 0.028) * h);
            parts.push(Part::new(scarf, around(colour)));
        }
        let mut cover = |offset: Vec3, radii: Vec3, colour| {
            let solid = Solid::ellipsoid(centre + offset * h, radii * h);
            parts.push(Part::new(solid, around(colour)));
        };
        match self.style {
            Style::Bald => {}
            Style::Cap => {
                cover(v(-0.004, 0.0, 0.027), v(0.062, 0.054, 0.05), self.hat);
                cover(v(0.05, 0.0, 0.022), v(0.05, 0.04, 0.01), self.hat);
                cover(v(-0.018, 0.0, -0.005), v(0.05, 0.052, 0.05), self.hair);
            }
            _ => cover(v(-0.014, 0.0, 0.014), v(0.058, 0.055, 0.068), self.hair),
        }
        match self.style {
            Style::Long => cover(v(-0.04, 0.0, -0.06), v(0.032, 0.055, 0.095), self.hair),
            Style::Bun => cover(v(-0.065, 0.0, 0.045), v(0.03, 0.03, 0.03), self.hair),
            _ => {}
        }
    }
}

/// Cloth of a colour: mostly plain, else patterned; half of it with a print in front or behind.
fn garment(rng: &mut Rng, colour: Colour) -> Surface {
    let second = rgb(pick(rng, &ACCENTS));
    let pattern = match rng.below(10) {
        0..4 => Pattern::Plain,
        4..6 => Pattern::Bands(between(rng, 1.5, 5.0), between(rng, 0.25, 0.5)),
        6 => Pattern::Pinstripes(between(rng, 8.0, 16.0).round(), 0.35),
        7 => Pattern::Checks(between(rng, 2.0, 3.5)),
        8 => Pattern::Above(between(rng, -0.2, 0.5)),
        _ => Pattern::Open(between(rng, 0.18, 0.35)),
    };
    let mut surface = Surface::patterned(colour, second, pattern);
    for front in [true, false] {
        if rng.chance(0.5) {
            let place = [between(rng, -0.3, 0.3), between(rng, 0.0, 0.55)];
            let size = [between(rng, 0.15, 0.5), between(rng, 0.1, 0.3)];
            let mut print = facing(front, place, size, rgb(pick(rng, &ACCENTS)));
            print.round = rng.chance(0.5);
            surface.patches.push(print);
        }
    }
    surface
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f32::consts::PI;

    #[test]
    fn groups_share_clothes_and_not_details() {
        let key = Key::new(3);
        let group: Vec<Person> = (0..6).map(|i| Person::draw(key, key.at(i))).collect();
        let worn = |p: &Person| {
            (
                p.top.colour,
                p.bottom.colour,
                p.legs,
                p.coat,
                p.long_sleeves,
            )
        };
        assert!(group.iter().all(|p| worn(p) == worn(&group[0])));
        let own = |p: &Person| (p.top.clone(), p.bag, p.bag_colour, p.shoes, p.style);
        assert!(group[1..].iter().all(|p| own(p) != own(&group[0])));
    }

    #[test]
    fn feet_stay_on_the_ground_while_the_body_walks() {
        for seed in 0..20 {
            let person = Person::draw(Key::new(seed), Key::new(seed).at(1));
            for phase in [0.0, 0.7, 0.5 * PI, PI, 4.0] {
                for swing in [0.1, 1.0] {
                    let parts = person.parts(Pose { phase, swing });
                    let points = parts.iter().flat_map(|p| p.solid.outline());
                    let (low, high) = points.fold((f32::MAX, f32::MIN), |(low, high), p| {
                        (low.min(p.z), high.max(p.z))
                    });
                    assert!(low.abs() < 0.03, "{seed}, {phase}: {low} m");
                    let height = high - low;
                    let ratio = height / person.height;
                    assert!((0.9..1.1).contains(&ratio), "{seed}: {height} m");
                }
            }
        }
    }
}
