//! curl, nginx and HAProxy as clients of a Unix-domain socket, which only those may open whom the file's mode allows.

use std::{os::unix::fs::PermissionsExt, process::Command};

use crate::{
    curl::curl,
    peer::Folder,
    program::{Process, Program},
    proxies::{Proxy, free_proxy},
    support,
};

/// The program, with hello and echo on sockets.
struct OnSockets {
    hello: String,
    echo: String,
    program: Process,
    folder: Folder,
}

fn start(name: &str) -> OnSockets {
    let folder = Folder::new(name);
    // Relative to the folder, because the paths of sockets are short.
    let short = std::env::temp_dir().join(format!("softstop-{name}-{}", std::process::id()));
    _ = std::fs::remove_file(&short);
    std::os::unix::fs::symlink(folder.path(""), &short).unwrap();
    let [hello, echo] = ["h", "e"].map(|file| short.join(file).to_str().unwrap().to_owned());
    let mut command = Program::command(&["serve", "--name", "127.0.0.1:0"]);
    command.args([
        "--hello",
        &format!("unix:{hello}?mode=0666"),
        "--echo",
        &format!("unix:{echo}?mode=0666"),
    ]);
    let program = Process(command.spawn().unwrap());
    let exists = |path: &String| std::os::unix::net::UnixStream::connect(path).is_ok();
    support::until("the program listens", || exists(&hello) && exists(&echo));
    assert_eq!(std::fs::metadata(&hello).unwrap().permissions().mode() & 0o777, 0o666);
    OnSockets { hello, echo, program, folder }
}

impl OnSockets {
    /// Stops the program, which must end cleanly and remove its files.
    #[track_caller]
    fn stop(mut self) {
        self.program.signal("TERM");
        assert_eq!(self.program.wait().code(), Some(0));
        assert!(!std::path::Path::new(&self.hello).exists() && !std::path::Path::new(&self.echo).exists());
        std::fs::remove_file(std::path::Path::new(&self.hello).parent().unwrap()).unwrap();
        drop(self.folder);
    }
}

#[test]
#[ignore = "needs curl"]
fn curl_over_a_socket() {
    let program = start("unix-curl");
    let outcome =
        curl(&["--unix-socket", &program.hello, "--write-out", " %{num_connects}\n", "http://a/?[1-3]"], b"");
    assert_eq!(outcome.text(), "Hello, world! 1\nHello, world! 0\nHello, world! 0\n");
    let sent = crate::peer::content(1 << 20);
    let outcome = curl(
        &["--unix-socket", &program.echo, "--request-target", "/", "--upload-file", "-", "http://a/"],
        &sent,
    );
    assert!(outcome.stdout == sent);
    program.stop();
}

/// Many clients at once, and content in both directions, through a proxy.
#[track_caller]
fn serves_through(name: &str, start_proxy: fn(&OnSockets) -> Proxy) {
    let program = start(name);
    let proxy = start_proxy(&program);
    let url = format!("http://{}/?[1-200]", proxy.address);
    assert_eq!(curl(&[&url], b"").text(), "Hello, world!".repeat(200));
    let sent = crate::peer::content(1 << 20);
    let echo = format!("http://{}/echo", proxy.address);
    assert!(curl(&["--upload-file", "-", &echo], &sent).stdout == sent);
    program.stop();
}

#[test]
#[ignore = "needs nginx and curl"]
fn nginx_over_a_socket() {
    serves_through("unix-nginx", |program| {
        free_proxy("unix-nginx-conf", "nginx.conf", |address, here| {
            let OnSockets { hello, echo, .. } = program;
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
  upstream hello {{ server unix:{hello}; keepalive 8; }}
  server {{
    listen {address};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    location / {{ proxy_pass http://hello; }}
    location = /echo {{ proxy_pass http://unix:{echo}:/; }}
  }}
}}
"#
            );
            let mut command = Command::new("nginx");
            command.args(["-e", &format!("{here}error.log"), "-p", here, "-c", &format!("{here}nginx.conf")]);
            (command, configuration)
        })
    });
}

#[test]
#[ignore = "needs haproxy and curl"]
fn haproxy_over_a_socket() {
    serves_through("unix-haproxy", |program| {
        free_proxy("unix-haproxy-conf", "haproxy.cfg", |address, here| {
            let OnSockets { hello, echo, .. } = program;
            let configuration = format!(
                r"global
  maxconn 256
defaults
  mode http
  http-reuse always
  timeout connect 30s
  timeout client 60s
  timeout server 60s
frontend all
  bind {address}
  use_backend echo if {{ path /echo }}
  default_backend hello
backend hello
  server one unix@{hello}
backend echo
  http-request set-path /
  server one unix@{echo}
"
            );
            let mut command = Command::new("haproxy");
            command.args(["-db", "-f", &format!("{here}haproxy.cfg")]);
            (command, configuration)
        })
    });
}
