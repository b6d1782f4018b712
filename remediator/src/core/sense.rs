//! Consistency checks of a record. The controller writes no inconsistent record; a person's edit
//! may. Such a record and its node are left alone until a person fixes it.

use super::record::{Episode, NetworkTrack, Phase, Record, Rung};
use super::taint::{Taint, TaintKey};

/// Returns what is wrong with the record; `None` if a decision can be based on it.
pub fn nonsense(record: &Record) -> Option<String> {
    let episode = record.repair.episode.as_ref().filter(|episode| !episode.phase.is_over());
    let track = record.repair.network.as_ref().filter(|track| !track.phase.is_over());
    episode.and_then(of_episode).or_else(|| track.and_then(of_track))
}

fn of_episode(episode: &Episode) -> Option<String> {
    let Episode { rung, phase, .. } = episode;
    if episode.number == 0 || episode.attempt == 0 {
        return Some("status.episode: number and attempt count from 1".to_owned());
    }
    let fits = match phase {
        Phase::Reimaging => *rung == Rung::Reimage,
        Phase::Escalating | Phase::Escalated => *rung == Rung::Manual,
        Phase::Capturing | Phase::Draining | Phase::Rebooting => *rung != Rung::Manual,
        _ => true,
    };
    if !fits {
        return Some(format!("status.episode: there is no phase {phase} on the rung {rung}"));
    }
    if episode.mails.is_empty() && matches!(phase, Phase::Escalating | Phase::Escalated) {
        return Some(format!("status.episode: phase {phase} without a mail in status.episode.mails"));
    }
    // The limit of tainted nodes holds no mail back.
    let may_lack_taint = matches!(phase, Phase::Waiting | Phase::Escalating | Phase::Escalated);
    match episode.taint {
        None if !may_lack_taint => Some(format!("status.episode: phase {phase} without a taint")),
        Some(taint) if taint.key != rung.taint() => {
            Some(format!("status.episode: the taint {} does not belong to the rung {rung}", taint.key))
        }
        Some(Taint { key, replaces: Some(old), .. }) if key == old => {
            Some(format!("status.episode: the taint {key} replaces itself"))
        }
        _ => None,
    }
}

fn of_track(track: &NetworkTrack) -> Option<String> {
    if track.number == 0 {
        return Some("status.network: number counts from 1".to_owned());
    }
    let other = track.taint.filter(|taint| taint.key != TaintKey::SlowNetwork)?;
    Some(format!("status.network: the taint {} does not belong to a slow network", other.key))
}
