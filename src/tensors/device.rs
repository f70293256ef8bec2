//! Where networks run: chosen by the user or by the job, named for the status bar and for `info`.
//!
//! `auto` takes a GPU only where it is a real one (lavapipe and its like are slower than our CPU path) and
//! the job is large enough to pay for moving data; everything else runs on the CPU.

use std::fmt;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::TensorError;

/// What the user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// Whichever is faster for the job at hand
    #[default]
    Auto,
    Cpu,
    /// Any GPU, over Vulkan, Metal or DX12
    Wgpu,
    /// NVIDIA's own stack, in a build that has it
    Cuda,
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
            Self::Cuda => "cuda",
        })
    }
}

/// How much there is to compute, for [`DeviceChoice::Auto`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// A few milliseconds on a CPU: one person through small layers.
    SmallInference,
    /// Many pictures through a large network.
    LargeInference,
    /// Many thousand steps.
    Training,
}

/// The device a job got.
#[derive(Clone, Debug)]
pub struct ChosenDevice {
    /// Without gradients; training adds `.autodiff()`.
    pub device: Device,
    /// For people: "CPU, 2 threads", "NVIDIA H200 (wgpu)".
    pub name: String,
    pub is_gpu: bool,
}

/// One line of `info`.
#[derive(Clone, Debug)]
pub struct ListedDevice {
    pub choice: DeviceChoice,
    pub name: String,
    /// Whether `auto` would take it for large jobs.
    pub real_gpu: bool,
}

fn cpu() -> ChosenDevice {
    let threads = rayon::current_num_threads();
    let name = format!("CPU, {threads} thread{}", if threads == 1 { "" } else { "s" });
    ChosenDevice { device: Device::flex(), name, is_gpu: false }
}

/// The device for `job`. `Auto` always succeeds.
///
/// # Errors
/// [`TensorError::NotBuilt`], `NoDevice` or `DeviceFails` where a GPU is asked for by name and there is none.
pub fn choose(choice: DeviceChoice, job: Job) -> Result<ChosenDevice, TensorError> {
    match choice {
        DeviceChoice::Cpu => Ok(cpu()),
        DeviceChoice::Auto if job == Job::SmallInference => Ok(cpu()),
        DeviceChoice::Auto => {
            let gpu = gpu::cuda().or_else(|_| gpu::wgpu(true));
            Ok(gpu.unwrap_or_else(|reason| {
                tracing::debug!("auto chose the CPU: {reason}");
                cpu()
            }))
        }
        DeviceChoice::Wgpu => gpu::wgpu(false),
        DeviceChoice::Cuda => gpu::cuda(),
    }
}

/// Every device this build can reach on this machine, the CPU first. Opens each once (seconds on a GPU).
pub fn list() -> Vec<ListedDevice> {
    let cpu = ListedDevice { choice: DeviceChoice::Cpu, name: cpu().name, real_gpu: false };
    std::iter::once(cpu).chain(gpu::list()).collect()
}

#[cfg(any(feature = "gpu", feature = "cuda"))]
mod gpu {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use burn::tensor::{Device, DeviceType, Tensor};

    use super::{ChosenDevice, DeviceChoice, ListedDevice, TensorError};

