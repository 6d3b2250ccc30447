//! Tests of the augmentation: each variation against what it must do to a picture.

use super::*;
use crate::set::tests::counting;
use approx::assert_abs_diff_eq;
use engine::rng::Key;

const SHAPE: [usize; 3] = [28, 28, 1];

fn varied(augment: &Augment, image: &[u8], shape: [usize; 3], key: Key) -> Vec<f32> {
    let mut out = vec![f32::NAN; image.len()];
    augment.apply(image, shape, key, &mut out);
    out
}

/// A bright disc off the centre, of radius 5 around `(x, y)`.
fn disc(x: f32, y: f32) -> Vec<u8> {
    (0..784)
        .map(|i| {
            let (dx, dy) = ((i % 28) as f32 - x, (i / 28) as f32 - y);
            if dx * dx + dy * dy < 25.0 { 255 } else { 0 }
        })
        .collect()
}

/// Mass and centre of mass `(sum, x, y)`.
fn moments(image: &[f32]) -> (f32, f32, f32) {
    let sum: f32 = image.iter().sum();
    let x: f32 = image
        .iter()
        .enumerate()
        .map(|(i, v)| v * (i % 28) as f32)
        .sum();
    let y: f32 = image
        .iter()
        .enumerate()
        .map(|(i, v)| v * (i / 28) as f32)
        .sum();
    (sum, x / sum, y / sum)
}

#[test]
fn a_picture_is_a_function_of_its_key() {
    let set = counting(1, SHAPE, 1);
    let augment = Augment {
        erase: Some(Erase {
            probability: 0.9,
            area: (0.02, 0.2),
            aspect: 3.0,
            with: EraseWith::Noise,
        }),
        ..Augment::mnist_strong()
    };
    let key = Key::new(1).at(2);
    let one = varied(&augment, set.image(0), SHAPE, key.at(3));
    assert_eq!(one, varied(&augment, set.image(0), SHAPE, key.at(3)));
    assert_ne!(one, varied(&augment, set.image(0), SHAPE, key.at(4)));
    assert!(one.iter().all(|v| (0.0..=255.0).contains(v)));
}

#[test]
fn nothing_switched_on_changes_nothing() {
    let set = counting(1, [5, 7, 3], 1);
    let out = varied(&Augment::none(), set.image(0), [5, 7, 3], Key::new(1));
    assert!(
        out.iter()
            .zip(set.image(0))
            .all(|(&o, &i)| o == f32::from(i))
    );
}

#[test]
fn shifts_are_exact_and_cover_the_whole_range_evenly() {
    let set = counting(1, [5, 6, 2], 1);
    let image = set.image(0);
    let augment = Augment {
        background: 7,
        ..Augment::shift(2)
    };
    let mut seen = std::collections::HashMap::new();
    for index in 0..2500 {
        let out = varied(&augment, image, [5, 6, 2], Key::new(3).at(index));
        let moved = |dx: i64, dy: i64| {
            (0..60).all(|i| {
                let (x, y) = ((i as i64 / 2) % 6 - dx, (i as i64 / 12) - dy);
                let inside = (0..6).contains(&x) && (0..5).contains(&y);
                let from = if inside {
                    image[(y * 12 + x * 2 + i as i64 % 2) as usize]
                } else {
                    7
                };
                out[i] == f32::from(from)
            })
        };
        let shift = (-2..=2).flat_map(|dx| (-2..=2).map(move |dy| (dx, dy)));
        let shift = shift.into_iter().find(|&(dx, dy)| moved(dx, dy));
        *seen
            .entry(shift.expect("a shift by whole pixels"))
            .or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 25);
    assert!(seen.values().all(|n| (60..150).contains(n)), "{seen:?}");
}

#[test]
fn rotation_turns_about_the_centre_within_its_limit() {
    let image = disc(19.5, 13.5); // six pixels to the right of the centre
    let augment = Augment {
        rotate: 30.0,
        ..Augment::none()
    };
    let angles: Vec<f32> = (0..300)
        .map(|i| {
            let (sum, x, y) = moments(&varied(&augment, &image, SHAPE, Key::new(5).at(i)));
            let (x, y) = (x - 13.5, y - 13.5);
            assert_abs_diff_eq!(x.hypot(y), 6.0, epsilon = 0.05);
            assert_abs_diff_eq!(
                sum,
                moments(&image.iter().map(|&b| f32::from(b)).collect::<Vec<_>>()).0,
                epsilon = 300.0
            );
            y.atan2(x).to_degrees()
        })
        .collect();
    let (low, high) = angles
        .iter()
        .fold((0.0f32, 0.0f32), |(l, h), &a| (l.min(a), h.max(a)));
    assert!(
        (-30.5..-27.0).contains(&low) && (27.0..30.5).contains(&high),
        "{low} {high}"
    );
}

