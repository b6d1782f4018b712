//! etcd: the cluster's store. It does not sync to disk, because its data ends with the lab.

use anyhow::Result;

use super::{START, Site, flag, http, page};
use crate::ports;
use crate::process::{Process, Program};

/// A running etcd and its address.
pub struct Etcd {
    pub process: Process,
    pub url: String,
}

pub async fn start(site: &Site) -> Result<Etcd> {
    let url = format!("http://127.0.0.1:{}", ports::free()?);
    let peer = format!("http://127.0.0.1:{}", ports::free()?);
    let mut process = Program::new("etcd", site.tools.get("etcd")?)
        .arg(flag("data-dir", &site.dir.join("etcd")))
        .args(["--unsafe-no-fsync", "--log-level=warn"])
        .args([format!("--listen-client-urls={url}"), format!("--advertise-client-urls={url}")])
        .args([format!("--listen-peer-urls={peer}"), format!("--initial-advertise-peer-urls={peer}")])
        .arg(format!("--initial-cluster=default={peer}"))
        .start(&site.log("etcd"))?;
    let client = http()?;
    process.ready(START, || async { page(&client, &format!("{url}/health")).await.map(drop) }).await?;
    Ok(Etcd { process, url })
}
