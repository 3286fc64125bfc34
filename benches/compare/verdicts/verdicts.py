#!/usr/bin/env python3
"""Judges servers with `softstop check`, and writes docs/verdicts.md.

    benches/compare/verdicts/verdicts.py [--stops N] [NAME...]

Build `softstop` (or name another binary in SOFTSTOP) and the peers first (cargo build, and cargo build in
benches/compare). The script needs go, node, python3, nginx, haproxy and apache2 on the path. The script takes gunicorn and
uvicorn from the environment VENV, and leaves out servers that are missing. target/verdicts keeps the results of earlier
runs, so that the script can judge a single server again.
"""
import json, os, pathlib, re, shutil, subprocess, sys, tempfile, time, tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PEERS = ROOT / "benches/compare/target/debug"
RESULTS = ROOT / "target/verdicts"
VENV = pathlib.Path(os.environ.get("VENV", "/usr")) / "bin"
CHECK = pathlib.Path(os.environ.get("SOFTSTOP", ROOT / "target/debug/softstop"))
SLOW, STREAM = ["--slow", "/slow"], ["--stream", "/stream"]
STUCK, UPGRADE = ["--stuck", "/stuck"], ["--upgrade", "/upgrade"]
READY = ["--ready", "/readyz", "--lame-duck", "1s", "--balancer"]
PEER = ["--slow", "/sleep?ms=700", "--large", "/big", "--post", "/echo"]


def replaced(signal):
    return ["--replace", "kill -s %s {pid}" % signal]


def peer(name):
    return [str(PEERS / f"peer-{name}"), "--listen", "127.0.0.1:{port}", "--threads", "2"]


def go(name):
    return [str(RESULTS / name)]


def version(*command):
    return lambda: subprocess.run(command, capture_output=True, text=True).stdout or subprocess.run(
        command, capture_output=True, text=True).stderr


def locked(package):
    text = (ROOT / "benches/compare/Cargo.lock").read_text().split(f'name = "{package}"\nversion = "')
    return lambda: text[1].split('"')[0] if len(text) > 1 else "?"


# name, what it is, version, options, command
SERVERS = [
    ("softstop", "examples/check_target.rs", lambda: "this tree",
     ["--config", str(ROOT / "examples/check_target.toml")], [str(ROOT / "target/debug/examples/check_target"), "127.0.0.1:{port}"]),
    ("softstop-serve", "softstop serve, replaced with softstop reload", lambda: "this tree",
     ["--only", "replace", "--replace", f"{CHECK} reload --control {RESULTS}/control-{{port}}"],
     [str(CHECK), "serve", "--hello", "127.0.0.1:{port}", "--name", "127.0.0.1:0", "--echo", "127.0.0.1:0", "--control", f"{RESULTS}/control-{{port}}"]),
    ("go", "net/http, the usual tutorial", version("go", "version"), SLOW + STREAM + STUCK + UPGRADE, go("go")),
    ("go-remedied", "the same with the remedies", version("go", "version"), SLOW + STREAM + STUCK + UPGRADE + READY, go("go-remedied")),
    ("node", "node:http, the usual tutorial", version("node", "--version"), SLOW + STREAM + STUCK + UPGRADE, ["node", str(HERE / "node/server.js")]),
    ("node-remedied", "the same with the remedies", version("node", "--version"), SLOW + STREAM + STUCK + UPGRADE + READY, ["node", str(HERE / "node/remedied.js")]),
    ("python", "http.server, the usual tutorial", version("python3", "--version"), SLOW + STUCK, ["python3", str(HERE / "python/server.py")]),
    ("python-remedied", "the same with the remedies", version("python3", "--version"), SLOW + STUCK + READY, ["python3", str(HERE / "python/remedied.py")]),
    ("gunicorn", "two workers, gthread; replaced with SIGHUP", version(VENV / "gunicorn", "--version"), SLOW + STUCK + replaced("HUP") + ["--start-within", "30s"],
     [str(VENV / "gunicorn"), "--chdir", str(HERE / "python"), "-w", "2", "-k", "gthread", "--threads", "8", "--graceful-timeout", "6", "-b", "127.0.0.1:{port}", "app:wsgi"]),
    ("uvicorn", "--timeout-graceful-shutdown 6", version(VENV / "uvicorn", "--version"), SLOW + STREAM + STUCK + UPGRADE,
     [str(VENV / "uvicorn"), "--app-dir", str(HERE / "python"), "--timeout-graceful-shutdown", "6", "--log-level", "warning", "--port", "{port}", "app:asgi"]),
    ("hyper", "GracefulShutdown of hyper-util", locked("hyper"), PEER + STUCK, peer("hyper")),
    ("axum", "with_graceful_shutdown", locked("axum"), PEER + STUCK + UPGRADE, peer("axum")),
    ("actix-web", "its own signal handling", locked("actix-web"), PEER + STUCK, peer("actix-web")),
    ("tiny_http", "unblock", locked("tiny_http"), PEER, peer("tiny-http")),
    ("nginx", "SIGQUIT; replaced with SIGHUP", version("nginx", "-v"), ["--signal", "QUIT", "--large", "/large"] + replaced("HUP"), [str(HERE / "nginx/start"), "{port}"]),
    ("apache", "mpm_event, SIGWINCH; replaced with SIGUSR1", version("apache2", "-v"), ["--signal", "WINCH", "--large", "/large"] + replaced("USR1"), [str(HERE / "apache/start"), "{port}"]),
    ("haproxy", "-db, SIGUSR1", version("haproxy", "-v"), ["--signal", "USR1"], [str(HERE / "haproxy/start"), "{port}", "-db"]),
    # A master misses signals in the first moments of its life, so the stop waits for a moment.
    ("haproxy-W", "master-worker, replaced with SIGUSR2", version("haproxy", "-v"),
     ["--only", "replace", "--stop-command", "sleep 1; kill -s USR1 {pid}"] + replaced("USR2"), [str(HERE / "haproxy/start"), "{port}", "-W"]),
]
MARKS = {"pass": "✓", "fail": "✗", "warn": "!", "skip": ""}