#[test]
fn scale_changes_the_area_by_its_square_within_its_limit() {
    let image = disc(13.5, 13.5);
    let whole: f32 = image.iter().map(|&b| f32::from(b)).sum();
    let augment = Augment {
        scale: 0.25,
        ..Augment::none()
    };
    let sizes: Vec<f32> = (0..300)
        .map(|i| {
            (varied(&augment, &image, SHAPE, Key::new(6).at(i))
                .iter()
                .sum::<f32>()
                / whole)
                .sqrt()
        })
        .collect();
    let (low, high) = sizes
        .iter()
        .fold((9.0f32, 0.0f32), |(l, h), &s| (l.min(s), h.max(s)));
    assert!(
        (0.77..0.84).contains(&low) && (1.2..1.28).contains(&high),
        "{low} {high}"
    );
}

#[test]
fn shear_slants_rows_and_leaves_the_area() {
    let image: Vec<u8> = (0..784)
        .map(|i| if (12..16).contains(&(i % 28)) { 255 } else { 0 })
        .collect();
    let augment = Augment {
        shear: 15.0,
        ..Augment::none()
    };
    let slopes: Vec<f32> = (0..200)
        .map(|i| {
            let out = varied(&augment, &image, SHAPE, Key::new(7).at(i));
            let centre = |y: usize| {
                let row = &out[y * 28..(y + 1) * 28];
                row.iter()
                    .enumerate()
                    .map(|(x, v)| v * x as f32)
                    .sum::<f32>()
                    / row.iter().sum::<f32>()
            };
            assert_abs_diff_eq!(out.iter().sum::<f32>(), 255.0 * 4.0 * 28.0, epsilon = 300.0);
            ((centre(23) - centre(4)) / 19.0).atan().to_degrees()
        })
        .collect();
    let (low, high) = slopes
        .iter()
        .fold((0.0f32, 0.0f32), |(l, h), &s| (l.min(s), h.max(s)));
    assert!(
        (-15.1..-13.0).contains(&low) && (13.0..15.1).contains(&high),
        "{low} {high}"
    );
}

#[test]
fn composed_maps_turn_first_and_shift_last() {
    // A shift after a rotation moves every picture by whole pixels: fractional parts agree.
    let image = disc(19.5, 13.5);
    let turned = Augment {
        rotate: 30.0,
        ..Augment::none()
    };
    let both = Augment {
        shift: 2,
        ..turned.clone()
    };
    for i in 0..50 {
        let key = Key::new(8).at(i);
        let (_, x0, y0) = moments(&varied(&turned, &image, SHAPE, key));
        let (_, x1, y1) = moments(&varied(&both, &image, SHAPE, key));
        for moved in [x1 - x0, y1 - y0] {
            assert_abs_diff_eq!(moved, moved.round(), epsilon = 0.02);
            assert!(moved.abs() < 2.1);
        }
    }
}

#[test]
fn composed_maps_keep_the_centre_the_area_and_the_unit_of_slanted_rows() {
    let augment = Augment {
        rotate: 40.0,
        shear: 30.0,
        ..Augment::none()
    };
    for i in 0..50 {
        let Affine { a, b, c, d, tx, ty } = Affine::draw(&augment, [9, 15, 1], Key::new(12).at(i));
        assert_abs_diff_eq!(a * d - b * c, 1.0, epsilon = 1e-5);
        // The way back of a horizontal slant, then a turn, moves rows as the turn alone.
        assert_abs_diff_eq!(c.hypot(d), 1.0, epsilon = 1e-5);
        assert_abs_diff_eq!(a * 7.0 + b * 4.0 + tx, 7.0, epsilon = 1e-4);
        assert_abs_diff_eq!(c * 7.0 + d * 4.0 + ty, 4.0, epsilon = 1e-4);
    }
}

