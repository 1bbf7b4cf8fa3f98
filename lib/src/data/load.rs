//! A data set's name → its rows, whole or one by one.

use crate::data::dataset::{Dataset, whole};
use crate::data::options::DataOptions;
use crate::data::slice::Slice;
use crate::data::stream::{ExampleStream, Part};
use crate::error::{Error, ErrorKind, Result};
use crate::source::resolve::{DataFile, data_splits};
use crate::util::names::quoted;
use crate::util::notice;

type Splits = Vec<(String, Vec<DataFile>)>;

/// Reads a whole data set by its name: `builtin:`, a file, a pattern of files, a folder, or a repository of the hub, in this
/// order. Of several splits it is `train`; [`DataOptions::with_split`] takes others.
///
/// # Errors
/// [`crate::ErrorKind::Name`] when nothing has this name; otherwise as [`Dataset::from_jsonl`].
pub fn load_dataset(name: &str) -> Result<Dataset> {
    load_dataset_with(name, DataOptions::new())
}

/// [`load_dataset`] with a split, a config, a format, other files; or with [`crate::HubOptions`].
///
/// # Errors
/// As [`load_dataset`].
pub fn load_dataset_with(name: &str, options: impl Into<DataOptions>) -> Result<Dataset> {
    let options: DataOptions = options.into();
    let splits = find(name, &options)?;
    let slices = slices(name, &splits, &options)?;
    if slices.iter().all(|slice| slice.uncounted().is_some()) {
        return Dataset::from_stream(stream(&splits, &slices, &options)?, name);
    }
    // A part of a hundred, or counted from the end: all rows of the split have to be known.
    let mut rows = Vec::new();
    for slice in &slices {
        let options_of_all = DataOptions { limit: None, ..options.clone() };
        let mut all = whole(stream(&splits, &[Slice::all(&slice.split)], &options_of_all)?, name)?;
        let part = slice.rows(all.len())?;
        all.truncate(part.end);
        rows.extend(all.into_iter().skip(part.start));
    }
    rows.truncate(options.limit.unwrap_or(rows.len()));
    if rows.is_empty() {
        return Err(Error::new(ErrorKind::Data, format!("`{name}` has no rows in `{}`", options.split.as_deref().unwrap_or("train")))
            .hint("take a larger part of the split"));
    }
    Ok(Dataset::from_examples(rows))
}

/// Reads a data set row by row, so that a large file need not fit into memory; a file of the hub is fetched when its turn comes.
///
/// # Errors
/// As [`load_dataset`]; a bad row is an item of the stream.
pub fn stream_dataset(name: &str) -> Result<ExampleStream> {
    stream_dataset_with(name, DataOptions::new())
}

/// [`stream_dataset`] with a split, a config, a format, other files; or with [`crate::HubOptions`].
///
/// # Errors
/// As [`stream_dataset`]; a part in percents or from the end, for which all rows have to be counted.
pub fn stream_dataset_with(name: &str, options: impl Into<DataOptions>) -> Result<ExampleStream> {
    let options: DataOptions = options.into();
    let splits = find(name, &options)?;
    let slices = slices(name, &splits, &options)?;
    stream(&splits, &slices, &options)
}

/// The splits of a data set with the names of their files, by the rules of Python's `datasets`; no row is read.
///
/// # Errors
/// [`crate::ErrorKind::Name`] when nothing has this name, or it has no files with rows.
pub fn dataset_splits(name: &str, options: impl Into<DataOptions>) -> Result<Vec<(String, Vec<String>)>> {
    let splits = find(name, &options.into())?;
    Ok(splits.into_iter().map(|(split, files)| (split, files.iter().map(DataFile::name).collect())).collect())
}

fn find(name: &str, options: &DataOptions) -> Result<Splits> {
    data_splits(name, options.place, &options.wanted, &options.hub)
}

/// The parts that are read: what is asked for, else `train`, else the only split.
fn slices(name: &str, splits: &Splits, options: &DataOptions) -> Result<Vec<Slice>> {
    let names: Vec<String> = splits.iter().map(|(split, _)| split.clone()).collect();
    let Some(text) = &options.split else {
        return match &names[..] {
            _ if names.iter().any(|split| split == "train") => Ok(vec![Slice::all("train")]),
            [only] => {
                notice::warn(format_args!("`{name}`: its only split is `{only}`, which is read"));
                Ok(vec![Slice::all(only)])
            }
            _ => Err(Error::new(ErrorKind::Name, format!("`{name}` has no split `train`; it has {}", quoted(&names)))
                .hint(format!("choose one: `DataOptions::new().with_split({:?})`", names.first().map_or("", |name| name)))),
        };
    };
    let slices = Slice::parse(text)?;
    match slices.iter().find(|slice| !names.contains(&slice.split)) {
        Some(slice) => Err(Error::new(ErrorKind::Name, format!("`{name}` has no split `{}`; it has {}", slice.split, quoted(&names)))
            .hint("choose one of those; the files of a split can be named by `DataOptions::with_split_files`")),
        None => Ok(slices),
    }
}

fn stream(splits: &Splits, slices: &[Slice], options: &DataOptions) -> Result<ExampleStream> {
    let parts = slices.iter().map(|slice| {
        let files = splits.iter().filter(|(split, _)| *split == slice.split).flat_map(|(_, files)| files.clone()).collect();
        let Some((skip, end)) = slice.uncounted() else {
            return Err(Error::new(
                ErrorKind::Name,
                format!("a part of `{}` in percents or from the end needs all rows counted", slice.split),
            )
            .hint("load the data set whole by `load_dataset_with`, or give rows: `train[100:200]`"));
        };
        Ok(Part { files, skip, take: end.map(|end| end.saturating_sub(skip)) })
    });
    ExampleStream::of_parts(parts.collect::<Result<_>>()?, options.clone())
}
