//! The compiler's messages about handlers that it rejects. Each message names the remedy. `rustc` compiles each program
//! against the library that was built for these tests.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

/// The newest library of this build folder. Cargo has just built the library, or has found it up to date.
fn library(folder: &Path) -> PathBuf {
    let is_library = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libsoftstop-") && name.ends_with(".rlib")
    };
    let built = |path: &PathBuf| {
        fs::metadata(path).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(is_library).max_by_key(built).expect("Cargo builds the library before its tests")
}

/// Compiles a program that gives `handler` to a router. The error is the output of the compiler.
fn compile(name: &str, handler: &str) -> Result<(), String> {
    let executable = env::current_exe().unwrap();
    let dependencies = executable.parent().unwrap();
    let source = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.rs"));
    let text = format!(
        "#![allow(unused)] use softstop::{{Request, Router, route}};\n\
         fn main() {{ let router = Router::new().get(\"/\", {handler}); }}\n"
    );
    fs::write(&source, text).unwrap();
    let output = Command::new(env::var_os("RUSTC").unwrap_or("rustc".into()))
        .args(["--edition=2024", "--emit=metadata", "--color=never", "--extern"])
        .arg(format!("softstop={}", library(dependencies).display()))
        .arg("-L")
        .arg(format!("dependency={}", dependencies.display()))
        .args(["--out-dir", env!("CARGO_TARGET_TMPDIR")])
        .arg(&source)
        .output()
        .unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8(output.stderr).unwrap()) }
}

#[test]
fn a_closure_in_route_needs_no_types() {
    let rows = [
        ("route_text", "route(|_| \"text\")"),
        ("route_owned", "route(|request| request.path().to_owned()).inline()"),
        ("route_nothing", "route(|_| ())"),
        ("typed_nothing", "|_: &Request| ()"),
    ];
    for (name, handler) in rows {
        assert_eq!(compile(name, handler), Ok(()), "{handler}");
    }
}

#[test]
fn the_compiler_names_the_remedy() {
    let returns = "return a text (`String`, `&'static str`)";
    let rows = [
        ("number", "|_: &Request| 5_u32", "error[E0277]: `u32` cannot be sent as a response", returns),
        ("route_number", "route(|_| 5_u32)", "error[E0277]: `u32` cannot be sent as a response", returns),
        ("numbers", "|_: &Request| vec![1_i32]", "`Vec<i32>` cannot be sent as a response", returns),
        (
            "no_handler",
            "\"text\"",
            "`&str` is neither a handler nor a route",
            "write `|request: &Request| ..`",
        ),
    ];
    for (name, handler, what, remedy) in rows {
        let said = compile(name, handler).expect_err(handler);
        assert!(said.contains(what) && said.contains(remedy), "{handler}:\n{said}");
    }
}

/// The compiler finds that two lifetimes of these handlers do not fit. No attribute of a trait can change the
/// compiler's message for this error. The documentation of `IntoResponse` and `Router` says what to write instead.
#[test]
fn these_do_not_compile_either() {
    let rows = [
        ("untyped", "|_| \"text\""),
        ("borrowed", "|request: &Request| request.path()"),
        ("route_borrowed", "route(|request| request.path())"),
    ];
    for (name, handler) in rows {
        let said = compile(name, handler).expect_err(handler);
        assert!(said.contains("lifetime"), "{handler}:\n{said}");
    }
}
