//! The words of the command line → the command that they ask for.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use clap::error::{ContextKind, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, value_parser};
use clap_complete::Shell;

use crate::lab::commands::export;
use crate::lab::commands::grade::TRUST;
use crate::lab::commands::kernel::{self, Request};
use crate::lab::failure::Failure;
use crate::lab::grading::book::Form;

const HELP: &str = include_str!("help.txt");

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Open {
        host: IpAddr,
        port: Option<u16>,
        browser: bool,
    },
    Setup,
    Run {
        lessons: Vec<String>,
        write: bool,
    },
    Reset {
        lessons: Vec<String>,
    },
    Clean {
        dry: bool,
    },
    Serve {
        words: Vec<String>,
    },
    Doctor {
        port: Option<u16>,
    },
    Build {
        lessons: Vec<String>,
    },
    Check {
        contracts: bool,
    },
    Grade {
        folders: Vec<PathBuf>,
        run: Option<u64>,
        form: Form,
    },
    Bench {
        quick: bool,
    },
    Book {
        folder: Option<PathBuf>,
    },
    Export(export::Request),
    Bundle(PathBuf),
    Wheel(PathBuf),
    Kernel(Request),
    /// Help, or a script for a shell.
    Print(String),
}

/// The connection file when the words ask for the kernel itself, as Jupyter does; a word that is no path may be a command.
/// What stands behind it is for other kernels: `jupyter run` passes on its own words.
pub fn connection_file(words: &[String]) -> Option<&Path> {
    match words {
        [kernel, word, ..] if kernel == "kernel" && !word.starts_with('-') && (word.contains('/') || word.ends_with(".json")) => {
            Some(Path::new(word))
        }
        _ => None,
    }
}

