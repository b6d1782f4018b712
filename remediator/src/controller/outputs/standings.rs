//! The gauges of nodes and pools, computed from the cache for each scrape.

use jiff::Timestamp;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::controller::state::fleet::Fleet;
use crate::core::brakes::Storm;
use crate::core::policy::Policy;
use crate::core::record::Rung;
use crate::core::status::NodeState;
use crate::core::why::Why;
use crate::metrics::{
    ByNode, ByNodeAndRung, ByPhase, ByPool, ByPoolAndRung, ByPoolAndWhy, ByState, Standings, seconds,
};
use ossci_base::clock;
use ossci_base::words::ClosedWord;

/// Reasons to wait. Each has a series in each pool even when no node waits, so that alerting rules
/// find it.
const WAITING: [Why; 19] = [
    Why::ObserveOnly,
    Why::NotManaged,
    Why::ModeTaintOnly,
    Why::OnHold,
    Why::Cordoned,
    Why::UnderMaintenance,
    Why::Paused,
    Why::Silenced,
    Why::AlertsUnknown,
    Why::ClockSkew,
    Why::SeveralClusters,
    Why::WindowClosed,
    Why::StormBrake,
    Why::RungNotWorking,
    Why::TaintLimit,
    Why::Unconfirmed,
    Why::WaitingForBudget,
    Why::WaitingForJobs,
    Why::PodsKept,
];

