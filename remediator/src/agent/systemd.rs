//! systemd and logind of the host, over the host's D-Bus. Each operation opens its own connection:
//! the bus may be restarted at any time.
//!
//! Source: org.freedesktop.systemd1(5), org.freedesktop.login1(5).

use std::path::{Path, PathBuf};
use std::time::Duration;

use zbus::{Connection, DBusError as _, DynamicType, Message, OwnedObjectPath, OwnedVariant, Variant};

use super::process::HostError;

/// Limit of an operation. logind and systemd answer at once, unless they hang or reload.
const ANSWERS: Duration = Duration::from_secs(30);
/// Limit of what waits for a reload: systemd gives a generator 90 s when it reloads its units.
const RELOADS: Duration = Duration::from_secs(120);

const SYSTEMD: (&str, &str, &str) =
    ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager");
const LOGIND: (&str, &str, &str) =
    ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager");

/// systemd 257 and newer refuse a reboot, of root too, while another program holds a lock. 257
/// itself only says that access is denied.
const INHIBITED: &str = "org.freedesktop.login1.BlockedByInhibitorLock";
const DENIED: &str = "org.freedesktop.DBus.Error.AccessDenied";
/// A reboot was accepted before, and waits for programs that delay it.
const IN_PROGRESS: &str = "org.freedesktop.login1.OperationInProgress";
const NO_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
/// logind does not run, or is masked: systemd itself is asked then.
const NO_LOGIND: [&str; 4] = [
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.NoReply",
    "org.freedesktop.systemd1.UnitMasked",
];
/// The answer was lost.
const LOST: [&str; 3] = [
    "org.freedesktop.DBus.Error.NoReply",
    "org.freedesktop.DBus.Error.Disconnected",
    "org.freedesktop.DBus.Error.Timeout",
];

/// A lock of logind: what it holds off, who holds it, why, its mode, user and process.
type Lock = (String, String, String, String, u32, u32);

/// A property of a transient unit.
pub type Property = (&'static str, Variant<'static>);

/// The host's D-Bus.
#[derive(Debug, Clone)]
pub struct Systemd {
    socket: PathBuf,
}

impl Systemd {
    /// `root`: the host's root.
    pub fn of(root: &Path) -> Self {
        Self { socket: root.join("run/dbus/system_bus_socket") }
    }

    /// Reads all unit files again.
    pub async fn reload(&self) -> Result<(), HostError> {
        let reload = async { self.connect().await?.manager(SYSTEMD, "Reload", &()).await };
        Ok(within("reloading the units", RELOADS, reload).await.map(drop)?)
    }

