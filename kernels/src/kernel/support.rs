//! A panic in a cell → a record on stdout; compiled by rustc when the kernel is first started, not by cargo.
//!
//! The cells and this library share one libstd, so the hook and the flush below act on the cells' own panics and output.

use std::io::Write;

/// Sets the panic hook.
#[unsafe(no_mangle)]
pub extern "C" fn finetuning_start() {
    // This libstd did not start the process, so it has no name for the thread that runs the cells.
    let main = std::thread::current().id();
    std::panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let message = payload.downcast_ref::<&str>().map(|text| text.to_string());
        let message = message.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "Box<dyn Any>".into());
        let place = info.location().map(|place| (place.file().to_string(), place.line(), place.column())).unwrap_or_default();
        let trace = match std::env::var("RUST_BACKTRACE").as_deref() {
            Ok("0") | Err(_) => String::new(),
            Ok(_) => std::backtrace::Backtrace::force_capture().to_string(),
        };
        let thread = std::thread::current();
        let name = if thread.id() == main { "main" } else { thread.name().unwrap_or("<unnamed>") };
        let record = format!(
            "\x02K{{\"panic\":{{\"message\":{},\"file\":{},\"line\":{},\"column\":{},\"thread\":{},\"backtrace\":{}}}}}\n",
            json(&message),
            json(&place.0),
            place.1,
            place.2,
            json(name),
            json(&trace)
        );
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(record.as_bytes()).and_then(|()| out.flush());
    }));
}

/// Writes out what the cell printed without a newline.
#[unsafe(no_mangle)]
pub extern "C" fn finetuning_flush() {
    let _ = std::io::stdout().flush();
}

fn json(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            char if char < ' ' => quoted.push_str(&format!("\\u{:04x}", char as u32)),
            char => quoted.push(char),
        }
    }
    quoted + "\""
}
