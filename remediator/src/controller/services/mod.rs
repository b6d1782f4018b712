//! The services outside Kubernetes that the controller calls: Alertmanager, BMCs, a site's
//! provisioning service.

pub mod alertmanager;
pub mod provisioning;
pub mod redfish;
