//! Names of models → a service with a playground, until Ctrl-C: what `cargo lab serve` runs.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use finetuning::{DType, GgmlDType, Result, ServeConfig, ServedModel, Server, available};

/// Served without a wish: the model before its finetuning, and after it; where set-up has not fetched them, what ships.
const USUAL: [&str; 2] = ["builtin:smol", "builtin:guide"];
const SHIPS: &str = "builtin:base";

/// What the command line asks for.
struct Wish {
    /// None: [`USUAL`], or [`SHIPS`].
    models: Vec<String>,
    dtype: String,
    config: ServeConfig,
}

fn main() -> ExitCode {
    let wish = match parse(std::env::args_os()) {
        Ok(wish) => wish,
        Err(error) => {
            // The help goes to stdout, a mistake to stderr.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match start(wish) {
        Ok(server) => {
            println!("playground: {}\nAPI:        {}\nmodels:     {}", server.playground(), server.url(), server.models().join(", "));
            println!("Ctrl-C ends the service.");
            report(server.wait())
        }
        Err(error) => report(Err(error)),
    }
}

fn report(ended: Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    let value = |name: &'static str, what: &'static str, help: &'static str| Arg::new(name).long(name).value_name(what).help(help);
    let count = |name, help| value(name, "number", help).value_parser(value_parser!(u64).range(1..));
    Command::new("cargo lab serve")
        .about("Models with a playground and an OpenAI-compatible API")
        .arg(Arg::new("model").action(ArgAction::Append).help(
            "a builtin: name, a folder or a repository of the hub [default: builtin:smol builtin:guide, or what ships, builtin:base]",
        ))
        .arg(value("port", "number", "the port, 0 for a free one [default: 8000]").value_parser(value_parser!(u16)))
        .arg(value(
            "host",
            "address",
            "the address to listen on [default: 127.0.0.1, this computer alone]; any other needs a key in FINETUNING_API_KEY",
        ))
        .arg(value("dtype", "format", "the format of the weights [default: f32]").value_parser(["f32", "bf16", "f16", "q8_0", "q4_0"]))
        .arg(
            value("run", "folder", "shows the training run in this output folder, also while it trains; may be repeated")
                .action(ArgAction::Append),
        )
        .arg(count("max-batch", "texts that a model writes at once [default: 32]"))
        .arg(count("max-waiting", "texts of a model that may wait [default: 128]"))
        .arg(count("max-tokens", "most tokens of an answer [default: 4096]"))
}

fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Wish, clap::Error> {
    let matches = command().try_get_matches_from(words)?;
    let default = ServeConfig { port: 8000, ..Default::default() };
    let count = |name: &str, default: usize| matches.get_one::<u64>(name).map_or(default, |count| *count as usize);
    let config = ServeConfig {
        port: matches.get_one("port").copied().unwrap_or(default.port),
        host: matches.get_one("host").cloned().unwrap_or(default.host),
        runs: texts(&matches, "run").into_iter().map(Into::into).collect(),
        max_batch: count("max-batch", default.max_batch),
        max_waiting: count("max-waiting", default.max_waiting),
        max_tokens: count("max-tokens", default.max_tokens),
        ..Default::default()
    };
    Ok(Wish { models: texts(&matches, "model"), dtype: matches.get_one("dtype").cloned().unwrap_or_else(|| "f32".to_string()), config })
}

/// All values of an option that may be repeated.
fn texts(matches: &ArgMatches, name: &str) -> Vec<String> {
    matches.get_many(name).into_iter().flatten().cloned().collect()
}

fn start(wish: Wish) -> Result<Server> {
    // Before the models are loaded, which takes longer.
    wish.config.validate()?;
    let names = if wish.models.is_empty() { usual(available(&[USUAL[1], SHIPS])?) } else { wish.models };
    let models = names.iter().map(|name| load(name, &wish.dtype)).collect::<Result<Vec<ServedModel>>>()?;
    Server::start(models, wish.config)
}

/// The names that are served without a wish, where this one is here.
fn usual(here: &str) -> Vec<String> {
    let names = if here == USUAL[1] { &USUAL[..] } else { &[here] };
    names.iter().map(ToString::to_string).collect()
}

fn load(name: &str, dtype: &str) -> Result<ServedModel> {
    let packed = |format| {
        let served = ServedModel::load(name)?;
        Ok(ServedModel { model: served.model.quantized(format)?, ..served })
    };
    match dtype {
        "bf16" => ServedModel::load_as(name, DType::BF16),
        "f16" => ServedModel::load_as(name, DType::F16),
        "q8_0" => packed(GgmlDType::Q8_0),
        "q4_0" => packed(GgmlDType::Q4_0),
        _ => ServedModel::load(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<Wish, clap::Error> {
        parse(std::iter::once("serve").chain(words.split(' ').filter(|word| !word.is_empty())).map(OsString::from))
    }

    #[test]
    fn words_are_settings_in_both_spellings() {
        let wish = read("builtin:desk --port=0 --dtype q8_0 --run a --run=b --max-batch 3").unwrap();
        assert_eq!((wish.models, wish.dtype.as_str()), (vec!["builtin:desk".to_string()], "q8_0"));
        assert_eq!((wish.config.port, wish.config.max_batch, wish.config.runs.len()), (0, 3, 2));
        let usual = read("").unwrap();
        assert_eq!((usual.models.len(), usual.config.port, usual.config.host.as_str()), (0, 8000, "127.0.0.1"));
    }

    #[test]
    fn the_finetuned_model_stands_beside_the_one_it_was_made_from() {
        assert_eq!(usual("builtin:guide"), ["builtin:smol", "builtin:guide"]);
        assert_eq!(usual(SHIPS), [SHIPS]);
    }

    #[test]
    fn a_word_that_cannot_be_meant_is_named_with_what_is_allowed() {
        for (words, parts) in [
            ("--port 70000", ["70000", "65535"]),
            ("--dtype q9", ["q9", "q8_0"]),
            ("--max-batch 0", ["0", "--max-batch"]),
            ("--prot 1", ["--prot", "--port"]),
        ] {
            let error = read(words).err().expect(words).to_string();
            assert!(parts.iter().all(|part| error.contains(part)), "{words}: {error}");
        }
    }
}
