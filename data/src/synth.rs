//! Made-up people and vehicles, seen by several cameras: a data set for re-identification that
//! everybody may have.
//!
//! Figures are solids in space, traced by rays: what is worn on the back is seen from behind and
//! not from the front. A figure differs from others by its build, clothes, bags and hair, or by
//! its model, paint, wheels and stickers; many share what is seen first and are told apart by
//! details. A camera has its street, height, light, colours, blur, noise and JPEG quality; a
//! picture its viewpoint, moment of a step, distance, detector's box and whatever stands in front.
//!
//! A picture is a function of the plan alone: of its seed and numbers, never of the threads.
//!
//! ```no_run
//! use data::synth::{Kind, Plan};
//!
//! # fn main() -> data::Result<()> {
//! let plan = Plan { identities: 300, seed: 7, ..Plan::new(Kind::People) };
//! let written = plan.write("people", |done, all| eprint!("\r{done} of {all}"))?;
//! println!("{} pictures to train on", written.train);
//! let survey = data::formats::reid::read(&data::formats::reid::MARKET_1501, "people")?;
//! # Ok(())
//! # }
//! ```

mod camera;
mod geometry;
mod people;
mod roster;
mod scene;
mod surface;
mod tables;
mod vehicles;

use crate::error::{Error, Result};
use camera::{Camera, Fit, Passage};
use engine::par;
use engine::rng::{Key, Rng};
use geometry::{Solid, v};
use people::{Person, Pose};
use roster::{Roster, Shot, Subject};
use scene::Part;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use surface::{Surface, between, rgb};
use vehicles::Vehicle;

/// What is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// People, in the layout of Market-1501: 64 by 128 pixels, at most six cameras, with
    /// distractors (identity 0000) and junk (-1).
    People,
    /// Vehicles, in the layout of VeRi-776 with all its lists: at most twenty cameras.
    Vehicles,
}

/// How hard it is to tell who is who.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difficulty {
    /// Nobody shares clothes or colours on purpose; cameras differ little.
    Easy,
    /// Three look alike at first sight.
    Normal,
    /// Six look alike at first sight; cameras, viewpoints and boxes vary widely, and a third is
    /// partly hidden.
    Hard,
}

/// What a data set is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What is seen.
    pub kind: Kind,
    /// People or vehicles, 2 to 9999: half of them for training, the others for testing.
    pub identities: usize,
    /// Cameras, at least 2. Each identity is seen by two or more of them.
    pub cameras: usize,
    /// Pictures of an identity by a camera, on average, 1 to 10.
    pub images_per_camera: usize,
    /// Another seed makes other figures, cameras and pictures.
    pub seed: u64,
    /// How hard it is.
    pub difficulty: Difficulty,
}

/// Numbers of pictures written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// For training.
    pub train: usize,
    /// Asked for in the test.
    pub query: usize,
    /// Ranked in the test, with distractors and junk.
    pub gallery: usize,
    /// Of those in the gallery that show nobody who is asked for.
    pub distractors: usize,
    /// Of those in the gallery that are neither right nor wrong.
    pub junk: usize,
}

/// A difficulty in numbers.
#[derive(Clone, Copy, Debug)]
struct Hardness {
    /// Identities that share clothes, or model and paint.
    alike: usize,
    /// How much cameras differ; 1 is usual.
    cameras: f32,
    /// By how much of its side the detector's box is off, at most.
    boxes: f32,
    /// How much viewpoints of one camera vary, in radians.
    yaw: f32,
    /// Loss of resolution and sharpness.
    blur: f32,
    /// The share of pictures with something in front.
    hidden: f64,
}

impl Difficulty {
    fn numbers(self) -> Hardness {
        match self {
            Difficulty::Easy => Hardness {
                alike: 1,
                cameras: 0.5,
                boxes: 0.03,
                yaw: 0.5,
                blur: 0.2,
                hidden: 0.05,
            },
            Difficulty::Normal => Hardness {
                alike: 3,
                cameras: 0.8,
                boxes: 0.06,
                yaw: 0.8,
                blur: 0.6,
                hidden: 0.2,
            },
            Difficulty::Hard => Hardness {
                alike: 6,
                cameras: 1.15,
                boxes: 0.1,
                yaw: 1.3,
                blur: 1.0,
                hidden: 0.33,
            },
        }
    }
}

impl Plan {
    /// 200 identities and six cameras, or eight for vehicles, of usual difficulty: a few thousand
    /// pictures.
    pub fn new(kind: Kind) -> Self {
        Plan {
            kind,
            identities: 200,
            cameras: match kind {
                Kind::People => 6,
                Kind::Vehicles => 8,
            },
            images_per_camera: 4,
            seed: 1,
            difficulty: Difficulty::Normal,
        }
    }

