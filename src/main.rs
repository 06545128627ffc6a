//! The `hydranet` command.
#![forbid(unsafe_code)]

// A training step frees and asks for the same large buffers again and again; mimalloc keeps them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    hydranet::cli::main()
}
