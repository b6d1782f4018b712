//! Services outside Kubernetes that the controller asks: Alertmanager, BMCs, a site's provisioning service.

pub mod alertmanager;
pub mod outbound;
pub mod provisioning;
pub mod redfish;