/// Counts nodes and pools from the cache.
pub fn standings(fleet: &Fleet, policy: &Policy, now: Timestamp) -> Standings {
    let counts = fleet.counts(policy, now, clock::monotonic());
    let shown = Standings::default();
    for ((pool, rung, phase), nodes) in counts.repairs {
        let of = ByPhase { pool, rung: rung.as_str(), phase: phase.as_str() };
        shown.repairs.get_or_create_owned(&of).set(nodes);
    }
    for (pool, why) in counts.pools.keys().flat_map(|pool| WAITING.map(|why| (pool, why))) {
        shown.waiting.get_or_create_owned(&ByPoolAndWhy { pool: pool.clone(), why: why.as_str() });
    }
    for ((pool, why), nodes) in counts.waiting {
        shown.waiting.get_or_create_owned(&ByPoolAndWhy { pool, why: why.as_str() }).set(nodes);
    }
    for pool in counts.pools.keys() {
        shown.slow_networks.get_or_create_owned(&ByPool { pool: pool.clone() });
    }
    for (pool, nodes) in counts.slow {
        shown.slow_networks.get_or_create_owned(&ByPool { pool }).set(nodes);
    }
    for NodeState { node, pool, rung, phase, why, since, until } in counts.states {
        let of = ByNodeAndRung { node: node.clone(), rung: rung.clone() };
        let times = [(&shown.node_since, since), (&shown.node_until, until)];
        for (family, at) in times.into_iter().filter_map(|(family, at)| Some((family, at?))) {
            family.get_or_create_owned(&of).set(seconds(at));
        }
        shown.node_info.get_or_create_owned(&ByState { node, pool, rung, phase, why: why.as_str() }).set(1);
    }
    for (node, repairs) in counts.healed {
        shown.node_repairs.get_or_create_owned(&ByNode { node }).set(repairs);
    }
    shown.paused.set(counts.paused.is_some().into());
    shown.not_understood.set(counts.not_understood);
    for (pool, standing) in counts.pools {
        let of = ByPool { pool };
        let set = |family: &Family<ByPool, Gauge>, value: i64| {
            family.get_or_create_owned(&of).set(value);
        };
        set(&shown.pool_nodes, standing.nodes.into());
        set(&shown.pool_tainted, standing.tainted.into());
        set(&shown.pool_taints_full, standing.taints_full.into());
        set(&shown.budget_places, standing.places.into());
        set(&shown.budget_places_taken, standing.taken.into());
        set(&shown.storm_brake, matches!(standing.storm, Storm::Braking(_)).into());
        for rung in [Rung::Reboot, Rung::Reimage] {
            let stopped = standing.stopped.contains(&rung);
            let rung = ByPoolAndRung { pool: of.pool.clone(), rung: rung.as_str() };
            shown.rung_stopped.get_or_create_owned(&rung).set(stopped.into());
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use crate::controller::state::site::Site;
    use crate::core::record::{Episode, NetworkPhase, NetworkTrack, PastEpisode, Phase, Record, Repair};
    use crate::core::why::Reason;
    use crate::wire::node_repair::{NodeRepair, NodeRepairStatus};
    use crate::wire::slim_node::{self, SlimNode};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + seconds).expect("a time")
    }

    fn policy() -> Policy {
        let yaml = "pools:\n- name: gpu\n  nodeSelector: {gpu: 'yes'}\n";
        Site::of(yaml).expect("a policy").policy.clone()
    }

    fn saw(fleet: &Fleet, name: &str, condition: Option<&str>) {
        let conditions: Vec<_> = condition
            .map(|reason| json!({"type": "OssciHealthy", "status": "False", "reason": reason, "message": "m"}))
            .into_iter()
            .collect();
        let node: SlimNode = serde_json::from_value(json!({
            "metadata": {"name": name, "uid": name, "labels": {"gpu": "yes", "ossci.amd.com/pool": "gpu"}},
            "status": {"conditions": conditions},
        }))
        .expect("a Node");
        let view = slim_node::view(&node, &Default::default());
        fleet.saw_node(&node, &view, &policy(), clock::monotonic());
    }

    fn records(fleet: &Fleet, name: &str, record: Record) {
        let mut repair = NodeRepair::new(name, Default::default());
        let Repair { episode, network, history } = record.repair;
        repair.status = Some(NodeRepairStatus { episode, network, history, ..Default::default() });
        fleet.saw_record(&repair);
    }

    /// A slow network, a repair that waits, and one that healed an hour ago.
    fn trouble(slow: bool) -> Record {
        let why = Reason::new(Why::OnHold, "ask Ann");
        let mut record = Record::default();
        record.repair.history = vec![PastEpisode {
            number: 1,
            started_at: at(-7200),
            ended_at: at(-3600),
            rung: Rung::Reboot,
            outcome: Phase::Healed,
            why: why.clone(),
            pool: None,
            attempts: Vec::new(),
            slowest_boot_seconds: None,
            by_person: false,
            mailed: false,
        }];
        record.repair.network = slow.then(|| NetworkTrack {
            number: 1,
            phase: NetworkPhase::Slow,
            started_at: at(0),
            since: at(0),
            until: None,
            attempt: 0,
            why: Reason::new(Why::Complaint, "slow"),
            node_uid: "n1".to_owned(),
            taint: None,
            begun: Vec::new(),
        });
        let mut episode = Episode::begin(2, Rung::Reboot, at(60), why);
        episode.until = Some(at(600));
        record.repair.episode = Some(episode);
        record
    }

    fn lines(fleet: &Fleet, now: Timestamp) -> Vec<String> {
        let metrics = crate::metrics::Metrics::default();
        let page = metrics.page(&standings(fleet, &policy(), now)).expect("a page");
        page.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn a_node_that_is_not_well_has_a_series_for_each_reason() {
        let fleet = Fleet::default();
        saw(&fleet, "n1", Some("OnHold"));
        saw(&fleet, "n2", Some("NotManaged"));
        saw(&fleet, "n3", None);
        records(&fleet, "n1", trouble(true));
        let page = lines(&fleet, at(100));
        for series in [
            "node_info{node=\"n1\",pool=\"gpu\",rung=\"reboot\",phase=\"Waiting\",why=\"OnHold\"} 1",
            "node_info{node=\"n1\",pool=\"gpu\",rung=\"slow-network\",phase=\"Slow\",why=\"Complaint\"} 1",
            "node_info{node=\"n2\",pool=\"gpu\",rung=\"\",phase=\"\",why=\"NotManaged\"} 1",
            "node_since_timestamp_seconds{node=\"n1\",rung=\"reboot\"} 1795000060.0",
            "node_until_timestamp_seconds{node=\"n1\",rung=\"reboot\"} 1795000600.0",
            "node_repairs{node=\"n1\"} 1",
            "repairs{pool=\"gpu\",rung=\"reboot\",phase=\"Waiting\"} 1",
            "waiting{pool=\"gpu\",why=\"OnHold\"} 1",
            "waiting{pool=\"gpu\",why=\"Silenced\"} 0",
            "slow_networks{pool=\"gpu\"} 1",
        ] {
            let series = format!("ossci_remediator_{series}");
            assert!(page.contains(&series), "{series} is missing:\n{}", page.join("\n"));
        }
        assert!(!page.iter().any(|line| line.contains("n3")), "it is well");
        let week = 7 * 24 * 3600;
        assert!(!lines(&fleet, at(week)).iter().any(|line| line.contains("node_repairs")), "that was a week ago");
    }

    #[test]
    fn five_thousand_nodes_with_five_hundred_repairs_have_at_most_five_thousand_series() {
        let fleet = Fleet::default();
        for number in 0..5_000 {
            let name = format!("node{number}");
            saw(&fleet, &name, None);
            if number < 500 {
                records(&fleet, &name, trouble(number % 2 == 0));
            }
        }
        let series = lines(&fleet, at(100)).len();
        assert!((1_500..5_000).contains(&series), "{series}");
    }
}