    /// Asks for an orderly reboot, with a message for the journal and for logged-in users.
    pub async fn reboot(&self, message: &str) -> Result<(), HostError> {
        // Before 257 root passes the locks of root, such as those of an upgrade: they are read.
        if let Some(holders) = self.holders(|mode| mode == "block").await {
            return Err(HostError::Inhibited { holders });
        }
        let ask = async {
            let bus = self.connect().await?;
            // An older logind does not know the message; the reboot is asked for all the same.
            let _ = bus.manager(LOGIND, "SetWallMessage", &(message, true)).await;
            bus.manager(LOGIND, "Reboot", &false).await
        };
        match within("the reboot", ANSWERS, ask).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.is(&[IN_PROGRESS]) => Ok(()),
            Err(failure) if failure.is(&[INHIBITED]) => {
                let holders = self.holders(blocks).await.unwrap_or_else(|| "a lock that is gone now".to_owned());
                Err(HostError::Inhibited { holders })
            }
            Err(failure) if failure.is(&[DENIED]) => match self.holders(blocks).await {
                Some(holders) => Err(HostError::Inhibited { holders }),
                None => Err(failure.into()),
            },
            // A logind that hangs may still carry it out: one more request ends no second boot.
            Err(failure) if failure.error.is_none() || failure.is(&NO_LOGIND) => self.reboot_without_logind().await,
            // systemd refuses another request during a shutdown.
            Err(_) if self.is_stopping().await => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn reboot_without_logind(&self) -> Result<(), HostError> {
        let job = ("reboot.target", "replace-irreversibly");
        let start = async { self.connect().await?.manager(SYSTEMD, "StartUnit", &job).await };
        match within("the reboot", RELOADS, start).await {
            Err(failure) if failure.error.is_some() && self.is_stopping().await => {
                tracing::info!(error = HostError::from(failure).whole(), "the host is shutting down already");
                Ok(())
            }
            other => Ok(other.map(drop)?),
        }
    }

    /// Returns who holds off a reboot, for people; `None`: no program does, by logind's answer.
    async fn holders(&self, refuses: fn(mode: &str) -> bool) -> Option<String> {
        let ask = async {
            let answer = self.connect().await?.manager(LOGIND, "ListInhibitors", &()).await?;
            answer.body().deserialize::<Vec<Lock>>()
        };
        let holds_off = |(what, _, _, mode, ..): &Lock| refuses(mode) && what.contains("shutdown");
        let locks = within("listing the inhibitor locks", ANSWERS, ask).await.ok()?;
        let held: Vec<String> = locks
            .into_iter()
            .filter(holds_off)
            .map(|(_, who, why, _, _, process)| format!("{who} (process {process}): {why}"))
            .collect();
        (!held.is_empty()).then(|| format!("an inhibitor lock: {}", held.join("; ")))
    }

    async fn is_stopping(&self) -> bool {
        let ask = async { self.connect().await?.property(SYSTEMD.1, SYSTEMD.2, "SystemState").await };
        let state = within("the state of systemd", ANSWERS, ask).await;
        state.is_ok_and(|state| String::try_from(state).is_ok_and(|state| state == "stopping"))
    }

    /// Starts a transient unit. Its name must not be in use.
    pub async fn start(&self, unit: &str, properties: Vec<Property>) -> Result<(), HostError> {
        let auxiliary: Vec<(&str, Vec<Property>)> = Vec::new();
        let start = async {
            self.connect().await?.manager(SYSTEMD, "StartTransientUnit", &(unit, "fail", properties, auxiliary)).await
        };
        Ok(within("starting a unit", ANSWERS, start).await.map(drop)?)
    }

    /// Whether the main process of a unit runs, or is going to.
    pub async fn runs(&self, unit: &str) -> Result<bool, HostError> {
        let ask = async {
            let bus = self.connect().await?;
            let Some(path) = bus.unit(unit).await? else { return Ok(false) };
            // Read in this order: a job that ends in between has changed the state before.
            let job: (u32, OwnedObjectPath) =
                bus.property(&path, "org.freedesktop.systemd1.Unit", "Job").await?.try_into()?;
            let state: String = bus.property(&path, "org.freedesktop.systemd1.Unit", "SubState").await?.try_into()?;
            // A unit that is being stopped may still run for a while.
            Ok(job.0 != 0 || !matches!(state.as_str(), "dead" | "failed" | "exited"))
        };
        Ok(within("the state of a unit", ANSWERS, ask).await?)
    }

    /// Asks for the end of a unit, and does not wait for it.
    pub async fn stop(&self, unit: &str) -> Result<(), HostError> {
        let stop = async { self.connect().await?.manager(SYSTEMD, "StopUnit", &(unit, "replace")).await };
        unless_unloaded(within("stopping a unit", ANSWERS, stop).await)
    }

    /// Removes a unit that has ended, failed or not, so that its name is free.
    pub async fn forget(&self, unit: &str) -> Result<(), HostError> {
        let forget = async { self.connect().await?.manager(SYSTEMD, "ResetFailedUnit", &unit).await };
        unless_unloaded(within("removing a unit", ANSWERS, forget).await)
    }

    async fn connect(&self) -> zbus::Result<Bus> {
        let address = format!("unix:path={}", self.socket.display());
        zbus::connection::Builder::address(address.as_str()).build().await.map(Bus)
    }
}

/// Whether a lock of this mode blocks; others only delay.
fn blocks(mode: &str) -> bool {
    mode.starts_with("block")
}

/// An open connection.
struct Bus(Connection);

impl Bus {
    async fn manager<B>(
        &self,
        (service, path, interface): (&str, &str, &str),
        method: &str,
        body: &B,
    ) -> zbus::Result<Message>
    where
        B: serde::Serialize + DynamicType,
    {
        self.0.call_method(Some(service), path, Some(interface), method, body).await
    }

