//! The program as a user meets it: exit codes, messages, records and tables.

mod bad_input;
mod commands;
mod depth_map;
mod killed;
mod paper;
mod pretrain;
mod slurm;
mod store;
mod support;
mod sweep;
mod tasks;
mod tiny;
