//! What the augmentation does to MNIST, and how fast: writes a contact sheet per preset into a
//! folder and prints images per second on one core.
//!
//! `cargo run --release -p data --example augment -- FOLDER`

use data::{Augment, Examples, Images, Loader, Normalise, Order, contact_sheet, mnist};
use engine::rng::Key;
use std::path::PathBuf;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("usage: augment FOLDER")?);
    let train = mnist::embedded().train;
    let few = train.subset(&(0..10).flat_map(|i| [i; 16]).collect::<Vec<_>>());
    let normalise = Normalise::measured(&train);

    let erasing = Augment {
        erase: Some(data::augment::Erase {
            probability: 0.5,
            area: (0.02, 0.2),
            aspect: 3.0,
            with: data::augment::EraseWith::Noise,
        }),
        ..Augment::none()
    };
    let presets = [
        ("none", Augment::none()),
        ("shift", Augment::shift(2)),
        ("affine", Augment::mnist_affine()),
        ("strong", Augment::mnist_strong()),
        ("erasing", erasing),
    ];
    for (name, augment) in presets {
        let images = Images::new(train.clone(), normalise.clone())?.augmented(augment.clone())?;
        let mut out = vec![0.0; 28 * 28];
        let key = Key::new(1);
        let start = Instant::now();
        for i in 0..train.len() {
            images.write(i, Some(key.at(i as u64)), &mut out)?;
        }
        let speed = train.len() as f64 / start.elapsed().as_secs_f64();
        println!("{name:>8}: {speed:>9.0} images/s");

        // Each row one digit; the order keeps them side by side.
        let images = Images::new(few.clone(), normalise.clone())?.augmented(augment)?;
        let loader = Loader::new(images, Order::sequential(few.len()), 1)?;
        let batch = loader.epoch(0).next().ok_or("no batch")??;
        let path = folder.join(format!("{name}.png"));
        contact_sheet(&batch, &normalise, 16).save(&path)?;
    }
    Ok(())
}
