//! Benchmark of Grafana's dashboards: each query on a recorded week of 500 nodes with 8 GPUs each,
//! as of now or over the whole week.

use std::fs;

use anyhow::{Context, Result};

use super::Figure;
use crate::clock::Stopwatch;
use crate::dashboards::{filled_in, panels};
use crate::environment;
use crate::recorded::{Recorded, Recording};

const WEEK: i64 = 7 * 86_400;
const RECORDING: Recording = Recording { nodes: 500, length: WEEK, step: 300, second_cluster: None };
/// Seconds between two points of a graph that shows a week, at 1,000 points.
const POINTS: i64 = 600;
/// The most seconds of a query.
const TARGET: f64 = 1.0;
/// Number of queries that are printed.
const SHOWN: usize = 8;

/// Prints the slowest queries; returns whether all met the target.
pub async fn run() -> Result<bool> {
    let dir = environment::temp_dir().join(format!("ossci-bench-dashboards-{}", std::process::id()));
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let recorded = Recorded::start(&dir, RECORDING).await?;
    let times = ask(&recorded).await;
    recorded.stop().await;
    fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    let mut times = times?;
    times.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let asked = times.len();
    let mut met = true;
    for (index, (name, seconds)) in times.into_iter().enumerate() {
        let figure = Figure { name, value: seconds, unit: "s", peer: TARGET, target: 1.0 };
        let slow = seconds > TARGET;
        if index < SHOWN || slow {
            met &= figure.print();
        }
    }
    println!("{asked} queries");
    Ok(met)
}

async fn ask(recorded: &Recorded) -> Result<Vec<(String, f64)>> {
    let mut times = Vec::new();
    for panel in panels(&environment::repository().join("grafana"))? {
        for target in panel.targets() {
            let query = filled_in(target["expr"].as_str().unwrap_or_default(), "7d", "20m", "10m");
            // The first answer fills the caches of the operating system, as any panel before does.
            let mut seconds = 0.0;
            for _ in 0..2 {
                let watch = Stopwatch::start();
                match target["instant"] == true {
                    true => recorded.instant(&query).await,
                    false => recorded.range(&query, WEEK - POINTS, POINTS).await,
                }
                .with_context(|| panel.title())?;
                seconds = watch.elapsed().as_secs_f64();
            }
            times.push((panel.title(), seconds));
        }
    }
    Ok(times)
}
