//! What an engine can't do: collected while the checks run, printed, and held against the list committed here.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;

use prunebench_tensor::{DType, Device, DeviceKind, Engine};

/// Which half of an operation is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    Forward,
    Gradient,
}

/// (engine, on a GPU, dtype, operation, pass) of every capability that is known to be missing. A row that is no longer true
/// fails the suite just as a capability that has gone does.
const EXPECTED: &[(Engine, bool, DType, &str, Pass)] = &[];

#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct Skip {
    pub device: String,
    pub dtype: String,
    pub op: &'static str,
    pub pass: Pass,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Skip {
            device,
            dtype,
            op,
            pass,
        } = self;
        write!(f, "{device:<14} {dtype:<5} {pass:<9?} {op}")
    }
}

/// The skips of one family of checks, each with the engine's reason.
#[derive(Default)]
pub struct Skips {
    seen: BTreeSet<Skip>,
    table: String,
}

impl Skips {
    pub fn add(&mut self, device: Device, dtype: DType, op: &'static str, pass: Pass, reason: &str) {
        let skip = Skip {
            device: device.to_string(),
            dtype: dtype.to_string(),
            op,
            pass,
        };
        let row = format!("skipped: {skip}: {reason}\n");
        if self.seen.insert(skip) {
            self.table.push_str(&row);
        }
    }

    /// Prints the table and compares it with the expected rows of the operations that were checked.
    pub fn verify(self, ops: &BTreeSet<&str>, pass: Pass) {
        // libtest hides what a passing test prints through the macros; a skip must be seen.
        let written = std::io::stderr().write_all(self.table.as_bytes());
        assert!(written.is_ok(), "the table of skips can't be printed");
        let mut expected = BTreeSet::new();
        for device in Device::available() {
            for &(engine, gpu, dtype, op, of) in EXPECTED {
                if device.engine == engine && gpu == (device.kind != DeviceKind::Cpu) && of == pass && ops.contains(op)
                {
                    expected.insert(Skip {
                        device: device.to_string(),
                        dtype: dtype.to_string(),
                        op,
                        pass,
                    });
                }
            }
        }
        let list = |a: &BTreeSet<Skip>, b: &BTreeSet<Skip>| {
            a.difference(b).map(|skip| format!("\n  {skip}")).collect::<String>()
        };
        assert!(
            self.seen == expected,
            "capabilities gone:{}\ncapabilities gained (remove them from skips.rs):{}",
            list(&self.seen, &expected),
            list(&expected, &self.seen),
        );
    }
}
