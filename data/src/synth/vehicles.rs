//! Vehicles: bodies of a few kinds, of which many share model and colour.
//!
//! A group decides model and colour, the vehicle itself its details: wheels, stickers behind the
//! windscreen, roof rack, stripes and signs, lamps, dirt and dents.

use super::geometry::{Solid, Vec3, v};
use super::scene::Part;
use super::surface::{Colour, Patch, Pattern, Surface, between, mixed, pick, rgb, scaled};
use engine::rng::{Key, Rng};

/// Kinds as VeRi-776 numbers and names them.
pub(super) const TYPES: [&str; 9] = [
    "sedan",
    "suv",
    "van",
    "hatchback",
    "mpv",
    "pickup",
    "bus",
    "truck",
    "estate",
];
/// Colours as VeRi-776 numbers and names them.
pub(super) const COLOURS: [&str; 10] = [
    "yellow", "orange", "green", "gray", "red", "blue", "white", "golden", "brown", "black",
];
const PAINT: [u32; 10] = [
    0xd9b32b, 0xd2701f, 0x3d6e4a, 0x8b8f94, 0x9d2228, 0x2f4f8f, 0xe2e2df, 0xb59b62, 0x5d4634,
    0x1d1e21,
];
const COLOUR_WEIGHTS: [f64; 10] = [2.0, 1.0, 1.0, 4.0, 3.0, 3.0, 6.0, 1.0, 1.0, 5.0];
const TYPE_WEIGHTS: [f64; 9] = [7.0, 4.0, 2.0, 3.0, 1.5, 1.0, 1.0, 1.5, 1.5];

const SEDAN: usize = 0;
const SUV: usize = 1;
const VAN: usize = 2;
const HATCHBACK: usize = 3;
const MPV: usize = 4;
const PICKUP: usize = 5;
const BUS: usize = 6;
const TRUCK: usize = 7;

/// Half lengths and heights of a model, in metres.
#[derive(Clone, Copy, Debug)]
struct Model {
    kind: usize,
    half: f32,
    width: f32,
    /// Of the lower edge, of the windows' lower edge, of the roof.
    floor: f32,
    waist: f32,
    roof: f32,
    /// Where the windscreen and the rear window begin below, and how far they lean.
    front: f32,
    rear: f32,
    lean: [f32; 2],
    wheel: f32,
}

/// A vehicle, as seen every time.
pub(super) struct Vehicle {
    model: Model,
    colour: usize,
    body: Surface,
    cabin: Surface,
    tyre: Surface,
    bumper: Colour,
    rack: Option<Colour>,
    sign: Option<Colour>,
    mirror: Colour,
    load: Colour,
}

impl Vehicle {
    pub(super) fn draw(group: Key, own: Key) -> Self {
        let looks = &mut group.rng();
        let rng = &mut own.rng();
        let weighted = |rng: &mut Rng, weights: &[f64]| {
            let choices: Vec<(usize, f64)> = weights.iter().copied().enumerate().collect();
            pick(rng, &choices)
        };
        let model = Model::draw(weighted(looks, &TYPE_WEIGHTS), looks);
        let colour = weighted(looks, &COLOUR_WEIGHTS);
        let paint = rgb(PAINT[colour]);
        let dark = rgb(0x24262a);
        let mut body = Surface {
            gloss: 0.22,
            ..Surface::plain(paint)
        };
        let mut cabin = body.clone();
        if model.kind != TRUCK && rng.chance(0.15) {
            // Another colour from the roof's edge upwards.
            cabin.second = rgb(pick(rng, &[(0x1d1e21, 2.0), (0xe2e2df, 1.0)]));
            cabin.pattern = Pattern::Above(model.roof - 0.06);
        }
        let lamps = rgb(pick(
            rng,
            &[(0xf4f4ea, 3.0), (0xe8d9a0, 1.0), (0xbfd0e0, 1.0)],
        ));
        let bumper = if rng.chance(0.3) { dark } else { paint };
        glaze(&model, &mut body, &mut cabin);
        sheet(&model, &mut body, bumper, lamps, rng);
        decorate(&model, &mut body, &mut cabin, rng);
        let rim = rgb(pick(
            rng,
            &[
                (0xb9bcc0, 4.0),
                (0x2b2c2f, 2.0),
                (0x8a8270, 1.0),
                (0xe0e0e0, 1.0),
            ],
        ));
        let spokes = [3.0, 5.0, 6.0, 8.0, 12.0][rng.below(5)];
        let accent = |rng: &mut Rng| {
            rgb(pick(
                rng,
                &[
                    (0xd94f2b, 1.0),
                    (0xe5c531, 1.0),
                    (0x2f66b5, 1.0),
                    (0xe8e8e4, 1.0),
                ],
            ))
        };
        let high = matches!(model.kind, BUS | TRUCK);
        Vehicle {
            tyre: Surface {
                gloss: 0.03,
                ..Surface::patterned(
                    rgb(0x17181a),
                    rim,
                    Pattern::Rim(between(rng, 0.58, 0.74), spokes),
                )
            },
            rack: (!high && rng.chance(0.25))
                .then(|| rgb(pick(rng, &[(0x222326, 2.0), (0xb0b3b6, 1.0)]))),
            sign: (!high && rng.chance(0.1)).then(|| accent(rng)),
            mirror: if rng.chance(0.3) { dark } else { paint },
            load: rgb(pick(
                rng,
                &[
                    (0xd8d8d2, 3.0),
                    (0x3c5a87, 1.0),
                    (0x6f7a4c, 1.0),
                    (0x8d3b32, 1.0),
                ],
            )),
            model,
            colour,
            body,
            cabin,
            bumper,
        }
    }

