//! The `softstop` program: three small servers that start together, fail together and stop together.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
