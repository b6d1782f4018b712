//! The gates: conditions outside the node and its record that stop disruptive steps on it. They
//! never block a recovery, the removal of a taint or a mail.

use jiff::Timestamp;

use super::brakes::Storm;
use super::policy::Pool;
use super::record::Rung;
use super::why::{Reason, Why};
use super::window;

/// What is known beyond the node and its record.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// The clocks of the controller and the API server disagree.
    pub skewed: bool,
    /// Alerts of several clusters arrive, and the policy names none.
    pub several_clusters: bool,
    /// The reason that a person gave for pausing all repairs.
    pub paused: Option<&'a str>,
    /// Alertmanager has to be asked for silences, and has not answered for too long.
    pub alerts_unknown: bool,
    pub storm: Storm,
    /// The last attempts of the node's rung in its pool all failed.
    pub rung_fails: bool,
}

/// Returns the first reason to wait: reasons of the whole site before those of the pool.
pub fn halt(around: Around, pool: &Pool, rung: Rung, now: Timestamp) -> Option<Reason> {
    let because = |why, message: String| Some(Reason::new(why, message));
    if around.skewed {
        return because(
            Why::ClockSkew,
            "the clocks of the controller and the API server differ by more than 30 s".to_owned(),
        );
    }
    if around.several_clusters {
        return because(
            Why::SeveralClusters,
            "alerts of several clusters arrive; set `cluster` in the policy to ours".to_owned(),
        );
    }
    if let Some(text) = around.paused {
        return because(Why::Paused, format!("a person paused all repairs: {text}"));
    }
    if around.alerts_unknown {
        return because(
            Why::AlertsUnknown,
            "no Alertmanager answers, so it is unknown which alerts are silenced".to_owned(),
        );
    }
    if !window::open(&pool.windows, now) {
        let windows: Vec<String> = pool.windows.iter().map(ToString::to_string).collect();
        return because(
            Why::WindowClosed,
            format!("pool {} is repaired only in its windows: {}", pool.name, windows.join(" or ")),
        );
    }
    if let Storm::Braking(until) = around.storm {
        let text = format!("too many nodes of pool {} asked at once; no repair starts before {until:.0}", pool.name);
        return because(Why::StormBrake, text);
    }
    if around.rung_fails {
        let text = format!("the last attempts to {rung} a node of pool {} failed; a person must resume it", pool.name);
        return because(Why::RungNotWorking, text);
    }
    None
}
