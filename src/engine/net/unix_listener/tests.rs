use std::{
    os::unix::fs::MetadataExt,
    os::unix::net::{UnixListener as StdListener, UnixStream},
    thread,
};

use super::*;
use crate::engine::net::{
    address::{Meaning, resolve},
    holding::Lent,
};

/// A folder of its own for each test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let folder = temporary_name(&std::env::temp_dir());
        fs::create_dir(&folder).unwrap();
        Folder(folder)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("a.sock")
    }

    fn entries(&self) -> usize {
        fs::read_dir(&self.0).unwrap().count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

fn options(backlog: i32) -> ListenOptions {
    ListenOptions { backlog, keep_alive_probe: None }
}

fn try_bind(path: &Path, suffix: &str) -> io::Result<Listener> {
    let Meaning::Unix(meaning) = resolve(&format!("unix:{}{suffix}", path.display()))? else {
        panic!("not a Unix socket")
    };
    bind(&meaning, 0, options(16), &mut Vec::new())
}

#[test]
fn the_file_has_its_permissions_and_goes_with_the_listener() {
    let folder = Folder::new();
    for mode in [0o600, 0o660, 0o666, 0o777] {
        let listener = try_bind(&folder.socket(), &format!("?mode={mode:o}")).unwrap();
        let metadata = fs::symlink_metadata(folder.socket()).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.mode() & 0o7777, mode);
        UnixStream::connect(folder.socket()).unwrap();
        assert_eq!(listener.address.path(), Some(&*folder.socket()));
        assert_eq!(folder.entries(), 1, "no temporary file is left");
        drop(listener);
        assert_eq!(folder.entries(), 0);
    }
}

#[test]
fn a_stale_file_is_replaced_and_one_in_use_is_not() {
    let folder = Folder::new();
    // The standard library leaves the file behind.
    drop(StdListener::bind(folder.socket()).unwrap());
    assert_eq!(UnixStream::connect(folder.socket()).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    let first = try_bind(&folder.socket(), "").unwrap();
    UnixStream::connect(folder.socket()).unwrap();
    assert_eq!(try_bind(&folder.socket(), "").unwrap_err().kind(), io::ErrorKind::AddrInUse);
    UnixStream::connect(folder.socket()).unwrap();
    assert_eq!(folder.entries(), 1);
    drop(first);
    assert_eq!(folder.entries(), 0);
}

/// The answer of a listener whose accept queue is full is EAGAIN, and the question does not block.
#[test]
fn a_listener_with_a_full_queue_is_in_use() {
    let folder = Folder::new();
    let Meaning::Unix(meaning) = resolve(&format!("unix:{}", folder.socket().display())).unwrap() else {
        panic!("not a Unix socket")
    };
    let _first = bind(&meaning, 0, options(0), &mut Vec::new()).unwrap();
    let _queued = UnixStream::connect(folder.socket()).unwrap();
    assert_eq!(try_bind(&folder.socket(), "").unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn what_is_no_socket_is_never_removed() {
    let folder = Folder::new();
    type Make = fn(&Path);
    let rows: [(Make, &str); 3] = [
        (|path| fs::write(path, "precious").unwrap(), "a regular file"),
        (|path| fs::create_dir(path).unwrap(), "a folder"),
        (|path| std::os::unix::fs::symlink("/nowhere", path).unwrap(), "a symbolic link"),
    ];
    for (make, what) in rows {
        make(&folder.socket());
        let error = try_bind(&folder.socket(), "").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(folder.entries(), 1);
        _ = fs::remove_file(folder.socket()).or_else(|_| fs::remove_dir(folder.socket()));
    }
}

/// Of the servers that start at the same moment, each time with a stale file in the way, exactly one listens.
#[test]
fn of_servers_that_start_at_once_one_listens() {
    const SERVERS: usize = 4;
    let folder = Folder::new();
    for _ in 0..50 {
        drop(StdListener::bind(folder.socket()).unwrap());
        let barrier = std::sync::Barrier::new(SERVERS);
        let outcomes: Vec<_> = thread::scope(|scope| {
            let starts: Vec<_> = (0..SERVERS)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        try_bind(&folder.socket(), "")
                    })
                })
                .collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}");
        }
        let mut listening: Vec<_> = outcomes.into_iter().flatten().collect();
        assert_eq!(listening.len(), 1);
        let _client = UnixStream::connect(folder.socket()).unwrap();
        listening.remove(0).socket.accept().unwrap();
        assert_eq!(folder.entries(), 0);
    }
}

#[test]
fn a_file_that_is_not_the_listeners_any_more_stays() {
    let folder = Folder::new();
    let listener = try_bind(&folder.socket(), "").unwrap();
    fs::remove_file(folder.socket()).unwrap();
    let _other = StdListener::bind(folder.socket()).unwrap();
    drop(listener);
    UnixStream::connect(folder.socket()).unwrap();
}

