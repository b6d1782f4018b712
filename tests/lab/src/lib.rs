//! The lab: a real control plane and alerting, simulated GPU nodes, and stories.
//!
//! ```text
//! setup (pins -> cache) -> lab: parts/ (etcd, API server, Prometheus, ...) in an enclosure
//!                           |
//!                           |-- one simulated node: machine (boots), kubelet (Node, Lease),
//!                           |     pods (our programs: agent on sim_host, which asks the machine
//! story -> play             |     for a reboot; exporter on stand_in tools)
//!          (faults, kills) -|
//!  alerting: 2 Prometheus -> 2 Alertmanager -> tap -> the remediator's webhook
//!  witness (audit log, inbox) -> audit (chronicle) -> verdict (invariants, golden text)
//! ```

pub mod alerting;
pub mod audit;
pub mod bench;
pub mod bmc;
pub mod cargo_deny;
mod cargo_tool;
pub mod chart;
pub mod chart_life;
pub mod clock;
pub mod cloud;
pub mod cuts;
pub mod dashboards;
pub mod debian;
pub mod demo;
pub mod deploy;
pub mod enclosure;
pub mod environment;
pub mod facts;
pub mod fault;
pub mod golden;
pub mod heard;
pub mod images;
pub mod inbox;
pub mod kubeconfig;
pub mod kubelet;
pub mod lab;
pub mod letter;
pub mod machine;
pub mod mail_kills;
pub mod node_dir;
pub mod npm;
pub mod pace;
pub mod paper_nodes;
pub mod parts;
pub mod pictures;
pub mod pins;
pub mod pki;
pub mod play;
pub mod pods;
pub mod ports;
pub mod post_office;
pub mod process;
pub mod programs;
pub mod provisioning;
pub mod proxy;
pub mod recorded;
pub mod release;
pub mod runner;
pub mod sender;
pub mod service;
pub mod setup;
pub mod sim_host;
pub mod site_policy;
pub mod sources;
pub mod stand_in;
pub mod storm;
pub mod story;
pub mod table;
pub mod tap;
pub mod verdict;
pub mod vm;
pub mod wait;
pub mod witness;
