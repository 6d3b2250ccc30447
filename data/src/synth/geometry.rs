//! Solids that a ray can hit: spheres, capsules, frustums and convex polyhedra, each stretched,
//! turned and put somewhere by an affine frame.
//!
//! Lengths are metres; x points to the front of a figure, y to its left, z upwards.

use std::ops::{Add, Mul, Neg, Sub};

/// A point or a direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Vec3 {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) z: f32,
}

/// Short for a vector.
pub(super) const fn v(x: f32, y: f32, z: f32) -> Vec3 {
    Vec3 { x, y, z }
}

impl Vec3 {
    pub(super) fn dot(self, other: Vec3) -> f32 {
        self.x * other.x + self.y * other.y + self.z * other.z
    }

    pub(super) fn cross(self, other: Vec3) -> Vec3 {
        v(
            self.y * other.z - self.z * other.y,
            self.z * other.x - self.x * other.z,
            self.x * other.y - self.y * other.x,
        )
    }

    pub(super) fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    pub(super) fn unit(self) -> Vec3 {
        self * (1.0 / self.length().max(1e-12))
    }

    /// Turned about the vertical by an angle in radians, from x towards y.
    pub(super) fn turned(self, angle: f32) -> Vec3 {
        let (sin, cos) = angle.sin_cos();
        v(
            cos * self.x - sin * self.y,
            sin * self.x + cos * self.y,
            self.z,
        )
    }
}

impl Add for Vec3 {
    type Output = Vec3;
    fn add(self, other: Vec3) -> Vec3 {
        v(self.x + other.x, self.y + other.y, self.z + other.z)
    }
}

impl Sub for Vec3 {
    type Output = Vec3;
    fn sub(self, other: Vec3) -> Vec3 {
        v(self.x - other.x, self.y - other.y, self.z - other.z)
    }
}

impl Mul<f32> for Vec3 {
    type Output = Vec3;
    fn mul(self, factor: f32) -> Vec3 {
        v(self.x * factor, self.y * factor, self.z * factor)
    }
}

impl Neg for Vec3 {
    type Output = Vec3;
    fn neg(self) -> Vec3 {
        self * -1.0
    }
}

/// A half line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ray {
    pub(super) origin: Vec3,
    pub(super) direction: Vec3,
}

impl Ray {
    pub(super) fn at(&self, t: f32) -> Vec3 {
        self.origin + self.direction * t
    }
}

/// A solid in its own coordinates.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// Of radius 1 about the origin.
    Sphere,
    /// Of radius 1 about the z axis from `-half` to `half`, with round ends.
    Capsule { half: f32 },
    /// About the z axis from -1 to 1, of these radii at the lower and upper end.
    Frustum { lower: f32, upper: f32 },
    /// Where `normal · p <= offset` for all faces.
    Convex {
        faces: Vec<(Vec3, f32)>,
        corners: Vec<Vec3>,
    },
}

/// From a solid's own coordinates to the scene: `origin + axes · p`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    origin: Vec3,
    axes: [Vec3; 3],
    /// Rows of the inverse of the axes.
    inverse: [Vec3; 3],
}

impl Frame {
    pub(super) fn new(origin: Vec3, axes: [Vec3; 3]) -> Self {
        let [a, b, c] = axes;
        let scale = 1.0 / a.dot(b.cross(c));
        Frame {
            origin,
            axes,
            inverse: [b.cross(c), c.cross(a), a.cross(b)].map(|row| row * scale),
        }
    }

    /// Along the axes of the scene.
    pub(super) fn upright(origin: Vec3, scale: Vec3) -> Self {
        let axes = [
            v(scale.x, 0.0, 0.0),
            v(0.0, scale.y, 0.0),
            v(0.0, 0.0, scale.z),
        ];
        Frame::new(origin, axes)
    }

    /// Around the middle of a line, which becomes the z axis in units of `unit`; the x axis lies
    /// as far to the front as it can.
    fn along(from: Vec3, to: Vec3, radius: f32, unit: f32) -> Self {
        let z = (to - from).unit();
        let y = z.cross(v(1.0, 0.0, 0.001)).unit();
        let x = y.cross(z);
        Frame::new((from + to) * 0.5, [x * radius, y * radius, z * unit])
    }

    /// Turned about the vertical, then moved.
    pub(super) fn placed(&self, angle: f32, to: Vec3) -> Self {
        Frame::new(
            self.origin.turned(angle) + to,
            self.axes.map(|axis| axis.turned(angle)),
        )
    }

    pub(super) fn point(&self, p: Vec3) -> Vec3 {
        self.origin + self.axes[0] * p.x + self.axes[1] * p.y + self.axes[2] * p.z
    }

