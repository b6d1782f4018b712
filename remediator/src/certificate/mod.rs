//! Certificates: what one says of itself, and those of our own webhook. It judges none: TLS does.

pub mod webhook;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// The facts of one X.509 certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The distinguished name, such as `CN=smtp.example.com`; may be empty.
    pub subject: String,
    pub issuer: String,
    /// The DNS names that it is for.
    pub names: Vec<String>,
    pub not_after: Timestamp,
}

impl Certificate {
    /// Reads the first certificate of a PEM text; `None` if it holds none.
    pub fn of_pem(pem: &[u8]) -> Option<Self> {
        Self::of_der(&CertificateDer::from_pem_slice(pem).ok()?)
    }

    /// Reads DER; `None` if it is no certificate.
    pub fn of_der(der: &[u8]) -> Option<Self> {
        let (_, read) = X509Certificate::from_der(der).ok()?;
        let not_after = Timestamp::from_second(read.validity().not_after.timestamp()).ok()?;
        let dns = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        };
        let names = read.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.iter().filter_map(dns).collect()).unwrap_or_default();
        Some(Self { subject: read.subject().to_string(), issuer: read.issuer().to_string(), names, not_after })
    }
}

impl std::fmt::Display for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { subject, issuer, not_after, .. } = self;
        write!(f, "{subject}, issued by {issuer}, valid until {not_after}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_itself_and_its_end() {
        let mut wanted = rcgen::CertificateParams::new(vec!["smtp.example.com".to_owned()]).unwrap();
        wanted.distinguished_name.push(rcgen::DnType::CommonName, "smtp.example.com");
        wanted.not_after = rcgen::date_time_ymd(2027, 1, 31);
        let made = wanted.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let read = Certificate::of_der(made.der()).unwrap();
        let name = "CN=smtp.example.com";
        assert_eq!(read.to_string(), format!("{name}, issued by {name}, valid until 2027-01-31T00:00:00Z"));
        assert_eq!(Certificate::of_der(b"no certificate"), None);
    }
}
