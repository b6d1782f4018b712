//! The lab's certificates: one CA, a server certificate for every listener, and a client
//! certificate for each identity without a token.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// Addresses and names of the lab's servers; the names are those of a real cluster.
const SERVER_NAMES: [&str; 8] = [
    "127.0.0.1",
    "10.96.0.1",
    // On the bridge of the VM nodes.
    "10.26.1.1",
    "localhost",
    "kubernetes",
    "kubernetes.default.svc",
    "ossci-remediator.ossci.svc",
    "ossci-remediator.ossci.svc.cluster.local",
];

/// A certificate authority, and the directory of its certificates.
pub struct Pki {
    dir: PathBuf,
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// The files of one certificate.
#[derive(Debug, Clone)]
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Pki {
    pub fn create(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "OSSCI lab CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let ca_pem = params.self_signed(&key)?.pem();
        let pki = Self { dir: dir.to_owned(), ca_pem, issuer: Issuer::new(params, key) };
        write_secret(&pki.ca_file(), &pki.ca_pem)?;
        Ok(pki)
    }

    pub fn ca_file(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A certificate for every name of the lab's servers.
    pub fn server(&self, name: &str) -> Result<Pair> {
        let mut params = CertificateParams::new(SERVER_NAMES.map(String::from).to_vec())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(name, params)
    }

    /// A certificate that no client may accept: for another name, or one that has expired.
    pub fn bad_server(&self, file: &str, names: &[&str], expired: bool) -> Result<Pair> {
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if expired {
            (params.not_before, params.not_after) =
                (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
        }
        self.issue(file, params)
    }

    /// A client certificate that identifies a user and a group to the API server.
    pub fn client(&self, file: &str, user: &str, group: Option<&str>) -> Result<Pair> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(file, params)
    }

    /// The key pair that signs ServiceAccount tokens: private part, public part.
    pub fn service_account_keys(&self) -> Result<Pair> {
        let key = KeyPair::generate()?;
        let pair = Pair { cert: self.dir.join("sa.pub"), key: self.dir.join("sa.key") };
        write_secret(&pair.key, &key.serialize_pem())?;
        write_secret(&pair.cert, &key.public_key_pem())?;
        Ok(pair)
    }

    fn issue(&self, file: &str, mut params: CertificateParams) -> Result<Pair> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer).with_context(|| format!("issuing {file}"))?;
        let pair = Pair { cert: self.dir.join(format!("{file}.crt")), key: self.dir.join(format!("{file}.key")) };
        write_secret(&pair.cert, &cert.pem())?;
        write_secret(&pair.key, &key.serialize_pem())?;
        Ok(pair)
    }
}

/// Writes a file that only its owner can read. It is renamed into place, so no reader sees half of
/// it.
pub fn write_secret(path: &Path, text: &str) -> Result<()> {
    let context = || format!("writing {}", path.display());
    let new = path.with_extension("new");
    fs::write(&new, text).with_context(context)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).with_context(context)?;
    fs::rename(&new, path).with_context(context)
}
