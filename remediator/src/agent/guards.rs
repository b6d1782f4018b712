//! The guards of the agent: which orders it may start, and what it reports about the others. Pure:
//! every guard is in this file.

use crate::core::record::{AgentReport, AgentState, Order, OrderKind};

/// What to do with an order that was just read.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// The order is finished.
    Nothing,
    /// The order was running; report its outcome.
    Settle(AgentState, &'static str),
    Refuse(String),
    /// Start it. `announced`: `Running` was already reported.
    Start {
        announced: bool,
    },
}

/// What the agent knows when it reads an order.
pub struct Moment<'a> {
    pub order: &'a Order,
    /// The report on this order, if any.
    pub report: Option<&'a AgentReport>,
    pub boot_id: &'a str,
    /// Hold and taint are read live from the Node before a disruptive order begins; for others
    /// they do not count.
    pub hold: Option<&'a str>,
    pub repair_taint: bool,
    /// The id of the order that the repair in the same record calls for. A disruptive order with
    /// another id was called off, and the controller's next write withdraws it.
    pub asked: Option<&'a str>,
    pub now: jiff::Timestamp,
}

pub fn next(moment: &Moment) -> Next {
    let Moment { order, report, boot_id, .. } = moment;
    let same_boot = order.boot_id == *boot_id;
    let running = match report.map(|report| report.state) {
        Some(AgentState::Running) => true,
        // Nothing was begun: every guard is checked again.
        Some(AgentState::Inhibited) | None => false,
        Some(_) => return Next::Nothing,
    };
    if let Some(fault) = order.fault() {
        return Next::Refuse(format!("no controller writes such an order: {fault}"));
    }
    match (order.kind, running) {
        (OrderKind::Reboot, true) if !same_boot => return Next::Settle(AgentState::Done, "the boot ended"),
        // A reboot that did not come in time is for the controller to decide on: nothing starts
        // after the deadline.
        (OrderKind::Reboot, true) if moment.now > order.deadline => {
            return Next::Settle(AgentState::Failed, "this boot did not end by the order's deadline");
        }
        // A second request to end the same boot is harmless: the boot ends once.
        (OrderKind::Reboot, true) => return Next::Start { announced: true },
        // Another process of this agent began it, on this boot or another: the host knows its
        // outcome.
        (OrderKind::Reimage | OrderKind::Prove | OrderKind::Capture, true) => return Next::Start { announced: true },
        (_, false) => {}
    }
    if let Some(held_off) = report.filter(|_| moment.now > order.held_off_until()) {
        return Next::Refuse(format!("too little of the order's time is left for a boot: {}", held_off.message));
    }
    if moment.now > order.deadline {
        return Next::Refuse("the order is past its deadline".to_owned());
    }
    if !order.kind.is_disruptive() {
        return Next::Start { announced: false };
    }
    if !same_boot {
        return Next::Refuse(format!("the order is for boot {}, this is {boot_id}", order.boot_id));
    }
    if moment.asked != Some(order.id.as_str()) {
        return Next::Refuse("the repair in the record does not call for this order".to_owned());
    }
    if let Some(text) = moment.hold {
        return Next::Refuse(format!("a person put the node on hold: {text}"));
    }
    if !moment.repair_taint {
        return Next::Refuse("the node carries no repair taint".to_owned());
    }
    Next::Start { announced: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::record::Script;
    use jiff::Timestamp;
    use ossci_base::words::ClosedWord;

    const BOOT: &str = "boot-1";

    fn order(kind: OrderKind, boot_id: &str) -> Order {
        Order {
            id: "1".into(),
            kind,
            boot_id: boot_id.into(),
            issued_at: Timestamp::UNIX_EPOCH,
            deadline: Timestamp::from_second(100).unwrap(),
            proof: None,
            script: (kind == OrderKind::Reimage).then(|| Script::at("ossci-reimage", "reimage.sh")),
            releases: None,
        }
    }

    fn report(state: AgentState) -> AgentReport {
        AgentReport::plain("1".into(), BOOT.into(), state, Timestamp::UNIX_EPOCH, String::new())
    }

    fn check(order: &Order, report: Option<AgentState>, change: impl FnOnce(&mut Moment)) -> Next {
        let report = report.map(self::report);
        let now = Timestamp::from_second(10).unwrap();
        let (report, asked) = (report.as_ref(), Some("1"));
        let mut moment = Moment { order, report, boot_id: BOOT, hold: None, repair_taint: true, asked, now };
        change(&mut moment);
        next(&moment)
    }

    fn refused(next: Next) -> bool {
        matches!(next, Next::Refuse(_))
    }

    #[test]
    fn a_finished_order_is_never_started_again() {
        for &kind in OrderKind::ALL {
            for &state in AgentState::ALL.iter().filter(|state| state.is_over()) {
                assert_eq!(check(&order(kind, BOOT), Some(state), |_| {}), Next::Nothing, "{kind} {state}");
                assert_eq!(check(&order(kind, "boot-0"), Some(state), |_| {}), Next::Nothing, "{kind} {state}");
            }
        }
    }

    #[test]
    fn a_reboot_ends_the_boot_it_names_and_no_other() {
        let other = order(OrderKind::Reboot, "boot-0");
        assert!(refused(check(&other, None, |_| {})));
        assert_eq!(check(&other, Some(AgentState::Running), |_| {}), Next::Settle(AgentState::Done, "the boot ended"));
        assert_eq!(check(&order(OrderKind::Reboot, BOOT), None, |_| {}), Next::Start { announced: false });
    }

    #[test]
    fn a_reboot_that_an_inhibitor_holds_off_passes_every_guard_again() {
        let order = order(OrderKind::Reboot, BOOT);
        let inhibited = Some(AgentState::Inhibited);
        assert_eq!(check(&order, inhibited, |_| {}), Next::Start { announced: false });
        assert!(refused(check(&order, inhibited, |moment| moment.hold = Some("a person works here"))));
        assert!(refused(check(&order, inhibited, |moment| moment.asked = None)));
        assert!(refused(check(&order, inhibited, |moment| moment.now = Timestamp::from_second(51).unwrap())));
    }

    #[test]
    fn an_order_that_no_controller_writes_is_refused_in_every_state() {
        for report in [None, Some(AgentState::Running), Some(AgentState::Inhibited)] {
            let order = Order { id: "../../etc/cron.d/x".into(), ..order(OrderKind::Reboot, BOOT) };
            assert!(refused(check(&order, report, |_| {})), "{report:?}");
        }
    }

    #[test]
    fn a_running_reboot_is_requested_again_until_its_deadline() {
        let order = order(OrderKind::Reboot, BOOT);
        let running = Some(AgentState::Running);
        assert_eq!(check(&order, running, |_| {}), Next::Start { announced: true });
        let late = check(&order, running, |moment| moment.now = Timestamp::from_second(101).unwrap());
        assert!(matches!(late, Next::Settle(AgentState::Failed, _)), "{late:?}");
    }

    #[test]
    fn each_guard_refuses_a_disruptive_order() {
        for kind in [OrderKind::Reboot, OrderKind::Reimage] {
            let order = order(kind, BOOT);
            assert!(refused(check(&order, None, |moment| moment.hold = Some("a person works here"))));
            assert!(refused(check(&order, None, |moment| moment.repair_taint = false)));
            assert!(refused(check(&order, None, |moment| moment.asked = None)));
            assert!(refused(check(&order, None, |moment| moment.asked = Some("2"))));
            assert!(refused(check(&order, None, |moment| moment.now = Timestamp::from_second(101).unwrap())));
        }
    }

    #[test]
    fn a_running_reimage_is_waited_for_and_not_restarted() {
        for boot in [BOOT, "boot-0"] {
            let next = check(&order(OrderKind::Reimage, boot), Some(AgentState::Running), |_| {});
            assert_eq!(next, Next::Start { announced: true });
        }
    }
}
