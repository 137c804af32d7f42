//! The program `polyseme`: an allocator, and everything else in the library.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc's C header, which the binding leaves out.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    keep_pages();
    polyseme::cli::main()
}

/// Tells the allocator to keep the pages of what is freed. A step frees and takes the same gradients
/// again; faulting their pages in anew took a fifth of a step of BERT-base. `MIMALLOC_PURGE_DELAY` in the
/// environment still has the last word.
#[allow(unsafe_code)]
fn keep_pages() {
    // SAFETY: no other thread runs yet, and the option takes any number.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, -1) };
}
