//! Screens of several sizes, as text.

use super::*;
use crate::figures::Figures;
use crate::progress::{Speed, Step, Training};
use crate::protocol::Protocol;
use crate::trainer::{EpochRow, Health, Term};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::ops::Range;

fn training() -> Training {
    Training {
        run: "runs/mnist-so-softmax-1".into(),
        recipe: "mnist".into(),
        loss: "so-softmax:lambda_p=32,lambda_n=32,m=0.3 + 0.01*center".into(),
        items: "images",
        protocol: Protocol::Classify,
        steps: 2574,
        done: 0,
    }
}

fn step(step: u64) -> Step {
    let (epoch, epoch_step) = (1 + (step - 1) / 429, 1 + (step - 1) % 429);
    Step {
        epoch,
        epochs: 6,
        epoch_step,
        epoch_steps: 429,
        step,
        steps: 2574,
        loss: 0.4321,
        step_loss: 12.5 / (1.0 + step as f64 / 40.0),
        accuracy: Some(0.9875),
    }
}

fn row(epoch: u64, accuracy: f64) -> EpochRow {
    let term = |name: &str, weight, value, gradient| Term {
        name: name.into(),
        weight,
        value,
        gradient,
        head_gradient: 0.0,
    };
    EpochRow {
        epoch,
        step: 429 * epoch,
        lr: 0.0625,
        train_loss: 0.5,
        train_accuracy: Some(0.97),
        validation: Some(Figures::of(5_000).with("accuracy", accuracy)),
        health: Some(Health {
            images: 1024,
            terms: vec![
                term("so-softmax", 1.0, 0.4219, 0.00375),
                term("center", 0.01, 1.018, 1.25e-4),
            ],
            gradient_norm: 0.8125,
            cosine_same: Some(0.941),
            cosine_different: Some(-0.028),
            theta_own: Some(19.5),
            effective_rank: Some(42.25),
        }),
        findings: Vec::new(),
        images_per_second: 812.0,
        waited_s: 0.0,
        seconds: 60.0,
    }
}

/// In the middle of the third epoch.
fn board() -> Board {
    let mut board = Board::new(training(), &[]);
    let speed = Speed {
        per_second: 812.4,
        remaining: 187.0,
    };
    for n in 1..=1_000 {
        board.step(&step(n), &speed);
        if n % 429 == 0 {
            let epoch = n / 429;
            let line = format!(
                "epoch {epoch}/6: loss 0.5000, accuracy 97.00 %; validation accuracy 98.10 %; 20° to own class, rank 42.2; 812 images/s, 60.0 s"
            );
            let accuracy = if epoch == 1 { 0.962 } else { 0.981 };
            board.epoch(&row(epoch, accuracy), &[line]);
        }
    }
    board
}

/// The screen as lines.
fn screen(board: &Board, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, board)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let cells: Vec<&str> = buffer.content().iter().map(|cell| cell.symbol()).collect();
    let lines = cells.chunks(width.max(1).into());
    lines
        .map(|line| line.concat().trim_end().to_string())
        .collect()
}

/// A screen has these lines at its head and its foot, and curves on the lines between.
#[track_caller]
fn assert_screen(screen: &[String], head: &[&str], drawn: Range<usize>, foot: &[&str]) {
    assert_eq!(screen[..head.len()], *head);
    assert!(
        screen[drawn].iter().all(|line| is_drawn(line)),
        "{screen:#?}"
    );
    assert_eq!(screen[screen.len() - foot.len()..], *foot);
}

fn is_drawn(line: &str) -> bool {
    line.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c))
}