    /// Draws all pictures and writes them, with the lists that belong to them, as a new folder.
    /// It appears when all of it is there. `progress` is told how many pictures of how many are
    /// done, from several threads.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a number is out of its range or the folder is there already;
    /// [`Error::Io`] if it cannot be written.
    pub fn write(
        &self,
        folder: impl AsRef<Path>,
        progress: impl Fn(usize, usize) + Sync,
    ) -> Result<Written> {
        self.check()?;
        let folder = folder.as_ref();
        let is_free = match fs::read_dir(folder) {
            Ok(mut entries) => entries.next().is_none(),
            Err(_) => !folder.exists(),
        };
        if !is_free {
            return Err(Error::invalid(
                format!("output {}", folder.display()),
                "a folder that does not exist yet, or an empty one",
                "one with something in it",
                "choose another name or remove it",
            ));
        }
        let parent = match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let io = |e| Error::io(folder, e);
        fs::create_dir_all(parent).map_err(io)?;
        let workshop = tempfile::Builder::new()
            .prefix(".synth-")
            .tempdir_in(parent)
            .map_err(io)?;
        let unfinished = workshop.path().join("set");
        let roster = Roster::draw(self);
        for part in self.folders() {
            fs::create_dir_all(unfinished.join(part)).map_err(io)?;
        }
        let studio = Studio::new(self);
        let done = AtomicUsize::new(0);
        let results = par::map(roster.shots.len(), |i| {
            let shot = &roster.shots[i];
            let path = unfinished.join(&shot.path);
            let outcome = fs::write(&path, studio.picture(shot)).map_err(|e| Error::io(&path, e));
            progress(1 + done.fetch_add(1, Ordering::Relaxed), roster.shots.len());
            outcome
        });
        results.into_iter().collect::<Result<()>>()?;
        for (name, text) in tables::of(self, &roster, &studio) {
            let path = unfinished.join(name);
            fs::write(&path, text).map_err(|e| Error::io(&path, e))?;
        }
        fs::rename(&unfinished, folder).map_err(io)?;
        Ok(roster.counts())
    }

    /// Training, query, gallery.
    fn folders(&self) -> [&'static str; 3] {
        match self.kind {
            Kind::People => ["bounding_box_train", "query", "bounding_box_test"],
            Kind::Vehicles => ["image_train", "image_query", "image_test"],
        }
    }

    fn check(&self) -> Result<()> {
        let most = match self.kind {
            Kind::People => 6,
            Kind::Vehicles => 20,
        };
        for (what, found, range, hint) in [
            (
                "identities",
                self.identities,
                2..=9999,
                "names have four digits for them",
            ),
            (
                "cameras",
                self.cameras,
                2..=most,
                "the layout has room for no more",
            ),
            (
                "images per camera",
                self.images_per_camera,
                1..=10,
                "raise the identities instead",
            ),
        ] {
            if !range.contains(&found) {
                let expected = format!("{} to {}", range.start(), range.end());
                return Err(Error::invalid(what, expected, found, hint));
            }
        }
        Ok(())
    }
}

/// What draws the pictures of a plan.
struct Studio {
    kind: Kind,
    hardness: Hardness,
    key: Key,
    cameras: Vec<Camera>,
}

impl Studio {
    fn new(plan: &Plan) -> Self {
        let key = plan.key();
        let hardness = plan.difficulty.numbers();
        let camera = |c| Camera::draw(key.named("camera").at(c as u64), plan.kind, &hardness);
        Studio {
            kind: plan.kind,
            hardness,
            key,
            cameras: (0..plan.cameras).map(camera).collect(),
        }
    }

    /// The keys of what a group shares and of what is a figure's own.
    fn keys(&self, subject: Subject) -> [Key; 2] {
        match subject {
            Subject::Identity(i) => {
                let group = self.key.named("group").at((i / self.hardness.alike) as u64);
                [group, self.key.named("identity").at(i as u64)]
            }
            Subject::Stranger(i) => {
                let own = self.key.named("stranger").at(i as u64);
                [own.named("group"), own]
            }
        }
    }

    fn vehicle(&self, subject: Subject) -> Vehicle {
        let [group, own] = self.keys(subject);
        Vehicle::draw(group, own)
    }

    /// A figure at the origin, looking along x.
    fn figure(&self, [group, own]: [Key; 2], pose: Pose) -> Vec<Part> {
        match self.kind {
            Kind::People => Person::draw(group, own).parts(pose),
            Kind::Vehicles => Vehicle::draw(group, own).parts(),
        }
    }

