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
    /// The working directory, without links.
    directory: Option<PathBuf>,
    /// The same by the path that a shell has followed, so that a link such as `/app/current` is followed anew.
    named_directory: Option<PathBuf>,
}

impl StartedAs {
    /// To be called before the process changes its directory or its binary is replaced.
    pub(crate) fn now() -> StartedAs {
        let mut arguments = env::args_os();
        let name = arguments.next();
        let directory = env::current_dir().ok();
        let named_directory = directory.as_deref().map(|directory| name_of(directory, env::var_os("PWD")));
        // A link such as `/app/current/server` has to be followed anew by the successor, so the name is preferred to what
        // the kernel calls the file. The name can be anything, so it has to lead to the same file where /proc can tell.
        let running = env::current_exe().ok();
        let running_file = fs::metadata("/proc/self/exe").ok();
        let named =
            name.and_then(|name| locate(Path::new(&name), named_directory.as_deref(), env::var_os("PATH")));
        let is_ours = |path: &PathBuf| {
            let file = fs::metadata(path).ok();
            file.is_some_and(|file| running_file.as_ref().is_none_or(|running| is_same(&file, running)))
        };
        let program = named.filter(is_ours).or(running);
        StartedAs { program, arguments: arguments.collect(), directory, named_directory }
    }

    /// Why a successor could not be started from the working directory.
    pub(crate) fn look_at_directory(&self) -> Result<(), String> {
        self.named_directory.as_deref().map_or(Ok(()), look_at_directory)
    }

    /// The command that starts this program again, from the same directory and with the same arguments.
    pub(crate) fn command(&self) -> Option<Command> {
        let mut command = Command::new(self.program.as_ref()?);
        command.args(&self.arguments);
        if let Some(directory) = &self.named_directory {
            command.current_dir(directory);
        }
        Some(command)
    }

    /// A path that was meant at the start of the process.
    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        self.directory.as_ref().map_or_else(|| path.to_owned(), |directory| directory.join(path))
    }
}

/// Whether a new process can begin in this directory. If not, the error of its start would blame the program.
pub(crate) fn look_at_directory(directory: &Path) -> Result<(), String> {
    // To look a name up in a directory takes the same permission as to enter the directory.
    fs::metadata(directory.join(".")).map(drop).map_err(|error| {
        let path = directory.display();
        format!("the working directory {path} cannot be entered: {error}: start the program from a directory that stays, such as /")
    })
}

/// The path of the working directory that the shell tells (`$PWD`), if it names the same directory.
fn name_of(directory: &Path, told: Option<OsString>) -> PathBuf {
    let told = told.map(PathBuf::from).filter(|told| told.is_absolute());
    let is_same_directory = |told: &PathBuf| matches!((fs::metadata(told), fs::metadata(".")), (Ok(told), Ok(here)) if is_same(&told, &here));
    told.filter(is_same_directory).unwrap_or_else(|| directory.to_owned())
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
    fn the_directory_has_the_name_of_the_shell_only_if_that_leads_there() {
        let here = env::current_dir().unwrap();
        let told = |path: &str| name_of(&here, Some(path.into()));
        let link = env::temp_dir().join(format!("softstop-pwd-{}", std::process::id()));
        _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(&here, &link).unwrap();
        assert_eq!(told(link.to_str().unwrap()), link);
        fs::remove_file(&link).unwrap();
        for other in ["/", ".", "", "/nowhere"] {
            assert_eq!(told(other), here, "{other}");
        }
        assert_eq!(name_of(&here, None), here);
    }

    #[test]
    fn a_directory_that_cannot_be_entered_is_named() {
        assert_eq!(look_at_directory(Path::new("/")), Ok(()));
        let text = look_at_directory(Path::new("/no such directory")).unwrap_err();
        assert!(text.contains("the working directory /no such directory cannot be entered"), "{text}");
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
