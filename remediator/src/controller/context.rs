//! What the controller's tasks share: the client, the policy in force, and the state in memory. It
//! decides nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch as watch_channel;

use crate::controller::services::redfish::Pace;
use crate::controller::state::alerts::Alerts;
use crate::controller::state::events::Events;
use crate::controller::state::evictions::Evictions;
use crate::controller::state::fleet::Fleet;
use crate::controller::state::kubelets::Kubelets;
use crate::controller::state::leadership::Leadership;
use crate::controller::state::outbox::Outbox;
use crate::controller::state::site::Site;
use crate::controller::state::time::ApiTime;
use crate::controller::state::wakes::Wakes;
use crate::metrics::Metrics;

/// What the controller's tasks share.
pub struct Context {
    /// For requests: each has a timeout, and the client never retries one.
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
    pub outbox: Outbox,
    pub kubelets: Kubelets,
    /// The limit of BMC resets in 10 min.
    pub resets: Pace,
    /// Number of deliveries and polls whose complaints are being recorded.
    pub receiving: watch_channel::Sender<usize>,
    pub time: ApiTime,
    /// Held while a new taint is decided and recorded: each counts against the limit for the next.
    pub tainting: tokio::sync::Mutex<()>,
    /// Held while Alertmanager is asked: when the last question began, and whether it was answered.
    pub asking: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

impl Context {
    /// Returns the context of a controller that has not read anything yet.
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
            outbox: Outbox::default(),
            kubelets: Kubelets::default(),
            resets: Pace::default(),
            receiving: watch_channel::Sender::new(0),
            time,
            tainting: tokio::sync::Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    pub fn site(&self) -> Arc<Site> {
        Arc::clone(&self.sites.borrow())
    }

    /// Returns the time that decisions use.
    pub fn now(&self) -> jiff::Timestamp {
        self.time.now()
    }

    /// Returns the age at which a recorded alert that still fires is written again: half of
    /// `complaintGraceSeconds`, so that the record is fresh enough when the grace ends.
    pub fn again(&self) -> Duration {
        self.site().policy.times.complaint_grace / 2
    }

    /// Queues every node that has a record or a taint of ours.
    pub fn wake_all(&self) {
        for node in self.fleet.names() {
            self.wakes.wake(&node);
        }
    }
}
