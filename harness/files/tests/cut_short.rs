//! What is left of writing that is cut short.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::process::{Command, Stdio};

use prunebench_files::{WholeFolder, intended_name, write};
use prunebench_testing::SmallDisk;

#[test]
fn a_full_disk_leaves_the_old_file_and_no_part_of_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mount(folder.path()) else {
        return;
    };
    let path = folder.path().join("table.csv");
    write(&path, b"old").unwrap();
    let error = write(&path, &vec![b'n'; 1 << 20]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
    let model = WholeFolder::new(&folder.path().join("model")).unwrap();
    assert!(fs::write(model.partial().join("weights"), vec![b'n'; 1 << 20]).is_err());
    drop(model);
    let left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!((left, fs::read(&path).unwrap()), (vec![path], b"old".to_vec()));
}

#[test]
fn a_killed_writer_leaves_a_whole_file_and_a_part_that_says_what_it_would_be() {
    // The test starts itself as the process to kill.
    const FOLDER: &str = "PRUNEBENCH_TEST_FOLDER";
    const BYTES: usize = 1 << 20;
    if let Some(folder) = std::env::var_os(FOLDER) {
        println!("\nwriting");
        loop {
            for byte in *b"ab" {
                write(&std::path::Path::new(&folder).join("table.csv"), &vec![byte; BYTES]).unwrap();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv");
    write(&path, &vec![b'a'; BYTES]).unwrap();
    for _ in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "a_killed_writer_leaves_a_whole_file_and_a_part_that_says_what_it_would_be",
                "--nocapture",
            ])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        assert!(output.lines().any(|line| line.unwrap() == "writing"));
        // Until it is at it.
        while fs::read_dir(folder.path()).unwrap().count() < 2 {}
        child.kill().unwrap();
        child.wait().unwrap();
        let content = fs::read(&path).unwrap();
        assert!(content.len() == BYTES && content.iter().all(|byte| *byte == content[0]));
        for entry in fs::read_dir(folder.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let intended = intended_name(&name).unwrap_or(&name);
            assert_eq!(intended, "table.csv");
            if intended != name {
                fs::remove_file(folder.path().join(name)).unwrap();
            }
        }
    }
}
