//! Memory of this process as the operating system counts it.

use prunebench_results::Memory;

use crate::{Error, Result};

/// The most memory that was resident in this process at any time since its start.
///
/// # Errors
/// [`Error::Memory`] where there is no `/proc/self/status` with `VmHWM`: anywhere but on Linux.
pub fn peak_resident() -> Result<Memory> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| Error::Memory {
        reason: error.to_string(),
    })?;
    Ok(Memory {
        peak_resident_bytes: high_water_mark(&status)?,
        how: "VmHWM of the cell's own process".to_owned(),
    })
}

fn high_water_mark(status: &str) -> Result<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = value.and_then(|value| value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.and_then(|kib| kib.checked_mul(1024)).ok_or_else(|| Error::Memory {
        reason: "no line `VmHWM: ... kB`".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn high_water_mark_is_read_in_bytes() {
        assert_eq!(
            high_water_mark("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n").unwrap(),
            2 << 20
        );
    }

    #[test]
    fn a_status_without_it_is_an_error() {
        for status in ["", "VmHWM: many kB", "VmHWM: 5 MB", "VmHWM: 99999999999999999 kB"] {
            assert!(matches!(high_water_mark(status), Err(Error::Memory { .. })), "{status}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_touched_allocation_raises_the_peak() {
        const SIZE: usize = 64 << 20;
        let touched = std::hint::black_box(vec![1u8; SIZE]);
        assert!(peak_resident().unwrap().peak_resident_bytes >= touched.len() as u64);
    }
}
