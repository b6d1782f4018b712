//! Authentication of a certificate by its SHA-256 fingerprint. Most BMCs have one that is
//! self-signed, expired and issued for another name, but only the BMC has its key.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest as _, Sha256};

/// SHA-256 of a certificate in DER.
pub type Fingerprint = [u8; 32];

/// Parses `sha256 Fingerprint=AB:CD:..`, `AB:CD:..` or `abcd..`, one per line.
///
/// # Errors
/// A line is not a fingerprint, or there is none.
pub fn fingerprints(text: &str) -> anyhow::Result<Vec<Fingerprint>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let all = lines.map(fingerprint).collect::<anyhow::Result<Vec<_>>>()?;
    anyhow::ensure!(!all.is_empty(), "no fingerprint");
    Ok(all)
}

fn fingerprint(line: &str) -> anyhow::Result<Fingerprint> {
    let hex: Vec<u8> = line.rsplit('=').next().unwrap_or(line).bytes().filter(|byte| *byte != b':').collect();
    let digits = hex.iter().map(|byte| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    let digits: Vec<u8> = digits.collect::<Option<_>>().unwrap_or_default();
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    let bytes = if digits.len() == 64 { bytes } else { Vec::new() };
    bytes.try_into().ok().with_context(|| format!("{line:?} is not a SHA-256 fingerprint of 64 hexadecimal digits"))
}

/// Returns the TLS configuration for a server with one of these certificates.
///
/// # Errors
/// The provider does not support the usual versions of TLS.
pub fn tls(pins: Vec<Fingerprint>) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let verifier = Arc::new(Pinned { pins, provider });
    Ok(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Accepts a certificate by its fingerprint alone and ignores its content. TLS still proves that
/// the server has its key.
#[derive(Debug)]
struct Pinned {
    pins: Vec<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown: Fingerprint = Sha256::digest(end_entity).into();
        if self.pins.contains(&shown) {
            return Ok(ServerCertVerified::assertion());
        }
        let shown: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
        Err(Error::General(format!("its fingerprint {shown} is not in nodeFingerprintFile")))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::fingerprints;

    #[test]
    fn a_fingerprint_is_parsed_with_and_without_openssl_form() {
        let printed = format!("sha256 Fingerprint={}", ["AB"; 32].join(":"));
        let read = fingerprints(&format!("{printed}\n\n{}\n", "cd".repeat(32))).unwrap();
        assert_eq!(read, [[0xab; 32], [0xcd; 32]]);
        for wrong in ["", "ab:cd", &"gh".repeat(32), &"ab".repeat(33), &format!("{}a", "ab".repeat(31))] {
            assert!(fingerprints(wrong).is_err(), "{wrong}");
        }
    }
}