def judge(name, options, command, stops):
    path, load = RESULTS / f"{name}.json", os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as directory:
        # Workers of nginx and Apache serve their files from there as another user.
        os.chmod(directory, 0o755)
        environment = dict(os.environ, TMPDIR=directory)
        # The time-out of `check` bounds each stop. This time-out only detects a hang of `check` itself.
        subprocess.run([str(CHECK), "check", "--stops", stops, *options, "--json", str(path), "--html",
                        str(RESULTS / f"{name}.html"), "--", *command], env=environment, stdout=subprocess.DEVNULL, timeout=1200)
    path.write_text(json.dumps(dict(json.loads(path.read_text()), load=load), indent=1))


def write(reports):
    names = [name for name, *_ in SERVERS if name in reports]
    checks = [check["id"] for check in reports[names[0]]["checks"]]
    lines = (HERE / "head.md").read_text().splitlines() + [""]
    lines += ["| server | what it is | version |", "| --- | --- | --- |"]
    for name, what, told, *_ in SERVERS:
        if name in reports:
            text = (told() or "?").strip().splitlines()[0].replace("|", "/")
            lines.append(f"| {name} | {what} | {text} |")
    lines += ["", "| check | " + " | ".join(names) + " |", "| --- |" + " :-: |" * len(names)]
    for check in checks:
        row = [next((MARKS[one["verdict"]] for one in reports[name]["checks"] if one["id"] == check), "") for name in names]
        lines.append(f"| `{check}` | " + " | ".join(row) + " |")
    lines += ["", "## What was seen", ""]
    known = tomllib.loads((HERE / "reports.toml").read_text())
    none = []
    for name in names:
        bad = [one for one in reports[name]["checks"] if one["verdict"] in ("fail", "warn")]
        lines += [f"**{name}**" + (": nothing." if not bad else ":"), ""]
        for one in bad:
            links = [link(report) for report in known.get(name, {}).get(one["id"], [])]
            reported = f" Reported: {', '.join(links)}." if links and one["verdict"] == "fail" else ""
            seen = one["seen"].splitlines()[0]
            lines.append(f"- {MARKS[one['verdict']]} `{one['id']}`: {seen}" + ("." + reported if reported else ""))
        lines += [""] if bad else []
        missing = [f"`{one['id']}`" for one in bad if one["verdict"] == "fail" and one["id"] not in known.get(name, {})]
        none += [f"- {name}: {', '.join(missing)}"] if missing else []
    tail = (HERE / "tail.md").read_text().replace("NONE", "\n".join(none))
    lines += tail.splitlines()
    text = "\n".join(lines).replace("CONDITIONS", conditions(reports[name] for name in names))
    (ROOT / "docs/verdicts.md").write_text(re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n")


def link(report):
    owner, name, _, number = report.split("/")
    return f"[{owner}/{name}#{number}](https://github.com/{report})"


def conditions(reports):
    """The machine, and the load that it had beside the runs, as `judge` has noted both."""
    reports = list(reports)
    loads = [report["load"] for report in reports if "load" in report]
    days = sorted({time.strftime("%Y-%m-%d", time.gmtime(path.stat().st_mtime)) for path in RESULTS.glob("*.json")})
    memory = round(int(re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) / 2**20)
    system = os.uname()
    machine = f"{os.cpu_count()} cores ({system.machine}), {memory} GiB, {system.sysname} {system.release.split('-')[0]}"
    load = f"; the load average at the starts of the runs was {min(loads):.0f} to {max(loads):.0f}" if loads else ""
    return f"The runs were made on {' and '.join(days)} on a machine with {machine}{load}."


def main():
    arguments = sys.argv[1:]
    stops = "5"
    if arguments[:1] == ["--stops"]:
        stops, arguments = arguments[1], arguments[2:]
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in ("go", "go-remedied"):
        if shutil.which("go"):
            subprocess.run(["go", "build", "-o", str(RESULTS / name), "main.go"], cwd=HERE / name, check=True)
    for name, _, _, options, command in SERVERS:
        if (not arguments or name in arguments) and shutil.which(command[0]):
            print(name, flush=True)
            judge(name, options, command, stops)
    paths = {name: RESULTS / f"{name}.json" for name, *_ in SERVERS}
    write({name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()})


main()