    /// VeRi-776's numbers of colour and type, from 1.
    pub(super) fn labels(&self) -> [usize; 2] {
        [self.colour + 1, self.model.kind + 1]
    }

    /// The vehicle on the ground at the origin, its front towards x.
    pub(super) fn parts(&self) -> Vec<Part> {
        let m = &self.model;
        let mut parts = Vec::with_capacity(24);
        let nose = if matches!(m.kind, VAN | BUS | TRUCK) {
            m.waist
        } else {
            0.78 * m.waist
        };
        let outline = [
            [-m.half + 0.06, m.floor],
            [m.half - 0.06, m.floor],
            [m.half, m.floor + 0.25],
            [m.half - 0.04, nose - 0.08],
            [m.half - 0.16, nose],
            // Behind the nose, also where the windscreen begins at its very edge.
            [m.front.min(m.half - 0.2), m.waist],
            [m.rear, m.waist],
            [-m.half, m.waist - 0.1],
        ];
        let half_width = 0.5 * m.width;
        parts.push(Part::new(
            Solid::prism(&outline, [half_width, 0.97 * half_width]),
            self.body.clone(),
        ));
        let rear = if m.kind == TRUCK {
            m.front - 1.7
        } else {
            m.rear
        };
        let cabin = [
            [rear, m.waist],
            [m.front, m.waist],
            [m.front - m.lean[0], m.roof],
            [rear + m.lean[1], m.roof],
        ];
        let top = if matches!(m.kind, VAN | BUS | TRUCK) {
            0.94
        } else {
            0.8
        };
        parts.push(Part::new(
            Solid::prism(&cabin, [0.96 * half_width, top * half_width]),
            self.cabin.clone(),
        ));
        if m.kind == TRUCK {
            let (back, front) = (-m.half + 0.1, rear - 0.15);
            let centre = v(0.5 * (back + front), 0.0, 0.5 * (m.waist + m.roof) + 0.1);
            let half = v(
                0.5 * (front - back),
                1.02 * half_width,
                0.5 * (m.roof - m.waist) + 0.3,
            );
            let mut load = Surface::plain(self.load);
            load.pattern = Pattern::Bands(3.0, 0.08);
            load.second = scaled(self.load, 0.7);
            parts.push(Part::new(Solid::block(centre, half), load));
        }
        self.wheels(&mut parts);
        self.trim(&mut parts);
        parts
    }

    fn wheels(&self, parts: &mut Vec<Part>) {
        let m = &self.model;
        let side = 0.5 * m.width;
        let mut axles = vec![0.62 * m.half, -0.6 * m.half];
        if m.kind == TRUCK {
            axles.push(-0.6 * m.half + 2.3 * m.wheel);
        }
        for x in axles {
            for left in [1.0, -1.0] {
                let at = |y: f32| v(x, left * y, m.wheel);
                let arch = Solid::disc(at(side - 0.3), at(side + 0.004), 1.2 * m.wheel);
                parts.push(Part::new(arch, Surface::plain(rgb(0x0e0e10))));
                let wheel = Solid::disc(at(side - 0.22), at(side + 0.02), m.wheel);
                parts.push(Part::new(wheel, self.tyre.clone()));
            }
        }
    }

