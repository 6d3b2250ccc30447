//! The images of a class, dealt like cards.

use engine::rng::{Key, Rng};
use std::collections::BTreeMap;

/// A deck for each class, with the images of it. Cameras are empty where they do not matter.
pub(super) fn of_classes(labels: &[usize], cameras: &[u32], key: Key) -> Vec<Deck> {
    let classes = labels.iter().max().map_or(0, |&most| most + 1);
    let mut decks: Vec<Deck> = (0..classes)
        .map(|class| Deck::new(key.at(class as u64)))
        .collect();
    for (i, &label) in labels.iter().enumerate() {
        let camera = cameras.get(i).copied().unwrap_or(0);
        decks[label].cameras.entry(camera).or_default().push(i);
    }
    decks
}

/// The images of one class, dealt without replacement and reshuffled when they are used up.
pub(super) struct Deck {
    /// All images, by camera.
    cameras: BTreeMap<u32, Vec<usize>>,
    stack: Vec<usize>,
    rng: Rng,
}

impl Deck {
    fn new(key: Key) -> Self {
        Deck {
            cameras: BTreeMap::new(),
            stack: Vec::new(),
            rng: key.rng(),
        }
    }

    /// Whether there are no images.
    pub(super) fn is_empty(&self) -> bool {
        self.cameras.is_empty()
    }

    /// Adds `count` images to the hand.
    pub(super) fn deal(&mut self, count: usize, hand: &mut Vec<usize>) {
        let start = hand.len();
        while hand.len() < start + count {
            if self.stack.is_empty() {
                self.shuffle();
                // What is in the hand already goes to the bottom: a visit shows no image twice
                // before it has shown them all.
                let dealt = &hand[start..];
                self.stack.sort_by_key(|image| !dealt.contains(image));
            }
            hand.extend(self.stack.pop());
        }
    }

    /// Stacks all images anew, each camera's in random order and evenly from bottom to top.
    fn shuffle(&mut self) {
        let mut placed: Vec<(f64, usize)> = Vec::new();
        for images in self.cameras.values() {
            let mut images = images.clone();
            self.rng.shuffle(&mut images);
            let (offset, count) = (self.rng.uniform(), images.len() as f64);
            let place = |i: usize| (i as f64 + offset) / count;
            placed.extend(
                images
                    .iter()
                    .enumerate()
                    .map(|(i, &image)| (place(i), image)),
            );
        }
        placed.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.stack
            .extend(placed.into_iter().map(|(_, image)| image));
    }
}
