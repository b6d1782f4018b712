//! The agent's metrics.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Build, Calls, build_info, page, table};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByOrder {
    /// `prove`, `capture`, `reboot`, `reimage`.
    pub kind: &'static str,
    /// The state that the agent reported: `Running`, `Done`, `Failed`, `Refused`, `Postponed`,
    /// `Interrupted`.
    pub state: &'static str,
}

table! {
    /// Metrics that live as long as the process.
    AgentMetrics {
        orders: Family<ByOrder, Counter> = Family::default(), "orders", "Orders by kind and reported state";
        paused: Gauge = Gauge::default(), "checks_paused",
            "1 while the exporter is asked to pause its periodic checks, because the node carries a repair taint";
        build_info: Family<Build, Gauge> = build_info(), "build_info", "Version of the program";
        api_requests: Calls = Calls::default(), "api_requests",
            "Requests to the Kubernetes API by verb and status code";
    }
}

impl Default for AgentMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl AgentMetrics {
    /// Returns the page, OpenMetrics text.
    pub fn page(&self) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("ossci_agent");
        self.register(&mut registry);
        page(&[registry])
    }
}
