//! `hypersphere bench`: what the processor can do, and what share of it the work takes.

use crate::bench::feed;
use crate::bench::ops;
use crate::bench::step::{self, NETWORKS, Network, Report, Setting};
use crate::cli::bench::{Bench, BenchData, BenchOps, BenchStep};
use crate::commands::train;
use crate::config::{ConfigError, did_you_mean};
use anyhow::{Context, Result, bail};
use engine::{Isa, par, peak};
use losses::Spec;
use serde::Serialize;
use std::time::Duration;

/// Measures what was asked for.
///
/// # Errors
/// If a name is unknown or a network cannot be built.
pub fn run(what: &Bench) -> Result<()> {
    match what {
        Bench::Peak { json } => peaks(*json),
        Bench::Ops(options) => operations(options),
        Bench::Step(options) => steps(options),
        Bench::Data(options) => data(options),
    }
}

fn data(options: &BenchData) -> Result<()> {
    options.threads.set()?;
    let mut layers = train::begun(&options.recipe, !options.json)?;
    options.changes.layer(&mut layers)?;
    let seconds = Duration::try_from_secs_f64(options.seconds).map_err(|e| {
        let seconds = options.seconds;
        ConfigError(format!("--seconds {seconds}: {e}"))
    })?;
    let report = feed::run(layers.resolve()?, seconds)?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    let feed::Report {
        items, examples, ..
    } = report;
    Machine::this().print();
    println!("{examples} training {items}, {} in a step", report.batch);
    println!("reading the data set   {:>9.2} s", report.reading);
    println!(
        "loading, first epoch   {:>9.0} {items}/s",
        report.first_epoch
    );
    println!(
        "loading, next epoch    {:>9.0} {items}/s",
        report.next_epoch
    );
    println!(
        "training               {:>9.0} {items}/s, {:.1} % of the time waiting for them",
        report.training,
        100.0 * report.waiting
    );
    Ok(())
}

/// The ceilings for a number of threads.
#[derive(Clone, Copy, Debug, Serialize)]
struct Peak {
    threads: usize,
    /// Floating-point operations per second, f32.
    flops: f64,
    /// Bytes per second.
    bandwidth: f64,
}

impl Peak {
    fn measure(threads: usize) -> Self {
        Peak {
            threads,
            flops: peak::multiply_adds(threads),
            bandwidth: peak::bandwidth(threads),
        }
    }
}

/// What the figures were measured on.
#[derive(Clone, Debug, Serialize)]
struct Machine {
    processor: String,
    instruction_set: &'static str,
    cores: usize,
}

