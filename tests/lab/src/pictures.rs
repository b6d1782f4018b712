//! `ossci-lab dashboard-pictures`: draws the dashboards for the documents, from the committed files
//! and a recorded fleet, with Grafana's component library in Chromium.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::environment;
use crate::npm::PICTURES;
use crate::process::Program;
use crate::recorded::{END, Recorded, Recording};

const FLEET: Recording = Recording { nodes: 48, length: 8 * 86_400, step: 600, second_cluster: None };
/// Limit of one picture.
const PICTURE: Duration = Duration::from_secs(120);

/// Writes a picture of each dashboard to `out`.
pub async fn draw(out: &Path) -> Result<()> {
    if !PICTURES.is_there()? {
        PICTURES.fetch()?;
    }
    let node = environment::on_path("node").context("install Node.js 20 or newer: `apt-get install nodejs npm`")?;
    environment::on_path("chromium").context("install Chromium: `apt-get install chromium`")?;
    let dir = environment::temp_dir().join(format!("ossci-pictures-{}", std::process::id()));
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let recorded = Recorded::start(&dir, FLEET).await?;
    let mut drawn = Ok(());
    for name in ["fleet", "node", "itself"] {
        let file = environment::repository().join("grafana").join(name).with_extension("json");
        let picture = out.join(format!("dashboard-{name}.png"));
        let program = Program::new("draw.js", &node).arg(PICTURES.script("draw.js")?).arg(&recorded.url).arg(&file);
        drawn = program.arg(&picture).arg(END.to_string()).output(PICTURE).await.map(|said| print!("{said}"));
        if drawn.is_err() {
            break;
        }
        println!("{}", picture.display());
    }
    recorded.stop().await;
    fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    drawn
}
