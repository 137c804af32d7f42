//! Devices by name, and the number of threads.

use crate::{Error, Result};
use burn::tensor::Device;

/// `auto`, `cpu`, `cuda:0`, `rocm:0`, `vulkan:0`, `metal:0`, `wgpu:0`. `auto` takes the best that was built
/// in. The device returned records no gradients; call `.autodiff()` on it to train.
///
/// Errors: a name that is not one of these or was not built in, a number that is not one, a device
/// that the machine does not have.
pub fn parse(name: &str) -> Result<Device> {
    if name == "auto" {
        let best = accelerators().into_iter().find_map(|(_, devices)| devices.into_iter().next());
        return Ok(best.unwrap_or_else(Device::flex));
    }
    if name == "cpu" {
        return Ok(Device::flex());
    }
    let unknown = || Error::NoDevice { name: name.into(), available: available() };
    let (kind, index) = name.split_once(':').unwrap_or((name, "0"));
    let index: usize = index.parse().map_err(|_| unknown())?;
    let (_, devices) = accelerators().into_iter().find(|(built, _)| *built == kind).ok_or_else(unknown)?;
    let found = devices.len();
    devices.into_iter().nth(index).ok_or_else(|| Error::NoSuchIndex { name: name.into(), kind: kind.into(), found })
}

/// Whether a device is the processor itself, for which the kernels are.
pub fn is_cpu(device: &Device) -> bool {
    crate::fused::on_cpu(device)
}

/// What this program was built with, for messages.
fn available() -> String {
    let mut names = vec!["`cpu`".to_owned()];
    names.extend(accelerators().into_iter().map(|(kind, _)| format!("`{kind}`")));
    names.join(", ")
}

/// The accelerators built in, best first, with the devices of each on this machine.
// The list is empty in a build without features; clippy then sees a useless `mut`.
#[allow(unused_mut, clippy::let_and_return)]
fn accelerators() -> Vec<(&'static str, Vec<Device>)> {
    let mut list: Vec<(&'static str, Vec<Device>)> = Vec::new();
    #[cfg(feature = "cuda")]
    list.push(("cuda", Device::enumerate(burn::tensor::DeviceType::Cuda).into_iter().collect()));
    #[cfg(feature = "rocm")]
    list.push(("rocm", Device::enumerate(burn::tensor::DeviceType::Rocm).into_iter().collect()));
    #[cfg(feature = "metal")]
    list.push(("metal", Device::enumerate(burn::tensor::DeviceType::Metal).into_iter().collect()));
    #[cfg(feature = "vulkan")]
    list.push(("vulkan", Device::enumerate(burn::tensor::DeviceType::Vulkan).into_iter().collect()));
    #[cfg(feature = "wgpu")]
    list.push(("wgpu", Device::enumerate(burn::tensor::DeviceType::Wgpu).into_iter().collect()));
    list
}

/// Sets the size of the thread pool all kernels use; to be called once, before any tensor is made.
/// Later calls change nothing, since the pool is the process's own.
pub fn set_threads(threads: usize) {
    // The only error is that the pool exists already, which the documentation above allows.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
}

/// Runs `f` on a thread of the pool and waits for it. Work that is shared out dozens of times in a row is
/// begun there once, instead of waking this thread after each.
pub fn on_pool<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| f())
}

/// Threads of the pool.
pub fn threads() -> usize {
    rayon::current_num_threads()
}