#[test]
fn elastic_displacements_have_the_stated_size_and_smoothness() {
    let elastic = Elastic {
        alpha: 34.0,
        sigma: 4.0,
    };
    let (mut square, mut step, mut edge) = (0.0, 0.0, 0.0);
    let fields = 200;
    for i in 0..fields {
        let field = elastic.field([32, 32, 1], Key::new(9).at(i));
        for d in [&field.dx, &field.dy] {
            square += d.iter().map(|v| v * v).sum::<f32>() / 1024.0;
            step += d.windows(2).map(|w| (w[1] - w[0]).powi(2)).sum::<f32>() / 1023.0;
            edge += d[..32].iter().map(|v| v * v).sum::<f32>() / 32.0;
        }
    }
    let n = 2.0 * fields as f32;
    let (deviation, step, edge) = ((square / n).sqrt(), (step / n).sqrt(), (edge / n).sqrt());
    assert_abs_diff_eq!(deviation, 0.163 * 34.0 / 4.0, epsilon = 0.05);
    assert_abs_diff_eq!(edge, deviation, epsilon = 0.1);
    // Neighbours: sqrt(2 (1 - exp(-1/(4 sigma^2)))) deviations; the row ends add jumps.
    assert!(step < 0.35 * deviation, "{step} of {deviation}");
}

#[test]
fn elastic_deformation_without_strength_is_the_identity() {
    let set = counting(1, SHAPE, 1);
    let augment = Augment {
        elastic: Some(Elastic {
            alpha: 0.0,
            sigma: 4.0,
        }),
        ..Augment::none()
    };
    let out = varied(&augment, set.image(0), SHAPE, Key::new(1));
    assert!(
        out.iter()
            .zip(set.image(0))
            .all(|(&o, &i)| o == f32::from(i))
    );
}

#[test]
fn erasing_paints_one_rectangle_of_the_stated_area() {
    let image = vec![100; 20 * 30 * 3];
    let augment = Augment {
        erase: Some(Erase {
            probability: 0.5,
            area: (0.1, 0.2),
            aspect: 2.0,
            with: EraseWith::Background,
        }),
        background: 9,
        ..Augment::none()
    };
    let mut touched = 0;
    for i in 0..400 {
        let out = varied(&augment, &image, [20, 30, 3], Key::new(10).at(i));
        let painted: Vec<usize> = (0..600).filter(|p| out[3 * p] == 9.0).collect();
        assert!((0..600).all(|p| out[3 * p] == out[3 * p + 1] && out[3 * p] == out[3 * p + 2]));
        if painted.is_empty() {
            continue;
        }
        touched += 1;
        let (rows, columns) = (
            painted.iter().map(|p| p / 30),
            painted.iter().map(|p| p % 30),
        );
        let tall = rows.clone().max().unwrap() - rows.min().unwrap() + 1;
        let wide = columns.clone().max().unwrap() - columns.min().unwrap() + 1;
        assert_eq!(tall * wide, painted.len(), "a full rectangle");
        assert!((50..=130).contains(&painted.len()), "{}", painted.len());
        let aspect = tall as f32 / wide as f32;
        assert!((0.42..2.4).contains(&aspect), "{aspect}");
    }
    assert!((160..240).contains(&touched), "{touched}");
}

#[test]
fn settings_out_of_range_are_named() {
    let refused = |augment: Augment| augment.check().unwrap_err().to_string();
    let message = refused(Augment {
        rotate: f32::NAN,
        ..Augment::none()
    });
    assert!(
        message.contains("\"rotate\"") && message.contains("NaN"),
        "{message}"
    );
    let elastic = Some(Elastic {
        alpha: 34.0,
        sigma: 0.0,
    });
    assert!(
        refused(Augment {
            elastic,
            ..Augment::none()
        })
        .contains("elastic.sigma")
    );
    let erase = Some(Erase {
        probability: 0.5,
        area: (0.4, 0.2),
        aspect: 1.0,
        with: EraseWith::Noise,
    });
    assert!(
        refused(Augment {
            erase,
            ..Augment::none()
        })
        .contains("erase.area.1")
    );
    for sound in [
        Augment::none(),
        Augment::mnist_affine(),
        Augment::mnist_strong(),
    ] {
        sound.check().unwrap();
    }
}

#[test]
fn a_flip_exchanges_left_and_right_exactly() {
    let set = counting(1, [4, 6, 3], 1);
    let flip = |flip| Augment {
        flip,
        ..Augment::none()
    };
    let flipped = varied(&flip(1.0), set.image(0), [4, 6, 3], Key::new(1));
    for (line, wanted) in flipped.chunks(18).zip(set.image(0).chunks(18)) {
        let wanted = wanted.chunks(3).rev().flatten().map(|&b| f32::from(b));
        assert!(line.iter().copied().eq(wanted));
    }
    let half = (0..200)
        .filter(|&i| varied(&flip(0.5), set.image(0), [4, 6, 3], Key::new(1).at(i)) == flipped);
    assert!((70..130).contains(&half.count()));
}

