"""Peer of a check cycle: a long-running loop that runs the same tools and sets gauges with prometheus-client.

cycle.py CYCLES SECONDS_BETWEEN ROCM_SMI ROCMINFO IPERF3  prints the CPU seconds of one cycle, without children.
"""

import json
import re
import subprocess
import sys
import time

from prometheus_client import CollectorRegistry, Gauge, generate_latest

registry = CollectorRegistry()
labels = ["gpu", "pci_bus"]
junction = Gauge("gpu_junction_celsius", "Junction.", labels, registry=registry)
power = Gauge("gpu_power_watts", "Power.", labels, registry=registry)
use = Gauge("gpu_use_ratio", "Use.", labels, registry=registry)
used = Gauge("gpu_memory_used_bytes", "Memory.", labels, registry=registry)
found = Gauge("gpus_found", "GPUs.", ["check"], registry=registry)
download = Gauge("network_download_bits_per_second", "Download.", registry=registry)


def run(tool):
    return subprocess.run([tool], stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False).stdout.decode()


def cycle(rocm_smi, rocminfo, iperf3):
    cards = json.loads(run(rocm_smi))
    count = 0
    for name, card in cards.items():
        if not name.startswith("card"):
            continue
        count += 1
        where = (name[4:], card["PCI Bus"])
        junction.labels(*where).set(float(card["Temperature (Sensor junction) (C)"]))
        power.labels(*where).set(float(card["Current Socket Graphics Package Power (W)"]))
        use.labels(*where).set(float(card["GPU use (%)"]) / 100)
        used.labels(*where).set(float(card["VRAM Total Used Memory (B)"]))
    found.labels("rocm-smi").set(count)
    found.labels("rocminfo").set(len(re.findall(r"Device Type:\s+GPU", run(rocminfo))))
    download.set(json.loads(run(iperf3))["end"]["sum_received"]["bits_per_second"])


def main():
    cycles, pause, tools = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:6]
    cycle(*tools)
    begun = time.process_time()
    for _ in range(cycles):
        cycle(*tools)
        time.sleep(pause)
    spent = time.process_time() - begun
    generate_latest(registry)
    print(spent / max(cycles, 1))


main()