#[test]
fn a_file_of_a_listener_that_was_handed_over_stays() {
    let folder = Folder::new();
    let listener = try_bind(&folder.socket(), "").unwrap();
    let descriptor = listener.duplicate().unwrap();
    let file = listener.file.as_ref().map(SocketFile::identity);
    listener.holding.lend(Lent::Yes);
    drop(listener);
    let spec = format!("unix:{}", folder.socket().display());
    let mut given = vec![GivenListener::new(3, spec.clone(), descriptor, file).unwrap()];
    let Meaning::Unix(meaning) = resolve(&spec).unwrap() else { panic!("not a Unix socket") };
    let taken = bind(&meaning, 0, options(16), &mut given).unwrap();
    assert!(given.is_empty());
    assert_eq!(taken.address.path(), Some(&*folder.socket()));
    UnixStream::connect(folder.socket()).unwrap();
    taken.holding.lend(Lent::No);
    drop(taken);
    assert_eq!(folder.entries(), 0, "the file is the new process's to remove");
}

#[test]
fn a_path_that_is_too_long_is_refused() {
    let folder = Folder::new();
    let fits = folder.0.join("b".repeat(LONGEST_PATH - folder.0.as_os_str().len() - 1));
    drop(try_bind(&fits, "").unwrap());
    let error = try_bind(&fits.with_extension("c"), "").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("too long by 2 bytes"), "{error}");
    assert_eq!(folder.entries(), 0);
}

#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn an_abstract_name_needs_no_file_and_is_taken_once() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("softstop-{}", temporary_name(Path::new("")).display());
    let Meaning::Unix(meaning) = resolve(&format!("unix:@{name}")).unwrap() else {
        panic!("not a Unix socket")
    };
    let listener = bind(&meaning, 0, options(16), &mut Vec::new()).unwrap();
    let again = bind(&meaning, 0, options(16), &mut Vec::new());
    assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let _client = UnixStream::connect_addr(&address).unwrap();
    assert_eq!(listener.socket.address().unwrap(), listener.address);
    listener.socket.accept().unwrap();
}

/// A server that was killed while it had the claim does not hinder the next one; a server that has the claim does.
#[test]
fn one_server_at_a_time_removes_a_stale_file() {
    let folder = Folder::new();
    let claim = claim_name(&folder.socket());
    drop(StdListener::bind(folder.socket()).unwrap());
    let other = StdListener::bind(&claim).unwrap();
    assert_eq!(try_bind(&folder.socket(), "").unwrap_err().kind(), io::ErrorKind::AddrInUse);
    assert_eq!(UnixStream::connect(folder.socket()).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    drop(other);
    let _listener = try_bind(&folder.socket(), "").unwrap();
    UnixStream::connect(folder.socket()).unwrap();
    assert_eq!(folder.entries(), 1, "the claim is gone, too");
}

/// What a server of another process makes of the listener, with the suffix of its listen address.
fn hand_over(listener: Listener, suffix: &str, backlog: i32) -> Listener {
    let path = listener.address.path().unwrap().display().to_string();
    let file = listener.file.as_ref().map(SocketFile::identity);
    let given = GivenListener::new(0, format!("unix:{path}"), listener.duplicate().unwrap(), file).unwrap();
    listener.holding.lend(Lent::Yes);
    let Meaning::Unix(meaning) = resolve(&format!("unix:{path}{suffix}")).unwrap() else {
        panic!("not a Unix socket")
    };
    let taken = bind(&meaning, 0, options(backlog), &mut vec![given]).unwrap();
    taken.holding.lend(Lent::No);
    taken
}

#[test]
fn a_file_that_another_server_has_put_there_stays_after_a_handover() {
    let folder = Folder::new();
    let listener = try_bind(&folder.socket(), "?mode=0600").unwrap();
    fs::remove_file(folder.socket()).unwrap();
    let _other = StdListener::bind(folder.socket()).unwrap();
    let mode = || fs::symlink_metadata(folder.socket()).unwrap().mode();
    let before = mode();
    let taken = hand_over(listener, "?mode=0611", 16);
    assert_eq!(mode(), before, "the permissions are the other server's affair");
    drop(taken);
    UnixStream::connect(folder.socket()).unwrap();
}

#[test]
fn permissions_and_backlog_of_the_new_process_hold_after_a_handover() {
    let folder = Folder::new();
    let taken = hand_over(try_bind(&folder.socket(), "?mode=0600").unwrap(), "?mode=0666", 0);
    assert_eq!(fs::symlink_metadata(folder.socket()).unwrap().mode() & 0o7777, 0o666);
    let connect = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.connect(&SockAddr::unix(folder.socket()).unwrap()).map(|()| socket)
    };
    let _queued = connect().unwrap();
    assert_eq!(connect().unwrap_err().kind(), io::ErrorKind::WouldBlock, "one fits with a backlog of 0");
    drop(taken);
}
