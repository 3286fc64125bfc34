//! The pid file: it names the process that serves. A successor replaces the file in one step, so that no reader finds it empty.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

fn content() -> String {
    format!("{}\n", process::id())
}

/// A pid file that can be written.
#[derive(Debug, Clone)]
pub(super) struct PidFile {
    path: PathBuf,
    /// Has the content already. Becomes the file.
    prepared: PathBuf,
}

impl PidFile {
    /// Writes the content beside the file, so that a folder that cannot be written is an error before anything serves.
    pub(super) fn prepare(path: &Path) -> Result<PidFile, String> {
        let cannot = |error: io::Error| format!("cannot write the pid file {}: {error}", path.display());
        // The process may change its directory.
        let path = std::path::absolute(path).map_err(cannot)?;
        if path.is_dir() {
            return Err(format!("cannot write the pid file {}: it is a folder", path.display()));
        }
        let mut name = path.clone().into_os_string();
        name.push(format!(".{}", process::id()));
        let prepared = PathBuf::from(name);
        fs::write(&prepared, content()).map_err(cannot)?;
        Ok(PidFile { path, prepared })
    }

    /// From now on the file names this process.
    pub(super) fn write(&self) -> Result<(), String> {
        let content = content();
        // The second time, because a successor has written the file and has failed then, there is nothing prepared.
        let prepared = if self.prepared.exists() { Ok(()) } else { fs::write(&self.prepared, content) };
        prepared
            .and_then(|()| fs::rename(&self.prepared, &self.path))
            .map_err(|error| format!("cannot write the pid file {}: {error}", self.path.display()))
    }

    /// Removes the file, if it still names this process.
    pub(super) fn remove(&self) {
        // There is one of the two at most, and a file that cannot be removed is no reason to fail at the end.
        _ = fs::remove_file(&self.prepared);
        let is_ours = fs::read_to_string(&self.path).is_ok_and(|text| text == content());
        if is_ours {
            _ = fs::remove_file(&self.path);
        }
    }
}