impl Machine {
    fn this() -> Self {
        Machine {
            processor: processor().unwrap_or_else(|| std::env::consts::ARCH.to_string()),
            instruction_set: Isa::active().name(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    fn print(&self) {
        println!(
            "{}, {} cores, {}\n",
            self.processor, self.cores, self.instruction_set
        );
    }
}

/// The processor's name, where the system tells it.
fn processor() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

#[derive(Serialize)]
struct Output<T> {
    machine: Machine,
    peaks: Vec<Peak>,
    results: Vec<T>,
}

fn print_json<T: Serialize>(machine: Machine, peaks: Vec<Peak>, results: Vec<T>) -> Result<()> {
    let output = Output {
        machine,
        peaks,
        results,
    };
    println!("{}", serde_json::to_string_pretty(&output)?);
    Ok(())
}

/// 1, 2, 4, … and all.
fn thread_counts() -> Vec<usize> {
    let all = par::threads();
    let mut counts: Vec<usize> = std::iter::successors(Some(1), |n| Some(2 * n))
        .take_while(|&n| n < all)
        .collect();
    counts.push(all);
    counts
}

fn peaks(json: bool) -> Result<()> {
    let machine = Machine::this();
    if json {
        let peaks = thread_counts().into_iter().map(Peak::measure).collect();
        return print_json::<()>(machine, peaks, Vec::new());
    }
    machine.print();
    println!("threads   multiply-adds   memory");
    for threads in thread_counts() {
        let Peak {
            flops, bandwidth, ..
        } = Peak::measure(threads);
        println!(
            "{threads:>7}   {:>8.1} GF/s   {:>5.1} GB/s",
            flops / 1e9,
            bandwidth / 1e9
        );
    }
    Ok(())
}

/// The networks called so; all if none is named.
fn networks(names: &[String]) -> Result<Vec<&'static Network>> {
    if names.is_empty() {
        return Ok(NETWORKS.iter().collect());
    }
    let find = |name: &String| {
        let found = NETWORKS.iter().find(|n| n.name == name);
        found.ok_or_else(|| {
            let known = NETWORKS.iter().map(|n| n.name);
            let list = known.clone().collect::<Vec<_>>().join(", ");
            let near = did_you_mean(name, known);
            ConfigError(format!("no network `{name}`{near}; there are: {list}")).into()
        })
    };
    names.iter().map(find).collect()
}

fn steps(options: &BenchStep) -> Result<()> {
    let machine = Machine::this();
    let spec: Spec = (options.loss.parse()).with_context(|| format!("--loss {}", options.loss))?;
    let share = options.sampled_classes;
    if !(share > 0.0 && share <= 1.0) {
        bail!(ConfigError(format!(
            "--sampled-classes {share}: a share of the classes is above 0 and at most 1"
        )));
    }
    if let Some(&few) = options.classes.iter().find(|&&classes| classes < 2) {
        bail!(ConfigError(format!("--classes {few}: two classes or more")));
    }
    let networks = networks(&options.networks)?;
    let threads = match options.threads.as_slice() {
        [] => vec![par::threads()],
        some => some.to_vec(),
    };
    let peaks: Vec<Peak> = threads.iter().map(|&n| Peak::measure(n)).collect();
    if !options.json {
        machine.print();
        for peak in &peaks {
            println!(
                "peak with {} threads: {:.1} GF/s, {:.1} GB/s",
                peak.threads,
                peak.flops / 1e9,
                peak.bandwidth / 1e9
            );
        }
        println!(
            "\n{:<9} {:>6} {:>7} {:>7} {:>10} {:>17} {:>9} {:>8} {:>8} {:>7}",
            "network",
            "batch",
            "classes",
            "threads",
            "ms a step",
            "(least … 90 %)",
            "images/s",
            "GF/s",
            "of peak",
            "memory"
        );
    }
    let mut reports = Vec::new();
    for network in networks {
        for peak in &peaks {
            let or = |given: &[usize], usual| match given {
                [] => vec![usual],
                some => some.to_vec(),
            };
            let classes = or(&options.classes, network.classes);
            let batches = or(&options.batch, network.batch);
            let curve = batches
                .iter()
                .flat_map(|&b| classes.iter().map(move |&c| (b, c)));
            for (batch, classes) in curve {
                let report = step::run(&Setting {
                    network,
                    batch,
                    threads: peak.threads,
                    classes,
                    sampled_classes: options.sampled_classes,
                    loss: &spec,
                    seconds: options.seconds,
                })?;
                if !options.json {
                    print_step(&report, peak);
                }
                reports.push(report);
            }
        }
    }
    if options.json {
        return print_json(machine, peaks, reports);
    }
    for report in &reports {
        print_parts(report);
    }
    Ok(())
}

fn print_step(report: &Report, peak: &Peak) {
    let (ms, rate) = (
        |s: f64| format!("{:.1}", 1e3 * s),
        report.flops / report.seconds.median,
    );
    println!(
        "{:<9} {:>6} {:>7} {:>7} {:>10} {:>17} {:>9.0} {:>8.1} {:>6.0} % {:>4.0} MB",
        report.network,
        report.batch,
        report.classes,
        report.threads,
        ms(report.seconds.median),
        format!("{} … {}", ms(report.seconds.min), ms(report.seconds.p90)),
        report.images_per_second,
        rate / 1e9,
        100.0 * rate / peak.flops,
        report.peak_bytes as f64 / 1e6
    );
}

/// Where the time of a step goes, down to the parts that do not matter.
fn print_parts(report: &Report) {
    let whole: f64 = report.parts.iter().map(|part| part.seconds).sum();
    println!(
        "\n{} (batch {}, {} threads)",
        report.network, report.batch, report.threads
    );
    for part in &report.parts {
        let share = part.seconds / whole;
        if share > 0.005 {
            let name = format!("{} {}", part.op, part.direction);
            println!(
                "  {name:<28} {:>8.2} ms {:>5.1} %  {:>4.0} calls",
                1e3 * part.seconds,
                100.0 * share,
                part.calls
            );
        }
    }
}

fn operations(options: &BenchOps) -> Result<()> {
    let (machine, peak) = (Machine::this(), Peak::measure(par::threads()));
    let all = ops::cases();
    let wanted = |case: &ops::Case| {
        options.what.is_empty() || options.what.iter().any(|w| case.name.contains(w.as_str()))
    };
    if !options.json {
        machine.print();
        println!(
            "peak with {} threads: {:.1} GF/s, {:.1} GB/s\n",
            peak.threads,
            peak.flops / 1e9,
            peak.bandwidth / 1e9
        );
        println!(
            "{:<40} {:<8} {:<9} {:>9} {:>8} {:>8} {:>8}",
            "operation", "pass", "way", "ms", "GF/s", "of peak", "GB/s"
        );
    }
    let mut results = Vec::new();
    for case in all.iter().filter(|case| wanted(case)) {
        let rows = case.run(options.seconds);
        if !options.json {
            rows.iter()
                .for_each(|row| print_row(&case.name, row, &peak));
        }
        results.push(Measured {
            operation: case.name.clone(),
            rows,
        });
    }
    match options.json {
        true => print_json(machine, vec![peak], results),
        false => Ok(()),
    }
}

#[derive(Serialize)]
struct Measured {
    operation: String,
    rows: Vec<ops::Row>,
}

fn print_row(name: &str, row: &ops::Row, peak: &Peak) {
    let rate = row.flops / row.seconds.median;
    let (flops, share) = match row.flops {
        0.0 => (String::new(), String::new()),
        _ => (
            format!("{:.1}", rate / 1e9),
            format!("{:.0} %", 100.0 * rate / peak.flops),
        ),
    };
    println!(
        "{name:<40} {:<8} {:<9} {:>9.3} {flops:>8} {share:>8} {:>8.1}",
        row.pass,
        row.algorithm,
        1e3 * row.seconds.median,
        row.bytes / row.seconds.median / 1e9
    );
}
