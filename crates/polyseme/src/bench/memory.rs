//! The most memory a process has had.

/// Peak resident memory in bytes, where the system tells (Linux).
pub fn peak_bytes() -> Option<u64> {
    peak_bytes_of(std::process::id())
}

/// That of a process that runs.
pub fn peak_bytes_of(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