    fn trim(&self, parts: &mut Vec<Part>) {
        let m = &self.model;
        let side = 0.5 * m.width;
        for end in [1.0, -1.0] {
            let centre = v(end * m.half, 0.0, m.floor + 0.17);
            let bumper = Solid::block(centre, v(0.07, 0.96 * side, 0.11));
            parts.push(Part::new(bumper, Surface::plain(self.bumper)));
        }
        for left in [1.0, -1.0] {
            let centre = v(m.front - 0.25, left * (side + 0.09), m.waist + 0.1);
            let mirror = Solid::ellipsoid(centre, v(0.07, 0.1, 0.08));
            parts.push(Part::new(mirror, Surface::plain(self.mirror)));
        }
        let [from, to] = [m.rear + m.lean[1] + 0.15, m.front - m.lean[0] - 0.15];
        if let Some(colour) = self.rack {
            for left in [1.0, -1.0] {
                let y = left * 0.66 * side;
                let rail = Solid::limb(v(from, y, m.roof + 0.06), v(to, y, m.roof + 0.06), 0.035);
                parts.push(Part::new(rail, Surface::plain(colour)));
            }
        }
        if let Some(colour) = self.sign {
            let sign = Solid::block(v(0.5 * (from + to), 0.0, m.roof + 0.1), v(0.1, 0.3, 0.09));
            parts.push(Part::new(sign, Surface::plain(colour)));
        }
    }
}

impl Model {
    fn draw(kind: usize, rng: &mut Rng) -> Self {
        // Half length, width, floor, waist, roof, windscreen and rear window, their lean, wheel.
        let [
            half,
            width,
            floor,
            waist,
            roof,
            front,
            rear,
            lean,
            back,
            wheel,
        ] = match kind {
            SEDAN => [2.3, 1.78, 0.22, 0.92, 1.45, 1.05, -1.75, 0.75, 0.65, 0.32],
            SUV => [2.3, 1.88, 0.3, 1.08, 1.75, 1.1, -2.2, 0.6, 0.3, 0.38],
            VAN => [2.5, 1.9, 0.28, 1.15, 2.1, 2.05, -2.45, 0.65, 0.08, 0.34],
            HATCHBACK => [1.95, 1.7, 0.22, 0.92, 1.5, 1.0, -1.85, 0.65, 0.4, 0.3],
            MPV => [2.3, 1.82, 0.24, 1.0, 1.7, 1.5, -2.25, 0.85, 0.25, 0.32],
            PICKUP => [2.6, 1.85, 0.34, 1.05, 1.75, 1.2, -0.65, 0.55, 0.15, 0.38],
            BUS => [5.2, 2.5, 0.35, 1.35, 3.0, 5.1, -5.15, 0.15, 0.08, 0.48],
            TRUCK => [3.4, 2.1, 0.45, 1.25, 2.3, 3.2, -3.3, 0.3, 0.1, 0.45],
            // Estate.
            _ => [2.35, 1.78, 0.22, 0.92, 1.48, 1.05, -2.25, 0.75, 0.35, 0.32],
        };
        let mut vary = |x: f32, share: f32| x * (1.0 + share * rng.range(-1.0, 1.0) as f32);
        let stretch = vary(1.0, 0.06);
        Model {
            kind,
            half: half * stretch,
            width: vary(width, 0.04),
            floor: vary(floor, 0.15),
            waist: vary(waist, 0.05),
            roof: vary(roof, 0.05),
            front: vary(front * stretch, 0.03).min(half * stretch - 0.03),
            rear: vary(rear * stretch, 0.02).max(-half * stretch + 0.02),
            lean: [vary(lean, 0.2), vary(back, 0.3)],
            wheel: vary(wheel, 0.06),
        }
    }
}

/// A patch between two corners.
fn patch(low: Vec3, high: Vec3, colour: Colour) -> Patch {
    Patch {
        low,
        high,
        colour,
        round: false,
    }
}

