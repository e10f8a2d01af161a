//! `drbdsetup`: see the library.
fn main() -> std::process::ExitCode {
    drbdsetup::main()
}
