//! The `softstop` program: three small servers that start together, fail together and stop together.

mod cli;
mod rounded;

fn main() -> std::process::ExitCode {
    cli::main()
}
