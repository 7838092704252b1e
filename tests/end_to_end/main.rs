//! The program as a user meets it: exit codes, messages, records and tables.

mod bad_input;
mod claims;
mod commands;
mod depth_map;
mod determinism;
mod full_disk;
mod gate;
mod gpu;
mod gpu_script;
mod html;
mod killed;
mod limits;
mod paper;
mod pinned;
mod pretrain;
mod screens;
mod shared;
mod slurm;
mod status;
mod store;
mod support;
mod sweep;
mod tables;
mod tasks;
mod tiny;
