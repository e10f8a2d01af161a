//! The program; everything is in the library.
fn main() -> std::process::ExitCode {
    drbdmeta::cmd::main(std::env::args_os())
}
