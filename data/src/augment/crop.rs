//! Random resized crops: C. Szegedy et al., "Going Deeper with Convolutions", CVPR 2015.

use crate::decode::Area;
use engine::rng::Key;

/// Shows a random part of a picture in full size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResizedCrop {
    /// The smallest and the largest share of the picture's area, uniform in between.
    pub area: (f32, f32),
    /// The largest ratio of the part's sides, either way, uniform in its logarithm; 1 is a
    /// square.
    pub aspect: f32,
}

impl ResizedCrop {
    /// The usual one for ImageNet and for retrieval: 8 to 100 % of the area, sides up to 3:4.
    pub fn inception() -> Self {
        ResizedCrop {
            area: (0.08, 1.0),
            aspect: 4.0 / 3.0,
        }
    }

    /// The part of `whole` that belongs to the key. What does not fit is drawn again, ten times at
    /// most; then it is the largest part in the middle whose sides have an allowed ratio.
    pub(crate) fn draw(&self, whole: Area, key: Key) -> Area {
        let mut rng = key.rng();
        let (width, height) = (f64::from(whole.width), f64::from(whole.height));
        let log_aspect = f64::from(self.aspect).ln();
        let part = |left: f64, top: f64, width: f64, height: f64| Area {
            left: whole.left + left as f32,
            top: whole.top + top as f32,
            width: width as f32,
            height: height as f32,
        };
        for _ in 0..10 {
            let share = rng.range(f64::from(self.area.0), f64::from(self.area.1));
            let aspect = rng.range(-log_aspect, log_aspect).exp();
            let wide = (share * width * height * aspect).sqrt();
            let tall = wide / aspect;
            let (x, y) = (rng.uniform(), rng.uniform());
            if wide <= width && tall <= height {
                return part(x * (width - wide), y * (height - tall), wide, tall);
            }
        }
        let aspect = f64::from(self.aspect);
        let wide = width.min(height * aspect);
        let tall = height.min(width * aspect);
        part(0.5 * (width - wide), 0.5 * (height - tall), wide, tall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_inside_and_have_the_area_and_the_sides_asked_for() {
        let crop = ResizedCrop {
            area: (0.2, 0.6),
            aspect: 1.5,
        };
        let whole = Area {
            left: 10.0,
            top: 20.0,
            width: 60.0,
            height: 50.0,
        };
        let (mut least, mut most) = (f32::MAX, 0.0f32);
        for i in 0..500 {
            let part = crop.draw(whole, Key::new(1).at(i));
            assert!(part.left >= 10.0 && part.left + part.width <= 70.001);
            assert!(part.top >= 20.0 && part.top + part.height <= 70.001);
            let (share, ratio) = (part.width * part.height / 3000.0, part.width / part.height);
            assert!((0.199..0.601).contains(&share), "{share}");
            assert!((0.66..1.51).contains(&ratio), "{ratio}");
            (least, most) = (least.min(share), most.max(share));
        }
        assert!(least < 0.22 && most > 0.58, "{least} {most}");
    }

    #[test]
    fn a_long_picture_gives_its_middle() {
        let crop = ResizedCrop {
            area: (1.0, 1.0),
            aspect: 2.0,
        };
        let part = crop.draw(
            Area {
                left: 0.0,
                top: 0.0,
                width: 100.0,
                height: 10.0,
            },
            Key::new(1),
        );
        assert_eq!(
            part,
            Area {
                left: 40.0,
                top: 0.0,
                width: 20.0,
                height: 10.0
            }
        );
    }
}
