//! Both ways between the wire's types and the core's.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime as Time;

use super::*;
use crate::core::why;

/// Both ways between a wire type and its core twin, field by field: `as` for plain fields, `time` for times, `word` for
/// closed words, `into` for nested types, and the same with `?` (optional) or `*` (list).
macro_rules! twins {
    ($wire:ident, $core:path { $($field:ident : $how:ident),+ $(,)? }) => {
        impl From<&$wire> for $core {
            fn from(wire: &$wire) -> Self {
                Self { $($field: twins!(@read $how wire.$field)),+ }
            }
        }
        impl From<&$core> for $wire {
            fn from(core: &$core) -> Self {
                Self { $($field: twins!(@write $how core.$field)),+ }
            }
        }
    };
    (@read plain $e:expr) => { $e.clone() };
    (@read time $e:expr) => { $e.0 };
    (@read time_opt $e:expr) => { $e.as_ref().map(|time| time.0) };
    (@read word $e:expr) => { $e.0 };
    (@read word_opt $e:expr) => { $e.map(|word| word.0) };
    (@read nested $e:expr) => { (&$e).into() };
    (@read nested_opt $e:expr) => { $e.as_ref().map(Into::into) };
    (@read list $e:expr) => { $e.iter().map(Into::into).collect() };
    (@write plain $e:expr) => { $e.clone() };
    (@write time $e:expr) => { Time($e) };
    (@write time_opt $e:expr) => { $e.map(Time) };
    (@write word $e:expr) => { Word($e) };
    (@write word_opt $e:expr) => { $e.map(Word) };
    (@write nested $e:expr) => { (&$e).into() };
    (@write nested_opt $e:expr) => { $e.as_ref().map(Into::into) };
    (@write list $e:expr) => { $e.iter().map(Into::into).collect() };
}

impl From<&Reason> for why::Reason {
    fn from(wire: &Reason) -> Self {
        Self { why: wire.reason.0, message: wire.message.clone() }
    }
}

impl From<&why::Reason> for Reason {
    fn from(core: &why::Reason) -> Self {
        Self { reason: Word(core.why), message: core.message.clone() }
    }
}

twins!(Taint, crate::core::taint::Taint { key: word, state: word, replaces: word_opt });
twins!(Verdict, core::Verdict { check: plain, verdict: plain, reason: plain, detail: plain, started_at: time });
twins!(Step, core::Step { at: time, rung: word, outcome: nested, verdicts: list, kernel_log: plain, evidence: plain });
twins!(Mail, core::Mail { message_id: plain, accepted_at: time_opt });
twins!(Provisioning, core::Provisioning { id: plain, service: plain, state: word });
twins!(Reset, core::Reset { id: plain, at: time, boot_id: plain, state: word });
twins!(
    ProofTerms,
    core::ProofTerms {
        of: word,
        passes: plain,
        failures: plain,
        gap_seconds: plain,
        driver: plain,
        load_test: nested_opt,
        expected: nested_opt,
        after: time
    }
);
twins!(Inventory, core::Inventory { gpus: plain, pci: plain });
twins!(LoadTest, core::LoadTest { command: plain, seconds: plain });
twins!(
    Order,
    core::Order {
        id: plain,
        kind: word,
        boot_id: plain,
        issued_at: time,
        deadline: time,
        proof: nested_opt,
        script: nested_opt
    }
);
twins!(Script, core::Script { config_map: plain, key: plain, sha256: plain });
twins!(
    AgentReport,
    core::AgentReport {
        order_id: plain,
        boot_id: plain,
        state: word,
        at: time,
        message: plain,
        proof: word_opt,
        verdicts: list,
        kernel_log: plain,
        evidence: plain,
        expected: nested_opt
    }
);
twins!(Attempt, core::Attempt { rung: word, at: time, passed: plain });
twins!(
    PastEpisode,
    core::PastEpisode {
        number: plain,
        started_at: time,
        ended_at: time,
        rung: word,
        outcome: word,
        why: nested,
        attempts: list,
    }
);
twins!(
    NetworkTrack,
    core::NetworkTrack {
        number: plain,
        phase: word,
        started_at: time,
        since: time,
        until: time_opt,
        attempt: plain,
        why: nested,
        node_uid: plain,
        taint: nested_opt,
    }
);
twins!(
    Episode,
    core::Episode {
        number: plain,
        started_at: time,
        rung: word,
        phase: word,
        attempt: plain,
        since: time,
        until: time_opt,
        why: nested,
        node_uid: plain,
        boot_id: plain,
        taint: nested_opt,
        unexpected_boots: plain,
        steps: list,
        mails: list,
        resets: list,
        provisioning: nested_opt,
        expected: nested_opt,
    }
);

impl From<&Complaint> for core::Complaint {
    fn from(wire: &Complaint) -> Self {
        Self {
            fingerprint: wire.fingerprint.clone(),
            ask: wire.remediation.0,
            check: wire.check.clone(),
            since: wire.since.0,
            seen: wire.seen.0,
            firing: wire.firing,
            summary: wire.summary.clone(),
            labels: wire.labels.clone(),
        }
    }
}

impl From<&core::Complaint> for Complaint {
    fn from(core: &core::Complaint) -> Self {
        Self {
            fingerprint: core.fingerprint.clone(),
            remediation: Word(core.ask),
            check: core.check.clone(),
            since: Time(core.since),
            seen: Time(core.seen),
            firing: core.firing,
            summary: core.summary.clone(),
            labels: core.labels.clone(),
        }
    }
}
