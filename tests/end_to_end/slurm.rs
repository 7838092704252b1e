//! Sweeps on a Slurm of this machine's own: jobs that are cancelled, killed for their memory, or outlive their controller.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use prunebench_tensor::Engine;
use tempfile::TempDir;

use crate::support::{Ran, Sandbox, numbers};

/// Longer than anything here takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// A Slurm of one machine, with its controller, its node and, if there is none yet, the daemon that signs their messages.
struct Cluster {
    folder: TempDir,
    controller: Option<Child>,
    node: Option<Child>,
    munge: Option<Child>,
}

impl Cluster {
    /// `None`, and the test skips, where Slurm isn't installed or can't be started by this user.
    fn start() -> Option<Self> {
        let absent = ["slurmctld", "slurmd", "munged", "sbatch"]
            .into_iter()
            .find(|program| !succeeds(Command::new("which").arg(program)));
        let user = Command::new("id").arg("-u").output().unwrap();
        let reason = match absent {
            Some(program) => format!("{program} isn't installed (Debian: apt install slurm-wlm munge)"),
            None if user.stdout != b"0\n" => "only root can start a Slurm".to_owned(),
            None => return Some(Self::started()),
        };
        prunebench_testing::skip(&reason);
        None
    }

    fn started() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let munge = (!succeeds(Command::new("munge").arg("-n"))).then(|| {
            fs::create_dir_all("/run/munge").unwrap();
            assert!(succeeds(Command::new("chown").args(["munge:", "/run/munge"])));
            let command = ["-u", "munge", "--", "munged", "--foreground", "--force"];
            spawn(Command::new("runuser").args(command))
        });
        wait_for("munged", || succeeds(Command::new("munge").arg("-n")));
        let mut cluster = Self {
            folder,
            controller: None,
            node: None,
            munge,
        };
        cluster.write_config();
        cluster.start_controller();
        cluster.node = Some(spawn(cluster.command("slurmd").arg("-D")));
        let idle = |cluster: &Self| cluster.says("sinfo", &["--noheader", "--format=%T"]) == "idle\n";
        wait_for("an idle node", || idle(&cluster));
        cluster
    }

    fn write_config(&self) {
        let host = Command::new("hostname").arg("-s").output().unwrap().stdout;
        let host = String::from_utf8(host).unwrap().trim().to_owned();
        let folder = self.folder.path().display();
        // Both are open until both are known.
        let ports = [
            TcpListener::bind("127.0.0.1:0").unwrap(),
            TcpListener::bind("127.0.0.1:0").unwrap(),
        ];
        let [controller, node] = ports.map(|port| port.local_addr().unwrap().port());
        for name in ["state", "spool"] {
            fs::create_dir(self.folder.path().join(name)).unwrap();
        }
        let config = format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser=root\nAuthType=auth/munge\n\
             SlurmctldPort={controller}\nSlurmdPort={node}\nMpiDefault=none\nReturnToService=2\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\n\
             SelectType=select/cons_tres\nSelectTypeParameters=CR_Core_Memory\n\
             JobAcctGatherType=jobacct_gather/linux\nJobAcctGatherFrequency=task=1\nJobAcctGatherParams=OverMemoryKill\n\
             SchedulerParameters=batch_sched_delay=0,sched_interval=1\nSlurmdParameters=config_overrides\nKillWait=2\n\
             StateSaveLocation={folder}/state\nSlurmdSpoolDir={folder}/spool\n\
             SlurmctldPidFile={folder}/slurmctld.pid\nSlurmdPidFile={folder}/slurmd.pid\n\
             SlurmctldLogFile={folder}/slurmctld.log\nSlurmdLogFile={folder}/slurmd.log\n\
             NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000 State=UNKNOWN\n\
             PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP\n"
        );
        fs::write(self.folder.path().join("slurm.conf"), config).unwrap();
    }

    fn start_controller(&mut self) {
        self.controller = Some(spawn(self.command("slurmctld").arg("-D")));
        let answers = |cluster: &Self| succeeds(cluster.command("scontrol").arg("ping"));
        wait_for("the controller", || answers(self));
    }

    /// As for an update. Killed outright it forgets what happened in the last seconds.
    fn stop_controller(&mut self) {
        let mut controller = self.controller.take().unwrap();
        assert!(succeeds(Command::new("kill").arg(controller.id().to_string())));
        controller.wait().unwrap();
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SLURM_CONF", self.folder.path().join("slurm.conf"));
        command
    }

    fn says(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn run(&self, sandbox: &Sandbox, arguments: &[&str]) -> Ran {
        let mut command = sandbox.command(arguments);
        command.env("SLURM_CONF", self.folder.path().join("slurm.conf"));
        command.output().unwrap().into()
    }

    /// Tasks in the queue, `JOB_TASK STATE`.
    fn queue(&self) -> Vec<String> {
        let queue = self.says("squeue", &["--noheader", "--array", "--format=%F_%K %T"]);
        queue.lines().map(str::to_owned).collect()
    }

    fn wait_until_empty(&self) {
        wait_for("an empty queue", || self.queue().is_empty());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.command("scancel").arg("--user=root").status().unwrap();
        if std::thread::panicking() {
            let log = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
            eprintln!("{}\n{}", log("slurmctld.log"), log("slurmd.log"));
        }
        for process in [&mut self.node, &mut self.controller, &mut self.munge]
            .into_iter()
            .flatten()
        {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn succeeds(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[track_caller]
fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_there() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come");
        sleep(Duration::from_millis(200));
    }
}

/// Eight cells of a small model and of one that takes more memory, and some seconds.
fn experiment() -> String {
    let engine = Engine::compiled()[0];
    format!(
        r#"
        name = "a"
        models = ["small", "large"]
        engines = ["{engine}"]
        threads = 1
        recipes = ["magnitude(ratio={{0.1,0.2,0.3}})"]
        evaluation.perplexity = [{{ protocol = "world/stream-128@1", windows = 20 }}]
        "#
    )
}

fn statuses(sandbox: &Sandbox) -> Vec<(String, String)> {
    let records = sandbox.records("a");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let named = records.iter().map(|record| {
        let cell = &record["cell"];
        (
            format!("{} {}", text(&cell["model"]), text(&cell["recipe"][0])),
            text(&record["status"]),
        )
    });
    named.collect()
}

/// The jobs that `submit --json` named.
fn jobs(ran: &Ran) -> Vec<String> {
    let submitted: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let jobs = submitted["jobs"].as_array().unwrap().iter();
    jobs.map(|job| job[0].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_sweep_on_slurm_survives_a_cancelled_job_a_killed_one_and_a_new_controller() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    // Names that a shell would take apart.
    let sandbox = Sandbox::named("it's a \"dir\" of 100% $HOME;x");
    sandbox.large_model("large");
    sandbox.write("a.toml", &experiment());
    let planned = cluster.run(&sandbox, &["submit", "a.toml", "--dry-run"]);
    planned.expect(0, &[]);
    assert!(
        planned.out.contains("2 tasks of 2 cells, at once, 1 core"),
        "{}",
        planned.out
    );
    assert!(cluster.queue().is_empty() && !sandbox.path("results").exists());

    // Too little memory for one of the two dense models, and so nothing else is measured.
    let submitted = cluster.run(&sandbox, &["submit", "a.toml", "--json", "--", "--mem=350M", "--hold"]);
    submitted.expect(0, &["submitted 8 of 8 cells"]);
    let twice = cluster.run(&sandbox, &["submit", "a.toml"]);
    twice.expect(0, &["submitted 0 of 8 cells; 0 are done, 8 were in the queue"]);
    assert!(succeeds(
        cluster.command("scontrol").arg("release").args(jobs(&submitted))
    ));
    cluster.wait_until_empty();
    // Whoever looks writes what the job could not.
    let status = cluster.run(&sandbox, &["status", "results/runs/a"]);
    status.expect_shown(0, &["1 of 8 cells done · 1 oom · 6 waiting", "✗ large dense"]);
    let again = cluster.run(&sandbox, &["submit", "a.toml", "--json"]);
    again.expect(0, &["submitted 7 of 8 cells; 1 are done, 0 were in the queue"]);
    let wanted = [("large dense", "oom"), ("small dense", "ok")].map(|(cell, status)| (cell.into(), status.into()));
    assert_eq!(statuses(&sandbox), wanted);
    let record = sandbox
        .records("a")
        .into_iter()
        .find(|record| record["status"] == "oom")
        .unwrap();
    assert!(
        record["error"].as_str().unwrap().contains("Slurm ended the task"),
        "{record}"
    );
    assert!(record["log"].to_string().contains("memory limit"), "{record}");

    // One of the others is cancelled, and the controller is stopped and started again.
    let job = jobs(&again).pop().unwrap();
    let status = cluster.run(&sandbox, &["status", "results/runs/a"]);
    status.expect_shown(0, &["queued ", " cells: pending"]);
    assert!(succeeds(cluster.command("scancel").arg(format!("{job}_0"))));
    cluster.stop_controller();
    sleep(Duration::from_secs(2));
    cluster.start_controller();
    cluster.wait_until_empty();
    let done = statuses(&sandbox);
    assert_eq!(done.len(), 7, "{done:?}");
    assert!(done.iter().all(|(_, status)| status == "ok"), "{done:?}");

    // A cell that is submitted and cancelled by our own command stays without a record too.
    let alone = cluster.run(&sandbox, &["submit", "a.toml", "--", "--begin=now+1hour"]);
    alone.expect(0, &["submitted 1 of 8 cells"]);
    let cancelled = cluster.run(&sandbox, &["cancel", "results/runs/a"]);
    cancelled.expect(0, &["cancelled the tasks of 1 cells"]);
    cluster.wait_until_empty();

    let followed = cluster.run(&sandbox, &["submit", "a.toml", "--wait"]);
    followed.expect(0, &["8 of 8 cells measured; 1 of them now"]);
    assert_eq!(followed.out, cluster.run(&sandbox, &["report", "results/runs/a"]).out);
    cluster
        .run(&sandbox, &["store", "check", "results/runs/a"])
        .expect(0, &[]);
    let attempts = |record: &serde_json::Value| Some(record.get("attempts")?[0]["status"].as_str()?.to_owned());
    let attempts: Vec<_> = sandbox.records("a").iter().filter_map(attempts).collect();
    assert_eq!(attempts, ["oom"]);

    let local = Sandbox::new();
    local.large_model("large");
    local.write("a.toml", &experiment());
    local.run(&["run", "a.toml"]).expect(0, &[]);
    assert_eq!(numbers(sandbox.records("a")), numbers(local.records("a")));
}

#[test]
fn without_slurm_the_message_says_what_is_missing() {
    let sandbox = Sandbox::new();
    let experiment = experiment().replace(", \"large\"", "");
    sandbox.write("a.toml", &experiment);
    let mut command = sandbox.command(&["submit", "a.toml"]);
    let ran: Ran = command.env("PATH", Path::new("/nowhere")).output().unwrap().into();
    ran.expect_error(1, &["`scontrol` can't be started", "prunebench run"]);
    sandbox.write("a.toml", &experiment.replace("threads = 1", ""));
    sandbox
        .run(&["submit", "a.toml"])
        .expect_error(1, &["has no `threads`"]);
}
