//! How a data set is found and read; what is left out is found out.

use crate::data::bad::OnError;
use crate::data::format::Format;
use crate::data::plain::SampleBy;
use crate::hub::options::HubOptions;
use crate::source::layout::Wanted;
use crate::source::resolve::Place;

/// How a data set is found and read. [`HubOptions`] can stand in its place where only those matter.
///
/// ```no_run
/// use finetuning::*;
/// let options = DataOptions::new().with_config("main").with_split("train[:10%]").with_on_error(OnError::Skip);
/// let data = load_dataset_with("openai/gsm8k", &options)?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DataOptions {
    pub(crate) wanted: Wanted,
    pub(crate) place: Place,
    pub(crate) split: Option<String>,
    pub(crate) format: Option<Format>,
    pub(crate) field: Option<String>,
    pub(crate) sample_by: SampleBy,
    pub(crate) on_error: OnError,
    pub(crate) columns: Vec<String>,
    pub(crate) limit: Option<usize>,
    pub(crate) infer_types: bool,
    pub(crate) hub: HubOptions,
}

impl Default for DataOptions {
    fn default() -> Self {
        Self {
            wanted: Wanted::default(),
            place: Place::Any,
            split: None,
            format: None,
            field: None,
            sample_by: SampleBy::Line,
            on_error: OnError::Stop,
            columns: Vec::new(),
            limit: None,
            infer_types: true,
            hub: HubOptions::default(),
        }
    }
}

impl DataOptions {
    /// Everything is found out; the first bad row ends the reading.
    pub fn new() -> Self {
        Self::default()
    }

    /// The config of a data set whose card has several. Default: the one that the card names so, or the only one.
    pub fn with_config(mut self, name: impl Into<String>) -> Self {
        self.wanted.config = Some(name.into());
        self
    }

    /// The split, or parts of splits, as `datasets` writes them: `test`, `train+test`, `train[:10%]`, `train[100:200]`,
    /// `train[-5%:]`. Default `train`, or the only one there is.
    pub fn with_split(mut self, split: impl Into<String>) -> Self {
        self.split = Some(split.into());
        self
    }

    /// The folder of the data set whose files are taken, by their names and not by the card.
    pub fn with_data_dir(mut self, folder: impl Into<String>) -> Self {
        self.wanted.data_dir = Some(folder.into());
        self
    }

    /// The files of the data set that are taken, as the split `train`: names or patterns such as `data/*.jsonl`.
    pub fn with_data_files<T: Into<String>>(self, files: impl IntoIterator<Item = T>) -> Self {
        self.with_split_files("train", files)
    }

    /// The files of one split; may be said for several splits.
    pub fn with_split_files<T: Into<String>>(mut self, split: impl Into<String>, files: impl IntoIterator<Item = T>) -> Self {
        self.wanted.data_files.push((split.into(), files.into_iter().map(Into::into).collect()));
        self
    }

    /// How the rows are written, whatever name and content say.
    pub fn with_format(mut self, format: Format) -> Self {
        self.format = Some(format);
        self
    }

    /// The field of a .json file that holds the rows, such as `data`; the sheet of an .xlsx file. Default: the only list of
    /// objects; the first sheet.
    pub fn with_field(mut self, name: impl Into<String>) -> Self {
        self.field = Some(name.into());
        self
    }

    /// What a row of a text file is. Default: a line.
    pub fn with_sample_by(mut self, by: SampleBy) -> Self {
        self.sample_by = by;
        self
    }

    /// What is done with a row that cannot be read. Default: it is an error, and reading ends.
    pub fn with_on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// The columns that are kept, in this order; a row without one of them is a bad row. Default: all.
    pub fn with_columns<T: Into<String>>(mut self, columns: impl IntoIterator<Item = T>) -> Self {
        self.columns = columns.into_iter().map(Into::into).collect();
        self
    }

    /// How many rows are read at most. Default: all.
    pub fn with_limit(mut self, rows: usize) -> Self {
        self.limit = Some(rows);
        self
    }

    /// Whether columns of a .csv or .tsv file become numbers and truth values where all cells are. Default true.
    pub fn with_infer_types(mut self, infer: bool) -> Self {
        self.infer_types = infer;
        self
    }

    /// The name is that of the hub, even where a folder here has it.
    pub fn hub_only(mut self) -> Self {
        self.place = Place::Hub;
        self
    }

    /// The name is that of a file or a folder here, or `builtin:`; the hub is not asked.
    pub fn local_only(mut self) -> Self {
        self.place = Place::Local;
        self
    }

    /// How the hub is asked.
    pub fn with_hub(mut self, options: HubOptions) -> Self {
        self.hub = options;
        self
    }
}

impl From<&DataOptions> for DataOptions {
    fn from(options: &DataOptions) -> Self {
        options.clone()
    }
}

impl From<&HubOptions> for DataOptions {
    fn from(options: &HubOptions) -> Self {
        Self::new().with_hub(options.clone())
    }
}