    fn into_own(self, d: Vec3) -> Vec3 {
        let [a, b, c] = self.inverse;
        v(a.dot(d), b.dot(d), c.dot(d))
    }

    /// A normal in own coordinates as a unit vector of the scene.
    fn normal(&self, n: Vec3) -> Vec3 {
        let [a, b, c] = self.inverse;
        (a * n.x + b * n.y + c * n.z).unit()
    }
}

/// A solid somewhere.
#[derive(Clone, Debug)]
pub(super) struct Solid {
    pub(super) form: Form,
    pub(super) frame: Frame,
}

/// Where a ray meets a solid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    /// In lengths of the ray's direction.
    pub(super) t: f32,
    /// In the scene, of length 1.
    pub(super) normal: Vec3,
    /// The place in the solid's own coordinates.
    pub(super) own: Vec3,
}

impl Solid {
    pub(super) fn ellipsoid(centre: Vec3, radii: Vec3) -> Self {
        Solid {
            form: Form::Sphere,
            frame: Frame::upright(centre, radii),
        }
    }

    /// A round bar between two points; z of its own coordinates runs from one to the other.
    pub(super) fn limb(from: Vec3, to: Vec3, radius: f32) -> Self {
        Solid {
            form: Form::Capsule {
                half: 0.5 * (to - from).length() / radius,
            },
            frame: Frame::along(from, to, radius, radius),
        }
    }

    /// A disc as thick as the line between two points, about that line.
    pub(super) fn disc(from: Vec3, to: Vec3, radius: f32) -> Self {
        Solid {
            form: Form::Frustum {
                lower: 1.0,
                upper: 1.0,
            },
            frame: Frame::along(from, to, radius, 0.5 * (to - from).length()),
        }
    }

    /// An upright trunk: half depths and half widths at its lower and upper end.
    pub(super) fn trunk(
        base: Vec3,
        height: f32,
        lower: f32,
        upper: f32,
        [depth, width]: [f32; 2],
    ) -> Self {
        let centre = base + v(0.0, 0.0, 0.5 * height);
        Solid {
            form: Form::Frustum { lower, upper },
            frame: Frame::upright(centre, v(depth, width, 0.5 * height)),
        }
    }

    /// A box by its centre and half sides.
    pub(super) fn block(centre: Vec3, half: Vec3) -> Self {
        let profile = [[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]];
        Solid {
            frame: Frame::upright(centre, half),
            ..Solid::prism(&profile, [1.0, 1.0])
        }
    }

    /// A convex outline `[x, z]`, counterclockwise as seen with x to the right and z upwards,
    /// drawn out to both sides by these half widths at its lowest and highest point.
    pub(super) fn prism(outline: &[[f32; 2]], [lower, upper]: [f32; 2]) -> Self {
        let heights = outline.iter().map(|p| p[1]);
        let (low, high) = heights.fold((f32::MAX, f32::MIN), |(l, h), z| (l.min(z), h.max(z)));
        let lean = (lower - upper) / (high - low);
        let width = |z: f32| lower - lean * (z - low);
        let next = outline.iter().cycle().skip(1);
        let mut faces: Vec<(Vec3, f32)> = outline
            .iter()
            .zip(next)
            .map(|(&[x, z], &[to_x, to_z])| {
                let normal = v(to_z - z, 0.0, x - to_x).unit();
                (normal, normal.dot(v(x, 0.0, z)))
            })
            .collect();
        for side in [-1.0, 1.0] {
            let normal = v(0.0, side, lean).unit();
            faces.push((normal, normal.dot(v(0.0, side * lower, low))));
        }
        let corner = |&[x, z]: &[f32; 2]| [v(x, -width(z), z), v(x, width(z), z)];
        Solid {
            form: Form::Convex {
                faces,
                corners: outline.iter().flat_map(corner).collect(),
            },
            frame: Frame::upright(v(0.0, 0.0, 0.0), v(1.0, 1.0, 1.0)),
        }
    }

    /// Turned about the vertical, then moved.
    pub(super) fn placed(&self, angle: f32, to: Vec3) -> Self {
        Solid {
            form: self.form.clone(),
            frame: self.frame.placed(angle, to),
        }
    }

