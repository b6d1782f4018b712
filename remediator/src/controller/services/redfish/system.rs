//! The fields of a ComputerSystem, and the ways to end its boot that follow from them. No I/O.
//!
//! Source of names: DMTF DSP0266 and the schemas ComputerSystem, ActionInfo.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

/// A machine that was reset, or made progress in its boot, within this time is left alone. Servers
/// with eight GPUs take up to ten minutes from a reset to their kubelet; a second reset in that
/// time makes it twenty. This delays no dead machine: its last step is older, or its BMC reports
/// none.
const STARTS_FOR: Duration = Duration::from_secs(600);

/// The fields of a ComputerSystem that a reset needs. BMCs write null for what they do not know.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct System {
    power_state: Option<String>,
    last_reset_time: Option<String>,
    boot_progress: Option<BootProgress>,
    #[serde(rename = "UUID")]
    uuid: Option<String>,
    #[serde(default)]
    actions: Actions,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BootProgress {
    last_state: Option<String>,
    last_state_time: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Actions {
    #[serde(rename = "#ComputerSystem.Reset")]
    reset: Option<ResetAction>,
}

/// The action Reset.
#[derive(Debug, Deserialize)]
pub struct ResetAction {
    /// The address to post it to.
    pub target: String,
    /// The allowed types, if the BMC lists them here.
    #[serde(rename = "ResetType@Redfish.AllowableValues")]
    pub allowed: Option<Vec<String>>,
    /// The address of the list, if it is not here.
    #[serde(rename = "@Redfish.ActionInfo")]
    pub info: Option<String>,
}

/// The allowed parameters of an action.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ActionInfo {
    #[serde(default)]
    parameters: Vec<Parameter>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    name: String,
    allowable_values: Option<Vec<String>>,
}

impl ActionInfo {
    /// Returns the allowed values of `ResetType`.
    pub fn allowed(self) -> Vec<String> {
        let types = self.parameters.into_iter().find(|parameter| parameter.name == "ResetType");
        types.and_then(|types| types.allowable_values).unwrap_or_default()
    }
}

/// One way to a new boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// One request is enough.
    One(&'static str),
    /// ForceOff, and On when the power was seen off.
    OffAndOn,
}

impl System {
    /// Returns its reset action, if it has one.
    pub fn reset(&self) -> Option<&ResetAction> {
        self.actions.reset.as_ref()
    }

    /// Whether the machine has no power.
    pub fn is_off(&self) -> bool {
        self.power_state.as_deref() == Some("Off")
    }

    /// Returns its UUID, if it is the UUID of another machine than `wanted`.
    pub fn of_another(&self, wanted: &str) -> Option<String> {
        let (Some(own), Some(wanted)) = (self.uuid.as_deref().and_then(digits), digits(wanted)) else { return None };
        (own != wanted && swapped(&own) != wanted).then(|| own.into_iter().collect())
    }

    /// Returns how far the machine is, if it is already starting. `now` is the BMC's own time: its
    /// clock may be years off.
    pub fn starting(&self, now: Option<Timestamp>) -> Option<String> {
        if self.is_off() {
            return None;
        }
        if self.power_state.as_deref() == Some("PoweringOn") {
            return Some("it is being switched on".to_owned());
        }
        let ago = |time: &Option<String>| {
            let time: Timestamp = time.as_deref()?.parse().ok()?;
            Duration::try_from(now?.duration_since(time)).ok().filter(|ago| *ago < STARTS_FOR)
        };
        if let Some(progress) = &self.boot_progress
            && let Some(state) = progress.last_state.as_deref().filter(|state| *state != "None")
            && let Some(ago) = ago(&progress.last_state_time)
        {
            // The text is the BMC's: only its letters and digits, and a limited length.
            let state: String = state.chars().filter(char::is_ascii_alphanumeric).take(60).collect();
            return Some(format!("it reached {state} {} s ago", ago.as_secs()));
        }
        ago(&self.last_reset_time).map(|ago| format!("it was reset {} s ago", ago.as_secs()))
    }

    /// Returns the allowed ways, the surest first. A machine that is off is switched on. A BMC that
    /// lists nothing allows everything.
    pub fn ways(&self, allowed: &[String]) -> Vec<Way> {
        let may = |wanted: &str| allowed.is_empty() || allowed.iter().any(|kind| kind == wanted);
        let mut ways = Vec::new();
        if self.is_off() {
            ways.extend(may("On").then_some(Way::One("On")));
            return ways;
        }
        ways.extend(["ForceRestart", "PowerCycle"].into_iter().filter(|kind| may(kind)).map(Way::One));
        ways.extend((may("ForceOff") && may("On")).then_some(Way::OffAndOn));
        ways
    }
}

