//! What leads to a GPU, on a machine that has none.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Ran, Sandbox, engines};

const EXPERIMENT: &str = r#"
    name = "gpu"
    models = ["small"]
    recipes = []
    engines = [ENGINES]
    devices = ["cuda"]
    dtypes = ["f32", "tf32"]
    [[evaluation.throughput]]
    prompt_tokens = 4
    generated_tokens = 2
    batch = 1
    repeats = 1
    warmup = 1
"#;

#[test]
fn a_gpu_that_is_not_there_is_refused_before_any_work() {
    let sandbox = Sandbox::new();
    sandbox.write("gpu.toml", &EXPERIMENT.replace("ENGINES", &engines()));
    for arguments in [
        &["run", "gpu.toml"] as &[&str],
        &["run", "gpu.toml", "--gpus", "none"],
        &["throughput", "--model", "small", "--device", "cuda"],
    ] {
        // Nor is one that there is.
        let ran: Ran = sandbox
            .command(arguments)
            .env("CUDA_VISIBLE_DEVICES", "")
            .output()
            .unwrap()
            .into();
        let words = [
            "candle:cuda:0 can't be used",
            "nothing was measured",
            "prunebench doctor",
        ];
        ran.expect_error(1, &words);
        assert!(!sandbox.path("results").exists(), "{arguments:?} left something");
    }
}

#[test]
fn tf32_is_no_dtype_of_the_cpu() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["throughput", "--model", "small", "--dtype", "tf32"]);
    ran.expect(2, &["tf32", "take f32"]);
}

#[test]
fn doctor_tries_each_engine_in_a_process_of_its_own() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["probe", "candle:cpu"]);
    ran.expect(0, &[]);
    assert!(ran.out.contains("computes"), "{}", ran.out);
    let ran = sandbox.run(&["doctor"]);
    assert!(
        ran.out.contains("candle on CUDA") && ran.out.contains("GPU"),
        "{}",
        ran.out
    );
}

/// A folder laid out as a bundle, whose program says what it was given, and a Python whose torch is in `site`.
struct Bundle {
    around: tempfile::TempDir,
}

impl Bundle {
    fn new(torch: &str, files: &[&str]) -> Self {
        let bundle = Self {
            around: tempfile::tempdir().unwrap(),
        };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gpu/start");
        bundle.script("harness/gpu/start", &fs::read_to_string(source).unwrap());
        symlink("harness/gpu/start", bundle.path("start")).unwrap();
        bundle.script(
            "bin/prunebench",
            "#!/bin/sh\necho \"prunebench $* with $LD_LIBRARY_PATH\"\n",
        );
        bundle.script("bin/conformance", "#!/bin/sh\necho \"conformance $*\"\n");
        let site = bundle.path("site");
        bundle.script("python", &format!("#!/bin/sh\necho {}/torch\n", site.display()));
        bundle.write("site/torch/version.py", &format!("__version__ = '{torch}'\n"));
        files.iter().for_each(|file| bundle.write(&format!("site/{file}"), ""));
        bundle
    }

    fn path(&self, name: &str) -> PathBuf {
        self.around.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn script(&self, name: &str, text: &str) {
        self.write(name, text);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Whether `start` went well, and all that it said.
    fn start(&self, arguments: &[&str], variable: (&str, &Path)) -> (bool, String) {
        let output = Command::new(self.path("start"))
            .args(arguments)
            .env_remove("LIBTORCH")
            .env_remove("LD_LIBRARY_PATH")
            .env_remove("CUDA_HOME")
            .env("PYTHON", self.path("python"))
            .env(variable.0, variable.1)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    fn start_with_python(&self, arguments: &[&str]) -> (bool, String) {
        self.start(arguments, ("PYTHON", &self.path("python")))
    }
}

const TORCH: [&str; 2] = ["torch/lib/libtorch_cpu.so", "torch/lib/libtorch_cuda.so"];
const CUBLAS: &str = "nvidia/cu13/lib/libcublas.so.13";

#[test]
fn the_bundle_starts_with_the_libraries_of_a_python_or_of_a_folder() {
    let bundle = Bundle::new("2.11.0+cu130", &[TORCH[0], TORCH[1], CUBLAS]);
    let site = bundle.path("site");
    let wanted = format!(
        "prunebench run a b with {0}/torch/lib:{0}/nvidia/cu13/lib\n",
        site.display()
    );
    assert_eq!(bundle.start_with_python(&["run", "a b"]), (true, wanted.clone()));
    assert_eq!(
        bundle.start(&["run", "a b"], ("LIBTORCH", &site.join("torch"))),
        (true, wanted)
    );
    let (well, said) = bundle.start_with_python(&["conformance", "products"]);
    assert!(
        well && said.starts_with("conformance ") && said.ends_with(" products\n"),
        "{said}"
    );
}

#[test]
fn the_bundle_says_which_library_it_misses() {
    let all = [TORCH[0], TORCH[1], CUBLAS];
    let refused = |torch: &str, files: &[&str], words: &[&str]| {
        let (well, said) = Bundle::new(torch, files).start_with_python(&["doctor"]);
        assert!(!well && words.iter().all(|word| said.contains(word)), "{said}");
    };
    refused("2.11.0+cu130", &[], &["holds no libtorch"]);
    refused("2.10.0+cu130", &all, &["is 2.10.0+cu130, wanted 2.11.0"]);
    refused("2.11.0+cpu", &all[..1], &["without CUDA"]);
    if !Path::new("/usr/local/cuda").exists() {
        refused("2.11.0+cu130", &all[..2], &["libcublas.so.13", "CUDA_HOME"]);
    }
    let bundle = Bundle::new("2.11.0", &all);
    bundle.script("python", "#!/bin/sh\necho\n");
    let (well, said) = bundle.start_with_python(&[]);
    assert!(!well && said.contains("has no torch"), "{said}");
    let (well, said) = bundle.start(&[], ("LIBTORCH", Path::new("/nowhere")));
    assert!(!well && said.contains("/nowhere"), "{said}");
}
