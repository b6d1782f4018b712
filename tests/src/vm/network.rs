//! The bridge of the VM nodes, in the network namespace that the lab made for itself.

use std::net::Ipv4Addr;

use anyhow::Result;

use super::image::{run, tool};

/// The lab's own address on the bridge: the API server's, as the nodes see it.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 26, 1, 1);
/// The API server's port there.
const API: u16 = 6443;
const BRIDGE: &str = "ossci0";

/// The address of machine `number`.
pub fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 26, 1, 10 + number)
}

/// Where a node finds the API server, host:port.
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

/// A port of the bridge for machine `number`: its name.
pub async fn tap(number: u8) -> Result<String> {
    let name = format!("ossci-vm{number}");
    ip(&["tuntap", "add", &name, "mode", "tap"]).await?;
    ip(&["link", "set", &name, "master", BRIDGE, "up"]).await?;
    Ok(name)
}

async fn ip(args: &[&str]) -> Result<()> {
    run(tool("ip")?.args(args)).await
}
