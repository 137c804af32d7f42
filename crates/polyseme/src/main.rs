//! The program `polyseme`: an allocator, and everything else in the library.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc's C header, which the binding leaves out.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    // Batches of texts come in all sizes: freed pages that wait long would add up. The next layer takes what this one
    // has freed: without any wait its pages are faulted in anew.
    purge_after(1);
    polyseme::cli::main(keep_pages)
}

/// Tells the allocator to keep the pages of what is freed. A step of training frees and takes the same
/// gradients again; faulting their pages in anew took a fifth of a step of BERT-base.
fn keep_pages() {
    purge_after(-1);
}

/// How many milliseconds freed pages wait before they go back to the system; −1: they never do.
/// `MIMALLOC_PURGE_DELAY` in the environment has the last word.
#[allow(unsafe_code)]
fn purge_after(milliseconds: i64) {
    // SAFETY: no other thread runs yet, and the option takes any number.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, milliseconds as _) };
}
