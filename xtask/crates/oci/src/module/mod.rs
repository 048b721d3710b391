//! A kernel module file: what its ELF sections and its end say.

mod elf;
mod signature;

pub(crate) use elf::normalized;
pub use elf::{Module, ModuleError, Program, program};
pub use signature::{Signature, SignatureError, of_module};