    /// Points between which, by and large, the solid lies.
    pub(super) fn outline(&self) -> Vec<Vec3> {
        let ring = |radius: f32, z: f32| {
            (0..8).map(move |i| {
                let (sin, cos) = (i as f32 * std::f32::consts::FRAC_PI_4).sin_cos();
                v(radius * cos, radius * sin, z)
            })
        };
        let own: Vec<Vec3> = match &self.form {
            Form::Sphere => {
                let middle = ring(1.0, 0.0).chain(ring(0.7, 0.7)).chain(ring(0.7, -0.7));
                middle
                    .chain([v(0.0, 0.0, 1.0), v(0.0, 0.0, -1.0)])
                    .collect()
            }
            Form::Capsule { half } => {
                let ends = [v(0.0, 0.0, half + 1.0), v(0.0, 0.0, -half - 1.0)];
                ring(1.0, *half)
                    .chain(ring(1.0, -half))
                    .chain(ends)
                    .collect()
            }
            Form::Frustum { lower, upper } => ring(*lower, -1.0).chain(ring(*upper, 1.0)).collect(),
            Form::Convex { corners, .. } => corners.clone(),
        };
        own.into_iter().map(|p| self.frame.point(p)).collect()
    }

    /// The middle and the radius of a ball around the solid, a little larger than its outline.
    pub(super) fn ball(&self) -> (Vec3, f32) {
        let outline = self.outline();
        let middle = outline.iter().fold(v(0.0, 0.0, 0.0), |sum, p| sum + *p);
        let middle = middle * (1.0 / outline.len() as f32);
        let far = outline.iter().map(|p| (*p - middle).length());
        (middle, 1.1 * far.fold(0.0, f32::max))
    }

    /// Where a ray enters the solid, in front of its origin.
    pub(super) fn hit(&self, ray: &Ray) -> Option<Hit> {
        let own = Ray {
            origin: self.frame.into_own(ray.origin - self.frame.origin),
            direction: self.frame.into_own(ray.direction),
        };
        let (t, normal) = self.form.enter(&own).filter(|(t, _)| *t > 0.0)?;
        Some(Hit {
            t,
            normal: self.frame.normal(normal),
            own: own.at(t),
        })
    }
}

impl Form {
    fn enter(&self, ray: &Ray) -> Option<(f32, Vec3)> {
        match self {
            Form::Sphere => ball(ray, 0.0),
            Form::Capsule { half } => {
                let wall = shell(ray, 0.0, 1.0).filter(|(t, _)| ray.at(*t).z.abs() <= *half);
                wall.or_else(|| nearer(ball(ray, *half), ball(ray, -half)))
            }
            Form::Frustum { lower, upper } => {
                let (slope, radius) = (0.5 * (upper - lower), 0.5 * (upper + lower));
                let wall = shell(ray, slope, radius).filter(|(t, _)| ray.at(*t).z.abs() <= 1.0);
                let cap = |end: f32| {
                    let t = (end - ray.origin.z) / ray.direction.z;
                    let p = ray.at(t);
                    let inside = p.x.hypot(p.y) <= radius + slope * end;
                    inside.then_some((t, v(0.0, 0.0, end)))
                };
                // The cap that faces the ray.
                let cap = cap(if ray.direction.z > 0.0 { -1.0 } else { 1.0 });
                nearer(wall, cap)
            }
            Form::Convex { faces, .. } => {
                let (mut enter, mut leave) = ((f32::MIN, v(0.0, 0.0, 1.0)), f32::MAX);
                for &(normal, offset) in faces {
                    let speed = normal.dot(ray.direction);
                    let gap = offset - normal.dot(ray.origin);
                    let t = gap / speed;
                    match speed {
                        s if s < 0.0 && t > enter.0 => enter = (t, normal),
                        s if s > 0.0 => leave = leave.min(t),
                        s if s == 0.0 && gap < 0.0 => return None,
                        _ => {}
                    }
                }
                (enter.0 < leave).then_some(enter)
            }
        }
    }
}

/// A ball of radius 1 about a point of the z axis.
fn ball(ray: &Ray, z: f32) -> Option<(f32, Vec3)> {
    let from = ray.origin - v(0.0, 0.0, z);
    let t = first_root(
        ray.direction.dot(ray.direction),
        from.dot(ray.direction),
        from.dot(from) - 1.0,
    )?;
    Some((t, from + ray.direction * t))
}

/// A cone about the z axis of radius `radius + slope z`, without ends.
fn shell(ray: &Ray, slope: f32, radius: f32) -> Option<(f32, Vec3)> {
    let (o, d) = (ray.origin, ray.direction);
    let (wide, grow) = (radius + slope * o.z, slope * d.z);
    let t = first_root(
        d.x * d.x + d.y * d.y - grow * grow,
        o.x * d.x + o.y * d.y - wide * grow,
        o.x * o.x + o.y * o.y - wide * wide,
    )?;
    let p = ray.at(t);
    Some((t, v(p.x, p.y, -slope * (radius + slope * p.z))))
}

/// The smaller solution of `a t² + 2 b t + c = 0`, for `a > 0`.
fn first_root(a: f32, b: f32, c: f32) -> Option<f32> {
    let inside = b * b - a * c;
    (a > 0.0 && inside >= 0.0).then(|| (-b - inside.sqrt()) / a)
}

