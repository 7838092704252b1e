//! Files and folders that are there whole or not at all.
//!
//! What is written stands under a temporary name until it is complete and on the disk, and is renamed then. A process that
//! is killed, a full disk and a power cut leave the old file or the new one, never a part of one under its name.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};

/// How the name of a file or folder ends that isn't whole yet.
pub const PARTIAL: &str = ".partial";
/// Letters and digits that make the name of a part unique.
const RANDOM: usize = 6;

/// Writes `content` to `path`, whole or not at all.
///
/// # Errors
/// If the folder or the disk doesn't take it; what was at `path` before is still there then.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = WholeFile::new(path)?;
    file.write_all(content)?;
    file.keep()
}

/// The name that a file or folder of this name would get once it is whole; `None` of a name that no part has. What a killed
/// process leaves is found by it.
pub fn intended_name(partial: &str) -> Option<&str> {
    let (name, random) = partial.strip_suffix(PARTIAL)?.strip_prefix('.')?.rsplit_once('.')?;
    let is_random = random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_random && !name.is_empty()).then_some(name)
}

/// A file on its way to its path. Dropped before [`WholeFile::keep`], it leaves nothing.
#[derive(Debug)]
pub struct WholeFile {
    partial: BufWriter<NamedTempFile>,
    path: PathBuf,
}

impl WholeFile {
    /// A file that will stand at `path`; its folder must be there.
    ///
    /// # Errors
    /// If no file can be made in that folder.
    pub fn new(path: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        let prefix = format!(".{}.", path.file_name().unwrap_or_default().display());
        builder.prefix(&prefix).rand_bytes(RANDOM).suffix(PARTIAL);
        Ok(Self {
            partial: BufWriter::new(for_everyone(&mut builder, 0o666).tempfile_in(folder_of(path))?),
            path: path.to_owned(),
        })
    }

    /// Where it stands as long as it is a part; what was written may still be on its way there.
    pub fn partial(&self) -> &Path {
        self.partial.get_ref().path()
    }

    /// Puts it in its place, in the stead of what is there.
    ///
    /// # Errors
    /// If the disk doesn't take it; what was at its path before is still there then.
    pub fn keep(self) -> io::Result<()> {
        let partial = self.partial.into_inner().map_err(io::IntoInnerError::into_error)?;
        partial.as_file().sync_all()?;
        partial.persist(&self.path)?;
        sync(folder_of(&self.path))
    }
}

impl Write for WholeFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.partial.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.partial.flush()
    }
}

/// A folder on its way to its path. Dropped before [`WholeFolder::keep`], it leaves nothing.
#[derive(Debug)]
pub struct WholeFolder {
    partial: TempDir,
    path: PathBuf,
}

impl WholeFolder {
    /// A folder that will stand at `path`; the folder around it must be there.
    ///
    /// # Errors
    /// If no folder can be made there.
    pub fn new(path: &Path) -> io::Result<Self> {
        // Absolute, so that a bare name has a folder around it as well.
        let path = std::path::absolute(path)?;
        let mut builder = tempfile::Builder::new();
        let prefix = format!(".{}.", path.file_name().unwrap_or_default().display());
        builder.prefix(&prefix).rand_bytes(RANDOM).suffix(PARTIAL);
        Ok(Self {
            partial: for_everyone(&mut builder, 0o777).tempdir_in(folder_of(&path))?,
            path,
        })
    }

    /// The folder to fill. It has no folders in it.
    pub fn partial(&self) -> &Path {
        self.partial.path()
    }

    /// Puts it in its place, where nothing or an empty folder may be.
    ///
    /// # Errors
    /// If a file of it doesn't reach the disk, or something else is in its place.
    pub fn keep(self) -> io::Result<()> {
        for entry in fs::read_dir(self.partial())? {
            sync(&entry?.path())?;
        }
        sync(self.partial())?;
        fs::rename(self.partial(), &self.path)?;
        // Nothing is left under the temporary name to remove.
        let _ = self.partial.keep();
        sync(folder_of(&self.path))
    }
}

/// Waits until a file, or the names in a folder, are on the disk. Only Unix can open a folder for that.
///
/// # Errors
/// If it can't be opened, or the disk fails.
pub fn sync(path: &Path) -> io::Result<()> {
    if cfg!(unix) || path.is_file() {
        File::open(path)?.sync_all()
    } else {
        Ok(())
    }
}

/// A bare name is in the working folder.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// A temporary file is private by default; what is kept is for everyone whom the umask allows.
fn for_everyone<'a, 'b>(builder: &'a mut tempfile::Builder<'b, 'b>, mode: u32) -> &'a mut tempfile::Builder<'b, 'b> {
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap();
        names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_file_that_is_given_up_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        write(&path, b"old").unwrap();
        let mut file = WholeFile::new(&path).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["table.csv"]);
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn several_writers_of_one_path_leave_one_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::thread::scope(|scope| {
            for byte in *b"abcd" {
                let path = &path;
                scope.spawn(move || write(path, &vec![byte; 100_000]).unwrap());
            }
        });
        let content = fs::read(&path).unwrap();
        assert!(content.len() == 100_000 && content.iter().all(|byte| *byte == content[0]));
        assert_eq!(names(folder.path()), ["table.csv"]);
    }

    #[test]
    fn a_folder_appears_whole_and_only_where_nothing_is() {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("model");
        let fill = || {
            let folder = WholeFolder::new(&path).unwrap();
            fs::write(folder.partial().join("config.json"), "{}").unwrap();
            folder
        };
        drop(fill());
        assert!(names(around.path()).is_empty());
        fill().keep().unwrap();
        assert_eq!(names(&path), ["config.json"]);
        assert!(fill().keep().is_err());
        assert_eq!(names(around.path()), ["model"]);
    }

    #[test]
    fn a_part_says_what_it_would_be_and_no_other_name_does() {
        let folder = tempfile::tempdir().unwrap();
        let file = WholeFile::new(&folder.path().join("a-0.5.json")).unwrap();
        let part = file.partial().file_name().unwrap().to_str().unwrap();
        assert_eq!(intended_name(part), Some("a-0.5.json"));
        let inside = WholeFolder::new(&folder.path().join("model")).unwrap();
        let part = inside.partial().file_name().unwrap().to_str().unwrap();
        assert_eq!(intended_name(part), Some("model"));
        for name in [
            "a.json",
            ".a.json",
            "a.abcdef.partial",
            ".abcdef.partial",
            "..abcdef.partial",
            ".a.0.5.partial",
        ] {
            assert_eq!(intended_name(name), None, "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_kept_is_as_open_as_any_other_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| {
            let metadata = fs::metadata(folder.path().join(name)).unwrap();
            metadata.permissions().mode()
        };
        write(&folder.path().join("ours"), b"").unwrap();
        fs::write(folder.path().join("plain"), "").unwrap();
        assert_eq!(mode("ours"), mode("plain"));
        WholeFolder::new(&folder.path().join("our folder"))
            .unwrap()
            .keep()
            .unwrap();
        fs::create_dir(folder.path().join("plain folder")).unwrap();
        assert_eq!(mode("our folder"), mode("plain folder"));
    }
}
