//! What of the site, of Alertmanager and of the other nodes keeps anything disruptive from starting on one node. None of it
//! ever blocks a recovery, an un-taint or a mail.

use jiff::Timestamp;

use super::brakes::Storm;
use super::policy::Pool;
use super::record::Rung;
use super::why::{Reason, Why};
use super::window;

/// What there is to know beyond the node and its record.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// Our clock and the API server's disagree.
    pub skewed: bool,
    /// What a person wrote who stopped everything.
    pub paused: Option<&'a str>,
    /// Alertmanager is to be asked, and has not answered for too long.
    pub alerts_unknown: bool,
    pub storm: Storm,
    /// The last attempts of the node's rung in its pool all failed.
    pub rung_fails: bool,
}

/// The first reason to wait, the widest first.
pub fn halt(around: Around, pool: &Pool, rung: Rung, now: Timestamp) -> Option<Reason> {
    let because = |why, message: String| Some(Reason::new(why, message));
    if around.skewed {
        return because(Why::ClockSkew, "our clock and the API server's differ by more than 30 s".to_owned());
    }
    if let Some(text) = around.paused {
        return because(Why::Paused, format!("a person stopped all repairs: {text}"));
    }
    if around.alerts_unknown {
        return because(Why::AlertsUnknown, "no Alertmanager answers, so nobody knows what is silenced".to_owned());
    }
    if !window::open(&pool.windows, now) {
        let windows: Vec<String> = pool.windows.iter().map(ToString::to_string).collect();
        return because(Why::WindowClosed, format!("pool {} is repaired {}", pool.name, windows.join(" or ")));
    }
    if let Storm::Braking(until) = around.storm {
        let text = format!("too many nodes of pool {} asked at once; nothing starts before {until:.0}", pool.name);
        return because(Why::StormBrake, text);
    }
    if around.rung_fails {
        let text = format!("the last attempts to {rung} a node of pool {} all failed; a person resumes it", pool.name);
        return because(Why::RungNotWorking, text);
    }
    None
}
