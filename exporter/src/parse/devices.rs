//! Merger of devices, as the tools number them, into physical GPUs. A partition is not a GPU. Pure;
//! knows no tool's format.

use super::leaf::is_bus_address;
use crate::facts::Gpu;
use std::collections::BTreeMap;

/// One device of an output: a GPU, a die, or a partition of a GPU.
#[derive(Debug, Default)]
pub struct Device {
    /// The tool's own number.
    pub index: u32,
    /// Number within its GPU, if the tool reports it.
    pub partition: Option<u32>,
    /// `SPX`, `CPX` and so on, if the tool reports it.
    pub mode: Option<String>,
    pub gpu: Gpu,
}

/// Returns a valid bus address, in lower case. An address of zeros is an uninitialised one.
pub fn bus_address(text: &str, odd: &mut Vec<String>) -> Option<String> {
    let address = text.to_ascii_lowercase();
    if !is_bus_address(&address) {
        odd.push(format!("bus address {}", super::text::quote(text)));
        return None;
    }
    (address != "0000:00:00.0").then_some(address)
}

/// Returns how many partitions a mode creates on an MI300X. An MI300A has six in CPX.
fn parts(mode: &str) -> u32 {
    match mode {
        "DPX" => 2,
        "TPX" => 3,
        "QPX" => 4,
        "CPX" => 8,
        _ => 1,
    }
}

/// Merges devices into physical GPUs, in bus order. Partitions differ only in the function digit,
/// or report their number. Releases before 6.4.1 repeat the parent's values on each partition,
/// later ones report them only on the first. So the first value of each fact counts.
pub fn physical(mut devices: Vec<Device>) -> Vec<Gpu> {
    devices.sort_by_key(|device| device.index);
    // 6.1 and 6.2 print partition 0 for all of them; then the mode tells how many belong together.
    let unnumbered = devices.iter().all(|device| device.gpu.pci_bus.is_none() && device.partition.unwrap_or(0) == 0);
    let mut gpus: BTreeMap<String, Gpu> = BTreeMap::new();
    let mut last: Option<(String, u32)> = None;
    for device in devices {
        let part_of_last = match (&device.gpu.pci_bus, device.partition) {
            (Some(_), _) => false,
            (None, Some(number)) if number > 0 => true,
            _ => {
                unnumbered && last.as_ref().is_some_and(|(_, seen)| *seen < parts(device.mode.as_deref().unwrap_or("")))
            }
        };
        let place = match (&device.gpu.pci_bus, &last) {
            (Some(bus), _) => place_of(bus, &device, &gpus),
            (None, Some((place, _))) if part_of_last => place.clone(),
            // Sorted after every bus address, in the tool's own order.
            _ => format!("~{:010}", device.index),
        };
        let seen = match gpus.get_mut(&place) {
            Some(gpu) => {
                merge(gpu, device.gpu);
                gpu.partitions
            }
            None => {
                gpus.insert(place.clone(), device.gpu);
                1
            }
        };
        last = Some((place, seen));
    }
    gpus.into_values().map(with_share).collect()
}

/// Returns the place of a GPU with this address. Functions of one device are partitions of one GPU,
/// unless they may be virtual functions: those are numbered from another device number than 0, and
/// share no unique ID and no partition number.
fn place_of(bus: &str, function: &Device, gpus: &BTreeMap<String, Gpu>) -> String {
    let device = bus.rsplit_once('.').map_or(bus, |(device, _)| device);
    let shared = gpus.get(device).is_none_or(|first| {
        let same = first.unique_id.is_some() && first.unique_id == function.gpu.unique_id;
        device.ends_with(":00") || same || function.partition.is_some_and(|number| number > 0)
    });
    if shared { device } else { bus }.to_string()
}

fn merge(gpu: &mut Gpu, partition: Gpu) {
    gpu.partitions = gpu.partitions.saturating_add(1);
    add(gpu, partition);
}