/// Windows: of the cabin all around, between pillars.
fn glaze(m: &Model, body: &mut Surface, cabin: &mut Surface) {
    let glass = rgb(0x1a2228);
    let (low, high) = (m.waist + 0.06, m.roof - 0.1);
    let far = 9.0;
    let rear = if m.kind == TRUCK {
        m.front - 1.7
    } else {
        m.rear
    };
    // Windscreen and rear window reach from pillar to pillar; the sides are cut by pillars.
    let inner = 0.4 * m.width;
    cabin.patches.push(patch(
        v(m.front - m.lean[0], -inner, low),
        v(far, inner, high),
        glass,
    ));
    if m.kind != TRUCK {
        cabin.patches.push(patch(
            v(-far, -inner, low),
            v(rear + m.lean[1], inner, high),
            glass,
        ));
    }
    let windows = match m.kind {
        BUS => 8,
        VAN => 3,
        TRUCK | PICKUP => 1,
        _ => 2,
    };
    let [from, to] = [
        rear + 0.55 * m.lean[1] + 0.12,
        m.front - 0.55 * m.lean[0] - 0.12,
    ];
    let step = (to - from) / windows as f32;
    for side in [1.0, -1.0] {
        let [near, off] = if side > 0.0 {
            [0.3 * m.width, far]
        } else {
            [-far, -0.3 * m.width]
        };
        for window in 0..windows {
            let start = from + step * window as f32;
            let low = v(start + 0.05, near, low);
            cabin
                .patches
                .push(patch(low, v(start + step - 0.05, off, high), glass));
        }
    }
    if m.kind == PICKUP {
        // The bed.
        let top = patch(
            v(-m.half + 0.12, -0.4 * m.width, m.waist - 0.09),
            v(m.rear - 0.05, 0.4 * m.width, far),
            rgb(0x1c1d1f),
        );
        body.patches.push(top);
    }
}

/// Lamps, grille, plates and gaps between doors.
fn sheet(m: &Model, body: &mut Surface, bumper: Colour, lamps: Colour, rng: &mut Rng) {
    let far = 9.0;
    let side = 0.5 * m.width;
    let nose = m.half - 0.25;
    let lamp = m.floor + between(rng, 0.32, 0.42);
    let tall = between(rng, 0.05, 0.1);
    let wide = between(rng, 0.14, 0.3);
    let tail = between(rng, 0.06, 0.2);
    for left in [1.0, -1.0] {
        let [a, b] = [left * side * 0.98, left * (side - wide)];
        let (low, high) = (a.min(b), a.max(b));
        body.patches.push(patch(
            v(nose, low, lamp - tall),
            v(far, high, lamp + tall),
            lamps,
        ));
        let [a, b] = [left * side * 0.98, left * (side - 0.7 * wide)];
        let (low, high) = (a.min(b), a.max(b));
        let red = rgb(0x8e1418);
        body.patches.push(patch(
            v(-far, low, lamp - tail),
            v(-m.half + 0.1, high, lamp + tail + 0.1),
            red,
        ));
    }
    let grille = rgb(pick(rng, &[(0x17181a, 3.0), (0xa8abad, 1.0)]));
    let [across, down] = [between(rng, 0.3, 0.55), between(rng, 0.05, 0.1)];
    body.patches.push(patch(
        v(nose, -across, lamp - down),
        v(far, across, lamp + down),
        grille,
    ));
    let plate = rgb(pick(
        rng,
        &[(0x2e4f9e, 2.0), (0xe9e6da, 1.0), (0xd9b93a, 1.0)],
    ));
    for [low, high] in [[nose, far], [-far, -m.half + 0.1]] {
        body.patches.push(patch(
            v(low, -0.24, m.floor + 0.1),
            v(high, 0.24, m.floor + 0.22),
            plate,
        ));
    }
    let gap = mixed(body.colour, [0.0; 3], 0.6);
    let doors: &[f32] = if m.kind == BUS {
        &[0.8, -0.1]
    } else {
        &[0.75, 0.2, -0.42]
    };
    for door in doors {
        let x = door * m.front.max(-m.rear);
        for [low, high] in [[0.4 * m.width, far], [-far, -0.4 * m.width]] {
            body.patches.push(patch(
                v(x, low, m.floor + 0.1),
                v(x + 0.03, high, m.waist),
                gap,
            ));
        }
    }
    if bumper != body.colour {
        // The sill, too.
        body.patches.push(patch(
            v(-far, -far, 0.0),
            v(far, far, m.floor + 0.1),
            bumper,
        ));
    }
}

