//! The lists that lie beside the pictures.

use super::roster::{Role, Roster, Shot, Subject};
use super::vehicles::{COLOURS, TYPES};
use super::{Difficulty, Kind, Plan, Studio};
use std::collections::HashMap;
use std::fmt::Write;

/// Names and contents of text files.
pub(super) fn of(plan: &Plan, roster: &Roster, studio: &Studio) -> Vec<(&'static str, String)> {
    let mut files = vec![("about.txt", about(plan))];
    if plan.kind == Kind::Vehicles {
        files.extend(veri(plan, roster, studio));
    }
    files
}

fn about(plan: &Plan) -> String {
    let (kind, layout) = match plan.kind {
        Kind::People => ("reid", "Market-1501"),
        Kind::Vehicles => ("vehicles", "VeRi-776"),
    };
    let difficulty = match plan.difficulty {
        Difficulty::Easy => "easy",
        Difficulty::Normal => "normal",
        Difficulty::Hard => "hard",
    };
    format!(
        "Rendered pictures, not photographs, in the layout of {layout}. Made by\n\
         hypersphere data synth {kind} --identities {} --cameras {} --images-per-camera {} --seed {} \
         --difficulty {difficulty}\n",
        plan.identities, plan.cameras, plan.images_per_camera, plan.seed
    )
}

/// VeRi-776's lists of names, of true matches and junk, of labels, tracks, colours and types.
fn veri(plan: &Plan, roster: &Roster, studio: &Studio) -> Vec<(&'static str, String)> {
    let names = |role| roster.of(role).map(|s| format!("{}\n", s.name())).collect();
    let numbered = |names: &[&str]| {
        let lines = (1..).zip(names);
        lines.map(|(i, name)| format!("{i} {name}\n")).collect()
    };
    let cameras = (1..=plan.cameras).map(|c| format!("c{c:03}\n"));
    vec![
        ("name_train.txt", names(Role::Train)),
        ("name_query.txt", names(Role::Query)),
        ("name_test.txt", names(Role::Gallery)),
        ("gt_index.txt", matches(roster, |query, item| query != item)),
        ("jk_index.txt", matches(roster, |query, item| query == item)),
        (
            "train_label.xml",
            labels("TrainingImages", roster, Role::Train, studio),
        ),
        (
            "test_label.xml",
            labels("TestImages", roster, Role::Gallery, studio),
        ),
        ("test_track.txt", tracks(roster)),
        ("list_color.txt", numbered(&COLOURS)),
        ("list_type.txt", numbered(&TYPES)),
        ("camera_ID.txt", cameras.collect()),
    ]
}

/// For each query the places in the gallery, from 1, of its vehicle by the wanted cameras.
fn matches(roster: &Roster, wanted: fn(usize, usize) -> bool) -> String {
    let mut places: HashMap<&str, Vec<(usize, usize)>> = HashMap::new();
    for (place, shot) in (1..).zip(roster.of(Role::Gallery)) {
        let entry = places.entry(&shot.label).or_default();
        entry.push((place, shot.camera));
    }
    let mut text = String::new();
    for query in roster.of(Role::Query) {
        let of_label = places.get(query.label.as_str()).into_iter().flatten();
        for (place, _) in of_label.filter(|(_, camera)| wanted(query.camera, *camera)) {
            // Memory takes it.
            let _ = write!(text, "{place} ");
        }
        text.push('\n');
    }
    text
}

fn labels(element: &str, roster: &Roster, role: Role, studio: &Studio) -> String {
    let shots: Vec<&Shot> = roster.of(role).collect();
    let mut known: HashMap<Subject, [usize; 2]> = HashMap::new();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"gb2312\"?>\n<{element} Version=\"1.0\">\n  \
         <Items number=\"{}\">\n",
        shots.len()
    );
    for shot in shots {
        let [colour, kind] =
            *(known.entry(shot.subject)).or_insert_with(|| studio.vehicle(shot.subject).labels());
        let _ = writeln!(
            text,
            "    <Item imageName=\"{}\" vehicleID=\"{}\" cameraID=\"c{:03}\" colorID=\"{colour}\" \
             typeID=\"{kind}\" />",
            shot.name(),
            shot.label,
            shot.camera + 1
        );
    }
    let _ = write!(text, "  </Items>\n</{element}>\n");
    text
}

/// One line for each vehicle and camera of the gallery: its pictures.
fn tracks(roster: &Roster) -> String {
    let gallery: Vec<&Shot> = roster.of(Role::Gallery).collect();
    let mut text = String::new();
    // Names begin with vehicle and camera, so a track is together.
    for track in gallery.chunk_by(|a, b| (&a.label, a.camera) == (&b.label, b.camera)) {
        let names: Vec<&str> = track.iter().map(|shot| shot.name()).collect();
        text.push_str(&names.join(" "));
        text.push('\n');
    }
    text
}
