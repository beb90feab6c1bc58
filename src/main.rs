//! The `wl` command.

fn main() -> std::process::ExitCode {
    wl::main()
}