#[test]
fn a_usual_terminal_has_room_for_everything() {
    let screen = screen(&board(), 80, 24);
    let head = [
        "runs/mnist-so-softmax-1                                            3:07 min left",
        "mnist  loss 0.4321  so-softmax:lambda_p=32,lambda_n=32,m=0.3 + 0.01*center",
        "epoch 3/6         33 % ━━━━━━━━━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌",
        "step 1000/2574    39 % ━━━━━━━━━━━━━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌",
        "training loss 0.481 ───────────────────  validation accuracy / % 98.1 ──────────",
    ];
    assert!(
        screen[5].starts_with("12.3 │") && screen[5].contains("98.2│"),
        "{}",
        screen[5]
    );
    let foot = [
        "     0                             2574      0                              2574",
        "terms in epoch 2 ──────────────────────  figures ───────────────────────────────",
        "term          weight  value    pull      accuracy %    98.75 images/s        812",
        "so-softmax    1.000   0.422    3.7e-3    own cosine    0.941 other cosine -0.028",
        "center        1.0e-2  1.018    1.3e-4    own angle °    19.5 rank           42.2",
        "                                         gradient      0.812 rate         6.2e-2",
        "epochs and findings ────────────────────────────────────────────────────────────",
        "own class, rank 42.2; 812 images/s, 60.0 s",
        "epoch 2/6: loss 0.5000, accuracy 97.00 %; validation accuracy 98.10 %; 20° to",
        "own class, rank 42.2; 812 images/s, 60.0 s",
        "q: stop with a checkpoint",
    ];
    assert_screen(&screen, &head, 5..12, &foot);
}

#[test]
fn a_small_terminal_has_what_matters_most() {
    let screen = screen(&board(), 40, 12);
    let head = [
        "runs/mnist-so-softmax-1    3:07 min left",
        "mnist  loss 0.4321  so-softmax:lambda_p=",
        "epoch 3/6         33 % ━━━━━╌╌╌╌╌╌╌╌╌╌╌╌",
        "step 1000/2574    39 % ━━━━━━╌╌╌╌╌╌╌╌╌╌╌",
        "training loss 0.481 ────────────────────",
    ];
    let foot = [
        "accuracy % 98.75  images/s 812",
        "q: stop with a checkpoint",
    ];
    assert_screen(&screen, &head, 5..8, &foot);
}

#[test]
fn no_size_and_no_value_makes_it_panic() {
    let empty = Board::new(training(), &[]);
    let mut wild = board();
    let mut step = step(2_000);
    (step.step, step.epoch_steps, step.step_loss) = (9_999, 0, f64::INFINITY);
    let speed = Speed {
        per_second: f64::NAN,
        remaining: f64::INFINITY,
    };
    wild.step(&step, &speed);
    let mut last = row(5, f64::NAN);
    let health = last.health.as_mut().unwrap();
    health.terms = vec![health.terms[0].clone(); 30];
    health.gradient_norm = f64::NEG_INFINITY;
    wild.epoch(&last, &["warning: ".into(), "x".repeat(500)]);
    for board in [&empty, &wild, &board()] {
        for (width, height) in [(1, 1), (7, 3), (60, 20), (20, 60), (300, 100)] {
            screen(board, width, height);
        }
    }
    assert!(
        screen(&empty, 60, 20)
            .iter()
            .any(|line| line.contains("nothing yet"))
    );
}

/// A run that is resumed goes on with the curves it had.
#[test]
fn earlier_epochs_are_there_from_the_start() {
    let board = Board::new(training(), &[row(1, 0.9), row(2, 0.95)]);
    let screen = screen(&board, 80, 24).join("\n");
    for part in [
        "validation accuracy / % 95.0 ",
        "terms in epoch 2",
        "so-softmax    1.000",
    ] {
        assert!(screen.contains(part), "{part} is missing in:\n{screen}");
    }
}

#[test]
fn findings_and_what_is_waited_for_are_told() {
    let mut board = board();
    let speed = board.step.unwrap().1;
    board.step(&step(3 * 429), &speed);
    assert!(screen(&board, 40, 12)[11].ends_with("judging …"));
    let line = "warning: collapse: the embeddings have collapsed\n  try: a smaller `lr`";
    board.epoch(&row(3, 0.1), &["epoch 3".into(), line.into()]);
    let shown = screen(&board, 80, 24);
    let texts = [
        "epoch 3",
        "warning: collapse: the embeddings have collapsed",
        "  try: a smaller `lr`",
        "q: stop with a checkpoint",
    ];
    assert_eq!(shown[20..], texts);
    board.is_stopping = true;
    assert_eq!(
        screen(&board, 80, 24)[23],
        "stopping with a checkpoint (q: at once)"
    );
}
