//! How this process was started, so that it can start its successor in the same way. Resolved early, because the binary may be
//! replaced on disk, and the process may change its directory.

use std::{
    env,
    ffi::OsString,
    fs::{self, Metadata},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
};

/// The program, the arguments and the working directory of this process at its start.
#[derive(Debug, Clone)]
pub(crate) struct StartedAs {
    /// `None` if nothing tells which file it was.
    pub(crate) program: Option<PathBuf>,
    arguments: Vec<OsString>,
    directory: Option<PathBuf>,
}

impl StartedAs {
    /// To be called before the process changes its directory or its binary is replaced.
    pub(crate) fn now() -> StartedAs {
        let mut arguments = env::args_os();
        let name = arguments.next();
        let directory = env::current_dir().ok();
        // A link such as `/app/current/server` has to be followed anew by the successor, so the name is preferred to what
        // the kernel calls the file. The name can be anything, so it has to lead to the same file where /proc can tell.
        let running = env::current_exe().ok();
        let running_file = fs::metadata("/proc/self/exe").ok();
        let named = name.and_then(|name| locate(Path::new(&name), directory.as_deref(), env::var_os("PATH")));
        let is_ours = |path: &PathBuf| {
            let file = fs::metadata(path).ok();
            file.is_some_and(|file| running_file.as_ref().is_none_or(|running| is_same(&file, running)))
        };
        let program = named.filter(is_ours).or(running);
        StartedAs { program, arguments: arguments.collect(), directory }
    }

    /// The command that starts this program again, from the same directory and with the same arguments.
    pub(crate) fn command(&self) -> Option<Command> {
        let mut command = Command::new(self.program.as_ref()?);
        command.args(&self.arguments);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        Some(command)
    }

    /// A path that was meant at the start of the process.
    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        self.directory.as_ref().map_or_else(|| path.to_owned(), |directory| directory.join(path))
    }
}

/// The file that a shell would have executed for this name.
fn locate(name: &Path, directory: Option<&Path>, search: Option<OsString>) -> Option<PathBuf> {
    if name.components().count() > 1 || name.is_absolute() {
        return Some(directory.unwrap_or(Path::new("/")).join(name));
    }
    let candidates = env::split_paths(&search?).map(|folder| folder.join(name)).collect::<Vec<_>>();
    let is_executable = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    let found = candidates.into_iter().find(is_executable)?;
    Some(directory.unwrap_or(Path::new("/")).join(found))
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_as_a_shell_finds_it() {
        let here = Some(Path::new("/srv"));
        let path = || Some(OsString::from("/nowhere:/bin:/usr/bin"));
        let located = |name: &str| locate(Path::new(name), here, path());
        assert_eq!(located("./server"), Some("/srv/./server".into()));
        assert_eq!(located("bin/server"), Some("/srv/bin/server".into()));
        assert_eq!(located("/opt/server"), Some("/opt/server".into()));
        assert_eq!(located("sh"), Some("/bin/sh".into()));
        assert_eq!(located("no such program"), None);
        assert_eq!(locate(Path::new("sh"), here, None), None);
    }

    #[test]
    fn this_process_knows_its_own_file_and_its_directory() {
        let started = StartedAs::now();
        let program = started.program.clone().unwrap();
        assert!(program.is_absolute());
        let file = fs::metadata(&program).unwrap();
        assert!(is_same(&file, &fs::metadata("/proc/self/exe").unwrap()));
        assert_eq!(started.absolute(Path::new("a")), env::current_dir().unwrap().join("a"));
        assert_eq!(started.absolute(Path::new("/a")), Path::new("/a"));
    }
}
