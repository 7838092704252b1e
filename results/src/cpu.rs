//! What computes on a machine's CPU.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A CPU. Two are the same for speeds and last digits if they are equal; one of which only the name is known equals none of
/// which more is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cpu {
    /// What it calls itself, which several generations may do, or its architecture.
    Named(String),
    /// An x86 processor.
    Identified(CpuModel),
}

/// What tells x86 processors apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuModel {
    /// What it calls itself, e.g. `AMD EPYC`.
    pub name: String,
    /// The maker as the processor spells it, e.g. `AuthenticAMD`.
    pub vendor: String,
    /// Family, extended as the maker displays it, e.g. 25.
    pub family: u32,
    /// Model within the family.
    pub model: u32,
    /// Stepping of the model.
    pub stepping: u32,
    /// The vector and matrix extensions that programs may use, as Linux spells them, e.g. `avx512f`.
    pub vectors: Vec<String>,
}

/// The name, and of a processor that is identified maker, family, model, stepping and the widest vectors; `{:#}` has all vector
/// extensions, so that CPUs that differ are written differently.
impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = match self {
            Self::Named(name) => return f.write_str(name),
            Self::Identified(cpu) => cpu,
        };
        let CpuModel {
            name,
            vendor,
            family,
            model,
            stepping,
            vectors,
        } = cpu;
        let vectors = match f.alternate() {
            true => vectors.join(" "),
            false => cpu.widest().join(" "),
        };
        let vectors = if vectors.is_empty() { "no AVX" } else { &vectors };
        write!(
            f,
            "{name} ({vendor} family {family} model {model} stepping {stepping}, {vectors})"
        )
    }
}

impl CpuModel {
    /// The widest vectors, and whether there are matrices.
    fn widest(&self) -> Vec<&'static str> {
        let has = |extension: &str| self.vectors.iter().any(|vector| vector == extension);
        let widths = [("avx512f", "AVX-512"), ("avx2", "AVX2"), ("avx", "AVX")];
        let widest = widths.iter().find(|(extension, _)| has(extension));
        let matrices = has("amx_tile").then_some("AMX");
        widest.map(|(_, name)| *name).into_iter().chain(matrices).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epyc(family: u32, vectors: &[&str]) -> Cpu {
        Cpu::Identified(CpuModel {
            name: "AMD EPYC".into(),
            vendor: "AuthenticAMD".into(),
            family,
            model: 17,
            stepping: 1,
            vectors: vectors.iter().map(ToString::to_string).collect(),
        })
    }

    #[test]
    fn processors_of_one_name_are_told_apart_by_generation_and_vectors() {
        let cpus = [
            Cpu::Named("AMD EPYC".into()),
            epyc(25, &["avx", "avx2", "avx512f"]),
            epyc(25, &["avx", "avx2"]),
            epyc(25, &["avx", "avx2", "avx512f", "avx512_bf16"]),
            epyc(26, &["avx", "avx2", "avx512f"]),
        ];
        for (i, one) in cpus.iter().enumerate() {
            for (j, other) in cpus.iter().enumerate() {
                assert_eq!(one == other, i == j);
                assert_eq!(format!("{one:#}") == format!("{other:#}"), i == j, "{one:#}");
            }
        }
    }

    #[test]
    fn a_cpu_is_shown_with_its_generation_and_widest_vectors() {
        let shown = epyc(25, &["avx", "avx2", "avx512f", "amx_tile"]).to_string();
        assert_eq!(
            shown,
            "AMD EPYC (AuthenticAMD family 25 model 17 stepping 1, AVX-512 AMX)"
        );
        assert!(epyc(15, &[]).to_string().ends_with("stepping 1, no AVX)"));
        assert_eq!(Cpu::Named("aarch64".into()).to_string(), "aarch64");
    }

    #[test]
    fn the_name_alone_is_read_and_written_as_it_stands() {
        let text = r#""AMD EPYC""#;
        let cpu: Cpu = serde_json::from_str(text).unwrap();
        assert_eq!(cpu, Cpu::Named("AMD EPYC".into()));
        assert_eq!(serde_json::to_string(&cpu).unwrap(), text);
        let cpu = epyc(25, &["avx2"]);
        let text = serde_json::to_string(&cpu).unwrap();
        assert_eq!(serde_json::from_str::<Cpu>(&text).unwrap(), cpu);
    }
}
