//! A `.safetensors` file of a known size → its tensors by name: adapters, and the state of optimizers.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};

use crate::border::file;
use crate::border::guard::guarded;
use crate::border::limits::{Limit, SAFETENSORS_HEADER};
use crate::error::{Error, ErrorKind, Result};

/// The tensors of a file that holds `numbers` numbers of 8 bytes at most.
///
/// # Errors
/// [`ErrorKind::File`] when it cannot be read or is larger; an error of `kind` when it is not whole; `hint` says what to do then.
pub fn read(path: &Path, what: &'static str, numbers: u64, kind: ErrorKind, hint: &str) -> Result<HashMap<String, Tensor>> {
    let limit = Limit::new(what, numbers.saturating_mul(8).saturating_add(SAFETENSORS_HEADER.bytes));
    let bytes = file::read(path, limit)?;
    let load = || {
        candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|error| {
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
