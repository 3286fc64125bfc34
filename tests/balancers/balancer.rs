//! The balancers, each with its files of `deploy/`.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{program::Process, shipped::shipped, support::HUNG};

/// The address in the shipped files. The namespace of the balancer is new and private, so nothing else can have the port.
pub(crate) const ADDRESS: &str = "127.0.0.1:8080";
/// The pause between two tries to connect to a new balancer.
const PAUSE: Duration = Duration::from_millis(10);

/// A change of a shipped file: the old text, which must be there, and the new one.
pub(crate) type Change<'a> = (&'a str, &'a str);

/// A balancer that ends with its owner.
pub(crate) struct Balancer {
    process: Process,
    folder: Folder,
}

impl Balancer {
    /// Starts a balancer in the foreground, and waits until it accepts connections. The kernel ends the balancer with this
    /// thread, by a signal that also ends the other processes of nginx.
    #[track_caller]
    fn start(command: &[&str], folder: Folder) -> Balancer {
        let (log, began) = (folder.path("output.log"), Instant::now());
        let output = fs::File::create(&log).unwrap();
        let mut process = Command::new("setpriv");
        process.args(["--pdeathsig", "TERM"]).args(command).current_dir(&folder.0);
        let child = process.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        let mut process = Process(child);
        while TcpStream::connect(ADDRESS).is_err() {
            let ended = process.0.try_wait().unwrap();
            let is_hung = began.elapsed() > HUNG;
            assert!(
                ended.is_none() && !is_hung,
                "{command:?}: {ended:?}: {}",
                fs::read_to_string(&log).unwrap()
            );
            thread::sleep(PAUSE);
        }
        Balancer { process, folder }
    }

    pub(crate) fn haproxy(changes: &[Change<'_>]) -> Balancer {
        let folder = Folder::new("haproxy");
        let file = folder.ship("haproxy/haproxy.cfg", changes);
        Balancer::start(&["haproxy", "-db", "-f", &file], folder)
    }

    pub(crate) fn envoy(changes: &[Change<'_>]) -> Balancer {
        let folder = Folder::new("envoy");
        let file = folder.ship("envoy/envoy.yaml", changes);
        // Several processes on one machine share memory for a hot restart, unless each has an identity of its own.
        Balancer::start(&["envoy", "--disable-hot-restart", "--concurrency", "2", "-c", &file], folder)
    }

    pub(crate) fn caddy(changes: &[Change<'_>]) -> Balancer {
        let folder = Folder::new("caddy");
        let file = folder.ship("caddy/Caddyfile", changes);
        // Caddy keeps its state in folders of its user.
        let home = format!("HOME={}", folder.path(""));
        let command =
            ["env", "-u", "XDG_DATA_HOME", "-u", "XDG_CONFIG_HOME", &home, "caddy", "run", "--config", &file];
        Balancer::start(&[&command[..], &["--adapter", "caddyfile"]].concat(), folder)
    }

    pub(crate) fn nginx(changes: &[Change<'_>]) -> Balancer {
        let folder = Folder::new("nginx");
        let is_of_replicas = |change: &&Change<'_>| change.0.starts_with("198.18.");
        let (replicas, others): (Vec<_>, Vec<_>) = changes.iter().partition(is_of_replicas);
        folder.ship("nginx/softstop.conf", &others);
        folder.ship("nginx/softstop-endpoints.conf", &replicas);
        // What a distribution ships, with paths that belong to the test alone.
        let main = "daemon off;\npid nginx.pid;\nerror_log error.log;\nevents { worker_connections 1024; }\nhttp {\n  \
                    access_log off;\n  client_body_temp_path body;\n  proxy_temp_path proxy;\n  \
                    fastcgi_temp_path fastcgi;\n  uwsgi_temp_path uwsgi;\n  scgi_temp_path scgi;\n  \
                    include softstop.conf;\n}\n";
        fs::write(folder.path("nginx.conf"), main).unwrap();
        let words = nginx_words(&folder);
        Balancer::start(&words.iter().map(String::as_str).collect::<Vec<_>>(), folder)
    }

    /// Takes a replica out of nginx, or puts it back, with the shipped script.
    #[track_caller]
    pub(crate) fn nginx_endpoint(&self, direction: &str, replica: &str) {
        let status = Command::new(shipped("nginx/endpoint"))
            .args([direction, replica])
            .env("ENDPOINTS", self.folder.path("softstop-endpoints.conf"))
            .env("NGINX_COMMAND", nginx_words(&self.folder).join(" "))
            .status()
            .unwrap();
        assert!(status.success(), "{direction} {replica}");
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // SIGTERM, because the other processes of nginx would outlive a SIGKILL.
        if !thread::panicking() {
            self.process.signal("TERM");
            self.process.wait();
        }
    }
}

fn nginx_words(folder: &Folder) -> [String; 7] {
    let (prefix, log) = (folder.path(""), folder.path("error.log"));
    ["nginx", "-p", &prefix, "-e", &log, "-c", &folder.path("nginx.conf")].map(str::to_owned)
}

/// A folder for the files of a balancer. Dropping the value removes the folder.
struct Folder(PathBuf);

impl Folder {
    /// Several tests may run the same balancer at the same time, each on a thread of its own.
    fn new(name: &str) -> Folder {
        let test = thread::current().name().unwrap_or_default().replace(':', "-");
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("balancers-{name}-{test}"));
        // A run that was killed may have left the folder behind.
        _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn path(&self, file: &str) -> String {
        self.0.join(file).to_str().unwrap().to_owned()
    }

    /// Copies a shipped file with these changes, and returns the path of the copy.
    #[track_caller]
    fn ship(&self, file: &str, changes: &[Change<'_>]) -> String {
        let mut text = fs::read_to_string(shipped(file)).unwrap();
        for (old, new) in changes {
            assert!(text.contains(old), "{file} has no {old:?}");
            text = text.replace(old, new);
        }
        let path = self.path(Path::new(file).file_name().unwrap().to_str().unwrap());
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The next run removes the files that remain now.
        _ = fs::remove_dir_all(&self.0);
    }
}
