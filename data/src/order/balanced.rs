//! As many images of each class.

use super::deck::{self, Deck};
use engine::rng::Key;

/// `count` images, of each class equally many, give or take one.
pub(super) fn draw(labels: &[usize], count: usize, key: Key) -> Vec<usize> {
    let mut decks: Vec<Deck> = deck::of_classes(labels, &[], key.named("images"))
        .into_iter()
        .filter(|deck| !deck.is_empty())
        .collect();
    let mut rng = key.named("classes").rng();
    // Those that come first get what is left over.
    let turn = rng.permutation(decks.len());
    let mut indices = Vec::with_capacity(count);
    for (place, class) in turn.into_iter().enumerate() {
        let share = count / decks.len() + usize::from(place < count % decks.len());
        decks[class].deal(share, &mut indices);
    }
    rng.shuffle(&mut indices);
    indices
}

#[cfg(test)]
mod tests {
    use crate::order::Order;
    use engine::rng::Key;

    #[test]
    fn classes_come_equally_often_and_images_of_a_class_too() {
        // 90, 9 and 4 images; class 1 is empty.
        let labels: Vec<usize> = (0..103)
            .map(|i| [0, 2, 3][usize::from(i > 89) + usize::from(i > 98)])
            .collect();
        let order = Order::balanced(10);
        let plan = |epoch| order.plan(&labels, &[], Key::new(1).at(epoch));
        assert_eq!((order.batches(&labels), plan(0).batches()), (10, 10));
        assert_eq!(plan(0).indices().len(), 100);
        let mut seen = [0; 103];
        plan(0).indices().iter().for_each(|&i| seen[i] += 1);
        let times = |class: usize| -> Vec<usize> {
            (0..103)
                .filter(|&i| labels[i] == class)
                .map(|i| seen[i])
                .collect()
        };
        for class in [0, 2, 3] {
            let times = times(class);
            let sum: usize = times.iter().sum();
            assert!((33..=34).contains(&sum), "class {class}: {sum}");
            let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
            assert!(most - least <= 1, "class {class}: {times:?}");
        }
        assert_ne!(plan(0), plan(1));
        // Mixed: the first batch does not hold one class alone.
        let first: Vec<usize> = plan(0).batch(0).iter().map(|&i| labels[i]).collect();
        assert!(first.iter().any(|&label| label != first[0]));
    }
}
