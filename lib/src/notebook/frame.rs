//! Tables and pictures of the lessons → what `show` draws.

use polars::prelude::DataFrame;

use crate::data::dataset::Dataset;
use crate::display::output::{Html, Picture, Show, last_expression, show, table};
use crate::error::{Error, ErrorKind, Result, unknown};
use crate::source::builtin;

/// Rows of a table that are shown.
const SHOWN: usize = 20;

fn frame_table(frame: &DataFrame) -> Html {
    let names: Vec<String> = frame.get_column_names().iter().map(ToString::to_string).collect();
    let cell = |value: polars::prelude::AnyValue<'_>| match value.get_str() {
        Some(text) => text.to_string(),
        None => value.to_string(),
    };
    let row = |index: usize| frame.columns().iter().map(|column| column.get(index).map(cell).unwrap_or_default()).collect::<Vec<String>>();
    let rows: Vec<Vec<String>> = (0..frame.height().min(SHOWN)).map(row).collect();
    let mut shown = table(&names.iter().map(String::as_str).collect::<Vec<_>>(), &rows);
    let size = format!("{} rows × {} columns", frame.height(), frame.width());
    shown.html.push_str(&format!("<p>{size}</p>"));
    shown.text.push_str(&format!("\n{size}"));
    shown
}

impl Show for DataFrame {
    fn text(&self) -> String {
        frame_table(self).text
    }

    fn rich(&self) -> Vec<(&'static str, serde_json::Value)> {
        frame_table(self).rich()
    }
}

impl Show for Dataset {
    fn text(&self) -> String {
        self.to_frame().map(|frame| frame.text()).unwrap_or_else(|error| error.to_string())
    }

    fn rich(&self) -> Vec<(&'static str, serde_json::Value)> {
        self.to_frame().map(|frame| frame.rich()).unwrap_or_default()
    }
}

last_expression!(Dataset);

/// Shows one of the pictures that ship with the lessons, or its text twin where pictures cannot be drawn.
pub fn show_picture(name: &str) -> Result<()> {
    let folder = builtin::root().join("pictures");
    let read = |suffix: &str| std::fs::read_to_string(folder.join(format!("{name}.{suffix}")));
    match (read("svg"), read("txt")) {
        (Ok(svg), Ok(text)) => {
            show(&Picture { svg, text });
            Ok(())
        }
        _ => {
            let entries = std::fs::read_dir(&folder).map_err(|error| Error::file(&folder, error))?.flatten();
            let mut names: Vec<String> =
                entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".svg").map(String::from)).collect();
            names.sort();
            Err(unknown(ErrorKind::Name, "picture", name, &names))
        }
    }
}
