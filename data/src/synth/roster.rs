//! Which pictures there are: who is seen by whom, how often, for what, and under which name.

use super::{Kind, Plan, Written};
use crate::metrics::retrieval::JUNK_LABEL;
use engine::rng::Rng;

/// Who is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// An identity of the data set, from 0.
    Identity(usize),
    /// Somebody nobody asks for.
    Stranger(usize),
}

/// What a picture is for; the number of its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Train = 0,
    Query = 1,
    Gallery = 2,
}

/// One picture.
#[derive(Clone, Debug)]
pub(super) struct Shot {
    pub(super) subject: Subject,
    /// The label, as the name spells it.
    pub(super) label: String,
    /// From 0.
    pub(super) camera: usize,
    pub(super) role: Role,
    /// Whether the box misses the figure.
    pub(super) is_junk: bool,
    /// Whether it shows no figure at all.
    pub(super) is_thing: bool,
    /// Which it is of all.
    pub(super) number: usize,
    /// From the folder of the data set.
    pub(super) path: String,
}

impl Shot {
    /// The name of the file.
    pub(super) fn name(&self) -> &str {
        self.path.split_once('/').map_or("", |(_, name)| name)
    }
}

/// All pictures, by path within each role.
pub(super) struct Roster {
    pub(super) shots: Vec<Shot>,
}

/// Distractors and junk for each picture of the gallery, as in Market-1501.
const DISTRACTORS: f64 = 0.2;
const JUNK: f64 = 0.25;

impl Roster {
    pub(super) fn draw(plan: &Plan) -> Self {
        let rng = &mut plan.key().named("roster").rng();
        let train = plan.identities / 2;
        // Numbers of training and test identities alternate at random, as in the originals.
        let numbers = rng.permutation(plan.identities);
        let mut shots = Vec::new();
        for (identity, number) in numbers.into_iter().enumerate() {
            let is_train = identity < train;
            let seen_by = 2 + rng.below(plan.cameras - 1);
            let cameras = rng.permutation(plan.cameras);
            for &camera in &cameras[..seen_by] {
                let most = 2 * plan.images_per_camera - 1;
                // A test identity needs a query and something to be found.
                let images = (1 + rng.below(most)).max(if is_train { 1 } else { 2 });
                let query = rng.below(images);
                for image in 0..images {
                    let role = match is_train {
                        true => Role::Train,
                        false if image == query => Role::Query,
                        false => Role::Gallery,
                    };
                    shots.push(Shot {
                        subject: Subject::Identity(identity),
                        label: format!("{:04}", number + 1),
                        camera,
                        role,
                        is_junk: false,
                        is_thing: false,
                        number: 0,
                        path: String::new(),
                    });
                }
            }
        }
        if plan.kind == Kind::People {
            strangers(plan, train, rng, &mut shots);
        }
        name(plan, rng, &mut shots);
        shots.sort_by(|a, b| (a.role as usize, &a.path).cmp(&(b.role as usize, &b.path)));
        Roster { shots }
    }

    pub(super) fn counts(&self) -> Written {
        let count = |wanted: fn(&Shot) -> bool| self.shots.iter().filter(|s| wanted(s)).count();
        Written {
            train: count(|s| s.role == Role::Train),
            query: count(|s| s.role == Role::Query),
            gallery: count(|s| s.role == Role::Gallery),
            distractors: count(|s| s.label == "0000"),
            junk: count(|s| s.is_junk),
        }
    }

    /// The pictures for one purpose.
    pub(super) fn of(&self, role: Role) -> impl Iterator<Item = &Shot> {
        self.shots.iter().filter(move |s| s.role == role)
    }
}

/// Distractors, of which a quarter are things, and junk, which shows somebody of the test badly.
fn strangers(plan: &Plan, train: usize, rng: &mut Rng, shots: &mut Vec<Shot>) {
    let gallery = shots.iter().filter(|s| s.role == Role::Gallery).count() as f64;
    let shot = |subject, label: &str, camera, is_junk, is_thing| Shot {
        subject,
        label: label.into(),
        camera,
        role: Role::Gallery,
        is_junk,
        is_thing,
        number: 0,
        path: String::new(),
    };
    for stranger in 0..(DISTRACTORS * gallery) as usize {
        let camera = rng.below(plan.cameras);
        let is_thing = rng.chance(0.25);
        shots.push(shot(
            Subject::Stranger(stranger),
            "0000",
            camera,
            false,
            is_thing,
        ));
    }
    for _ in 0..(JUNK * gallery) as usize {
        let identity = train + rng.below(plan.identities - train);
        let camera = rng.below(plan.cameras);
        shots.push(shot(
            Subject::Identity(identity),
            JUNK_LABEL,
            camera,
            true,
            false,
        ));
    }
}

/// Numbers the pictures and names them by the time at which their camera took them: passages come
/// in any order, the pictures of one follow each other.
fn name(plan: &Plan, rng: &mut Rng, shots: &mut [Shot]) {
    let folders = plan.folders();
    let mut frames = vec![0usize; plan.cameras];
    let passage = |shot: &Shot| (shot.subject, shot.camera, shot.is_junk);
    let starts: Vec<usize> = (0..shots.len())
        .filter(|&i| i == 0 || passage(&shots[i]) != passage(&shots[i - 1]))
        .collect();
    let mut number = 0;
    for p in rng.permutation(starts.len()) {
        let end = starts.get(p + 1).copied().unwrap_or(shots.len());
        for shot in &mut shots[starts[p]..end] {
            let frame = &mut frames[shot.camera];
            *frame += 1 + rng.below(10);
            let camera = shot.camera + 1;
            let name = match plan.kind {
                Kind::People => {
                    let (sequence, frame) = (1 + *frame / FRAMES, *frame % FRAMES);
                    // A query's box was drawn by hand.
                    let detection = if shot.role == Role::Query {
                        0
                    } else {
                        1 + rng.below(5)
                    };
                    format!(
                        "{}_c{camera}s{sequence}_{frame:06}_{detection:02}.jpg",
                        shot.label
                    )
                }
                Kind::Vehicles => format!("{}_c{camera:03}_{frame:08}_0.jpg", shot.label),
            };
            shot.path = format!("{}/{name}", folders[shot.role as usize]);
            shot.number = number;
            number += 1;
        }
    }
}

/// Frames in a sequence of a camera.
const FRAMES: usize = 150_000;