    /// Returns the path of a loaded unit.
    async fn unit(&self, name: &str) -> zbus::Result<Option<OwnedObjectPath>> {
        match self.manager(SYSTEMD, "GetUnit", &name).await {
            Ok(answer) => answer.body().deserialize().map(Some),
            Err(error) if is(&error, &[NO_UNIT]) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn property(&self, path: &str, interface: &str, name: &str) -> zbus::Result<OwnedVariant> {
        let get = Some("org.freedesktop.DBus.Properties");
        self.0.call_method(Some(SYSTEMD.0), path, get, "Get", &(interface, name)).await?.body().deserialize()
    }
}

/// Whether the other side answered with one of these errors. zbus has types of its own for the
/// standard ones.
fn is(error: &zbus::Error, names: &[&str]) -> bool {
    match error {
        zbus::Error::MethodError(name, ..) => names.contains(&name.as_str()),
        zbus::Error::FDO(error) => names.contains(&error.name().as_str()),
        _ => false,
    }
}

/// Whether an error is an answer: without one, the request may have been carried out.
fn is_answer(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::MethodError(..) | zbus::Error::FDO(_)) && !is(error, &LOST)
}

/// A unit that is not loaded does not run.
fn unless_unloaded(done: Result<Message, Failure>) -> Result<(), HostError> {
    match done {
        Err(failure) if !failure.is(&[NO_UNIT]) => Err(failure.into()),
        _ => Ok(()),
    }
}

/// Why an operation failed.
struct Failure {
    what: &'static str,
    limit: Duration,
    /// `None`: it took too long.
    error: Option<zbus::Error>,
}

impl Failure {
    fn is(&self, names: &[&str]) -> bool {
        self.error.as_ref().is_some_and(|error| is(error, names))
    }
}

impl From<Failure> for HostError {
    fn from(Failure { what, limit, error }: Failure) -> Self {
        match error {
            Some(error) if is_answer(&error) => Self::Systemd { what, message: error.to_string() },
            Some(error) => Self::Unanswered { what, message: error.to_string() },
            None => Self::TooLong { what: what.to_owned(), seconds: limit.as_secs() },
        }
    }
}

async fn within<T>(
    what: &'static str,
    limit: Duration,
    operation: impl Future<Output = zbus::Result<T>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, operation).await {
        Ok(result) => result.map_err(|error| Failure { what, limit, error: Some(error) }),
        Err(_) => Err(Failure { what, limit, error: None }),
    }
}

#[cfg(test)]
mod tests {
    use zbus::fdo;

    use super::*;

    #[test]
    fn an_error_is_known_by_its_name_and_a_lost_answer_is_none() {
        let error = |error: fdo::Error| zbus::Error::FDO(Box::new(error));
        assert!(is(&error(fdo::Error::ServiceUnknown(String::new())), &NO_LOGIND));
        assert!(is(&error(fdo::Error::AccessDenied(String::new())), &[DENIED]));
        assert!(!is(&error(fdo::Error::AccessDenied(String::new())), &NO_LOGIND));
        assert!(is_answer(&error(fdo::Error::AccessDenied(String::new()))));
        for lost in [error(fdo::Error::NoReply(String::new())), error(fdo::Error::Disconnected(String::new()))] {
            assert!(!is_answer(&lost), "{lost}");
        }
        let gone = zbus::Error::InputOutput(std::io::Error::other("broken pipe").into());
        assert!(!is_answer(&gone));
    }
}
