//! A trace as a story of the lab, so that what the world finds can be played on the real parts.

use std::collections::BTreeSet;

use super::event::{Deed, Event};
use super::{Crash, Fault};
use crate::core::taint::TaintKey;

/// What is on, of all that the same event switches on and off.
#[derive(Default)]
struct On(BTreeSet<String>);

impl On {
    /// Switches, and returns the line for what is so now.
    fn switch(&mut self, what: &str, on: String, off: String) -> String {
        if self.0.remove(what) {
            return off;
        }
        self.0.insert(what.to_owned());
        on
    }
}

/// Returns the lines of a story. A comment stands for what a lab cannot play.
pub(super) fn as_story(trace: &[Event]) -> String {
    let nodes: BTreeSet<usize> = trace
        .iter()
        .filter_map(|event| match event {
            Event::Node(m, _) => Some(m + 1),
            _ => None,
        })
        .collect();
    let mut on = On::default();
    let names: Vec<String> = nodes.iter().map(|n| format!("n{n}")).collect();
    let first = format!("node {}", names.join(" "));
    let lines = trace.iter().map(|event| match event {
        Event::Node(m, deed) => of_node(&format!("n{}", m + 1), *deed, &mut on),
        other => of_all(*other, &mut on),
    });
    std::iter::once(first).chain(lines).map(|line| format!("{line}\n")).collect()
}

fn of_all(event: Event, on: &mut On) -> String {
    let budget = "kubectl -n ossci annotate --overwrite configmap ossci-budget";
    match event {
        Event::Tick => "# until something is due".to_owned(),
        Event::Day => "clock +86400s".to_owned(),
        Event::Window => {
            let policy = |windows: &str| format!("policy {{pool: {{windows: [{windows}]}}}}");
            on.switch("window", policy(r#"{days: [], from: "22:00", to: "06:00"}"#), policy(""))
        }
        Event::Mode => {
            let policy = |mode: &str| format!("policy {{pool: {{mode: {mode}}}}}");
            on.switch("mode", policy("taint"), policy("reimage"))
        }
        Event::Budget => "kubectl -n ossci delete configmap ossci-budget".to_owned(),
        Event::Pause => {
            on.switch("pause", format!("{budget} ossci.amd.com/pause=world"), format!("{budget} ossci.amd.com/pause-"))
        }
        Event::Mail => on.switch("mail", "mail refuses 451".to_owned(), "mail accepts".to_owned()),
        Event::Clock(seconds) => {
            let clock = |seconds: i64| format!("clock {seconds:+}s");
            on.switch("clock", clock(seconds), clock(0))
        }
        Event::Crash(Crash::BeforeTheAction | Crash::BeforeItsAnswer) => "kill controller".to_owned(),
        Event::Node(..) => unreachable!("an event of one node"),
    }
}

fn of_node(n: &str, deed: Deed, on: &mut On) -> String {
    let mut breaks = |fault: &str| {
        on.switch(&format!("{n} {fault}"), format!("break {n} {fault} until forever"), format!("mend {n}"))
    };
    match deed {
        Deed::Breaks(fault) => {
            let until = match fault {
                Fault::Reboot => "reboot",
                Fault::Reimage => "reimage",
                Fault::Person | Fault::None => "forever",
            };
            format!("break {n} gpu-missing until {until}")
        }
        Deed::Hardware => format!("alert {n} cluster=lab remediation=manual check=site-hardware"),
        Deed::Passes => format!("mend {n}"),
        Deed::Resolves => format!("await {n} alert none within 90s"),
        Deed::Reboots => format!("power {n}"),
        Deed::Dies => format!("break {n} stays-dark until forever # and then: power {n}"),
        Deed::WillNotBoot => breaks("stays-dark"),
        Deed::SlowTools => breaks("hung"),
        Deed::SlowNetwork => breaks("slow-network"),
        Deed::Inhibitor => breaks("inhibited"),
        Deed::Mirror => breaks("reimage-postponed"),
        Deed::SlowBoots | Deed::Kubelet | Deed::Kured | Deed::ScaledDown | Deed::Verify => format!("# {n}: {deed:?}"),
        Deed::Deleted => format!("kubectl delete node {n}"),
        Deed::Created => format!("register {n}"),
        Deed::Taint(key) => {
            on.0.insert(format!("{n} {key}"));
            format!("kubectl taint node {n} {key}=:NoSchedule")
        }
        Deed::Release => {
            let mut keys = [TaintKey::RepairManual, TaintKey::RepairReimage, TaintKey::RepairReboot].into_iter();
            let placed = keys.find(|key| on.0.remove(&format!("{n} {key}")));
            format!("kubectl taint node {n} {}-", placed.unwrap_or(TaintKey::RepairReboot))
        }
        Deed::Nfd | Deed::Label | Deed::Answers | Deed::Cordon | Deed::Hold | Deed::Mark | Deed::Silence => {
            let (first, second) = match deed {
                Deed::Nfd => {
                    ("kubectl label node NODE lab.example/story-", "kubectl label node NODE lab.example/story=world")
                }
                Deed::Label => {
                    ("kubectl label node NODE ossci.amd.com/pool-", "kubectl label node NODE ossci.amd.com/pool=world")
                }
                Deed::Answers => ("freeze agent NODE", "thaw agent NODE"),
                Deed::Cordon => ("kubectl cordon NODE", "kubectl uncordon NODE"),
                Deed::Hold => (
                    "kubectl annotate node NODE ossci.amd.com/hold=world",
                    "kubectl annotate node NODE ossci.amd.com/hold-",
                ),
                Deed::Mark => {
                    ("kubectl taint node NODE site/technician=:NoSchedule", "kubectl taint node NODE site/technician-")
                }
                _ => ("silence NODE", "unsilence NODE"),
            };
            on.switch(&format!("{n} {deed:?}"), first.replace("NODE", n), second.replace("NODE", n))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Fault;
    use super::*;

    /// The lab's own tests read the same file.
    #[test]
    fn each_event_is_a_line_of_a_story() {
        let node = |deed| Event::Node(0, deed);
        let all = [
            node(Deed::Breaks(Fault::Reboot)),
            node(Deed::Breaks(Fault::Reimage)),
            node(Deed::Hardware),
            node(Deed::Passes),
            node(Deed::Resolves),
            node(Deed::Reboots),
            node(Deed::Dies),
            node(Deed::WillNotBoot),
            node(Deed::SlowTools),
            node(Deed::SlowNetwork),
            node(Deed::Inhibitor),
            node(Deed::Mirror),
            node(Deed::SlowBoots),
            node(Deed::Kured),
            node(Deed::Deleted),
            node(Deed::Created),
            node(Deed::Taint(TaintKey::RepairManual)),
            node(Deed::Release),
            node(Deed::Nfd),
            node(Deed::Label),
            node(Deed::Answers),
            node(Deed::Answers),
            node(Deed::Cordon),
            node(Deed::Cordon),
            node(Deed::Hold),
            node(Deed::Mark),
            node(Deed::Silence),
            Event::Tick,
            Event::Day,
            Event::Window,
            Event::Window,
            Event::Mode,
            Event::Budget,
            Event::Pause,
            Event::Mail,
            Event::Mail,
            Event::Clock(-3600),
            Event::Crash(Crash::BeforeTheAction),
        ];
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core/world/every-event.story");
        ossci_base::golden::check(&path, &as_story(&all)).unwrap();
    }
}
