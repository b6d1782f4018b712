//! The policy in force, with clients of the services that it names. Sends no request.

use anyhow::Context as _;

use crate::controller::services::alertmanager::Replicas;
use crate::controller::services::provisioning::Service;
use crate::controller::services::redfish::Bmc;
use crate::core::policy::Policy;
use crate::mail::Mailer;
use crate::wire::policy_file::PolicyFile;
use crate::wire::slim_node::TaintNames;

/// A parsed policy file. A reload creates a new one.
pub struct Site {
    /// The digest of the policy file.
    pub digest: String,
    pub policy: Policy,
    pub names: TaintNames,
    pub cluster: Option<String>,
    pub mailer: Option<Mailer>,
    /// The replicas of Alertmanager; `None`: none is polled.
    pub alertmanager: Option<Replicas>,
    /// The BMCs that reset dead nodes; `None`: none is reset.
    pub bmc: Option<Bmc>,
    /// The service that reimages nodes; `None`: a script does.
    pub provisioning: Option<Service>,
}

impl Site {
    /// Parses a policy file and reads the files that it names.
    ///
    /// # Errors
    /// The text is not a valid policy, or a file that it names (a CA, a password) cannot be read.
    pub fn of(yaml: &str) -> anyhow::Result<Self> {
        let file = PolicyFile::parse(yaml)?;
        let names = file.taint_names();
        let mailer = Mailer::of(&file).context("setting up mail")?;
        let alertmanager = file.alertmanager.as_ref().map(Replicas::new).transpose().context("alertmanager")?;
        Ok(Self {
            digest: file.digest(),
            policy: file.policy(),
            names,
            cluster: file.cluster.clone(),
            mailer,
            alertmanager,
            bmc: file.bmc.as_ref().map(Bmc::new).transpose().context("bmc")?,
            provisioning: file.reimage.service.as_ref().map(Service::new).transpose().context("reimage.service")?,
        })
    }
}
