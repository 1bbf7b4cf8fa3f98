//! A `.safetensors` file of a known size → its tensors by name: adapters, and the state of optimizers.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use safetensors::SafeTensors;

use crate::border::file;
use crate::border::guard::guarded;
use crate::border::limits::{Limit, SAFETENSORS_HEADER};
use crate::error::{Error, ErrorKind, Result};

/// The tensors of a file that holds `numbers` numbers of 8 bytes at most.
///
/// # Errors
/// [`ErrorKind::File`] when it cannot be read or is larger; an error of `kind` when it is not whole; `hint` says what to do then.
pub fn read(path: &Path, what: &'static str, numbers: u64, kind: ErrorKind, hint: &str) -> Result<HashMap<String, Tensor>> {
    read_described(path, what, numbers, kind, hint).map(|(tensors, _)| tensors)
}

/// Tensors by name, and the words of a file's header by theirs.
pub type Described = (HashMap<String, Tensor>, HashMap<String, String>);

/// [`read`], with the words of the header about the file.
///
/// # Errors
/// As [`read`].
pub fn read_described(path: &Path, what: &'static str, numbers: u64, kind: ErrorKind, hint: &str) -> Result<Described> {
    let limit = Limit::new(what, numbers.saturating_mul(8).saturating_add(SAFETENSORS_HEADER.bytes));
    let bytes = file::read(path, limit)?;
    let load = || {
        let words = || SafeTensors::read_metadata(&bytes).ok().and_then(|(_, header)| header.metadata().clone()).unwrap_or_default();
        let loaded = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map(|tensors| (tensors, words()));
        loaded.map_err(|error| {
            let reason = error.to_string();
            let reason = reason.lines().next().unwrap_or_default();
            Error::new(kind, format!("`{}` ({} bytes) is not a whole safetensors file: {reason}", path.display(), bytes.len()))
                .hint(hint)
                .in_file(path)
                .because(Error::from(error))
        })
    };
    guarded(kind, format_args!("`{}`", path.display()), load)
}
