//! What solids look like: colours, patterns of cloth, and patches on them.

use super::geometry::{Vec3, v};
use engine::rng::Rng;

/// Red, green and blue as light, 0 to 1.
pub(super) type Colour = [f32; 3];

/// A colour as screens state it, `0xrrggbb`, as light.
pub(super) fn rgb(code: u32) -> Colour {
    [16, 8, 0].map(|shift| ((code >> shift & 0xff) as f32 / 255.0).powf(2.2))
}

/// A colour times a number.
pub(super) fn scaled(colour: Colour, factor: f32) -> Colour {
    colour.map(|c| c * factor)
}

/// Between two colours.
pub(super) fn mixed(a: Colour, b: Colour, share: f32) -> Colour {
    std::array::from_fn(|c| a[c] + share * (b[c] - a[c]))
}

/// How a surface is covered, in the coordinates of its solid.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pattern {
    /// One colour.
    Plain,
    /// Rings of a second colour along z: how many in a unit, and their share.
    Bands(f32, f32),
    /// Stripes along z, around the solid: how many, and their share.
    Pinstripes(f32, f32),
    /// Both of them.
    Checks(f32),
    /// The second colour above this height.
    Above(f32),
    /// The second colour in front, in a strip of this width: an open jacket.
    Open(f32),
    /// Blots of this size.
    Blots(f32, u32),
    /// A tyre with a rim of this radius and number of spokes, as seen along z.
    Rim(f32, f32),
}

/// A part of a surface with a colour of its own: what lies inside a box in the coordinates of the
/// solid.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Patch {
    pub(super) low: Vec3,
    pub(super) high: Vec3,
    pub(super) colour: Colour,
    /// Whether the corners, as seen along x, are cut off into an ellipse.
    pub(super) round: bool,
}

/// A surface.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Surface {
    pub(super) colour: Colour,
    pub(super) second: Colour,
    pub(super) pattern: Pattern,
    /// The later ones lie on the earlier ones.
    pub(super) patches: Vec<Patch>,
    /// How much of the sky it mirrors, 0 to 1.
    pub(super) gloss: f32,
}

impl Surface {
    /// One dull colour.
    pub(super) fn plain(colour: Colour) -> Self {
        Surface {
            colour,
            second: colour,
            pattern: Pattern::Plain,
            patches: Vec::new(),
            gloss: 0.0,
        }
    }

    /// Two dull colours in a pattern.
    pub(super) fn patterned(colour: Colour, second: Colour, pattern: Pattern) -> Self {
        Surface {
            second,
            pattern,
            ..Surface::plain(colour)
        }
    }

    /// The colour at a point in the coordinates of the solid.
    pub(super) fn at(&self, p: Vec3) -> Colour {
        let on_top = self.patches.iter().rev().find(|patch| patch.covers(p));
        match on_top {
            Some(patch) => patch.colour,
            None if self.second_at(p) => self.second,
            None => self.colour,
        }
    }

    fn second_at(&self, p: Vec3) -> bool {
        let around = || p.y.atan2(p.x) / std::f32::consts::TAU;
        let fraction = |x: f32| x - x.floor();
        match self.pattern {
            Pattern::Plain => false,
            Pattern::Bands(many, share) => fraction(p.z * many) < share,
            Pattern::Pinstripes(many, share) => fraction(around() * many) < share,
            Pattern::Checks(many) => {
                (fraction(p.z * many) < 0.5) != (fraction(around() * 4.0 * many) < 0.5)
            }
            Pattern::Above(height) => p.z > height,
            Pattern::Open(width) => p.x > 0.0 && p.y.abs() < width,
            Pattern::Blots(size, seed) => {
                noise(p.x.atan2(p.y) * 2.0 / size, p.z / size, seed) > 0.55
            }
            Pattern::Rim(radius, spokes) => {
                let distance = p.x.hypot(p.y);
                let spoke = fraction(around() * spokes) < 0.55 || distance < 0.3 * radius;
                distance < radius && (spoke || distance > 0.88 * radius)
            }
        }
    }
}

impl Patch {
    fn covers(&self, p: Vec3) -> bool {
        let between = |p: f32, low: f32, high: f32| low <= p && p <= high;
        let inside = between(p.x, self.low.x, self.high.x)
            && between(p.y, self.low.y, self.high.y)
            && between(p.z, self.low.z, self.high.z);
        let off = |p: f32, low: f32, high: f32| (2.0 * p - low - high) / (high - low);
        let [y, z] = [
            off(p.y, self.low.y, self.high.y),
            off(p.z, self.low.z, self.high.z),
        ];
        inside && (!self.round || y * y + z * z <= 1.0)
    }
}

/// Smooth noise between 0 and 1 with a period of about 1.
pub(super) fn noise(x: f32, y: f32, seed: u32) -> f32 {
    let (column, row) = (x.floor(), y.floor());
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (fx, fy) = (smooth(x - column), smooth(y - row));
    let corner = |dx: i32, dy: i32| hashed(column as i32 + dx, row as i32 + dy, seed);
    let lower = corner(0, 0) + fx * (corner(1, 0) - corner(0, 0));
    let upper = corner(0, 1) + fx * (corner(1, 1) - corner(0, 1));
    lower + fy * (upper - lower)
}

/// A number between 0 and 1 for each cell of a grid.
pub(super) fn hashed(column: i32, row: i32, seed: u32) -> f32 {
    let mut h =
        seed ^ (column as u32).wrapping_mul(0x8da6_b343) ^ (row as u32).wrapping_mul(0xd816_3841);
    h = (h ^ h >> 15).wrapping_mul(0x2c1b_3c6d);
    h = (h ^ h >> 12).wrapping_mul(0x297a_2d39);
    (h ^ h >> 15) as f32 / u32::MAX as f32
}

/// One of several, each as likely as its weight.
pub(super) fn pick<T: Copy>(rng: &mut Rng, choices: &[(T, f64)]) -> T {
    let total: f64 = choices.iter().map(|c| c.1).sum();
    let mut at = rng.range(0.0, total);
    for &(choice, weight) in choices {
        if at < weight {
            return choice;
        }
        at -= weight;
    }
    choices[choices.len() - 1].0
}

/// A number between two others.
pub(super) fn between(rng: &mut Rng, low: f32, high: f32) -> f32 {
    rng.range(f64::from(low), f64::from(high)) as f32
}

/// A patch on the side of a solid that is turned towards +x or -x.
pub(super) fn facing(
    front: bool,
    [y, z]: [f32; 2],
    [wide, tall]: [f32; 2],
    colour: Colour,
) -> Patch {
    let [low, high] = if front { [0.05, 9.0] } else { [-9.0, -0.05] };
    Patch {
        low: v(low, y - wide, z - tall),
        high: v(high, y + wide, z + tall),
        colour,
        round: false,
    }
}
