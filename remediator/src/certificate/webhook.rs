//! The certificate and the token of the webhook, made by ourselves: a CA of ten years that
//! Alertmanager trusts, and a certificate of 90 days that it signs. Pure, but for the random
//! numbers.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::Certificate;

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Lifetimes in days, and how many days before its end each is replaced.
const CA_DAYS: (i32, i32) = (3_650, 365);
const CERTIFICATE_DAYS: (i32, i32) = (90, 30);

/// The CA, and the certificate for the webhook's names; all PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    pub ca: String,
    pub ca_key: String,
    pub certificate: String,
    pub key: String,
}

impl Pair {
    /// Makes both.
    ///
    /// # Errors
    /// A name is no DNS name.
    pub fn new(names: &[String], now: Timestamp) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let ca = authority(now)?.self_signed(&key)?.pem();
        Self::signed(ca, key, names, now)
    }

    /// Returns the pair that is to follow this one: `None` while it serves these names for long
    /// enough. The CA stays as long as it can, because clients have to learn a new one.
    ///
    /// # Errors
    /// A name is no DNS name.
    pub fn next(&self, names: &[String], now: Timestamp) -> Result<Option<Self>, rcgen::Error> {
        let lasts = |pem: &str, days: i32| {
            Certificate::of_pem(pem.as_bytes()).is_some_and(|read| read.not_after > now + DAY * days)
        };
        if !lasts(&self.ca, CA_DAYS.1) {
            return Self::new(names, now).map(Some);
        }
        let serves = Certificate::of_pem(self.certificate.as_bytes()).is_some_and(|read| read.names == names);
        if serves && lasts(&self.certificate, CERTIFICATE_DAYS.1) {
            return Ok(None);
        }
        let Ok(key) = KeyPair::from_pem(&self.ca_key) else { return Self::new(names, now).map(Some) };
        Self::signed(self.ca.clone(), key, names, now).map(Some)
    }

    fn signed(ca: String, ca_key: KeyPair, names: &[String], now: Timestamp) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "ossci-remediator");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        lives(&mut params, now, CERTIFICATE_DAYS.0);
        let key = KeyPair::generate()?;
        let ca_pem = ca_key.serialize_pem();
        let certificate = params.signed_by(&key, &Issuer::new(authority(now)?, ca_key))?.pem();
        Ok(Self { ca, ca_key: ca_pem, certificate, key: key.serialize_pem() })
    }
}

fn authority(now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "OSSCI Ops webhook CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    lives(&mut params, now, CA_DAYS.0);
    Ok(params)
}

/// Sets the lifetime: from yesterday, because clocks differ.
fn lives(params: &mut CertificateParams, now: Timestamp, days: i32) {
    let day = |at: Timestamp| {
        let date = at.to_zoned(TimeZone::UTC).date();
        let unsigned = |part: i8| part.unsigned_abs();
        rcgen::date_time_ymd(date.year().into(), unsigned(date.month()), unsigned(date.day()))
    };
    (params.not_before, params.not_after) = (day(now - DAY), day(now + DAY * days));
}

/// Returns a new bearer token: 244 random bits.
pub fn token() -> String {
    let half = || uuid::Uuid::new_v4().simple().to_string();
    format!("{}{}", half(), half())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["ossci-remediator.ossci.svc".to_owned(), "ossci-remediator".to_owned()]
    }

    fn at(days: i32) -> Timestamp {
        "2026-11-30T12:00:00Z".parse::<Timestamp>().unwrap() + DAY * days
    }

    #[test]
    fn a_certificate_is_renewed_before_its_end_and_its_ca_stays() {
        let first = Pair::new(&names(), at(0)).unwrap();
        assert!(first.next(&names(), at(59)).unwrap().is_none());
        let second = first.next(&names(), at(60)).unwrap().unwrap();
        assert!(second.ca == first.ca && second.certificate != first.certificate);
        assert_eq!(
            Certificate::of_pem(second.certificate.as_bytes()).unwrap().not_after,
            at(150) - SignedDuration::from_hours(12)
        );
        let third = second.next(&names(), at(3_290)).unwrap().unwrap();
        assert!(third.ca != first.ca, "the CA ends");
    }

    #[test]
    fn other_names_and_what_cannot_be_read_are_replaced() {
        let pair = Pair::new(&names(), at(0)).unwrap();
        let other = vec!["ossci-remediator.gpu-ops.svc".to_owned()];
        let moved = pair.next(&other, at(1)).unwrap().unwrap();
        assert!(moved.ca == pair.ca);
        assert_eq!(Certificate::of_pem(moved.certificate.as_bytes()).unwrap().names, other);
        for broken in [
            Pair { ca: "x".into(), ..pair.clone() },
            Pair { certificate: String::new(), ..pair.clone() },
            Pair { certificate: String::new(), ca_key: "x".into(), ..pair.clone() },
        ] {
            let next = broken.next(&names(), at(1)).unwrap().unwrap();
            assert!(next.next(&names(), at(1)).unwrap().is_none());
        }
    }

    #[test]
    fn a_client_that_trusts_the_ca_accepts_the_certificate() {
        use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let pair = Pair::new(&names(), at(0)).unwrap();
        let renewed = pair.next(&names(), at(80)).unwrap().unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pair.ca.as_bytes()).unwrap()).unwrap();
        let judge =
            rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
        let end = CertificateDer::from_pem_slice(renewed.certificate.as_bytes()).unwrap();
        let name = |text: &'static str| ServerName::try_from(text).unwrap();
        let when =
            |days| UnixTime::since_unix_epoch(std::time::Duration::from_secs(at(days).as_second().unsigned_abs()));
        use rustls::client::danger::ServerCertVerifier as _;
        judge.verify_server_cert(&end, &[], &name("ossci-remediator.ossci.svc"), &[], when(81)).unwrap();
        assert!(judge.verify_server_cert(&end, &[], &name("other.ossci.svc"), &[], when(81)).is_err());
        assert!(judge.verify_server_cert(&end, &[], &name("ossci-remediator"), &[], when(171)).is_err());
    }

    #[test]
    fn no_two_tokens_are_alike() {
        assert!(token() != token() && token().len() == 64);
    }
}
