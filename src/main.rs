//! Chooses: a command goes to `cli`, no command opens the window.

fn main() -> std::process::ExitCode {
    humanifold::cli::main()
}