fn nearer(a: Option<(f32, Vec3)>, b: Option<(f32, Vec3)>) -> Option<(f32, Vec3)> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if a.0 <= b.0 { a } else { b }),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    fn from_front(y: f32, z: f32) -> Ray {
        Ray {
            origin: v(10.0, y, z),
            direction: v(-2.0, 0.0, 0.0),
        }
    }

    #[test]
    fn rays_enter_solids_where_they_should() {
        let up = v(0.0, 0.0, 1.0);
        // Solid, ray from the front at height z, x where it enters.
        let cases = [
            (
                Solid::ellipsoid(v(1.0, 0.0, 0.0), v(2.0, 1.0, 1.0)),
                0.0,
                Some(3.0),
            ),
            (
                Solid::ellipsoid(v(1.0, 0.0, 0.0), v(2.0, 1.0, 1.0)),
                1.1,
                None,
            ),
            (Solid::limb(v(0.0, 0.0, 0.0), up, 0.5), 0.9, Some(0.5)),
            (Solid::limb(v(0.0, 0.0, 0.0), up, 0.5), 1.3, Some(0.4)),
            (Solid::limb(v(0.0, 0.0, 0.0), up, 0.5), 1.6, None),
            (
                Solid::trunk(v(0.0, 0.0, 0.0), 2.0, 1.0, 0.5, [1.0, 2.0]),
                1.0,
                Some(0.75),
            ),
            (
                Solid::trunk(v(0.0, 0.0, 0.0), 2.0, 1.0, 0.5, [1.0, 2.0]),
                2.1,
                None,
            ),
            (
                Solid::block(v(0.0, 0.0, 1.0), v(0.5, 1.0, 1.0)),
                1.9,
                Some(0.5),
            ),
            (Solid::block(v(0.0, 0.0, 1.0), v(0.5, 1.0, 1.0)), 2.1, None),
        ];
        for (i, (solid, z, x)) in cases.iter().enumerate() {
            let ray = from_front(0.0, *z);
            let found = solid.hit(&ray).map(|hit| ray.at(hit.t).x);
            match (found, x) {
                (Some(found), Some(x)) => assert_abs_diff_eq!(found, x, epsilon = 1e-3),
                (found, x) => assert_eq!(found.is_some(), x.is_some(), "case {i}"),
            }
        }
    }

    #[test]
    fn sides_lean_and_normals_point_outwards() {
        let roof = Solid::prism(
            &[[-1.0, 0.0], [1.0, 0.0], [0.5, 1.0], [-0.5, 1.0]],
            [1.0, 0.5],
        );
        assert!(roof.hit(&from_front(0.9, 0.1)).is_some());
        assert!(roof.hit(&from_front(0.9, 0.9)).is_none());
        let hit = roof.hit(&from_front(0.0, 0.5)).unwrap();
        assert_abs_diff_eq!(hit.normal.length(), 1.0, epsilon = 1e-5);
        assert!(hit.normal.x > 0.8 && hit.normal.z > 0.3);
        assert_abs_diff_eq!(hit.own.x, 0.75, epsilon = 1e-4);
        // Turned to the left, its left side looks where its front did: (1, 0) becomes (0, 1).
        let turned = roof.placed(std::f32::consts::FRAC_PI_2, v(0.0, 0.0, 0.0));
        let hit = turned.hit(&from_front(0.0, 0.5)).unwrap();
        assert_abs_diff_eq!(hit.own.y, -0.75, epsilon = 1e-4);
    }

    #[test]
    fn the_outline_bounds_the_solid() {
        let solids = [
            Solid::limb(v(0.0, 0.0, 0.2), v(0.3, 0.1, 1.2), 0.2),
            Solid::trunk(v(0.0, 0.0, 0.1), 1.0, 0.6, 1.0, [0.3, 0.5]),
            Solid::disc(v(0.0, -0.1, 0.7), v(0.0, 0.1, 0.7), 0.4),
        ];
        for solid in solids {
            let top = solid.outline().iter().fold(f32::MIN, |top, p| top.max(p.z));
            let highest = (0..400).map(|i| i as f32 * 0.005).filter(|&z| {
                (-60..60).any(|y| solid.hit(&from_front(y as f32 * 0.01, z)).is_some())
            });
            assert_abs_diff_eq!(highest.fold(0.0, f32::max), top, epsilon = 0.03);
            let (middle, radius) = solid.ball();
            for (y, z) in (-60..60).flat_map(|y| (0..60).map(move |z| (y, z))) {
                let ray = from_front(0.02 * y as f32, 0.03 * z as f32);
                if let Some(hit) = solid.hit(&ray) {
                    assert!((ray.at(hit.t) - middle).length() < radius);
                }
            }
        }
    }
}