/// Adds the facts of `more` that `gpu` lacks.
pub fn add(gpu: &mut Gpu, more: Gpu) {
    let first = |one: &mut Option<String>, two| *one = one.take().or(two);
    first(&mut gpu.pci_bus, more.pci_bus);
    first(&mut gpu.unique_id, more.unique_id);
    first(&mut gpu.serial, more.serial);
    first(&mut gpu.name, more.name);
    gpu.temperature_celsius = gpu.temperature_celsius.or(more.temperature_celsius);
    gpu.power_watts = gpu.power_watts.or(more.power_watts);
    gpu.use_ratio = gpu.use_ratio.or(more.use_ratio);
    gpu.memory_use_ratio = gpu.memory_use_ratio.or(more.memory_use_ratio);
    gpu.memory_used_bytes = gpu.memory_used_bytes.or(more.memory_used_bytes);
    gpu.memory_total_bytes = gpu.memory_total_bytes.or(more.memory_total_bytes);
    gpu.limits_celsius = gpu.limits_celsius.or(more.limits_celsius);
    gpu.uncorrectable_errors = gpu.uncorrectable_errors.or(more.uncorrectable_errors);
    gpu.correctable_errors = gpu.correctable_errors.or(more.correctable_errors);
    gpu.health.add(more.health);
    gpu.throttled = gpu.throttled.or(more.throttled);
    let (here, there) = (&mut gpu.bad_pages, more.bad_pages);
    here.retired = here.retired.or(there.retired);
    here.pending = here.pending.or(there.pending);
    here.unreservable = here.unreservable.or(there.unreservable);
    here.threshold_exceeded = here.threshold_exceeded.max(there.threshold_exceeded);
    gpu.asked_for_sensors |= more.asked_for_sensors;
    gpu.unreadable |= more.unreadable;
    gpu.other_sign_of_life |= more.other_sign_of_life;
}

/// Drops an impossible memory size, and computes the share from the bytes.
fn with_share(mut gpu: Gpu) -> Gpu {
    gpu.memory_total_bytes = gpu.memory_total_bytes.filter(|total| *total > 0.0);
    gpu.memory_used_bytes = gpu.memory_used_bytes.filter(|used| gpu.memory_total_bytes.is_some_and(|all| *used <= all));
    let share = gpu.memory_used_bytes.zip(gpu.memory_total_bytes).map(|(used, total)| used / total);
    gpu.memory_use_ratio = gpu.memory_use_ratio.or(share);
    gpu
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(index: u32, partition: Option<u32>, mode: &str, bus: Option<&str>) -> Device {
        let gpu = Gpu { pci_bus: bus.map(str::to_string), ..Gpu::default() };
        Device { index, partition, mode: Some(mode.to_string()), gpu }
    }

    fn counts(devices: Vec<Device>) -> Vec<u32> {
        physical(devices).iter().map(|gpu| gpu.partitions).collect()
    }

    #[test]
    fn partitions_are_found_by_function_number_or_mode() {
        let by_function = ["0000:05:00.0", "0000:05:00.1", "0000:26:00.0"];
        let by_function = by_function.iter().zip(0..).map(|(bus, index)| device(index, None, "", Some(bus))).collect();
        assert_eq!(counts(by_function), [2, 1]);
        let by_number = [0, 1, 2, 0, 1, 2].iter().zip(0..).map(|(part, index)| device(index, Some(*part), "", None));
        assert_eq!(counts(by_number.collect()), [3, 3]);
        assert_eq!(counts((0..16).map(|index| device(index, Some(0), "CPX", None)).collect()), [8, 8]);
        assert_eq!(counts((0..4).map(|index| device(index, Some(0), "SPX", None)).collect()), [1, 1, 1, 1]);
    }

    #[test]
    fn functions_of_another_device_number_are_virtual_unless_they_share_an_id() {
        let functions = |id: Option<&str>| {
            let device = |index: u32| {
                let mut device = device(index, None, "", Some(&format!("0000:05:02.{index}")));
                device.gpu.unique_id = id.map(str::to_string);
                device
            };
            counts((0..8).map(device).collect())
        };
        assert_eq!(functions(None), [1; 8]);
        assert_eq!(functions(Some("0x1")), [8]);
    }

    #[test]
    fn a_memory_of_zero_bytes_has_no_share() {
        let gpu =
            |used, total| Gpu { memory_used_bytes: Some(used), memory_total_bytes: Some(total), ..Gpu::default() };
        assert_eq!(with_share(gpu(0.0, 0.0)).memory_use_ratio, None);
        assert_eq!(with_share(gpu(5.0, 4.0)).memory_used_bytes, None);
        assert_eq!(with_share(gpu(1.0, 4.0)).memory_use_ratio, Some(0.25));
    }
}