/// What tells one vehicle from the next of its model and colour.
fn decorate(m: &Model, body: &mut Surface, cabin: &mut Surface, rng: &mut Rng) {
    let far = 9.0;
    let accent = |rng: &mut Rng| {
        rgb(pick(
            rng,
            &[
                (0xd94f2b, 1.0),
                (0xe5c531, 1.0),
                (0x2f66b5, 1.0),
                (0xe8e8e4, 2.0),
                (0x1d1e21, 2.0),
                (0x2e8b57, 1.0),
            ],
        ))
    };
    // Papers behind the windscreen, and things hanging there.
    for _ in 0..rng.below(4) {
        let y = between(rng, -0.36, 0.36) * m.width;
        let z = m.waist + between(rng, 0.08, 0.8) * (m.roof - m.waist - 0.1);
        let half = [between(rng, 0.04, 0.12), between(rng, 0.03, 0.09)];
        let low = v(m.front - m.lean[0], y - half[0], z - half[1]);
        cabin.patches.push(patch(
            low,
            v(far, y + half[0], z + half[1]),
            rgb(pick(
                rng,
                &[(0xf0efe6, 3.0), (0xd8c24a, 1.0), (0xc0392b, 1.0)],
            )),
        ));
    }
    // A sticker on the rear window, or a name on it.
    if rng.chance(0.4) {
        let y = between(rng, -0.25, 0.25) * m.width;
        let z = m.waist + 0.25;
        let half = [between(rng, 0.08, 0.3), between(rng, 0.05, 0.1)];
        let high = v(m.rear + m.lean[1], y + half[0], z + half[1]);
        cabin
            .patches
            .push(patch(v(-far, y - half[0], z - half[1]), high, accent(rng)));
    }
    if m.kind != TRUCK && rng.chance(0.25) {
        // A sun roof.
        let x = between(rng, -0.3, 0.3);
        let low = v(x - 0.35, -0.25 * m.width, m.roof - 0.01);
        cabin
            .patches
            .push(patch(low, v(x + 0.35, 0.25 * m.width, far), rgb(0x14171a)));
    }
    let sides = [[0.3 * m.width, far], [-far, -0.3 * m.width]];
    if rng.chance(0.35) {
        // A stripe along the flanks.
        let z = m.floor + between(rng, 0.3, 0.9) * (m.waist - m.floor);
        let tall = between(rng, 0.025, 0.09);
        let colour = accent(rng);
        let from = between(rng, -1.0, 0.0) * m.half;
        for [low, high] in sides {
            body.patches.push(patch(
                v(from, low, z - tall),
                v(far, high, z + tall),
                colour,
            ));
        }
    }
    if rng.chance(0.4) {
        // A sign on the doors, on one side or both.
        let x = between(rng, -0.5, 0.4) * m.half;
        let z = 0.5 * (m.floor + m.waist) + 0.05;
        let half = [between(rng, 0.15, 0.5), between(rng, 0.1, 0.2)];
        let colour = accent(rng);
        let shown = if rng.chance(0.7) {
            &sides[..]
        } else {
            &sides[..1]
        };
        for [low, high] in shown {
            let corner = |sign: f32, y: f32| v(x + sign * half[0], y, z + sign * half[1]);
            body.patches
                .push(patch(corner(-1.0, *low), corner(1.0, *high), colour));
        }
    }
    if rng.chance(0.3) {
        // A panel of another shade: a repair or a dent.
        let from = between(rng, -0.9, 0.6) * m.half;
        let [low, high] = sides[rng.below(2)];
        let shade = mixed(body.colour, rgb(0x6f6a62), between(rng, 0.25, 0.5));
        body.patches.insert(
            0,
            patch(v(from, low, 0.0), v(from + 0.6, high, m.waist), shade),
        );
    }
    if rng.chance(0.3) {
        // Dirt from the road.
        let dirt = mixed(body.colour, rgb(0x7a6a52), between(rng, 0.3, 0.6));
        let height = m.floor + between(rng, 0.08, 0.25);
        body.patches
            .insert(0, patch(v(-far, -far, 0.0), v(far, far, height), dirt));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::geometry::{Form, Ray};

    #[test]
    fn no_body_is_turned_inside_out() {
        let key = Key::new(1);
        for i in 0..300 {
            let vehicle = Vehicle::draw(key.at(i).named("group"), key.at(i));
            for part in vehicle.parts() {
                let Form::Convex { corners, .. } = &part.solid.form else {
                    continue;
                };
                let sum = corners.iter().fold(v(0.0, 0.0, 0.0), |sum, &c| sum + c);
                let centre = part.solid.frame.point(sum * (1.0 / corners.len() as f32));
                let ray = Ray {
                    origin: centre + v(50.0, 20.0, 30.0),
                    direction: v(-50.0, -20.0, -30.0),
                };
                let hit = part.solid.hit(&ray);
                assert!(hit.is_some(), "{} {i}", TYPES[vehicle.model.kind]);
            }
        }
    }

    #[test]
    fn groups_share_model_and_colour_and_nothing_else() {
        let key = Key::new(2);
        let group: Vec<Vehicle> = (0..6).map(|i| Vehicle::draw(key, key.at(i))).collect();
        assert!(group.iter().all(|v| v.labels() == group[0].labels()));
        assert!(group.iter().all(|v| v.model.half == group[0].model.half));
        let alike = |a: &Vehicle, b: &Vehicle| a.body == b.body && a.cabin == b.cabin;
        assert!(group[1..].iter().all(|v| !alike(v, &group[0])));
    }
}
