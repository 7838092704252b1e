//! A folder with a small model, and the program run in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use prunebench_model::Decoder;
use prunebench_model::checkpoint::save;
use prunebench_model::graph::{
    Architecture, AttentionShape, BlockShape, FfnShape, Graph, NormKind, Rope, RopeScaling, Step,
};
use prunebench_results::{read_records, read_samples, running};
use prunebench_tensor::{DType, Device, Engine, Tensor};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Engines of this build as an experiment lists them.
pub fn engines() -> String {
    let engines: Vec<String> = Engine::compiled()
        .iter()
        .map(|engine| format!("\"{engine}\""))
        .collect();
    engines.join(", ")
}

/// A folder in a temporary one, in which the program runs, and which holds the model `small`.
pub struct Sandbox {
    _around: TempDir,
    folder: PathBuf,
}

/// How often it is looked which cells run.
const LOOK: Duration = Duration::from_millis(5);

/// A run of an experiment that goes on.
pub struct Started {
    pub run: Child,
    /// Names of cells as they are seen to run, and their processes. Where several run at once, all their names, and one of the
    /// processes.
    pub cells: Receiver<(String, u32)>,
    has_ended: Arc<AtomicBool>,
    watch: JoinHandle<()>,
}

impl Started {
    pub fn end(self) -> Ran {
        let ran = self.run.wait_with_output().unwrap().into();
        self.has_ended.store(true, Ordering::Relaxed);
        self.watch.join().unwrap();
        ran
    }
}

/// Tells of every cell whose process begins, until `has_ended` is set: the reservations in `records` say which cells `run` sees
/// to, and the system which processes are its children.
fn watch(run: u32, records: &Path, has_ended: &AtomicBool, heard: &Sender<(String, u32)>) {
    let mut known: Vec<u32> = Vec::new();
    while !has_ended.load(Ordering::Relaxed) {
        sleep(LOOK);
        let before = children(run);
        let owners = running(records).unwrap_or_default().into_iter();
        let owners = owners.filter_map(|running| running.owner);
        let cells: Vec<String> = owners
            .filter(|owner| owner.process == run)
            .map(|owner| owner.cell)
            .collect();
        // A cell that ended in between says nothing about a process that goes on.
        let now = children(run);
        for process in before.into_iter().filter(|process| now.contains(process)) {
            if !cells.is_empty() && !known.contains(&process) {
                known.push(process);
                // Nobody listens once the run was killed.
                let _ = heard.send((cells.join(", "), process));
            }
        }
    }
}

/// Processes that this one started and that have not ended.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let process: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name before it may have spaces and brackets of its own.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let goes_on = fields.next()? != "Z";
        let of: u32 = fields.next()?.parse().ok()?;
        (goes_on && of == parent).then_some(process)
    });
    processes.collect()
}

/// Sends a process a signal; whether it was there.
pub fn signal(name: &str, process: u32) -> bool {
    let mut kill = Command::new("kill");
    kill.args([&format!("-{name}"), &process.to_string()])
        .stderr(Stdio::null());
    kill.status().unwrap().success()
}

/// What a run of the program left.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Sandbox {
    pub fn new() -> Self {
        Self::named("sandbox")
    }

    pub fn named(name: &str) -> Self {
        let around = tempfile::tempdir().unwrap();
        let folder = around.path().join(name);
        fs::create_dir(&folder).unwrap();
        let sandbox = Self {
            _around: around,
            folder,
        };
        sandbox.model("small", 0.2);
        sandbox
    }

    /// Writes a model with random weights of this size.
    pub fn model(&self, name: &str, size: f64) {
        let folder = self.path(name);
        self.save(&small_decoder(size, [16, 32]), &folder);
    }

    /// Writes a model with random weights that takes hundreds of megabytes.
    pub fn large_model(&self, name: &str) {
        self.save(&small_decoder(0.02, [256, 16384]), &self.path(name));
    }

    fn save(&self, decoder: &Decoder, folder: &Path) {
        save(decoder, None, folder).unwrap();
        fs::write(folder.join("tokenizer.json"), byte_tokenizer()).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// The program with nothing of the user's about it, and no way out of the machine.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_prunebench"));
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env_remove("PRUNEBENCH_DATA")
            .env("HF_HUB_OFFLINE", "1")
            .env("HF_HOME", self.path("hub"))
            .env("XDG_CACHE_HOME", self.path("cache"));
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    /// Starts the run of an experiment's file, whose results are in `results/runs/a`, and watches which cells run.
    pub fn start(&self, file: &str, rest: &[&str]) -> Started {
        let run = self
            .command(&[&["run", file], rest].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, cells) = channel();
        let has_ended = Arc::new(AtomicBool::new(false));
        let (process, records, ended) = (run.id(), self.path("results/runs/a/records"), Arc::clone(&has_ended));
        let watch = spawn(move || watch(process, &records, &ended, &sender));
        Started {
            run,
            cells,
            has_ended,
            watch,
        }
    }

    /// The records of an experiment under `results/runs` with their samples, as JSON, ordered by file name.
    pub fn records(&self, experiment: &str) -> Vec<Value> {
        let folder = self.path(&format!("results/runs/{experiment}/records"));
        let mut records = read_records(&folder).unwrap();
        let joined = records.iter_mut().map(|record| {
            read_samples(&folder, record).unwrap();
            serde_json::to_value(record).unwrap()
        });
        joined.collect()
    }
}

