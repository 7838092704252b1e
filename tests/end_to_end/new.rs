//! Files to start from.

use std::fs;

use prunebench_datasets::Catalogue;
use prunebench_tensor::Engine;

use crate::support::{Ran, Sandbox};

#[test]
fn a_new_experiment_is_planned_as_it_is() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["new", "experiment", "mine"]);
    ran.expect(0, &["prunebench run mine.toml --dry-run", "prunebench report mine"]);
    assert_eq!(ran.out, "mine.toml\n");
    let text = fs::read_to_string(sandbox.path("mine.toml")).unwrap();
    assert!(text.lines().filter(|line| line.starts_with('#')).count() > 10, "{text}");
    let plan = sandbox.run(&["run", "mine.toml", "--dry-run"]);
    plan.expect(0, &[]);
    let cells = 7 * Engine::compiled().len();
    assert!(
        plan.out.contains(&format!("{cells} cells: 0 done, {cells} left")),
        "{}",
        plan.out
    );

    let again = sandbox.run(&["new", "experiment", "mine"]);
    again.expect_error(1, &["mine.toml is there already"]);
    assert_eq!(fs::read_to_string(sandbox.path("mine.toml")).unwrap(), text);
    let elsewhere = sandbox.run(&["new", "experiment", "mine", "--out", "sweeps/b.toml"]);
    assert_eq!(elsewhere.out, "sweeps/b.toml\n");
    sandbox
        .run(&["new", "experiment", "../mine"])
        .expect(2, &["letters, digits"]);
    sandbox.run(&["new", "method", "type"]).expect(2, &["module of Rust"]);
}

#[test]
fn what_is_built_into_the_program_is_written_into_its_source() {
    let sandbox = Sandbox::new();
    for kind in ["task", "text", "method"] {
        let ran = sandbox.run(&["new", kind, "own-one"]);
        ran.expect_error(1, &["in no checkout of prunebench's source"]);
    }
    let lib = "registry::methods! {\n    dense,\n}\n";
    sandbox.write("source/methods/src/lib.rs", lib);
    for folder in ["harness/cli", "datasets/catalogue/tasks", "datasets/catalogue/texts"] {
        fs::create_dir_all(sandbox.path(&format!("source/{folder}"))).unwrap();
    }
    let new = |kind: &str, name: &str| -> Ran {
        let mut command = sandbox.command(&["new", kind, name]);
        command.current_dir(sandbox.path("source/harness/cli"));
        command.output().unwrap().into()
    };
    let read = |file: &str| fs::read_to_string(sandbox.path(&format!("source/{file}"))).unwrap();
    new("task", "trivia").expect(0, &["prunebench eval --model tiny --tasks trivia"]);
    new("text", "letters").expect(0, &["--protocol letters/stream-128@1"]);
    let (task, text) = (
        read("datasets/catalogue/tasks/trivia.toml"),
        read("datasets/catalogue/texts/letters.toml"),
    );
    let catalogue = Catalogue::parse([("tasks/trivia", task.as_str()), ("texts/letters", text.as_str())]).unwrap();
    assert_eq!(catalogue.tasks().len(), 1);
    assert_eq!(catalogue.protocols().count(), 1);

    let method = new("method", "quiet-heads");
    method.expect(0, &["cargo test -p prunebench-methods quiet_heads", "pinned.toml"]);
    assert_eq!(method.out.lines().count(), 3, "{}", method.out);
    assert_eq!(
        read("methods/src/lib.rs"),
        "registry::methods! {\n    dense,\n    quiet_heads,\n}\n"
    );
    assert!(read("methods/src/quiet_heads/mod.rs").contains("struct QuietHeads"));
    assert!(read("methods/src/quiet_heads/README.md").contains("`ratio`"));
    for (kind, name) in [("task", "trivia"), ("text", "letters"), ("method", "quiet-heads")] {
        new(kind, name).expect_error(1, &["is there already"]);
    }
}
