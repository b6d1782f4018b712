//! The bridge of the VM nodes, in the lab's own network namespace.

use std::net::Ipv4Addr;

use anyhow::Result;
use serde_json::json;

use super::image::{run, tool};

/// The lab's address on the bridge, at which the nodes reach the API server.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 26, 1, 1);
/// The API server's port there.
const API: u16 = 6443;
const BRIDGE: &str = "ossci0";

/// The address of machine `number`.
pub fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 26, 1, 10 + number)
}

/// The pod network of machine `number`: each machine has its own, as in a cluster.
pub fn pods(number: u8) -> String {
    json!({"cniVersion": "0.4.0", "name": "lab", "plugins": [
        {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true,
         "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet(number)}]], "routes": [{"dst": "0.0.0.0/0"}]}},
        {"type": "portmap", "capabilities": {"portMappings": true}},
    ]})
    .to_string()
}

fn subnet(number: u8) -> String {
    format!("10.244.{number}.0/24")
}

/// The API server's address for the nodes, host:port.
pub fn api() -> String {
    format!("{GATEWAY}:{API}")
}

/// Brings up the loopback and the bridge.
pub async fn up() -> Result<()> {
    ip(&["link", "set", "lo", "up"]).await?;
    ip(&["link", "add", BRIDGE, "type", "bridge"]).await?;
    ip(&["address", "add", &format!("{GATEWAY}/24"), "dev", BRIDGE]).await?;
    ip(&["link", "set", BRIDGE, "up"]).await
}

/// Adds a port of the bridge for machine `number`, and the route to its pods. Returns the port's
/// name.
pub async fn tap(number: u8) -> Result<String> {
    let name = format!("ossci-vm{number}");
    ip(&["tuntap", "add", &name, "mode", "tap"]).await?;
    ip(&["link", "set", &name, "master", BRIDGE, "up"]).await?;
    ip(&["route", "add", &subnet(number), "via", &address(number).to_string()]).await?;
    Ok(name)
}

/// Disconnects machine `number` from the bridge, or connects it again.
pub async fn cut(number: u8, off: bool) -> Result<()> {
    let name = format!("ossci-vm{number}");
    let how: &[&str] = if off { &["nomaster"] } else { &["master", BRIDGE] };
    ip(&[&["link", "set", &name], how].concat()).await
}

async fn ip(args: &[&str]) -> Result<()> {
    run(tool("ip")?.args(args)).await
}
