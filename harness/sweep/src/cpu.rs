//! The CPU of this machine.

use prunebench_results::{Cpu, CpuModel};
use sysinfo::{CpuRefreshKind, RefreshKind, System};

/// Beginnings of the flags that name vector and matrix extensions.
const VECTORS: [&str; 3] = ["avx", "fma", "amx"];

/// The CPU, as far as the operating system knows it.
pub(crate) fn cpu() -> Cpu {
    let described = std::fs::read_to_string("/proc/cpuinfo").ok();
    match described.and_then(|text| identified(&text)) {
        Some(cpu) => Cpu::Identified(cpu),
        None => Cpu::Named(name()),
    }
}

fn name() -> String {
    let wanted = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing());
    let system = System::new_with_specifics(wanted);
    let name = system.cpus().first().map_or("", |cpu| cpu.brand()).trim();
    if name.is_empty() {
        System::cpu_arch()
    } else {
        name.to_owned()
    }
}

/// The first processor of Linux's `/proc/cpuinfo`, if it is an x86 one.
fn identified(cpuinfo: &str) -> Option<CpuModel> {
    let first = cpuinfo.split("\n\n").next()?;
    let field = |name: &str| {
        let mut fields = first.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = fields.find(|(key, _)| key.trim() == name)?;
        Some(value.trim().to_owned())
    };
    let number = |name: &str| field(name)?.parse().ok();
    let flags = field("flags")?;
    let is_vector = |flag: &&str| VECTORS.iter().any(|vector| flag.starts_with(vector));
    let mut vectors: Vec<String> = flags.split_whitespace().filter(is_vector).map(str::to_owned).collect();
    // The kernel's order is its own.
    vectors.sort();
    Some(CpuModel {
        name: field("model name")?,
        vendor: field("vendor_id")?,
        family: number("cpu family")?,
        model: number("model")?,
        stepping: number("stepping")?,
        vectors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A processor as Linux describes it on a cloud's machine.
    fn cpuinfo(family: u32, model: u32, flags: &str) -> String {
        let one = format!(
            "vendor_id\t: AuthenticAMD\ncpu family\t: {family}\nmodel\t\t: {model}\nmodel name\t: AMD EPYC\n\
             stepping\t: 1\ncache size\t: 512 KB\nflags\t\t: fpu sse4_2 {flags} clwb\nbugs\t\t: retbleed\n"
        );
        format!("processor\t: 0\n{one}\nprocessor\t: 1\n{one}\n")
    }

    #[test]
    fn two_generations_called_amd_epyc_are_two_machines() {
        let third = identified(&cpuinfo(25, 1, "fma avx f16c avx2")).unwrap();
        let fourth = identified(&cpuinfo(25, 17, "fma avx f16c avx2 avx512f avx512_bf16")).unwrap();
        assert_eq!(third.name, fourth.name);
        assert_ne!(Cpu::Identified(third.clone()), Cpu::Identified(fourth.clone()));
        assert_eq!((third.family, third.model, third.stepping), (25, 1, 1));
        assert_eq!(third.vectors, ["avx", "avx2", "fma"]);
        assert_eq!(fourth.vectors, ["avx", "avx2", "avx512_bf16", "avx512f", "fma"]);
    }

    #[test]
    fn other_architectures_have_their_name() {
        let arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\nFeatures\t: fp asimd sve\n";
        assert_eq!(identified(arm), None);
        assert!(!name().is_empty());
    }
}
