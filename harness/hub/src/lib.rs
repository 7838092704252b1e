//! Files of the Hugging Face Hub, through the cache that its clients share, and files at fixed addresses.
//!
//! A token goes to the host that it is for, and to none that a redirect names. What comes is checked: names before they become
//! paths, the content against its length and its hash. What was cut is gone on with.

mod address;
mod cache;
mod client;
mod download;
mod environment;
mod error;
mod hash;
mod hub;
mod persist;
mod repository;
mod token;
mod transfer;
mod web;

pub use address::Address;
pub use client::Patience;
pub use download::{Download, DownloadState, ObservedDownload, observe_downloads};
pub use error::Problem;
pub use hf_hub::RepoType;
pub use hub::{Hub, Listing};
pub use repository::Repository;
pub use token::Token;
