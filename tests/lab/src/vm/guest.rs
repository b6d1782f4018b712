//! One virtual machine: qemu without hardware acceleration, on the lab's bridge. Its second serial
//! line takes commands, independently of Kubernetes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use super::debian_root::DebianRoot;
use super::image::{Image, run};
use super::power::{Current, PowerSwitch};
use super::{network, speed};
use crate::process::{Program, tail};
use crate::wait;

/// Timeout of a command on the serial line: the CPU is emulated.
const ANSWERS: Duration = Duration::from_secs(60);
const MEMORY_MB: u32 = 1536;
/// Separates the output of a command from its exit status.
const RECORD: u8 = 0x1e;

pub struct Guest {
    pub name: String,
    pub console: PathBuf,
    shell: Mutex<Option<UnixStream>>,
    shell_socket: PathBuf,
    power: PowerSwitch,
    number: u8,
    _current: Current,
}

impl Guest {
    /// Switches on machine `number` of the bridge: its own disk over the image, and the seed as
    /// second disk.
    pub async fn start(
        debian: &DebianRoot,
        image: &Image,
        dir: &Path,
        name: &str,
        number: u8,
        seed: &Path,
    ) -> Result<Self> {
        let disk = dir.join("disk.qcow2");
        let overlay = debian.program("qemu-img").args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]);
        run(overlay.arg(&image.disk).arg(&disk)).await?;
        let tap = network::tap(number).await?;
        let (monitor, shell, console) = (dir.join("monitor"), dir.join("shell"), dir.join("console.log"));
        let qemu = command(debian, name)
            .args(["-kernel".as_ref(), image.kernel.as_os_str(), "-append".as_ref()])
            .arg(kernel_arguments(name, number))
            .args([
                "-drive",
                &format!("if=none,id=root,file={},format=qcow2,cache=unsafe,discard=unmap", disk.display()),
            ])
            .args(["-device", "nvme,drive=root,serial=root"])
            .args(["-drive", &format!("if=none,id=seed,file={},format=raw,readonly=on", seed.display())])
            .args(["-device", "nvme,drive=seed,serial=seed"])
            .args(["-netdev", &format!("tap,id=lan,ifname={tap},script=no,downscript=no")])
            .args(["-device", &format!("virtio-net-pci,netdev=lan,mac=52:54:00:26:00:{number:02x},romfile=")])
            .args([
                "-chardev",
                &format!("file,id=console,append=on,path={}", console.display()),
                "-serial",
                "chardev:console",
            ])
            .args(["-chardev", &format!("socket,id=shell,path={},server=on,wait=off", shell.display())])
            .args(["-serial", "chardev:shell", "-qmp", &format!("unix:{},server=on,wait=off", monitor.display())]);
        let (power, current) = PowerSwitch::switch_on(qemu, &monitor, &dir.join("monitor.log")).await?;
        let (name, shell_socket) = (name.to_owned(), shell);
        Ok(Self { name, console, shell: Mutex::new(None), shell_socket, power, number, _current: current })
    }

    /// Its power switch, which also counts its resets.
    pub fn power(&self) -> &PowerSwitch {
        &self.power
    }

    /// Disconnects it from the network, or connects it again.
    pub async fn cut_off(&self, off: bool) -> Result<()> {
        network::cut(self.number, off).await
    }

    /// Runs a command as root, independently of everything else on the machine. Returns its output
    /// if it succeeded.
    pub async fn run(&self, command: &str) -> Result<String> {
        let said = tokio::time::timeout(speed::scaled(ANSWERS), self.ask(command)).await;
        let said = said.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer")));
        said.with_context(|| format!("{}: {command}", self.name))
    }

    async fn ask(&self, command: &str) -> Result<String> {
        ensure!(!command.contains('\n'), "a command is one line");
        let mut shell = self.shell.lock().await;
        // Output of an earlier command, possibly of an earlier boot, comes before this mark.
        let mark = uuid::Uuid::new_v4().simple().to_string();
        // A machine that was switched off in between has closed the line.
        let mut stream = match shell.take().filter(|stream| !matches!(stream.try_read(&mut [0]), Ok(0))) {
            Some(stream) => stream,
            None => UnixStream::connect(&self.shell_socket).await.context("its second serial line")?,
        };
        stream.write_all(format!("echo {mark}; {command}\n").as_bytes()).await.context("writing")?;
        let (mut said, mut byte) = (Vec::new(), [0]);
        let mark = format!("{mark}\n");
        let status = loop {
            ensure!(stream.read(&mut byte).await.context("reading")? == 1, "the line was closed");
            if byte[0] != RECORD {
                said.push(byte[0]);
                continue;
            }
            let mut status = String::new();
            while stream.read(&mut byte).await.context("reading")? == 1 && byte[0] != b'\n' {
                status.push(char::from(byte[0]));
            }
            // Without the mark this is the end of an earlier command.
            let text = String::from_utf8_lossy(&said).replace('\r', "");
            match text.split_once(&mark) {
                Some((_, text)) => break (status.trim().to_owned(), text.to_owned()),
                None => said.clear(),
            }
        };
        *shell = Some(stream);
        let (status, said) = status;
        ensure!(status == "0", "status {status}: {said}");
        Ok(said)
    }

    /// Waits until the machine has booted and takes commands.
    pub async fn up(&self, patience: Duration) -> Result<()> {
        let up = wait::until(format!("{} takes commands", self.name), patience, || self.run("true"));
        up.await.map(drop).with_context(|| format!("its console ends:\n{}", tail(&self.console, 15)))
    }

    /// The boots in the machine's journal, oldest first.
    pub async fn boots(&self) -> Result<Vec<String>> {
        let said = self.run("journalctl --list-boots --no-pager --quiet").await?;
        Ok(said.lines().filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect())
    }
}

fn command(debian: &DebianRoot, name: &str) -> Program {
    // Emulation only: hardware acceleration is not used even if the host has it.
    let qemu = debian.program("qemu-system-x86_64").args(["-name", name, "-M", "q35,usb=off", "-cpu", "max"]);
    let qemu = qemu.args(["-accel", "tcg,thread=multi,tb-size=256", "-smp", "1", "-m", &MEMORY_MB.to_string()]);
    let qemu = qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none"]);
    let qemu = qemu.args(["-device", "virtio-rng-pci"]);
    debian.firmware().iter().fold(qemu, |qemu, folder| qemu.arg("-L").arg(folder))
}

/// The machine's identity is here and not on its disk. After a power failure the journal writes in
/// one burst. With the kernel's default queue depth (1024) the emulated NVMe disk stops responding
/// then.
fn kernel_arguments(name: &str, number: u8) -> String {
    let (address, gateway) = (network::address(number), network::GATEWAY);
    format!(
        "root=/dev/nvme0n1 rw rootfstype=ext4 nvme.io_queue_depth=32 console=ttyS0 loglevel=5 mitigations=off nopti no5lvl \
         net.ifnames=0 systemd.hostname={name} systemd.machine_id={number:032x} ip={address}::{gateway}:255.255.255.0:{name}:eth0:off"
    )
}
