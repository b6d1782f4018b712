//! Subcommand `ossci-exporter parse`: the exporter's verdict on one output of one tool, as one JSON
//! object, to examine an unusual output. Starts nothing and reads no state: sensors that no GPU
//! shows prove nothing here, because the tool may never have read them.

use crate::config::parse::ParseArguments;
use crate::ending::{Ending, Exit, Streams};
use crate::facts::{Facts, Gpu, Transfer};
use crate::inventory::{Expected, Source};
use crate::judge::{Bounds, Finding, Known, find};
use crate::parse::ToolName;
use crate::verdict::Verdict;
use serde::Serialize;
use std::io::Read;
use std::path::Path;
use thiserror::Error;

/// A file that could not be read.
#[derive(Debug, Error)]
#[error("cannot read {0}: {1}")]
pub struct ParseError(String, #[source] std::io::Error);

/// Same limit as for a child; a longer output gets the verdict of one, and is not parsed.
const MOST_BYTES: u64 = 8 << 20;

/// Returns the answer and its exit status.
pub fn run(arguments: &ParseArguments) -> Result<(String, u8), ParseError> {
    let stdout = read(&arguments.file)?;
    let stderr = arguments.stderr.as_deref().map(read).transpose()?.unwrap_or_default();
    let exit = match arguments.exit_status {
        status @ 129..=192 => Exit::Signal(status - 128),
        status => Exit::Status(status),
    };
    let full = [&stdout, &stderr].iter().any(|stream| stream.len() as u64 > MOST_BYTES);
    let ending = if full { Ending::OutputLimit } else { Ending::Exited(exit, Streams { stdout, stderr }) };
    let expected = arguments.expect_gpus.map(|gpus| Expected { gpus, source: Source::Configuration });
    let known = Known { expected, ..Known::default() };
    let finding = find(arguments.tool, &ending, known, Bounds::default());
    let status = match finding.judgement.verdict {
        Verdict::Passed => 0,
        Verdict::Failed(_) => 1,
        Verdict::Unknown(_) => 3,
    };
    Ok((answer(arguments.tool, &finding), status))
}

fn read(path: &Path) -> Result<Vec<u8>, ParseError> {
    let failed = |error| ParseError(path.display().to_string(), error);
    let mut bytes = Vec::new();
    let limit = MOST_BYTES + 1;
    match path.to_str() {
        Some("-") => std::io::stdin().lock().take(limit).read_to_end(&mut bytes),
        _ => std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)),
    }
    .map_err(failed)?;
    Ok(bytes)
}

#[derive(Debug, Serialize)]
struct Answer<'a> {
    tool: &'static str,
    verdict: &'static str,
    /// Null for a pass.
    reason: Option<&'static str>,
    detail: &'a str,
    gpus: Vec<GpuAnswer<'a>>,
    /// Null for the GPU tools.
    network: Option<NetworkAnswer<'a>>,
    not_understood: &'a [String],
}

#[derive(Debug, Serialize)]
struct GpuAnswer<'a> {
    gpu: usize,
    pci_bus: Option<&'a str>,
    unique_id: Option<&'a str>,
    serial: Option<&'a str>,
    name: Option<&'a str>,
    temperature_celsius: TemperatureAnswer,
    use_ratio: Option<f64>,
    memory_use_ratio: Option<f64>,
    memory_used_bytes: Option<f64>,
    memory_total_bytes: Option<f64>,
    power_watts: Option<f64>,
    partitions: u32,
}

#[derive(Debug, Serialize)]
struct TemperatureAnswer {
    edge: Option<f64>,
    junction: Option<f64>,
    memory: Option<f64>,
}

#[derive(Debug, Serialize)]
struct NetworkAnswer<'a> {
    download_bits_per_second: Option<f64>,
    upload_bits_per_second: Option<f64>,
    latency_seconds: Option<f64>,
    jitter_seconds: Option<f64>,
    loss_ratio: Option<f64>,
    server: Option<&'a str>,
}

fn answer(tool: ToolName, finding: &Finding) -> String {
    let verdict = finding.judgement.verdict;
    let transfer = match &finding.facts {
        Some(Facts::Network(transfer)) => Some(transfer.clone()),
        _ if tool.check() == crate::verdict::Check::Network => Some(Transfer::default()),
        _ => None,
    };
    let gpus = finding.facts.as_ref().and_then(Facts::gpus).unwrap_or_default();
    let answer = Answer {
        tool: tool.as_str(),
        verdict: verdict.as_str(),
        reason: verdict.reason(),
        detail: &finding.judgement.detail,
        gpus: gpus.iter().enumerate().map(gpu).collect(),
        network: transfer.as_ref().map(network_answer),
        not_understood: &finding.not_understood,
    };
    // JSON can represent all values of the types above.
    serde_json::to_string_pretty(&answer).unwrap_or_default()
}

fn gpu((index, gpu): (usize, &Gpu)) -> GpuAnswer<'_> {
    let celsius = gpu.temperature_celsius;
    GpuAnswer {
        gpu: index,
        pci_bus: gpu.pci_bus.as_deref(),
        unique_id: gpu.unique_id.as_deref(),
        serial: gpu.serial.as_deref(),
        name: gpu.name.as_deref(),
        temperature_celsius: TemperatureAnswer {
            edge: celsius.edge,
            junction: celsius.junction,
            memory: celsius.memory,
        },
        use_ratio: gpu.use_ratio,
        memory_use_ratio: gpu.memory_use_ratio,
        memory_used_bytes: gpu.memory_used_bytes,
        memory_total_bytes: gpu.memory_total_bytes,
        power_watts: gpu.power_watts,
        partitions: gpu.partitions,
    }
}

fn network_answer(transfer: &Transfer) -> NetworkAnswer<'_> {
    NetworkAnswer {
        download_bits_per_second: transfer.download_bits_per_second,
        upload_bits_per_second: transfer.upload_bits_per_second,
        latency_seconds: transfer.latency_seconds,
        jitter_seconds: transfer.jitter_seconds,
        loss_ratio: transfer.loss_ratio,
        server: transfer.server.as_deref(),
    }
}
