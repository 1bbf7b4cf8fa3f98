//! Names of models → a service with a playground, until Ctrl-C: what `cargo lab serve` runs.

use std::process::ExitCode;

use finetuning::{DType, GgmlDType, Result, ServeConfig, ServedModel, Server};

const HELP: &str = "\
cargo lab serve [model ...]   models with a playground and an OpenAI-compatible API
                              a model is a builtin: name, a folder or a repository of the hub
                              (default: builtin:base builtin:tuned)
  --port <number>             the port (default: 8000)
  --host <address>            the address to listen on (default: 127.0.0.1, this computer alone);
                              any other needs a key in FINETUNING_API_KEY
  --dtype <format>            f32 (default), bf16, f16, q8_0 or q4_0 for the weights
  --run <folder>              shows the training run in this output folder, also while it trains; may be repeated
  --max-batch <number>        texts that a model writes at once (default: 32)
  --max-waiting <number>      texts of a model that may wait (default: 128)
  --max-tokens <number>       most tokens of an answer (default: 4096)";

/// What the command line asks for.
struct Wish {
    models: Vec<String>,
    dtype: String,
    config: ServeConfig,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let wish = match parse(&words) {
        Ok(wish) => wish,
        Err(message) => {
            eprintln!("error: {message}\nfix:   cargo lab serve --help");
            return ExitCode::FAILURE;
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

fn parse(words: &[String]) -> std::result::Result<Wish, String> {
    let mut wish = Wish { models: Vec::new(), dtype: "f32".into(), config: ServeConfig { port: 8000, ..Default::default() } };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if !word.starts_with('-') {
            wish.models.push(word.clone());
            continue;
        }
        let mut value = || words.next().ok_or_else(|| format!("`{word}` needs a value"));
        let number = |text: &String| text.parse::<usize>().map_err(|_| format!("`{word} {text}`: it must be a number"));
        let config = &mut wish.config;
        match word.as_str() {
            "--port" => {
                let text = value()?;
                config.port = text.parse().map_err(|_| format!("`--port {text}`: it must be a number from 0 to 65535"))?;
            }
            "--host" => config.host = value()?.clone(),
            "--dtype" => wish.dtype = value()?.clone(),
            "--run" => config.runs.push(value()?.into()),
            "--max-batch" => config.max_batch = number(value()?)?,
            "--max-waiting" => config.max_waiting = number(value()?)?,
            "--max-tokens" => config.max_tokens = number(value()?)?,
            _ => return Err(format!("`{word}` is not understood here")),
        }
    }
    if !["f32", "bf16", "f16", "q8_0", "q4_0"].contains(&wish.dtype.as_str()) {
        return Err(format!("`--dtype {}`: it must be f32, bf16, f16, q8_0 or q4_0", wish.dtype));
    }
    if wish.models.is_empty() {
        wish.models = ["builtin:base", "builtin:tuned"].map(String::from).into();
    }
    Ok(wish)
}

fn start(wish: Wish) -> Result<Server> {
    // Before the models are loaded, which takes longer.
    wish.config.validate()?;
    let models = wish.models.iter().map(|name| load(name, &wish.dtype)).collect::<Result<Vec<ServedModel>>>()?;
    Server::start(models, wish.config)
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
