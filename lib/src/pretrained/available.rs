//! Names of models, the one that is wanted first → the first that this machine has, and a line for what is missing.

use std::path::PathBuf;

use crate::error::{Error, ErrorKind, Result};
use crate::hub::options::HubOptions;
use crate::lora::peft;
use crate::lora::settings::CONFIG;
use crate::source::builtin::{BUILTIN, Fetched, fetched};
use crate::source::resolve;
use crate::util::names::quoted;

/// The first of these names whose model is on this machine: `builtin:` names, folders, `.gguf` files, and repositories that the
/// hub's cache holds; an adapter is there with the model below it. Where it is not the first, a line says what is missing, what
/// fetches it, and what goes on. Nothing is fetched.
///
/// ```
/// use finetuning::*;
///
/// let name = available(&["builtin:smol", "builtin:base"])?;
/// let tokenizer = AutoTokenizer::from_pretrained(name)?;
/// # assert!(tokenizer.vocab_size() > 0);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Name`] when none is here, or a `builtin:` name does not exist.
pub fn available<'a>(names: &[&'a str]) -> Result<&'a str> {
    let mut first = None;
    for &name in names {
        match missing(name)? {
            Some(what) => first = first.or(Some(what)),
            None => {
                if let Some(what) = first {
                    println!("{what}; here `{name}` takes its place");
                }
                return Ok(name);
            }
        }
    }
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let what = first.unwrap_or_else(|| "no name is given".into());
    Err(Error::new(ErrorKind::Name, format!("none of {} is on this machine: {what}", quoted(&names)))
        .hint("run `cargo lab setup` once with a network, or end the list with `builtin:base`, which ships"))
}

/// What is not on this machine of the model of a name, and the command that fetches it.
fn missing(name: &str) -> Result<Option<String>> {
    let (folder, what) = find(name)?;
    let Some(folder) = folder.filter(|folder| folder.join(CONFIG).is_file()) else { return Ok(what) };
    let (_, what) = find(&peft::base_name(&folder)?)?;
    Ok(what.map(|what| format!("`{name}` is an adapter, and {what}")))
}

/// The folder of a name, or what is said where it has none.
fn find(name: &str) -> Result<(Option<PathBuf>, Option<String>)> {
    let options = HubOptions { local_files_only: true, ..Default::default() };
    let why = match (resolve::model_folder(name, &options), name.strip_prefix(BUILTIN)) {
        (Ok(folder), _) => return Ok((Some(folder), None)),
        (Err(error), Some(own)) => match fetched(own) {
            Some(Fetched { title, megabytes, .. }) => {
                format!("`{name}` ({title}, {megabytes} MB) is not on this machine: `cargo lab setup` fetches it once, with a network")
            }
            None => return Err(error),
        },
        (Err(_), None) => format!("`{name}` is not on this machine: `AutoModelForCausalLM::from_pretrained` fetches it, with a network"),
    };
    Ok((None, Some(why)))
}
