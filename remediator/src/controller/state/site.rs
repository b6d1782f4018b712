//! What a site configured: one reading of the policy file, ready for use.

use anyhow::Context as _;

use crate::controller::services::alertmanager::Replicas;
use crate::controller::services::provisioning::Service;
use crate::controller::services::redfish::Bmc;
use crate::core::policy::Policy;
use crate::mail::Mailer;
use crate::wire::policy_file::PolicyFile;
use crate::wire::slim_node::TaintNames;

/// One reading of the policy file, ready for use.
pub struct Site {
    pub policy: Policy,
    pub names: TaintNames,
    pub cluster: Option<String>,
    pub mailer: Option<Mailer>,
    /// Where Alertmanager is asked; `None`: nowhere.
    pub alertmanager: Option<Replicas>,
    /// How dead nodes are reset; `None`: they are not.
    pub bmc: Option<Bmc>,
    /// Who reimages; `None`: a script.
    pub provisioning: Option<Service>,
}

impl Site {
    /// # Errors
    /// The text is no policy, or what it names (a CA, a password file) cannot be read.
    pub fn of(yaml: &str) -> anyhow::Result<Self> {
        let file = PolicyFile::parse(yaml)?;
        let names = file.taint_names();
        let mailer = file.mail.clone().map(|mail| Mailer::new(mail, &names));
        let mailer = mailer.transpose().context("setting up mail")?;
        let alertmanager = file.alertmanager.as_ref().map(Replicas::new).transpose().context("alertmanager")?;
        Ok(Self {
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
