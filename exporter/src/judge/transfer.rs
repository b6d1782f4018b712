//! Verdict on a network test: its measurements against the thresholds. Pure; knows no tool.

use super::{Bounds, failed, passed};
use crate::facts::Transfer;
use crate::verdict::{Fault, Judgement};

/// Judges speed, latency and loss.
pub fn judge_transfer(transfer: &Transfer, bounds: Bounds) -> Judgement {
    let megabits = |bits: f64| format!("{:.1} Mbit/s", bits / 1e6);
    let speeds = [
        ("download", transfer.download_bits_per_second, bounds.min_download_bits_per_second),
        ("upload", transfer.upload_bits_per_second, bounds.min_upload_bits_per_second),
    ];
    for (way, speed, least) in speeds {
        if let Some(speed) = speed.filter(|speed| *speed < least) {
            let detail = format!("{way} {}, at least {} is wanted", megabits(speed), megabits(least));
            return failed(Fault::NetworkSlow, detail);
        }
    }
    if let (Some(latency), Some(most)) = (transfer.latency_seconds, bounds.max_latency_seconds)
        && latency > most
    {
        let detail = format!("latency {:.1} ms, at most {:.1} ms is wanted", latency * 1e3, most * 1e3);
        return failed(Fault::NetworkSlow, detail);
    }
    if let Some(loss) = transfer.loss_ratio.filter(|loss| *loss > bounds.max_loss_ratio) {
        let detail =
            format!("{:.1} % of the packets lost, at most {:.1} % is wanted", loss * 1e2, bounds.max_loss_ratio * 1e2);
        return failed(Fault::NetworkLossy, detail);
    }
    let measured: Vec<String> =
        speeds.iter().filter_map(|(way, speed, _)| Some(format!("{way} {}", megabits((*speed)?)))).collect();
    passed(measured.join(", "))
}
