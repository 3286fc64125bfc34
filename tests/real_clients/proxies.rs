//! nginx and HAProxy in front of the program, which is how the program should be used. A proxy keeps connections and
//! shares them between clients. A proxy passes content on while the content arrives. A restart of the program behind
//! the proxy harms no client.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::curl::curl;
use crate::peer::{Folder, LIMIT, Served, Servers, content, free_address, run, start, start_on, stop};
use crate::program::Process;

/// How often a test tries to connect to a new proxy, and the pause between two tries.
const TRIES: u32 = 3000;
const PAUSE: Duration = Duration::from_millis(10);

/// A proxy in the foreground, which serves `/` from hello and `/echo` from echo.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    _process: Process,
    _folder: Folder,
}

impl Proxy {
    /// Starts the proxy, and waits until it accepts connections.
    #[track_caller]
    fn start(mut command: Command, address: SocketAddr, folder: Folder) -> Proxy {
        let log = folder.path("output.log");
        let output = fs::File::create(&log).unwrap();
        let child = command.stdout(output.try_clone().unwrap()).stderr(output).spawn();
        let mut process = Process(child.unwrap_or_else(|error| panic!("{command:?}: {error}")));
        for _ in 0..TRIES {
            if TcpStream::connect(address).is_ok() {
                return Proxy { address, _process: process, _folder: folder };
            }
            let ended = process.0.try_wait().unwrap();
            assert!(ended.is_none(), "{command:?}: {ended:?}: {}", fs::read_to_string(&log).unwrap());
            thread::sleep(PAUSE);
        }
        panic!("{command:?} does not listen on {address}: {}", fs::read_to_string(&log).unwrap());
    }
}

/// A proxy on a free address. `configure` gets the address and the folder for the proxy's files, and returns the command and the
/// text of its configuration, which is written to `file`.
#[track_caller]
pub(crate) fn free_proxy(
    name: &str,
    file: &str,
    configure: impl FnOnce(SocketAddr, &str) -> (Command, String),
) -> Proxy {
    let (address, folder) = (free_address(), Folder::new(name));
    let (command, configuration) = configure(address, &folder.path(""));
    folder.write(file, configuration);
    Proxy::start(command, address, folder)
}

fn nginx(program: &Servers) -> Proxy {
    let (address, folder) = (free_address(), Folder::new("nginx"));
    let Servers { hello, echo, .. } = program;
    let here = folder.path("");
    // nginx runs as a single process. The workers of a master would outlive it when the test kills the master.
    let configuration = format!(
        r#"daemon off;
master_process off;
pid "{here}nginx.pid";
error_log "{here}error.log";
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path "{here}body";
  proxy_temp_path "{here}proxy";
  fastcgi_temp_path "{here}fastcgi";
  uwsgi_temp_path "{here}uwsgi";
  scgi_temp_path "{here}scgi";
  client_max_body_size 64m;
  keepalive_requests 100000;
  upstream hello {{ server {hello}; keepalive 8; keepalive_requests 100000; }}
  upstream echo {{ server {echo}; keepalive 8; }}
  server {{
    listen {address};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_request_buffering off;
    location / {{ proxy_pass http://hello; }}
    location = /echo {{ proxy_pass http://echo/; }}
  }}
}}
"#
    );
    let file = folder.write("nginx.conf", configuration);
    let mut command = Command::new("nginx");
    command.args(["-e", &folder.path("error.log"), "-p", &here, "-c", &file]);
    Proxy::start(command, address, folder)
}

fn haproxy(program: &Servers) -> Proxy {
    let (address, folder) = (free_address(), Folder::new("haproxy"));
    let Servers { hello, echo, .. } = program;
    let configuration = format!(
        r"global
  maxconn 256
defaults
  mode http
  http-reuse always
  retry-on conn-failure empty-response
  timeout connect 30s
  timeout client 60s
  timeout server 60s
frontend all
  bind {address}
  use_backend echo if {{ path /echo }}
  default_backend hello
backend hello
  server one {hello}
backend echo
  http-request set-path /
  server one {echo}
"
    );
    let file = folder.write("haproxy.cfg", configuration);
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f", &file]);
    Proxy::start(command, address, folder)
}

/// Checks that must pass with any proxy.
#[track_caller]
fn serves_through(proxy: fn(&Servers) -> Proxy) {
    let program = start();
    let listening = [program.hello, program.name, program.echo];
    let proxy = proxy(&program);
    let (url, echo) =
        (format!("http://{}/?[1-500]", proxy.address), format!("http://{}/echo", proxy.address));

    // One client after the other, and then several side by side.
    assert_eq!(curl(&[&url], b"").text(), "Hello, world!".repeat(500));
    let plain = format!("http://{}/", proxy.address);
    let load = run(Command::new("h2load").args(["--h1", "-n", "500", "-c", "8", &plain]), b"");
    load.says("500 done, 500 succeeded, 0 failed, 0 errored, 0 timeout");
    load.says("status codes: 500 2xx, 0 3xx, 0 4xx, 0 5xx");

    // Content with a length and in chunks, which the proxy does not collect first, twice over one connection.
    let sent = content(5 << 20);
    let folder = Folder::new(&format!("{}-uploads", proxy.address.port()));
    let file = folder.write("sent", &sent);
    assert!(curl(&["--upload-file", &file, &echo], b"").stdout == sent);
    assert!(curl(&["--upload-file", "-", &echo], &sent).stdout == sent);
    // The proxy passes on a refusal in the middle of an upload.
    let arguments =
        ["--header", "Expect:", "--write-out", "%{stderr}%{http_code}", "--upload-file", "-", &echo];
    let refused = curl(&arguments, &content(4 * LIMIT));
    assert_eq!(refused.stderr, "413", "{}", refused.text());
    refused.says("RFC 9110, section 15.5.14");

    let [hello, _, echoed] = stop(program);
    assert_eq!(hello.requests, 1000);
    assert!(hello.connections <= 16, "the proxy keeps its connections: {hello:?}");
    assert_eq!(echoed.requests, 2);

    // A restart: the connections that the proxy kept are gone, and no client notices.
    let program = start_on(listening);
    assert_eq!(curl(&[&url], b"").text(), "Hello, world!".repeat(500));
    let Served { requests, connections } = &stop(program)[0];
    assert!(*requests == 500 && *connections <= 16, "{requests} over {connections}");
}

#[test]
#[ignore = "needs nginx, curl and h2load"]
fn nginx_in_front() {
    serves_through(nginx);
}

#[test]
#[ignore = "needs haproxy, curl and h2load"]
fn haproxy_in_front() {
    serves_through(haproxy);
}
