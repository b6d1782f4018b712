//! What a site must know about its own set-up: checked by the leader, and reported once.

use ossci_base::closed_words;

closed_words! {
    /// A gap in the set-up of the site.
    pub enum Warning ("warning") {
        /// The policy names no Alertmanager.
        NoAlertmanager = "no-alertmanager",
        /// The policy names no mail server.
        NoMail = "no-mail",
        /// The policy does not name our cluster.
        NoCluster = "no-cluster",
        /// An operator unloads the GPU driver from nodes with a taint of ours.
        DriverUnloaded = "driver-unloaded",
    }
}

impl Warning {
    /// Returns what it leads to, and what to do.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NoAlertmanager => {
                "the policy has no alertmanager.urls: silences are unknown, alerts are not confirmed before a taint, and \
                 lost webhooks are not found"
            }
            Self::NoMail => "the policy has no mail: nodes that need a person are only logged, set mail",
            Self::NoCluster => {
                "the policy has no cluster: an alert of any cluster for a node of the same name counts, set cluster to \
                 the value of your alerts' label"
            }
            Self::DriverUnloaded => {
                "an operator unloads the GPU driver from nodes with our taints, so each repair would end with a person: \
                 let it tolerate them"
            }
        }
    }
}
