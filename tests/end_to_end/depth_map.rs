//! Maps of a model's depth: every range once, kept, and drawn.

use std::fs;

use crate::support::Sandbox;

const MAP: [&str; 12] = [
    "depth-map",
    "--model",
    "small",
    "--method",
    "prune-range,layer-parallel",
    "--length",
    "1,2",
    "--protocol",
    "world/facts-128@1",
    "--windows",
    "2",
    "--json",
];

#[test]
fn every_range_is_a_line_and_a_cell_of_a_picture_and_is_measured_once() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&MAP);
    // Four blocks: four of one and three of two to prune, and three pairs; and the dense model.
    ran.expect(0, &["11 of 11 cells measured; 11 of them now"]);
    let lines: Vec<serde_json::Value> = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(lines.len(), 10);
    for line in &lines {
        let ratio = line["ratio_to_dense"].as_f64().unwrap();
        assert!(ratio.is_finite() && ratio > 0.0, "{line}");
        let (start, end) = (line["start"].as_u64().unwrap(), line["end"].as_u64().unwrap());
        let depth = match line["method"].as_str().unwrap() {
            "prune-range" => 4 - (end - start),
            _ => 3,
        };
        assert_eq!(line["effective_depth"], depth, "{line}");
    }
    let folder = sandbox.path("results/runs/depth-map-small-world-facts-128-1");
    let csv = fs::read_to_string(folder.join("depth-map.csv")).unwrap();
    assert_eq!(csv.lines().count(), 11);
    for method in ["prune-range", "layer-parallel"] {
        let svg = fs::read_to_string(folder.join(format!("depth-map-{method}.svg"))).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains(method), "{svg}");
    }
    sandbox.run(&MAP).expect(0, &["11 of 11 cells measured; 0 of them now"]);
}

#[test]
fn what_makes_no_map_is_refused() {
    let sandbox = Sandbox::new();
    let with = |from: &str, to: &str| {
        let arguments = MAP.map(|argument| if argument == from { to } else { argument });
        sandbox.run(&arguments)
    };
    with("1,2", "9").expect_error(1, &["[9] blocks", "model of 4"]);
    with("prune-range,layer-parallel", "prune-rang").expect_error(2, &["did you mean `prune-range`"]);
    with("prune-range,layer-parallel", "gromov").expect_error(2, &["gromov", "unknown key"]);
}