/// What must be equal in any run of a cell, by its key: everything but times, memory, earlier attempts, and where it ran.
pub fn numbers(records: Vec<Value>) -> BTreeMap<String, Value> {
    let numbers = |mut record: Value| {
        let key = record["key"].as_str().unwrap().to_owned();
        let fields = record.as_object_mut().unwrap();
        for field in ["provenance", "memory", "attempts", "log", "samples"] {
            fields.remove(field);
        }
        if let Some(metrics) = fields.get_mut("metrics").and_then(Value::as_object_mut) {
            metrics.remove("budget");
            let tasks = metrics.get_mut("tasks").and_then(Value::as_array_mut);
            for task in tasks.into_iter().flatten() {
                task["scoring"].as_object_mut().unwrap().remove("seconds").unwrap();
            }
        }
        (key, record)
    };
    records.into_iter().map(numbers).collect()
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// Cells that the run says it measured itself, by the plain line that each leaves when it ends.
    pub fn measured(&self) -> usize {
        let times = self.lines().into_iter().filter_map(|fields| {
            let time = fields.get(5)?.strip_suffix(" s")?;
            Some(time.to_owned())
        });
        times.filter(|time| time.parse::<f64>().is_ok()).count()
    }

    /// The fields of the plain lines that cells leave.
    pub fn lines(&self) -> Vec<Vec<String>> {
        let lines = self.err.lines().filter(|line| line.starts_with('['));
        let fields = |line: &str| {
            let fields = line.split("  ").map(str::trim).filter(|field| !field.is_empty());
            fields.map(str::to_owned).collect()
        };
        lines.map(fields).collect()
    }

    /// Checks exit code and the words that standard error must have.
    #[track_caller]
    pub fn expect(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "`{word}` is not in:\n{}", self.err);
        }
    }

    /// Checks exit code and the words that standard output must have, wherever its lines end.
    #[track_caller]
    pub fn expect_shown(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        let shown = self.out.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(shown.contains(word), "`{word}` is not in:\n{}", self.out);
        }
    }

    /// Checks that the program failed with one `error:` line that has these words.
    #[track_caller]
    pub fn expect_error(&self, code: i32, words: &[&str]) {
        self.expect(code, words);
        let errors = self.err.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "{}", self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }
}

fn small_decoder(size: f64, [hidden_size, width]: [usize; 2]) -> Decoder {
    let block = BlockShape {
        attention: Some(AttentionShape {
            heads: 2,
            kv_heads: 1,
            head_dim: 8,
            qkv_bias: false,
            qk_norm: false,
            window: None,
            ..AttentionShape::default()
        }),
        ffn: Some(FfnShape {
            width,
            ..FfnShape::default()
        }),
        ..BlockShape::default()
    };
    let graph = Graph {
        architecture: Architecture::Llama,
        vocab_size: 256,
        hidden_size,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 1024,
        tie_word_embeddings: true,
        bos_token_id: None,
        eos_token_ids: vec![0],
        rope: Some(Rope {
            theta: 1e4,
            scaling: RopeScaling::None,
        }),
        norm: NormKind::Rms,
        head_bias: false,
        stream_gates: false,
        blocks: vec![block; 4],
        steps: (0..4).map(Step::Block).collect(),
    };
    let device = Device::cpu(Engine::compiled()[0]);
    let mut seed = 0;
    Decoder::from_parameters(graph, |_, shape| {
        seed += 1;
        Ok(Tensor::randn(shape, seed, DType::F32, &device)?.mul_scalar(size)?)
    })
    .unwrap()
}

/// One token for each byte, as `tokenizer.json`.
fn byte_tokenizer() -> String {
    // The letters that byte-level tokenizers write for bytes: printable ones stand for themselves, the rest from U+0100 on.
    let printable = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let rest = (0..=255).filter(|byte| !printable(byte)).count() as u32;
    let letters = (0..=255).filter(printable).chain(256..256 + rest);
    let vocabulary: serde_json::Map<String, Value> = letters
        .enumerate()
        .map(|(id, letter)| (char::from_u32(letter).unwrap().to_string(), id.into()))
        .collect();
    let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false });
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": bytes, "post_processor": null, "decoder": bytes,
        "model": { "type": "BPE", "vocab": vocabulary, "merges": [] },
    });
    tokenizer.to_string()
}
