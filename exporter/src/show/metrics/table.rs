//! Table of all metrics: name, help, unit, type, labels and source of the values. Pure: no I/O.
//! There is no label for the node: the scrape configuration adds it.

use crate::show::metrics::samples::{
    bad_pages, block_errors, bytes, clocks, fabric_ports, gpu_info, network, one, pci_gpus, per_check, per_gpu,
    per_worn_gpu, result_info, seconds, temperature_limits, temperatures, throttled, versions, xgmi_links,
};
use crate::show::metrics::{Kind, Metric, row};
use crate::state::ledger::CheckView;
use crate::state::run_dir::Pause;
use crate::verdict::Verdict;
use Kind::{Counter, Gauge, Info};

const CHECK: &[&str] = &["check"];
const GPU: &[&str] = &["gpu", "pci_bus"];
const NONE: &[&str] = &[];

/// All metrics of the exporter.
pub const TABLE: &[Metric] = &[
    row(
        "ossci_check_consecutive_failures",
        "Failed runs in a row. Unknown runs do not change it; a reboot resets it, a restart of the exporter does not.",
        None,
        Gauge,
        CHECK,
        |s| per_check(s, |c| Some(c.standing.consecutive_failures as f64)),
    ),
    row(
        "ossci_check_last_run_timestamp_seconds",
        "When the latest run ended, whatever its verdict.",
        Some("seconds"),
        Gauge,
        CHECK,
        |s| per_check(s, |c| c.standing.last_run.map(seconds)),
    ),
    row(
        "ossci_check_last_run_age_seconds",
        "Time since the latest run ended, by this node's clock; absent in the file of `--output`.",
        Some("seconds"),
        Gauge,
        CHECK,
        |s| {
            let age = |c: &CheckView| Some((seconds(s.now) - seconds(c.standing.last_run?)).max(0.0));
            if s.is_stored { Vec::new() } else { per_check(s, age) }
        },
    ),
    row(
        "ossci_check_last_success_timestamp_seconds",
        "When the latest passed run ended.",
        Some("seconds"),
        Gauge,
        CHECK,
        |s| per_check(s, |c| c.standing.last_success.map(seconds)),
    ),
    row("ossci_check_interval_seconds", "How often the check runs.", Some("seconds"), Gauge, CHECK, |s| {
        per_check(s, |c| Some(c.interval.as_secs_f64()))
    }),
    row("ossci_check_runs_total", "Periodic runs since the exporter started.", None, Counter, CHECK, |s| {
        per_check(s, |c| Some(c.standing.runs_total as f64))
    }),
    row("ossci_check_failures_total", "Failed periodic runs since the exporter started.", None, Counter, CHECK, |s| {
        per_check(s, |c| Some(c.standing.failures_total as f64))
    }),
    row(
        "ossci_check_success",
        "1 if the latest run passed, 0 if it failed; absent if its verdict is unknown.",
        None,
        Gauge,
        CHECK,
        |s| {
            per_check(s, |c| match c.standing.latest.as_ref()?.verdict() {
                Verdict::Passed => Some(1.0),
                Verdict::Failed(_) => Some(0.0),
                Verdict::Unknown(_) => None,
            })
        },
    ),
    row(
        "ossci_check_result_info",
        "Verdict and reason of the latest run.",
        None,
        Info,
        &["check", "verdict", "reason"],
        result_info,
    ),
    row("ossci_check_duration_seconds", "How long the latest run took.", Some("seconds"), Gauge, CHECK, |s| {
        per_check(s, |c| c.standing.latest.as_ref().map(|run| run.seconds))
    }),
    row(
        "ossci_check_not_understood",
        "Items in the output of the latest run that could not be parsed.",
        None,
        Gauge,
        CHECK,
        |s| per_check(s, |c| c.standing.latest.as_ref().map(|run| run.not_understood.len() as f64)),
    ),
    row("ossci_checks_paused", "1 while the periodic checks are paused because of a repair.", None, Gauge, NONE, |s| {
        // The watcher's latest read may be older than the end of the pause.
        one(f64::from(matches!(s.pause, Pause::Until(until) if until > s.now)))
    }),
    row(
        "ossci_run_dir_file_unreadable",
        "1 while a file of the run directory exists and is invalid; it then has no effect.",
        None,
        Gauge,
        &["file"],
        |s| {
            let pause = matches!(s.pause, Pause::Unreadable(_));
            let files = [("pause", pause), ("inventory", s.inventory_unreadable)];
            files.map(|(file, bad)| (vec![file.to_string()], f64::from(bad))).to_vec()
        },
    ),
    row(
        "ossci_gpus_expected",
        "GPUs that this node must show; absent if not configured, not in the inventory file and not learned.",
        None,
        Gauge,
        NONE,
        |s| s.expected_gpus.map_or(Vec::new(), |gpus| one(f64::from(gpus))),
    ),
    row(
        "ossci_pci_gpus",
        "AMD GPUs on the PCI bus by driver; an empty driver means that none is bound.",
        None,
        Gauge,
        &["driver"],
        pci_gpus,
    ),
    row("ossci_gpus_found", "GPUs in the output of the latest run, also of a failed one.", None, Gauge, CHECK, |s| {
        per_check(s, |c| Some(c.facts()?.gpus()?.len() as f64))
    }),
    row(
        "ossci_gpu_temperature_celsius",
        "Temperature by sensor.",
        Some("celsius"),
        Gauge,
        &["gpu", "pci_bus", "sensor"],
        temperatures,
    ),
    row(
        "ossci_gpu_temperature_limit_celsius",
        "Temperature at which the GPU slows itself down (`slowdown`) or switches itself off (`shutdown`).",
        Some("celsius"),
        Gauge,
        &["gpu", "pci_bus", "sensor", "limit"],
        temperature_limits,
    ),
    row("ossci_gpu_power_watts", "Power drawn by the package.", Some("watts"), Gauge, GPU, |s| {
        per_gpu(s, |gpu| gpu.power_watts)
    }),
    row("ossci_gpu_use_ratio", "Share of time in which the GPU was busy.", Some("ratio"), Gauge, GPU, |s| {
        per_gpu(s, |gpu| gpu.use_ratio)
    }),
    row("ossci_gpu_memory_used_bytes", "Memory in use.", Some("bytes"), Gauge, GPU, |s| {
        per_gpu(s, |gpu| gpu.memory_used_bytes)
    }),
    row("ossci_gpu_memory_total_bytes", "Memory of the GPU.", Some("bytes"), Gauge, GPU, |s| {
        per_gpu(s, |gpu| gpu.memory_total_bytes)
    }),
    row("ossci_gpu_memory_use_ratio", "Share of the memory in use.", Some("ratio"), Gauge, GPU, |s| {
        per_gpu(s, |gpu| gpu.memory_use_ratio)
    }),
    row(
        "ossci_gpu_uncorrectable_errors",
        "Uncorrectable ECC errors since boot, if the tool reports them.",
        None,
        Gauge,
        GPU,
        |s| per_worn_gpu(s, |gpu| gpu.uncorrectable_errors),
    ),
    row(
        "ossci_gpu_correctable_errors",
        "Corrected ECC errors since boot, if the tool reports them.",
        None,
        Gauge,
        GPU,
        |s| per_worn_gpu(s, |gpu| gpu.correctable_errors),
    ),
    row(
        "ossci_gpu_deferred_errors",
        "ECC errors since boot whose data nothing has used, if the tool reports them.",
        None,
        Gauge,
        GPU,
        |s| per_worn_gpu(s, |gpu| gpu.health.deferred_errors),
    ),
    row(
        "ossci_gpu_block_errors",
        "ECC errors since boot of the memory (block `UMC`) and of other blocks with errors, by kind.",
        None,
        Gauge,
        &["gpu", "pci_bus", "block", "kind"],
        block_errors,
    ),
    row(
        "ossci_gpu_bad_pages",
        "Bad pages of the memory by state, if the tool reports them.",
        None,
        Gauge,
        &["gpu", "pci_bus", "state"],
        bad_pages,
    ),
    row(
        "ossci_gpu_bad_page_threshold_exceeded",
        "1 if the GPU has more bad pages than it allows, if the tool reports it.",
        None,
        Gauge,
        GPU,
        |s| per_worn_gpu(s, |gpu| gpu.bad_pages.threshold_exceeded.map(f64::from)),
    ),
    row(
        "ossci_gpu_throttled",
        "1 while the GPU throttles itself for this cause, if the tool reports it.",
        None,
        Gauge,
        &["gpu", "pci_bus", "cause"],
        throttled,
    ),
    row("ossci_gpu_pcie_lanes", "Lanes of the link to the host in use.", None, Gauge, GPU, |s| {
        per_worn_gpu(s, |gpu| gpu.health.pcie.width)
    }),
    row("ossci_gpu_pcie_max_lanes", "Lanes that the GPU has.", None, Gauge, GPU, |s| {
        per_worn_gpu(s, |gpu| gpu.health.pcie.max_width)
    }),
    row(
        "ossci_gpu_pcie_transfers_per_second",
        "Speed of each lane now; some GPUs lower it while they idle.",
        None,
        Gauge,
        GPU,
        |s| per_worn_gpu(s, |gpu| gpu.health.pcie.speed),
    ),
    row("ossci_gpu_pcie_max_transfers_per_second", "Speed of a lane that the GPU can do.", None, Gauge, GPU, |s| {
        per_worn_gpu(s, |gpu| gpu.health.pcie.max_speed)
    }),
    row("ossci_gpu_pcie_replays", "PCIe packets sent again since boot.", None, Gauge, GPU, |s| {
        per_worn_gpu(s, |gpu| gpu.health.pcie.replays)
    }),
    row(
        "ossci_gpu_xgmi_links",
        "Links to other GPUs by state; some are down or disabled on healthy GPUs.",
        None,
        Gauge,
        &["gpu", "pci_bus", "state"],
        xgmi_links,
    ),
    row(
        "ossci_gpu_clock_hertz",
        "Slowest of the graphics clocks, and the memory's clock.",
        Some("hertz"),
        Gauge,
        &["gpu", "pci_bus", "clock"],
        clocks,
    ),
    row(
        "ossci_gpu_energy_joules_total",
        "Energy used since the driver was loaded.",
        Some("joules"),
        Counter,
        GPU,
        |s| per_worn_gpu(s, |gpu| gpu.health.energy_joules),
    ),
    row(
        "ossci_gpus_with_version",
        "GPUs with this version of the driver, the VBIOS or a firmware.",
        None,
        Gauge,
        &["component", "version"],
        versions,
    ),
    row("ossci_gpu_partitions", "Compute partitions; 1 if the GPU is not partitioned.", None, Gauge, GPU, |s| {
        per_gpu(s, |gpu| Some(f64::from(gpu.partitions)))
    }),
    row(
        "ossci_gpu_info",
        "Identity of the GPU.",
        None,
        Info,
        &["gpu", "pci_bus", "unique_id", "serial", "name"],
        gpu_info,
    ),
    row(
        "ossci_network_download_bytes_per_second",
        "Speed of the latest transfer to this node.",
        Some("bytes_per_second"),
        Gauge,
        NONE,
        |s| network(s, |transfer| transfer.download_bits_per_second.map(bytes)),
    ),
    row(
        "ossci_network_upload_bytes_per_second",
        "Speed of the latest transfer from this node, if the test measures it.",
        Some("bytes_per_second"),
        Gauge,
        NONE,
        |s| network(s, |transfer| transfer.upload_bits_per_second.map(bytes)),
    ),
    row(
        "ossci_network_latency_seconds",
        "Round-trip time of the latest network test, if the test measures it.",
        Some("seconds"),
        Gauge,
        NONE,
        |s| network(s, |transfer| transfer.latency_seconds),
    ),
    row(
        "ossci_network_jitter_seconds",
        "Variation of the round-trip time, if the test measures it.",
        Some("seconds"),
        Gauge,
        NONE,
        |s| network(s, |transfer| transfer.jitter_seconds),
    ),
    row(
        "ossci_network_loss_ratio",
        "Packet loss of the latest network test, if the test measures it.",
        Some("ratio"),
        Gauge,
        NONE,
        |s| network(s, |transfer| transfer.loss_ratio),
    ),
    row("ossci_network_transfer_bytes", "Volume of the latest transfer.", Some("bytes"), Gauge, NONE, |s| {
        network(s, |transfer| transfer.bytes)
    }),
    row("ossci_network_retransmits", "TCP segments retransmitted in the latest transfer.", None, Gauge, NONE, |s| {
        network(s, |transfer| transfer.retransmits)
    }),
    row("ossci_fabric_port_active", "1 if the link of the RDMA port is up.", None, Gauge, &["device", "port"], |s| {
        fabric_ports(s, |port| Some(f64::from(port.is_active)))
    }),
    row(
        "ossci_fabric_port_bytes_per_second",
        "Speed that the RDMA port has negotiated, while its link is up.",
        Some("bytes_per_second"),
        Gauge,
        &["device", "port"],
        |s| fabric_ports(s, |port| port.bits_per_second.filter(|_| port.is_active).map(bytes)),
    ),
    row(
        "ossci_exporter_state_write_failures_total",
        "Writes of the state files that failed or timed out.",
        None,
        Counter,
        NONE,
        |s| one(s.state_write_failures as f64),
    ),
    row(
        "ossci_exporter_config_last_reload_successful",
        "1 if the latest read of the configuration succeeded, 0 if the old one stayed active.",
        None,
        Gauge,
        NONE,
        |s| one(f64::from(s.reload.successful)),
    ),
    row(
        "ossci_exporter_config_last_reload_success_timestamp_seconds",
        "When the active configuration was read.",
        Some("seconds"),
        Gauge,
        NONE,
        |s| one(seconds(s.reload.at)),
    ),
    row("ossci_exporter_build_info", "Version of the exporter.", None, Info, &["version"], |_| {
        vec![(vec![env!("CARGO_PKG_VERSION").to_string()], 1.0)]
    }),
    row("ossci_exporter_time_seconds", "This node's clock.", Some("seconds"), Gauge, NONE, |s| one(seconds(s.now))),
    row("ossci_exporter_start_time_seconds", "When the exporter started.", Some("seconds"), Gauge, NONE, |s| {
        one(seconds(s.started_at))
    }),
];
