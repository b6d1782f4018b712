//! Tests of authentication: which BMC gets a password, and which password.

use crate::controller::services::redfish::tests::world::{Vendor, World};
use crate::controller::services::redfish::tests::{LOG_IN, TAKEN, reset};
use crate::core::record::ResetState::{Failed, Sent};

#[tokio::test]
async fn an_unknown_certificate_gets_no_password() {
    let (world, other) = (World::start(Vendor::default()).await, World::start(Vendor::default()).await);
    // The CA is not this BMC's.
    let ca = std::fs::read_to_string(other.file().ca_file.unwrap()).unwrap();
    world.write("ca.crt", &ca);
    let (state, text) = reset(&world).await;
    let start = "no reset was sent: at the log-in the BMC could not be authenticated: invalid peer certificate";
    assert!(state == Failed && text.starts_with(start), "{text}");
    assert_eq!(world.asked(), [""; 0]);
    // Its fingerprint is enough; another one is not, whatever the CA.
    world.write("n1.sha256", &format!("sha256 Fingerprint={}\n", world.fingerprint));
    assert_eq!(reset(&world).await, (Sent, TAKEN.to_owned()));
    other.write("n1.sha256", &world.fingerprint);
    let (state, text) = reset(&other).await;
    let shown = format!("its fingerprint {} is not in nodeFingerprintFile", other.fingerprint.to_lowercase());
    assert!(state == Failed && text.ends_with(&shown), "{text}");
    assert_eq!(other.asked(), [""; 0]);
    other.write("n1.sha256", "soon");
    let (state, text) = reset(&other).await;
    assert!(state == Failed && text.contains("\"soon\" is not a SHA-256 fingerprint"), "{text}");
}

#[tokio::test]
async fn a_node_with_its_own_password_gets_that_one() {
    let world = World::start(Vendor { password: "s3cret-of-n1", ..Vendor::default() }).await;
    world.write("n1.password", "s3cret-of-n1\n");
    assert_eq!(reset(&world).await, (Sent, TAKEN.to_owned()));
    world.write("n1.username", "somebody");
    let (state, text) = reset(&world).await;
    assert!(state == Failed && text.contains("401"), "{text}");
    assert_eq!(world.asked().last().unwrap(), LOG_IN);
}

#[tokio::test]
async fn an_unreadable_password_is_not_replaced_by_the_common_one() {
    let world = World::start(Vendor::default()).await;
    world.write("n1.password", "");
    let (state, text) = reset(&world).await;
    assert!(state == Failed && text.starts_with("no reset was sent: nodePasswordFile "), "{text}");
    assert_eq!(world.asked(), [""; 0]);
    let mut file = world.file();
    (file.password_file, file.node_password_file) = (None, Some("/nowhere/{node}".to_owned()));
    let by = ossci_base::clock::monotonic() + std::time::Duration::from_secs(30);
    let (state, text) = world.bmc(&file).reset("n1", None, by, || true).await;
    assert_eq!(
        (state, text.as_str()),
        (Failed, "no reset was sent: the node has no nodePasswordFile, and there is no passwordFile")
    );
}