/// Returns the hexadecimal digits of a UUID; `None`: it is none, or stands for an unknown one (all
/// digits are equal).
fn digits(uuid: &str) -> Option<Vec<char>> {
    let digits: Vec<char> = uuid.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    let is_uuid = digits.len() == 32 && digits.iter().all(char::is_ascii_hexdigit);
    (is_uuid && digits.iter().any(|digit| *digit != digits[0])).then_some(digits)
}

/// Returns the digits with the bytes of the first three fields in the other order: firmware and BMC
/// often disagree on it.
///
/// Source: DMTF DSP0134, "System — UUID".
fn swapped(digits: &[char]) -> Vec<char> {
    let field = |from: usize, to: usize| digits[from..to].chunks(2).rev().flatten().copied();
    field(0, 8).chain(field(8, 12)).chain(field(12, 16)).chain(digits[16..].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn system(value: Value) -> System {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_surest_way_that_is_allowed_comes_first() {
        let ways = |power: &str, allowed: &[&str]| {
            let allowed: Vec<String> = allowed.iter().map(|kind| (*kind).to_owned()).collect();
            system(json!({"PowerState": power})).ways(&allowed)
        };
        let (restart, cycle) = (Way::One("ForceRestart"), Way::One("PowerCycle"));
        assert_eq!(ways("On", &["On", "PowerCycle", "ForceRestart"]), [restart, cycle]);
        assert_eq!(ways("On", &["On", "PowerCycle"]), [cycle]);
        assert_eq!(ways("On", &["On", "ForceOff", "GracefulRestart"]), [Way::OffAndOn]);
        assert_eq!(ways("On", &[]), [restart, cycle, Way::OffAndOn]);
        assert_eq!(ways("Off", &["On", "ForceRestart"]), [Way::One("On")]);
        assert!(ways("Off", &["ForceRestart"]).is_empty() && ways("On", &["On", "GracefulRestart"]).is_empty());
    }

    #[test]
    fn another_machine_is_known_by_its_uuid() {
        let node = "4C4C4544-0051-3510-8052-B4C04F4D3732";
        let other = |uuid: Value| system(json!({"UUID": uuid})).of_another(node).is_some();
        assert!(!other(json!("4c4c4544-0051-3510-8052-b4c04f4d3732")));
        assert!(!other(json!("44454c4c-5100-1035-8052-b4c04f4d3732")), "the other byte order");
        assert!(other(json!("4c4c4544-0051-3510-8052-b4c04f4d3733")));
        // Unknown on one side: nothing can be compared.
        let zero = "00000000-0000-0000-0000-000000000000";
        for unknown in [json!(null), json!(""), json!("Not Settable"), json!(zero)] {
            assert!(!other(unknown.clone()), "{unknown}");
        }
        assert!(system(json!({"UUID": node})).of_another(zero).is_none());
    }

    #[test]
    fn a_machine_with_recent_progress_is_starting() {
        let now: Timestamp = "2026-05-01T12:00:00Z".parse().unwrap();
        let starting = |value: Value| system(value).starting(Some(now));
        assert_eq!(starting(json!({"PowerState": "On", "LastResetTime": null, "BootProgress": null})), None);
        let reset = |time: &str| starting(json!({"PowerState": "On", "LastResetTime": time}));
        assert_eq!(reset("2026-05-01T13:59:00+02:00").unwrap(), "it was reset 60 s ago");
        assert_eq!(reset("2026-05-01T11:49:00Z"), None, "long ago");
        assert_eq!(reset("2026-05-01T12:01:00Z"), None, "a clock that was set back is ignored");
        assert_eq!(reset("1st of May"), None);
        assert_eq!(system(json!({"LastResetTime": "2026-05-01T11:59:00Z"})).starting(None), None, "no clock to go by");
        let progress = |state: &str, time: &str| {
            starting(json!({"PowerState": "On", "BootProgress": {"LastState": state, "LastStateTime": time}}))
        };
        let came = progress("MemoryInitializationStarted", "2026-05-01T11:58:00Z").unwrap();
        assert_eq!(came, "it reached MemoryInitializationStarted 120 s ago");
        assert_eq!(progress("OSRunning", "2026-04-01T00:00:00Z"), None);
        assert_eq!(progress("None", "2026-05-01T11:58:00Z"), None);
        assert_eq!(starting(json!({"PowerState": "PoweringOn"})).unwrap(), "it is being switched on");
        assert_eq!(starting(json!({"PowerState": "Off", "LastResetTime": "2026-05-01T11:59:00Z"})), None);
    }
}
