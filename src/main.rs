//! The binary: arguments in, exit code out. Everything else is in the library.
#![forbid(unsafe_code)]

fn main() {}
