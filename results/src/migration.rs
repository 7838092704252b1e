//! Records of older versions as what they mean in this one.

use serde_json::Value;

use crate::record::SCHEMA;

/// From each version to the next, version 1 first. A migration changes what the next version says otherwise; the numbers
/// of a cell stay as they were measured.
const MIGRATIONS: [fn(&mut Value); SCHEMA as usize - 1] = [from_1];

/// Brings a record of an older version to this one.
pub(crate) fn migrate(record: &mut Value, version: u32) {
    for migration in MIGRATIONS.iter().skip(version.saturating_sub(1) as usize) {
        migration(record);
    }
    record["schema"] = SCHEMA.into();
}

/// Version 2 has other names of statuses, and the number of a task's items apart from them.
fn from_1(record: &mut Value) {
    let status = &mut record["status"];
    let renamed = match status.as_str() {
        Some("crashed") => "failed",
        Some("timed_out") => "timeout",
        Some("out_of_memory") => "oom",
        _ => "",
    };
    if !renamed.is_empty() {
        *status = renamed.into();
    }
    let tasks = record.pointer_mut("/metrics/tasks").and_then(Value::as_array_mut);
    for task in tasks.into_iter().flatten() {
        task["documents"] = task["items"].as_array().map_or(0, Vec::len).into();
    }
}