#[test]
fn a_flip_comes_before_the_other_movements() {
    let set = counting(1, SHAPE, 1);
    let mirrored: Vec<u8> = set
        .image(0)
        .chunks(28)
        .flat_map(|line| line.iter().rev().copied())
        .collect();
    let moved = Augment {
        rotate: 30.0,
        shear: 10.0,
        ..Augment::shift(2)
    };
    let both = Augment {
        flip: 1.0,
        ..moved.clone()
    };
    for i in 0..10 {
        let found = varied(&both, set.image(0), SHAPE, Key::new(i));
        let wanted = varied(&moved, &mirrored, SHAPE, Key::new(i));
        for (found, wanted) in found.iter().zip(&wanted) {
            assert_abs_diff_eq!(found, wanted, epsilon = 0.05);
        }
    }
}

/// What is drawn for one variation does not depend on the others.
#[test]
fn a_flip_leaves_the_shift_as_it_was() {
    let image = disc(14.0, 14.0);
    let both = Augment {
        flip: 1.0,
        ..Augment::shift(4)
    };
    for i in 0..20 {
        let (_, x, y) = moments(&varied(&Augment::shift(4), &image, SHAPE, Key::new(i)));
        let (_, flipped_x, flipped_y) = moments(&varied(&both, &image, SHAPE, Key::new(i)));
        // The disc is half a pixel right of the centre; flipped, left of it.
        assert_abs_diff_eq!(flipped_x, x - 1.0, epsilon = 1e-3);
        assert_abs_diff_eq!(flipped_y, y, epsilon = 1e-3);
    }
}

#[test]
fn cutout_paints_a_square_that_may_hang_over() {
    let augment = Augment {
        cutout: 6,
        background: 9,
        ..Augment::none()
    };
    let image = vec![200; 784];
    let (mut whole, mut least) = (0, usize::MAX);
    for i in 0..300 {
        let out = varied(&augment, &image, SHAPE, Key::new(2).at(i));
        let painted = out.iter().filter(|&&v| v == 9.0).count();
        assert!(out.iter().all(|&v| v == 9.0 || v == 200.0));
        whole += usize::from(painted == 36);
        least = least.min(painted);
    }
    // The centre is far enough from the edge in (23/28)² of the images.
    assert!((170..240).contains(&whole), "{whole}");
    assert!((9..24).contains(&least), "{least}");
}

#[test]
fn colours_and_rand_augment_are_part_of_the_way() {
    let set = counting(1, [8, 8, 3], 1);
    let colour = Augment {
        colour: Some(ColourJitter {
            brightness: 0.5,
            contrast: 0.5,
            saturation: 0.5,
            hue: 0.1,
        }),
        ..Augment::none()
    };
    let rand_augment = Augment {
        rand_augment: Some(RandAugment {
            operations: 3,
            strength: 0.5,
        }),
        ..Augment::none()
    };
    for augment in [colour, rand_augment] {
        augment.check().unwrap();
        let show = |i| varied(&augment, set.image(0), [8, 8, 3], Key::new(i));
        assert_eq!(show(1), show(1));
        assert_ne!(show(1), show(2));
        assert!(show(1).iter().all(|v| (0.0..=255.0).contains(v)));
    }
}

#[test]
fn new_settings_out_of_range_are_refused() {
    let refused = |augment: Augment, name: &str| {
        let message = augment.check().unwrap_err().to_string();
        assert!(message.contains(name), "{message}");
    };
    let none = Augment::none;
    refused(
        Augment {
            flip: 1.5,
            ..none()
        },
        "flip",
    );
    let crop = |area, aspect| Augment {
        crop: Some(ResizedCrop { area, aspect }),
        ..none()
    };
    refused(crop((0.0, 1.0), 1.0), "crop.area.0");
    refused(crop((0.5, 0.4), 1.0), "crop.area.1");
    refused(crop((0.5, 1.0), 0.9), "crop.aspect");
    let hue = ColourJitter {
        hue: 0.6,
        ..ColourJitter::default()
    };
    refused(
        Augment {
            colour: Some(hue),
            ..none()
        },
        "colour.hue",
    );
    let strong = RandAugment {
        operations: 2,
        strength: f32::NAN,
    };
    refused(
        Augment {
            rand_augment: Some(strong),
            ..none()
        },
        "rand_augment.strength",
    );
}
