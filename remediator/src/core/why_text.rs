//! What each reason means, what ends it, and what a person can do: docs/why.md and the command
//! `explain`. A reason without a text does not compile.

use super::why::Why;

/// The text of one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WhyText {
    pub means: &'static str,
    /// What ends it, or what comes next.
    pub ends: &'static str,
    /// What a person can do; empty if there is nothing to do. `NODE` stands for the node's name.
    pub person: &'static str,
}

/// Returns the text of a reason.
pub fn of(why: Why) -> WhyText {
    let (means, ends, person) = match why {
        Why::NotUnderstood => (
            "The record contradicts itself, or was written by a newer version.",
            "A person corrects the record or deletes it. Until then neither it nor its node is changed.",
            "Read the condition Understood: `kubectl describe nrep NODE`. Update the controller, or delete the record: `kubectl delete nrep NODE`.",
        ),
        Why::Healthy => ("No alert is open, and no repair runs.", "The next alert.", ""),
        Why::ObserveOnly => (
            "The pool's mode is `observe`: what would be done is recorded, and nothing is changed.",
            "The alerts resolve, or the mode is raised.",
            "Raise `pools[].mode` when the recorded decisions are those that you want.",
        ),
        Why::NotManaged => (
            "No pool of the policy selects the node.",
            "The node gets a pool's labels, or the label `ossci.amd.com/pool`.",
            "Check `pools[].nodeSelector`, and the labels: `kubectl get node NODE --show-labels`.",
        ),
        Why::OnHold => (
            "A person keeps us away from the node: annotation `ossci.amd.com/hold`.",
            "The annotation is removed.",
            "`kubectl annotate node NODE ossci.amd.com/hold-`",
        ),
        Why::Cordoned => (
            "The node is cordoned: it may be tainted, and is not drained, rebooted or reimaged.",
            "It is uncordoned. A node that is well then needs no repair.",
            "`kubectl uncordon NODE`",
        ),
        Why::UnderMaintenance => (
            "The node carries a label or a taint that `maintenance` of the policy lists.",
            "That mark is removed.",
            "Ask who put it there; the message names it.",
        ),
        Why::Paused => (
            "A person paused everything disruptive.",
            "The pause is lifted.",
            "`kubectl -n ossci annotate configmap ossci-budget ossci.amd.com/pause-`",
        ),
        Why::Silenced => (
            "The alert is silenced: it starts nothing, and continues nothing.",
            "The silence ends, or the alert resolves.",
            "Expire the silence in Alertmanager to let the repair go on.",
        ),
        Why::AlertsUnknown => (
            "No Alertmanager answers, so it is unknown which alerts are silenced.",
            "One of them answers.",
            "Check `alertmanager.urls` of the policy: `ossci-remediator doctor` asks each.",
        ),
        Why::ClockSkew => (
            "The clocks of the controller and of the API server disagree, so no deadline can be trusted.",
            "They agree within the limit.",
            "Correct the time on the controller's node or on the control plane.",
        ),
        Why::SeveralClusters => (
            "Alerts of several clusters arrive, and the policy does not say which one is ours.",
            "The policy names it.",
            "Set `cluster` of the policy to the value of your alerts' label.",
        ),
        Why::WindowClosed => (
            "The pool's maintenance window is closed.",
            "The window opens; UNTIL says when.",
            "Change `pools[].windows`, or wait.",
        ),
        Why::StormBrake => (
            "Too many nodes of the pool asked for a repair within minutes: most likely they have one cause.",
            "Fewer nodes ask within `brakes.stormSeconds`, or a person resumes. After the storm one node at a time is repaired, until the first is healed.",
            "Find the common cause. Resume: docs/operate/brakes.md.",
        ),
        Why::ManyNeedPerson => (
            "Alerts ask for a person on many nodes of the pool: one mail about the pool stands for all.",
            "Fewer nodes ask for a person.",
            "Find the common cause first.",
        ),
        Why::RungNotWorking => (
            "The last attempts of this rung in the pool failed, so no other begins.",
            "An attempt succeeds, or a person resumes.",
            "Read the failed attempts. Resume: docs/operate/brakes.md.",
        ),
        Why::TaintLimit => (
            "The pool has reached its limit of tainted nodes.",
            "Other nodes of the pool lose their taints.",
            "Repair or release other nodes first, or raise the limit in `brakes`.",
        ),
        Why::Unconfirmed => (
            "Alertmanager does not list the alert as active, so no taint is placed.",
            "It lists the alert, or the alert resolves.",
            "Compare the alert in Prometheus and in Alertmanager.",
        ),
        Why::ManySlow => (
            "Too many nodes have a slow network: the network is at fault, not the nodes.",
            "Fewer nodes are slow.",
            "Look at the switches and at the servers of the network check.",
        ),
        Why::ModeTaintOnly => (
            "The pool's mode is `taint`: the node is out of service, and nothing else is done.",
            "The alerts resolve and the node proves itself, or a person acts.",
            "Repair the node by hand, or raise `pools[].mode`.",
        ),
        Why::ReleasedByHand => (
            "A person removed our taint, and the quiet time has not passed.",
            "The quiet time passes (`times.releasedQuietSeconds`); UNTIL says when.",
            "",
        ),
        Why::OlderThanProof => (
            "The alert began before the last proof, which is newer and passed.",
            "The alert resolves, or fires anew.",
            "",
        ),
        Why::ComplaintResolved => ("The alerts resolved before anything was done.", "It is an end.", ""),
        Why::Complaint => ("An alert asks for this rung.", "The repair begins.", ""),
        Why::Relapse => (
            "The node fails again after earlier repairs, so a higher rung begins than the alert asks for.",
            "The repair begins.",
            "Read the earlier repairs: `.status.history` of the record.",
        ),
        Why::ChecksDisagree => (
            "The alert fires again and again, and every check passes.",
            "A person decides which is right.",
            "Compare the alert with `ossci-exporter --once` in the exporter's pod.",
        ),
        Why::TaintedByPerson => ("A person put our taint on the node.", "The repair begins.", ""),
        Why::WaitingForBudget => (
            "The pool has no free place in its budget, or other nodes come first.",
            "A repair of the pool ends.",
            "Raise `budget` if the pool can spare more nodes at a time.",
        ),
        Why::CheckingFirst => (
            "The node is checked once more before anything disruptive.",
            "The check fails: the repair goes on. It passes three times: the node is well.",
            "",
        ),
        Why::StillFailing => ("That check failed.", "The repair goes on.", ""),
        Why::PlacingTaint => ("The taint is being placed.", "It is seen on the Node.", ""),
        Why::RemovingTaint => ("The taint is being removed.", "It is gone from the Node.", ""),
        Why::CaptureOrdered => (
            "The agent writes down what a reboot would erase.",
            "It is done, or its time is over (`times.captureSeconds`).",
            "",
        ),
        Why::Captured => ("The evidence was captured.", "The drain begins.", ""),
        Why::NotCaptured => (
            "The evidence was not captured in time.",
            "The repair goes on without it.",
            "Look at the agent's log if this happens often.",
        ),
        Why::EvictingPods => ("The node's pods are evicted.", "They are gone, or the drain's time is over.", ""),
        Why::WaitingForJobs => (
            "Pods may finish by themselves before the repair (`drain: wait-for-jobs`).",
            "They finish, or the drain's time is over.",
            "Delete the pods if they need not finish.",
        ),
        Why::PodsKept => (
            "Pods run on the node that an eviction would lose, and the pool keeps them.",
            "They end or are deleted.",
            "Delete them, or set `pools[].keepBarePods` to false. The message names them.",
        ),
        Why::DrainBlocked => (
            "A PodDisruptionBudget does not allow an eviction.",
            "It allows it, or the drain's time is over; then the repair goes on.",
            "Give the workload another replica, or delete the pod. The message names it.",
        ),
        Why::NothingToEvict => ("No pod has to leave the node.", "The next step begins.", ""),
        Why::DrainDeadlinePassed => {
            ("Pods were still there when the drain's time was over.", "The repair goes on; the reboot ends them.", "")
        }
        Why::RebootOrdered => ("The agent has the order to reboot.", "A new boot ID is seen.", ""),
        Why::RebootInhibited => (
            "Another program on the node holds the reboot off.",
            "It lets go, within half of the reboot's time.",
            "`systemd-inhibit --list` on the node names it.",
        ),
        Why::BmcReset => ("The node is dead: its BMC is asked to reset it.", "A new boot ID is seen.", ""),
        Why::ManyDown => (
            "Too many nodes are not Ready, so no BMC resets one: the cause may be elsewhere.",
            "Fewer nodes are down.",
            "Look at power, network and control plane.",
        ),
        Why::ReimageOrdered => ("The node is being reimaged.", "The script or the service ends.", ""),
        Why::ReimageInterrupted => {
            ("The reimage was interrupted, and begins once more.", "The script or the service ends.", "")
        }
        Why::ReimagePostponed => (
            "The reimage script changed nothing, and asks for another try: a lock, a mirror.",
            "It is ordered again, until the rung's time is over.",
            "The message says what it waits for.",
        ),
        Why::Reimaged => ("The reimage finished.", "The reboot makes it effective.", ""),
        Why::NewBoot => ("The node is on a new boot.", "It is Ready and stable, and then proven.", ""),
        Why::UnexpectedReboot => ("The node rebooted without an order of ours.", "It is proven on its new boot.", ""),
        Why::NodeRecreated => ("The Node object was deleted and created again.", "It is proven.", ""),
        Why::NotReady => (
            "The kubelet does not report the node as Ready.",
            "It does, or the boot's time is over; then the BMC or a person is asked.",
            "",
        ),
        Why::VerifyRequested => (
            "A person repaired the node and asked for a proof: `ossci-remediator verify`, or the annotation `ossci.amd.com/verify`.",
            "The checks pass, and the taint is removed; or the node stays with a person.",
            "`ossci-remediator explain NODE` says what the checks found.",
        ),
        Why::ProofOrdered => {
            ("The checks run on the new boot.", "All pass: the node is healed. One fails: the next rung begins.", "")
        }
        Why::RepairHasTheOrder => (
            "The repair of the GPUs has the node's only order; the network is checked after it.",
            "That repair ends.",
            "",
        ),
        Why::WithdrawingOrder => ("An order is being taken back.", "The agent has seen it.", ""),
        Why::ProofPassed => ("Every check passed: the node is well.", "The taint is removed.", ""),
        Why::ProofFailed => (
            "A check, or the site's load test, failed on the new boot.",
            "The next rung begins; after the last one a person is asked.",
            "Most likely the hardware is at fault.",
        ),
        Why::ReimageFailed => (
            "The reimage script or the provisioning service failed.",
            "A person is asked.",
            "Read the end of its output: `kubectl describe nrep NODE`.",
        ),
        Why::ModeStopsHere => (
            "The pool's mode does not allow the next rung.",
            "A person is asked.",
            "Do the next step by hand, or raise `pools[].mode`.",
        ),
        Why::DidNotComeBack => (
            "There was no new boot ID by the deadline.",
            "A person is asked.",
            "Look at the node's console and at its BMC.",
        ),
        Why::AgentSilent => (
            "The node is Ready, but its agent takes no order.",
            "A person is asked.",
            "`kubectl get pods -A -o wide --field-selector spec.nodeName=NODE -l app.kubernetes.io/name=ossci-agent`",
        ),
        Why::CannotProve => (
            "The health of the node could not be determined: that is no failed proof.",
            "A person is asked.",
            "Check the exporter: `ossci-exporter --once` in its pod.",
        ),
        Why::OrderRefused => (
            "The agent refused its order; the message says why.",
            "A person is asked.",
            "Compare the versions and `taintPrefix` of controller and agent.",
        ),
        Why::NetworkRecovered => ("The network is fast again.", "The taint is removed.", ""),
        Why::NodeGone => ("The Node was deleted.", "It is an end.", ""),
        Why::MailPending => (
            "A person is to be told, and no mail server has accepted the mail yet.",
            "One accepts it. The alert NodeNeedsPerson tells of the node meanwhile.",
            "`ossci-remediator mail test` says what the mail server answers.",
        ),
        Why::MailAccepted => (
            "A mail told a person of the node.",
            "A person removes the taint `repair-manual`.",
            "docs/needs-a-person.md; when the node is well: `kubectl taint node NODE repair-manual-`",
        ),
    };
    WhyText { means, ends, person }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ossci_base::words::ClosedWord;

    #[test]
    fn every_text_is_whole_sentences() {
        for why in Why::ALL {
            let WhyText { means, ends, person } = of(*why);
            assert!(means.ends_with('.') && ends.ends_with('.'), "{why}: {means} {ends}");
            assert!(person.is_empty() || person.ends_with(['.', '`']), "{why}: {person}");
        }
    }
}
