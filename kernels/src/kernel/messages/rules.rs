//! An error code of rustc → the rule behind it, in one line.

/// The rule of ownership, borrowing or mutability that an error code is about.
pub fn rule(code: &str) -> Option<&'static str> {
    Some(match code {
        "E0381" => "a variable must have a value before it is used",
        "E0382" => "a value has one owner: giving it away by value moves it, unless its type is `Copy`",
        "E0384" | "E0594" | "E0596" => "only what is declared `mut`, or reached through `&mut`, can be changed",
        "E0499" => "one `&mut` at a time: the first must end, at its last use, before the next begins",
        "E0502" => "either one `&mut` or any number of `&` at a time, never both",
        "E0503" | "E0506" => "what is borrowed cannot be changed or used until the borrow's last use",
        "E0505" => "what is borrowed cannot be moved until the borrow's last use",
        "E0507" | "E0508" => "what is behind a reference or inside a collection cannot be moved out: borrow it, clone it, or take it out",
        "E0373" => "a closure that outlives its place must own what it uses: `move || …`",
        "E0515" | "E0597" | "E0716" => "a reference cannot outlive the value that it points to",
        "E0106" => "a reference in a type needs a lifetime, or own the value instead",
        "E0277" => "a type must implement the traits that its use asks for",
        "E0308" => "Rust converts no types on its own: both sides must have the same one",
        _ => return None,
    })
}