    /// The bytes of a JPEG file.
    fn picture(&self, shot: &Shot) -> Vec<u8> {
        let camera = &self.cameras[shot.camera];
        // A passage is common to the pictures of one figure by one camera.
        let passage_key = match shot.subject {
            Subject::Identity(i) => self.key.named("passage").at(i as u64),
            Subject::Stranger(i) => self.key.named("strange passage").at(i as u64),
        };
        let mut rng = passage_key.at(shot.camera as u64).rng();
        let passage = camera.passage(&mut rng);
        let step = between(&mut rng, 0.0, std::f32::consts::TAU);
        let swing = if rng.chance(0.2) { 0.1 } else { 1.0 };
        let mut rng = self.key.named("picture").at(shot.number as u64).rng();
        let passage = camera.onwards(passage, &mut rng);
        let pose = Pose {
            phase: step + between(&mut rng, 0.0, std::f32::consts::TAU),
            swing,
        };
        let parts = match shot.is_thing {
            true => thing(&mut rng),
            false => self.figure(self.keys(shot.subject), pose),
        };
        let in_front = match rng.chance(self.hardness.hidden) {
            true => self.in_front(passage, shot.number, &mut rng),
            false => Vec::new(),
        };
        let fit = if shot.is_junk { Fit::Poor } else { Fit::Usual };
        camera.shoot(&parts, passage, in_front, fit, &mut rng)
    }

    /// A post, a low wall or a passer-by between camera and figure.
    fn in_front(&self, passage: Passage, number: usize, rng: &mut Rng) -> Vec<Part> {
        let towards = v(-passage.at.x, -passage.at.y, 0.0).unit();
        let aside = v(-towards.y, towards.x, 0.0);
        let scale = if self.kind == Kind::People { 1.0 } else { 2.5 };
        let sign = if rng.chance(0.5) { 1.0 } else { -1.0 };
        let off = aside * (sign * scale * between(rng, 0.12, 0.5));
        let grey = |rng: &mut Rng| rgb([0x4a4c4e, 0x7d776c, 0x54613f][rng.below(3)]);
        match rng.below(3) {
            0 => {
                let half = v(0.05, 0.07, 2.0) * scale;
                let at = passage.at + towards * (0.8 * scale) + off * 0.5;
                let post = Solid::block(v(at.x, at.y, half.z), half);
                vec![Part::new(post, Surface::plain(grey(rng)))]
            }
            1 => {
                let tall = match self.kind {
                    Kind::People => between(rng, 0.2, 0.42),
                    Kind::Vehicles => between(rng, 0.2, 0.35),
                };
                let half = v(0.1, 1.5 * scale, tall);
                let at = passage.at + towards * (0.7 * scale);
                let wall = Solid::block(v(at.x, at.y, half.z), half);
                vec![Part::new(wall, Surface::plain(grey(rng)))]
            }
            _ => {
                let key = self.key.named("passer-by").at(number as u64);
                let pose = Pose {
                    phase: between(rng, 0.0, std::f32::consts::TAU),
                    swing: 1.0,
                };
                let at = match self.kind {
                    Kind::People => passage.at + towards * 0.8 + off,
                    Kind::Vehicles => passage.at + towards * 3.2 + off * 2.2,
                };
                let parts = self.figure([key.named("group"), key], pose);
                let yaw = passage.yaw + between(rng, -0.6, 0.6);
                parts.iter().map(|p| p.placed(yaw, at)).collect()
            }
        }
    }
}

/// What a detector may take for a person: a bin, a post, a bush.
fn thing(rng: &mut Rng) -> Vec<Part> {
    let tall = between(rng, 1.2, 1.9);
    let colour = rgb([0x35503a, 0x55585c, 0x6b5a45, 0x2f3d55][rng.below(4)]);
    let solid = match rng.below(3) {
        0 => Solid::block(v(0.0, 0.0, 0.5 * tall), v(0.25, 0.3, 0.5 * tall)),
        1 => Solid::limb(v(0.0, 0.0, 0.1), v(0.0, 0.0, tall), 0.12),
        _ => Solid::ellipsoid(v(0.0, 0.0, 0.5 * tall), v(0.4, 0.4, 0.5 * tall)),
    };
    let blots = surface::Pattern::Blots(0.3, rng.bits() as u32);
    vec![Part::new(
        solid,
        Surface::patterned(colour, surface::scaled(colour, 0.6), blots),
    )]
}

impl Plan {
    fn key(&self) -> Key {
        Key::new(self.seed).named(match self.kind {
            Kind::People => "synthetic people",
            Kind::Vehicles => "synthetic vehicles",
        })
    }
}

#[cfg(test)]
#[path = "synth/tests.rs"]
mod tests;
