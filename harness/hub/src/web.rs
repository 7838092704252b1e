//! Files at fixed addresses, kept once fetched.

use std::path::{Path, PathBuf};

use crate::address::Address;
use crate::client::Client;
use crate::error::Problem;
use crate::hash::Hash;
use crate::hub::Hub;
use crate::persist::persist;
use crate::repository::check_path;
use crate::transfer::{INCOMPLETE, Wanted, fetch, lock, make_folder_of};

/// Bytes of the largest file that is taken.
const LIMIT: u64 = 1 << 30;

impl Hub {
    /// Path in the folder `downloads` of the file at `url` with this hash, fetched first if it is not there. It is there whole
    /// or not at all. The Hub is asked nothing, and its token is not shown; it says whether to go to the network and how long
    /// to wait.
    ///
    /// # Errors
    /// If the file does not come, another one comes, or the disk does not take it.
    pub fn pinned_file(&self, url: &str, sha256: &str, downloads: &Path) -> Result<PathBuf, Problem> {
        let name = url.split(['?', '#']).next().and_then(|path| path.rsplit('/').next());
        let name = name.unwrap_or_default();
        check_path("file", name)?;
        let Some(hash @ Hash::Sha256(_)) = Hash::of_etag(sha256) else {
            return Err(Problem::Name {
                what: "sha256",
                found: sha256.to_owned(),
            });
        };
        // The hash keeps files of one name apart.
        let folder = downloads.join(hash.wanted());
        let path = folder.join(name);
        if path.exists() {
            return Ok(path);
        }
        if self.offline {
            return Err(Problem::Offline(downloads.to_owned()));
        }
        let client = Client::new(&self.patience, None);
        let wanted = Wanted {
            name: name.to_owned(),
            address: Address::new(url),
            length: None,
            hash: Some(hash),
            limit: LIMIT,
        };
        let part = folder.join(format!("{name}{INCOMPLETE}"));
        let _lock = lock(&downloads.join(".locks").join(format!("{sha256}.lock")))?;
        make_folder_of(&path)?;
        if !path.exists() {
            persist(self.patience.first_wait, || fetch(&client, &wanted, &part, &path))?;
        }
        Ok(path)
    }
}
