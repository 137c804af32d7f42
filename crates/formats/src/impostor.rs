//! Files that are often found in the place of others, told by their first bytes.

/// What a file is by its first bytes, and what to do about it.
pub(crate) fn known(file: &[u8]) -> Option<(&'static str, &'static str)> {
    let text: String = file.iter().take(64).map(|b| b.to_ascii_lowercase() as char).collect();
    let text = text.trim_start();
    Some(match file {
        [] => ("an empty file", "get the file again; nothing was downloaded or written"),
        _ if file.starts_with(b"version https://git-lfs") => {
            ("a Git LFS pointer, which only says where the file is", "run `git lfs pull` in the model's folder")
        }
        _ if text.starts_with("<!doctype") || text.starts_with("<html") || text.starts_with("<?xml") => {
            ("a web page", "the download went to a login or error page; get the file again")
        }
        _ if file.starts_with(b"PK\x03\x04") => (
            "a zip archive, as torch.save writes it",
            "rename it to pytorch_model.bin, or unpack it if it is a download",
        ),
        _ if file.starts_with(&[0x80, 2]) => ("a Python pickle", "save the weights again with the safetensors library"),
        _ if file.starts_with(&[0x1f, 0x8b]) => ("a gzip archive", "unpack it first"),
        _ if text.starts_with('{') => ("JSON text", "give the file of weights, not its configuration or index"),
        _ => return None,
    })
}
