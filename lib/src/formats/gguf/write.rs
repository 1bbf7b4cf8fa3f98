//! Metadata and tensors, one after the other → a `.gguf` file that is there as a whole or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;

use crate::error::{Error, Result};
use crate::util::interrupt;
use crate::util::write::replace;

/// Bytes to a multiple of which data begin: the format's default.
const ALIGNMENT: usize = 32;

/// A tensor whose numbers come when it is its turn.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    /// Its name in the file.
    pub name: String,
    /// Its dimensions, the slowest first.
    pub shape: Vec<usize>,
    /// Its format, whose blocks cut its rows without a rest.
    pub dtype: GgmlDType,
}

impl Planned {
    /// The bytes of its numbers.
    pub fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() / self.dtype.block_size() * self.dtype.type_size()
    }
}

/// Writes a file; `data` gives the bytes of the tensor with that number, of which one at a time is in memory.
///
/// # Errors
/// [`crate::ErrorKind::File`] when it cannot be written, those of `data`, and an interrupt; nothing of the new file stays then, and an
/// older one stays whole.
pub(crate) fn write(path: &Path, metadata: &[(String, Value)], tensors: &[Planned], data: impl Fn(usize) -> Result<Vec<u8>>) -> Result<()> {
    let make = |aside: &Path| {
        let mut file = BufWriter::with_capacity(1 << 20, File::create_new(aside)?);
        let head = head(metadata, tensors);
        file.write_all(&head)?;
        file.write_all(&vec![0; padding(head.len())])?;
        for (number, tensor) in tensors.iter().enumerate() {
            interrupt::check(format_args!("after {number} of {} tensors of `{}`", tensors.len(), path.display()))
                .map_err(io::Error::other)?;
            let bytes = data(number).map_err(io::Error::other)?;
            if bytes.len() != tensor.bytes() {
                return Err(io::Error::other(format!("{}: {} bytes in place of {}", tensor.name, bytes.len(), tensor.bytes())));
            }
            file.write_all(&bytes)?;
            file.write_all(&vec![0; padding(bytes.len())])?;
        }
        file.into_inner().map_err(|error| error.into_error())?.sync_all()
    };
    replace(path, make).map_err(|error| error.downcast::<Error>().unwrap_or_else(|error| Error::file(path, error)))
}

fn padding(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT) - bytes
}

/// All that stands before the numbers.
fn head(metadata: &[(String, Value)], tensors: &[Planned]) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    for count in [tensors.len(), metadata.len()] {
        out.extend((count as u64).to_le_bytes());
    }
    for (name, entry) in metadata {
        text(&mut out, name);
        out.extend(kind(entry).to_le_bytes());
        value(&mut out, entry);
    }
    let mut offset = 0;
    for tensor in tensors {
        text(&mut out, &tensor.name);
        out.extend((tensor.shape.len() as u32).to_le_bytes());
        tensor.shape.iter().rev().for_each(|&size| out.extend((size as u64).to_le_bytes()));
        out.extend(format_number(tensor.dtype).to_le_bytes());
        out.extend((offset as u64).to_le_bytes());
        offset += tensor.bytes().next_multiple_of(ALIGNMENT);
    }
    out
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// The format's number of a type of values.
fn kind(value: &Value) -> u32 {
    match value {
        Value::U8(_) => 0,
        Value::I8(_) => 1,
        Value::U16(_) => 2,
        Value::I16(_) => 3,
        Value::U32(_) => 4,
        Value::I32(_) => 5,
        Value::F32(_) => 6,
        Value::Bool(_) => 7,
        Value::String(_) => 8,
        Value::Array(_) => 9,
        Value::U64(_) => 10,
        Value::I64(_) => 11,
        Value::F64(_) => 12,
    }
}

fn value(out: &mut Vec<u8>, given: &Value) {
    match given {
        Value::U8(number) => out.push(*number),
        Value::I8(number) => out.extend(number.to_le_bytes()),
        Value::U16(number) => out.extend(number.to_le_bytes()),
        Value::I16(number) => out.extend(number.to_le_bytes()),
        Value::U32(number) => out.extend(number.to_le_bytes()),
        Value::I32(number) => out.extend(number.to_le_bytes()),
        Value::F32(number) => out.extend(number.to_le_bytes()),
        Value::Bool(flag) => out.push(u8::from(*flag)),
        Value::String(words) => text(out, words),
        Value::U64(number) => out.extend(number.to_le_bytes()),
        Value::I64(number) => out.extend(number.to_le_bytes()),
        Value::F64(number) => out.extend(number.to_le_bytes()),
        Value::Array(values) => {
            // Of nothing it is a list of texts.
            out.extend(values.first().map_or(8, kind).to_le_bytes());
            out.extend((values.len() as u64).to_le_bytes());
            values.iter().for_each(|each| value(out, each));
        }
    }
}

/// ggml's number of a format.
fn format_number(dtype: GgmlDType) -> u32 {
    match dtype {
        GgmlDType::F32 => 0,
        GgmlDType::F16 => 1,
        GgmlDType::Q4_0 => 2,
        GgmlDType::Q4_1 => 3,
        GgmlDType::Q5_0 => 6,
        GgmlDType::Q5_1 => 7,
        GgmlDType::Q8_0 => 8,
        GgmlDType::Q8_1 => 9,
        GgmlDType::Q2K => 10,
        GgmlDType::Q3K => 11,
        GgmlDType::Q4K => 12,
        GgmlDType::Q5K => 13,
        GgmlDType::Q6K => 14,
        GgmlDType::Q8K => 15,
        GgmlDType::BF16 => 30,
    }
}