fn command(name: &'static str, about: &'static str) -> clap::Command {
    clap::Command::new(name).about(about)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// A switch with a number of seconds of its own.
fn seconds(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    let number = value_parser!(u64).range(1..);
    Arg::new(name)
        .long(name)
        .value_name("seconds")
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value(default)
        .value_parser(number)
        .help(help)
}

fn port() -> Arg {
    Arg::new("port").long("port").value_name("number").value_parser(value_parser!(u16).range(1..)).help("the port of JupyterLab")
}

fn lessons() -> Arg {
    Arg::new("lessons").value_name("lesson").action(ArgAction::Append).num_args(0..).help("a number, a name or a path")
}

fn place(name: &'static str) -> Arg {
    Arg::new(name).required(true).value_parser(value_parser!(PathBuf)).help("where to write it")
}

/// All that the command line may say.
fn grammar() -> clap::Command {
    let target = |command: clap::Command| {
        command
            .arg(flag("user", "for this user, which is the default"))
            .arg(
                Arg::new("prefix")
                    .long("prefix")
                    .value_name("folder")
                    .value_parser(value_parser!(PathBuf))
                    .help("for that Python environment"),
            )
            .arg(Arg::new("name").long("name").value_name("name").value_parser(kernel::valid_name).help("under another name"))
            .arg(flag("cuda", "with the companion built for CUDA"))
    };
    let kernels = command("kernel", "the kernel in the Jupyter of this machine")
        .subcommand_required(true)
        .subcommand(target(command("install", "offer the kernel to Jupyter")))
        .subcommand(target(command("uninstall", "take it away again")))
        .subcommand(command("list", "where it is installed"));
    let words = Arg::new("words").num_args(0..).trailing_var_arg(true).allow_hyphen_values(true);
    let notebook = Arg::new("notebook").required(true).value_parser(NonEmptyStringValueParser::new());
    clap::Command::new("lab")
        .bin_name("cargo lab")
        .override_help(HELP)
        .arg(port())
        .arg(flag("no-browser", "open no browser"))
        .arg(
            Arg::new("host")
                .long("host")
                .value_name("address")
                .value_parser(value_parser!(IpAddr))
                .help("the address that JupyterLab listens at"),
        )
        .args_conflicts_with_subcommands(true)
        .subcommand(command("setup", "set everything up"))
        .subcommand(command("run", "run lessons without a browser").arg(lessons()).arg(flag("write", "keep the outputs in the notebooks")))
        .subcommand(command("reset", "lessons as they are in the repository again").arg(lessons().num_args(1..).required(true)))
        .subcommand(command("clean", "free the disk of what can be made again").arg(flag("dry-run", "only say what would go")))
        .subcommand(command("serve", "a playground and an API for models").disable_help_flag(true).arg(words))
        .subcommand(command("doctor", "check what the lessons need").arg(port()))
        .subcommand(command("build", "make the notebooks from notebooks/lessons").arg(lessons()))
        .subcommand(
            command("check", "say which notebooks are not up to date")
                .arg(flag("contracts", "also name cells that promise nothing, and what of the course no cell covers")),
        )
        .subcommand(
            command("grade", "who solved which exercise")
                .arg(Arg::new("folder").num_args(0..).value_parser(value_parser!(PathBuf)).help("a learner's folder, or one with theirs"))
                .arg(seconds("run", "1200", "run the learners' notebooks and believe the run alone; a cell may take 1200 s, or so many"))
                .arg(flag("csv", "the table as CSV").conflicts_with("markdown"))
                .arg(flag("markdown", "the table as Markdown"))
                .after_help(TRUST),
        )
        .subcommand(
            command("book", "the lessons as pages")
                .arg(Arg::new("folder").value_parser(value_parser!(PathBuf)).help("where to write them (default: .lab/book)")),
        )
        .subcommand(
            command("export", "write a cargo project that prints what the notebook prints")
                .arg(notebook)
                .arg(Arg::new("folder").value_parser(value_parser!(PathBuf)).help("where to write it (default: beside the current place)"))
                .arg(flag("path", "with the companion in its folder here, and not in its repository"))
                .arg(flag("no-build", "only write it")),
        )
        .subcommand(command("bundle", "all for a machine without a network").arg(place("file")))
        .subcommand(command("wheel", "a wheel with the kernel and the companion").arg(place("folder")))
        .subcommand(command("bench", "measure the kernel").arg(flag("quick", "without the companion crate")))
        .subcommand(kernels)
        .subcommand(
            command("completions", "a script that completes the words of `lab`")
                .arg(Arg::new("shell").required(true).value_parser(["bash", "zsh", "fish"])),
        )
}

/// Reads the words.
///
/// # Errors
/// The word that is not understood, with the one that may be meant.
pub fn parse(words: &[String]) -> Result<Command, Failure> {
    let matches = match grammar().no_binary_name(true).try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => return Ok(Command::Print(error.to_string())),
        Err(error) => return Err(failure(&error)),
    };
    let many = |matches: &ArgMatches, name: &str| -> Vec<String> { matches.get_many(name).into_iter().flatten().cloned().collect() };
    let port = |matches: &ArgMatches| matches.get_one("port").copied();
    Ok(match matches.subcommand() {
        None => Command::Open {
            host: matches.get_one("host").copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            port: port(&matches),
            browser: !matches.get_flag("no-browser"),
        },
        Some(("setup", _)) => Command::Setup,
        Some(("run", found)) => Command::Run { lessons: many(found, "lessons"), write: found.get_flag("write") },
        Some(("reset", found)) => Command::Reset { lessons: many(found, "lessons") },
        Some(("clean", found)) => Command::Clean { dry: found.get_flag("dry-run") },
        Some(("serve", found)) => Command::Serve { words: many(found, "words") },
        Some(("doctor", found)) => Command::Doctor { port: port(found) },
        Some(("build", found)) => Command::Build { lessons: many(found, "lessons") },
        Some(("check", found)) => Command::Check { contracts: found.get_flag("contracts") },
        Some(("grade", found)) => Command::Grade {
            folders: found.get_many("folder").into_iter().flatten().cloned().collect(),
            run: found.get_one("run").copied(),
            form: match (found.get_flag("csv"), found.get_flag("markdown")) {
                (true, _) => Form::Csv,
                (_, true) => Form::Markdown,
                _ => Form::Terminal,
            },
        },
        Some(("book", found)) => Command::Book { folder: found.get_one("folder").cloned() },
        Some(("export", found)) => Command::Export(export::Request {
            notebook: found.get_one::<String>("notebook").cloned().unwrap_or_default(),
            folder: found.get_one("folder").cloned(),
            path: found.get_flag("path"),
            build: !found.get_flag("no-build"),
        }),
        Some(("bundle", found)) => Command::Bundle(found.get_one::<PathBuf>("file").cloned().unwrap_or_default()),
        Some(("wheel", found)) => Command::Wheel(found.get_one::<PathBuf>("folder").cloned().unwrap_or_default()),
        Some(("bench", found)) => Command::Bench { quick: found.get_flag("quick") },
        Some(("kernel", found)) => Command::Kernel(kernel(found)),
        Some((_, found)) => {
            let shell = found.get_one::<String>("shell").and_then(|shell| shell.parse::<Shell>().ok()).unwrap_or(Shell::Bash);
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut grammar().bin_name("lab"), "lab", &mut script);
            Command::Print(String::from_utf8_lossy(&script).into_owned())
        }
    })
}

