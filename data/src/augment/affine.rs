//! Shift, rotation, scale and shear as one map, and the one sampling that all geometry shares.

use super::Augment;
use super::elastic::Field;
use engine::rng::Key;

/// Where a pixel of the result comes from: `(x, y)` of the image is
/// `(a x' + b y' + tx, c x' + d y' + ty)`, in pixels from the centre of the upper left pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Affine {
    pub(super) a: f32,
    pub(super) b: f32,
    pub(super) c: f32,
    pub(super) d: f32,
    pub(super) tx: f32,
    pub(super) ty: f32,
}

impl Affine {
    pub(super) fn draw(limits: &Augment, [height, width, _]: [usize; 3], key: Key) -> Affine {
        let mut rng = key.named("affine").rng();
        let steps = 2 * limits.shift as usize + 1;
        let mut pixels = || rng.below(steps) as f32 - limits.shift as f32;
        let (dx, dy) = (pixels(), pixels());
        let mut either_way = || rng.range(-1.0, 1.0);
        let angle = (f64::from(limits.rotate) * either_way()).to_radians();
        let size = (f64::from(limits.scale).ln_1p() * either_way()).exp();
        let slant = (f64::from(limits.shear) * either_way()).to_radians().tan();

        // Forwards, a point is slanted, sized, turned, shifted; the way back runs in reverse:
        // p = slant⁻¹ · (1/size) · turn⁻¹ · (p' - centre - shift) + centre.
        let (sin, cos) = angle.sin_cos();
        let a = ((cos + slant * sin) / size) as f32;
        let b = ((sin - slant * cos) / size) as f32;
        let c = (-sin / size) as f32;
        let d = (cos / size) as f32;
        // What leaves left and right exchanged comes first: flipped, then slanted and so on.
        let mirror = if key.named("flip").rng().chance(f64::from(limits.flip)) {
            -1.0
        } else {
            1.0
        };
        let (a, b) = (mirror * a, mirror * b);
        let (cx, cy) = (0.5 * (width as f32 - 1.0), 0.5 * (height as f32 - 1.0));
        let (x, y) = (cx + dx, cy + dy);
        Affine {
            a,
            b,
            c,
            d,
            tx: cx - a * x - b * y,
            ty: cy - c * x - d * y,
        }
    }

    pub(super) fn is_identity(&self) -> bool {
        let Affine { a, b, c, d, tx, ty } = *self;
        [a, b, c, d, tx, ty] == [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    }
}

/// Bilinear sampling of `image` at the places that `map` and `field` send each pixel of `out` to.
///
/// The image is copied into a frame of background, one pixel wide before and two behind, and a
/// place is held to that frame. So the four neighbours always exist, a pixel half outside blends
/// with the background, and there is no case to tell apart.
pub(super) fn resample(
    image: &[u8],
    [height, width, channels]: [usize; 3],
    map: &Affine,
    field: Option<&Field>,
    background: u8,
    out: &mut [f32],
) {
    let row = (width + 3) * channels;
    let mut framed = vec![f32::from(background); (height + 3) * row];
    for (y, line) in image.chunks_exact(width * channels).enumerate() {
        let start = (y + 1) * row + channels;
        super::to_floats(line, &mut framed[start..start + line.len()]);
    }
    let (right, bottom) = (width as f32, height as f32);
    for (to_y, line) in out.chunks_exact_mut(width * channels).enumerate() {
        let (start_x, start_y) = (map.b * to_y as f32 + map.tx, map.d * to_y as f32 + map.ty);
        for (to_x, pixel) in line.chunks_exact_mut(channels).enumerate() {
            let mut x = map.a * to_x as f32 + start_x;
            let mut y = map.c * to_x as f32 + start_y;
            if let Some(field) = field {
                x += field.dx[to_y * width + to_x];
                y += field.dy[to_y * width + to_x];
            }
            // In the frame's own coordinates, never negative: truncation rounds down.
            let (x, y) = (x.clamp(-1.0, right) + 1.0, y.clamp(-1.0, bottom) + 1.0);
            let (left, top) = (x as usize, y as usize);
            let (fx, fy) = (x - left as f32, y - top as f32);
            let at = top * row + left * channels;
            let upper = &framed[at..at + 2 * channels];
            let lower = &framed[at + row..at + row + 2 * channels];
            for (k, value) in pixel.iter_mut().enumerate() {
                let above = upper[k] + fx * (upper[k + channels] - upper[k]);
                let below = lower[k] + fx * (lower[k + channels] - lower[k]);
                *value = above + fy * (below - above);
            }
        }
    }
}