    /// Drivers fail by panicking inside the backend; here that is an answer.
    fn attempt<T>(wanted: &'static str, work: impl FnOnce() -> T) -> Result<T, TensorError> {
        catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let reason = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("driver error");
            let reason = reason.lines().next().unwrap_or_default().chars().take(200).collect();
            TensorError::DeviceFails { wanted, reason }
        })
    }

    /// Opens the device and adds two numbers on it.
    fn open(device: Device, wanted: &'static str) -> Result<ChosenDevice, TensorError> {
        attempt(wanted, || {
            let name = device.identity().map_or_else(|| wanted.to_owned(), |found| found.name);
            let sum: f32 = Tensor::<1>::from_floats([1.0, 2.0], &device).sum().into_scalar();
            (name, sum)
        })
        .and_then(|(name, sum)| {
            if sum == 3.0 {
                Ok(ChosenDevice { device, name: format!("{name} ({wanted})"), is_gpu: true })
            } else {
                Err(TensorError::DeviceFails { wanted, reason: format!("1 + 2 gave {sum}") })
            }
        })
    }

    fn enumerate(wanted: &'static str, kind: DeviceType) -> Result<Vec<Device>, TensorError> {
        attempt(wanted, || Device::enumerate(kind).into_vec())
    }

    #[cfg(feature = "cuda")]
    pub(super) fn cuda() -> Result<ChosenDevice, TensorError> {
        let found = enumerate("cuda", DeviceType::Cuda)?.into_iter().next();
        open(found.ok_or(TensorError::NoDevice("cuda"))?, "cuda")
    }

    #[cfg(not(feature = "cuda"))]
    pub(super) fn cuda() -> Result<ChosenDevice, TensorError> {
        Err(TensorError::NotBuilt { wanted: "cuda", feature: "cuda" })
    }

    /// Adapters with whether each is a real GPU, discrete ones first.
    #[cfg(feature = "gpu")]
    fn adapters() -> Result<Vec<(Device, bool)>, TensorError> {
        use burn::tensor::DeviceKind;
        let mut found = enumerate("wgpu", DeviceType::Wgpu)?;
        let software = Device::wgpu(DeviceKind::Cpu);
        let discrete: Vec<Device> = (0..8).map(|i| Device::wgpu(DeviceKind::DiscreteGpu(i))).collect();
        found.sort_by_key(|device| (*device == software, !discrete.contains(device)));
        Ok(found.into_iter().map(|device| (device.clone(), device != software)).collect())
    }

    #[cfg(feature = "gpu")]
    pub(super) fn wgpu(only_real: bool) -> Result<ChosenDevice, TensorError> {
        let found = adapters()?.into_iter().find(|(_, real)| *real || !only_real);
        let (device, real) = found.ok_or(TensorError::NoDevice("wgpu"))?;
        Ok(ChosenDevice { is_gpu: real, ..open(device, "wgpu")? })
    }

    #[cfg(not(feature = "gpu"))]
    pub(super) fn wgpu(_only_real: bool) -> Result<ChosenDevice, TensorError> {
        Err(TensorError::NotBuilt { wanted: "wgpu", feature: "gpu" })
    }

    pub(super) fn list() -> Vec<ListedDevice> {
        let mut listed = Vec::new();
        #[cfg(feature = "cuda")]
        for device in enumerate("cuda", DeviceType::Cuda).unwrap_or_default() {
            let name = open(device, "cuda").map_or_else(|e| e.to_string(), |opened| opened.name);
            listed.push(ListedDevice { choice: DeviceChoice::Cuda, name, real_gpu: true });
        }
        #[cfg(feature = "gpu")]
        for (device, real_gpu) in adapters().unwrap_or_default() {
            let name = open(device, "wgpu").map_or_else(|e| e.to_string(), |opened| opened.name);
            listed.push(ListedDevice { choice: DeviceChoice::Wgpu, name, real_gpu });
        }
        listed
    }
}

#[cfg(not(any(feature = "gpu", feature = "cuda")))]
mod gpu {
    use super::{ChosenDevice, ListedDevice, TensorError};

    pub(super) fn cuda() -> Result<ChosenDevice, TensorError> {
        Err(TensorError::NotBuilt { wanted: "cuda", feature: "cuda" })
    }

    pub(super) fn wgpu(_only_real: bool) -> Result<ChosenDevice, TensorError> {
        Err(TensorError::NotBuilt { wanted: "wgpu", feature: "gpu" })
    }

    pub(super) fn list() -> Vec<ListedDevice> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn choices_are_read_as_they_are_written() {
        use DeviceChoice::*;
        for choice in [Auto, Cpu, Wgpu, Cuda] {
            assert_eq!(DeviceChoice::from_str(&choice.to_string(), false), Ok(choice));
        }
        assert!(DeviceChoice::from_str("tpu", false).is_err());
    }

    #[test]
    fn small_jobs_and_the_named_cpu_run_on_the_cpu() {
        for chosen in
            [choose(DeviceChoice::Auto, Job::SmallInference), choose(DeviceChoice::Cpu, Job::Training)]
        {
            let chosen = chosen.unwrap();
            assert!(!chosen.is_gpu && chosen.name.starts_with("CPU"), "{chosen:?}");
        }
        assert!(!list().is_empty());
    }

    #[cfg(not(feature = "gpu"))]
    #[test]
    fn a_build_without_gpu_says_so() {
        let error = choose(DeviceChoice::Wgpu, Job::Training).unwrap_err();
        assert!(error.to_string().contains("--features gpu"), "{error}");
        assert!(!choose(DeviceChoice::Auto, Job::Training).unwrap().is_gpu);
    }
}
