//! The memory of a process, as Linux tells it.

use std::fs;

/// What a process holds and held, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// The most since the start of the process, or since [`forget_peak`].
    pub(crate) peak: u64,
}

/// Of a process, by its number or as `self`; nothing where it cannot be told.
pub(crate) fn of_process(process: &str) -> Option<Memory> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kibibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    };
    let (resident, peak) = (kibibytes("VmRSS:")? * 1024, kibibytes("VmHWM:")? * 1024);
    Some(Memory { resident, peak })
}

/// Of this one.
pub(crate) fn own() -> Memory {
    of_process("self").unwrap_or_default()
}

/// Lets this process's peak begin anew at what it holds now.
pub(crate) fn forget_peak() -> std::io::Result<()> {
    fs::write("/proc/self/clear_refs", "5")
}

/// In megabytes.
pub(crate) fn megabytes(bytes: u64) -> String {
    // Whole kibibytes are exact as floats for longer than there is memory.
    let kibibytes = u32::try_from(bytes / 1024).unwrap_or(u32::MAX);
    format!("{:.1}", f64::from(kibibytes) * 1.024 / 1000.0)
}
