//! What the loops of the controller share: the clients, the policy in force, and the state of each floor below.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as watch_channel;

use crate::controller::services::redfish::Pace;
use crate::controller::state::alerts::Alerts;
use crate::controller::state::events::Events;
use crate::controller::state::evictions::Evictions;
use crate::controller::state::fleet::Fleet;
use crate::controller::state::leadership::Leadership;
use crate::controller::state::site::Site;
use crate::controller::state::time::ApiTime;
use crate::controller::state::wakes::Wakes;
use crate::metrics::Metrics;

/// What every part of the controller shares.
pub struct Context {
    /// For requests: bounded, and never retried behind our back.
    pub client: kube::Client,
    /// The policy in force.
    pub sites: watch_channel::Sender<Arc<Site>>,
    pub metrics: Arc<Metrics>,
    pub wakes: Wakes,
    pub fleet: Fleet,
    pub namespace: String,
    pub events: Events,
    pub leadership: Leadership,
    pub alerts: Alerts,
    pub evictions: Evictions,
    /// How many nodes were reset by their BMCs lately.
    pub resets: Pace,
    /// Deliveries whose complaints are being recorded.
    pub receiving: watch_channel::Sender<usize>,
    pub time: ApiTime,
    /// New taints are decided one at a time: each counts against the next.
    pub tainting: tokio::sync::Mutex<()>,
}

impl Context {
    /// A controller that knows nothing yet.
    pub fn new(
        client: kube::Client,
        namespace: String,
        site: Site,
        metrics: Arc<Metrics>,
        time: ApiTime,
        wakes: Wakes,
        events: Events,
    ) -> Self {
        Self {
            client,
            sites: watch_channel::Sender::new(Arc::new(site)),
            metrics,
            wakes,
            fleet: Fleet::default(),
            namespace,
            events,
            leadership: Leadership::default(),
            alerts: Alerts::default(),
            evictions: Evictions::default(),
            resets: Pace::default(),
            receiving: watch_channel::Sender::new(0),
            time,
            tainting: tokio::sync::Mutex::default(),
        }
    }

    pub fn site(&self) -> Arc<Site> {
        Arc::clone(&self.sites.borrow())
    }

    /// The time by which everything is decided.
    pub fn now(&self) -> jiff::Timestamp {
        self.time.now()
    }

    /// How old the last word of an alert may be on record: an older one is written again, half a grace before it matters.
    pub fn again(&self) -> Duration {
        self.site().policy.times.complaint_grace / 2
    }

    /// Everything that anything is known of is looked at again.
    pub fn wake_all(&self) {
        for node in self.fleet.names() {
            self.wakes.wake(&node);
        }
    }
}