fn kernel(matches: &ArgMatches) -> Request {
    let Some((verb @ ("install" | "uninstall"), found)) = matches.subcommand() else { return Request::List };
    let prefix = found.get_one::<PathBuf>("prefix").cloned().filter(|_| !found.get_flag("user"));
    let (name, cuda) = (found.get_one("name").cloned(), found.get_flag("cuda"));
    match verb {
        "install" => Request::Install { to: prefix, name, cuda },
        _ => Request::Uninstall { from: prefix, name, cuda },
    }
}

/// What clap finds wrong, in our form.
fn failure(error: &clap::Error) -> Failure {
    let context = |kind: ContextKind| error.get(kind).map(ToString::to_string);
    let word = context(ContextKind::InvalidArg).or_else(|| context(ContextKind::InvalidSubcommand)).unwrap_or_default();
    let near = context(ContextKind::SuggestedSubcommand).or_else(|| context(ContextKind::SuggestedArg));
    match error.kind() {
        ErrorKind::ValueValidation | ErrorKind::InvalidValue if word.starts_with("--port") => {
            Failure::new("--port wants a number from 1 to 65535", "cargo lab --port 8888")
        }
        ErrorKind::ValueValidation | ErrorKind::InvalidValue if word.starts_with("--host") => {
            Failure::new("--host wants an address of this computer in numbers; 0.0.0.0 is all of them", "cargo lab --host 127.0.0.1")
        }
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand => {
            let meant = near.map(|near| format!("; `{}` is", near.trim_matches(['[', ']', '"']))).unwrap_or_default();
            Failure::new(format!("`{word}` is not understood here{meant}"), "cargo lab --help")
        }
        // clap says it in its first lines.
        _ => {
            let text = error.to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            let text = text.split("\n\n").next().unwrap_or(text).lines().map(str::trim).collect::<Vec<_>>().join(" ");
            Failure::new(text, "cargo lab --help")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Command, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_string).collect();
        parse(&words).map_err(|failure| failure.to_string())
    }

    #[test]
    fn every_command_is_understood() {
        grammar().debug_assert();
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(words(""), Ok(Command::Open { host: here, port: None, browser: true }));
        assert_eq!(words("--host ::"), Ok(Command::Open { host: "::".parse().unwrap(), port: None, browser: true }));
        assert_eq!(words("clean --dry-run"), Ok(Command::Clean { dry: true }));
        for line in ["--no-browser --port 9000", "--port=9000 --no-browser"] {
            assert_eq!(words(line), Ok(Command::Open { host: here, port: Some(9000), browser: false }));
        }
        assert_eq!(words("run 5 why --write"), Ok(Command::Run { lessons: vec!["5".into(), "why".into()], write: true }));
        assert_eq!(
            words("serve builtin:base --port 0 --help"),
            Ok(Command::Serve { words: ["builtin:base", "--port", "0", "--help"].map(String::from).into() })
        );
        assert_eq!(words("setup"), Ok(Command::Setup));
        assert_eq!(words("doctor"), Ok(Command::Doctor { port: None }));
        assert_eq!(words("doctor --port=1"), Ok(Command::Doctor { port: Some(1) }));
        assert_eq!(words("build"), Ok(Command::Build { lessons: vec![] }));
        assert_eq!(words("check"), Ok(Command::Check { contracts: false }));
        assert_eq!(words("check --contracts"), Ok(Command::Check { contracts: true }));
        let grade = |folders: &[&str], run, form| Ok(Command::Grade { folders: folders.iter().map(PathBuf::from).collect(), run, form });
        assert_eq!(words("grade --run=40"), grade(&[], Some(40), Form::Terminal));
        assert_eq!(words("grade class more --run --csv"), grade(&["class", "more"], Some(1200), Form::Csv));
        assert_eq!(words("grade --markdown"), grade(&[], None, Form::Markdown));
        assert!(matches!(words("grade --help"), Ok(Command::Print(text)) if text.contains("What is trusted")));
        assert_eq!(words("book"), Ok(Command::Book { folder: None }));
        assert_eq!(words("book site"), Ok(Command::Book { folder: Some("site".into()) }));
        let export = |notebook: &str, folder: Option<&str>, path, build| {
            Ok(Command::Export(export::Request { notebook: notebook.into(), folder: folder.map(PathBuf::from), path, build }))
        };
        assert_eq!(words("bundle a.pyz"), Ok(Command::Bundle("a.pyz".into())));
        assert_eq!(words("wheel dist"), Ok(Command::Wheel("dist".into())));
        assert_eq!(words("export 1"), export("1", None, false, true));
        assert_eq!(words("export a.ipynb b --path --no-build"), export("a.ipynb", Some("b"), true, false));
        assert_eq!(words("bench --quick"), Ok(Command::Bench { quick: true }));
        assert_eq!(words("--help"), Ok(Command::Print(HELP.into())));
        assert!(matches!(words("run --help"), Ok(Command::Print(text)) if text.contains("cargo lab run") && text.contains("--write")));
    }

    #[test]
    fn commands_for_the_kernel_are_told_from_its_connection_file() {
        let install = |to: Option<&str>, name: Option<&str>, cuda| {
            Ok(Command::Kernel(Request::Install { to: to.map(PathBuf::from), name: name.map(String::from), cuda }))
        };
        assert_eq!(words("kernel install --user"), install(None, None, false));
        assert_eq!(words("kernel install --prefix /opt/py --name r.1 --cuda"), install(Some("/opt/py"), Some("r.1"), true));
        assert_eq!(
            words("kernel uninstall --name=x"),
            Ok(Command::Kernel(Request::Uninstall { from: None, name: Some("x".into()), cuda: false }))
        );
        assert_eq!(words("kernel list"), Ok(Command::Kernel(Request::List)));
        assert!(matches!(words("kernel install --help"), Ok(Command::Print(_))));
        for line in ["install --name ../x", "install --name", "install --prefix", "list --user", "instal", ""] {
            assert!(words(&format!("kernel {line}")).unwrap_err().contains("fix:   cargo lab"), "{line}");
        }
        let file = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(String::from).collect();
            connection_file(&words).map(Path::to_path_buf)
        };
        assert_eq!(file("kernel /run/kernel-1.json"), Some("/run/kernel-1.json".into()));
        assert_eq!(file("kernel a.json"), Some("a.json".into()));
        assert_eq!(file("kernel a.json x.rs --kernel rust"), Some("a.json".into()));
        for line in ["kernel list", "kernel instal", "kernel --help", "kernel", "run a", "kernel install --user"] {
            assert_eq!(file(line), None, "{line}");
        }
    }

    #[test]
    fn a_wrong_word_is_named_with_the_command_that_helps() {
        assert_eq!(words("runn"), Err("error: `runn` is not understood here; `run` is\nfix:   cargo lab --help".into()));
        assert_eq!(words("check --write"), Err("error: `--write` is not understood here\nfix:   cargo lab --help".into()));
        for line in ["--port", "--port x", "--port 0", "--port 70000", "--port=x"] {
            assert!(words(line).unwrap_err().starts_with("error: --port wants a number"), "{line}");
        }
        for line in ["--host", "--host here", "--host=1.2.3"] {
            assert!(words(line).unwrap_err().starts_with("error: --host wants an address"), "{line}");
        }
    }

    #[test]
    fn completions_know_the_commands_of_each_shell() {
        for shell in ["bash", "zsh", "fish"] {
            let Ok(Command::Print(script)) = words(&format!("completions {shell}")) else { panic!("{shell}") };
            assert!(script.contains("uninstall") && script.contains("no-browser"), "{shell}");
        }
        assert!(words("completions cmd").unwrap_err().contains("bash, zsh, fish"));
    }
}
