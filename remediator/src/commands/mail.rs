//! `ossci-remediator mail`: sends a test mail and says each step, or shows a mail before it comes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Node;
use kube::api::Api;

use crate::api::{client, evidence_maps, request};
use crate::controller::reconcile::observe;
use crate::mail::compose::{Case, Letter};
use crate::mail::{Mailer, Thread, examples, machine};
use crate::metrics::Calls;
use crate::wire::node_repair::NodeRepair;
use crate::wire::policy_file::PolicyFile;
use ossci_base::clock;

/// Limit of reading from the cluster.
const READS: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Path of the policy file.
    #[arg(long, env = "OSSCI_POLICY", default_value = "/etc/ossci/policy.yaml")]
    policy: PathBuf,
    /// Namespace of the controller's ConfigMaps.
    #[arg(long, env = "OSSCI_NAMESPACE", default_value = "ossci")]
    namespace: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Command {
    /// Sends a test mail to the policy's recipients, and prints each step.
    Test,
    /// Prints the mail about a node as it would be now, or an example: gpu-missing,
    /// reimage-failed, no-boot, hardware-fault, waiting, released, many, reminder, notice.
    Preview {
        /// The name of a node, or of an example.
        name: String,
        /// A folder for NAME.eml and NAME.html, instead of the text on standard output.
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

/// Runs the command; `say` prints one line.
///
/// # Errors
/// The policy cannot be used, the mail was not accepted, or there is nothing to show.
pub async fn run(arguments: Arguments, say: impl Fn(&str) + Send + Sync) -> anyhow::Result<()> {
    let Arguments { policy, namespace, command } = arguments;
    let file = super::policy(&policy)?;
    let mailer = Mailer::of(&file)?.with_context(|| format!("{} has no section mail", policy.display()))?;
    match command {
        Command::Test => test(&file, &mailer, &say).await,
        Command::Preview { name, out } => {
            let (thread, letter, now) = match examples::letter(&mailer, &name) {
                Some(example) => example,
                None => of_node(&mailer, &namespace, &name).await?,
            };
            match out {
                None => say(format!("Subject: {}\n\n{}", letter.subject, letter.text).trim_end()),
                Some(folder) => {
                    let eml = mailer.eml(&thread, &letter, now)?;
                    for (file, content) in [("eml", eml.as_slice()), ("html", letter.html.as_bytes())] {
                        say(&write(&folder, &name, file, content)?);
                    }
                }
            }
            Ok(())
        }
    }
}

fn write(folder: &Path, name: &str, kind: &str, content: &[u8]) -> anyhow::Result<String> {
    let path = folder.join(format!("{name}.{kind}"));
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    std::fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
    Ok(path.display().to_string())
}

async fn test(file: &PolicyFile, mailer: &Mailer, say: &(impl Fn(&str) + Send + Sync)) -> anyhow::Result<()> {
    let letter = mailer.test();
    let id = format!("test-{}", uuid::Uuid::new_v4());
    let thread = Thread { message_id: file.policy().mail.message_id(&[&id]), references: vec![], calm: true };
    let sent = mailer.send(&thread, &letter, clock::now(), &|step| say(step)).await;
    let accepted = sent.map_err(|refusal| {
        let kind = if refusal.permanent { "waiting does not mend this" } else { "this may pass by itself" };
        anyhow::anyhow!("the mail was not accepted ({kind}): {}", refusal.words)
    })?;
    anyhow::ensure!(accepted.refused.is_empty(), "accepted, but not for {}", accepted.refused.join(", "));
    say(&format!(
        "the mail {} was accepted for every recipient; whether it is read, no program can say",
        thread.message_id
    ));
    Ok(())
}

async fn of_node(mailer: &Mailer, namespace: &str, name: &str) -> anyhow::Result<(Thread, Letter, jiff::Timestamp)> {
    let reads = async {
        let client = client::requests(&Calls::default()).await.context("connecting to the Kubernetes API")?;
        let repair =
            request::found(Api::<NodeRepair>::all(client.clone()).get(name).await).context("reading the NodeRepair")?;
        let names = examples::NAMES.join(", ");
        let repair =
            repair.with_context(|| format!("node {name} has no NodeRepair, and no example has this name: {names}"))?;
        let node = request::found(Api::<Node>::all(client.clone()).get(name).await).context("reading the Node")?;
        let (record, machine) = (repair.record(), node.as_ref().map(machine));
        let pods =
            observe::pods_to_leave(&client, name).await.map_err(|error| error.source).context("listing its pods")?;
        let evidence = evidence_maps::files_of(&client, namespace, &record).await;
        let case = Case { node: name, machine: machine.as_ref(), record: &record, pods: &pods, evidence: &evidence };
        let letter = mailer.about_node(&case).with_context(|| format!("node {name} has had no repair"))?;
        let thread = Thread { message_id: format!("<preview.{name}@example.com>"), ..Thread::default() };
        Ok((thread, letter, clock::now()))
    };
    tokio::time::timeout(READS, reads).await.context("the Kubernetes API did not answer within 30 s")?
}
