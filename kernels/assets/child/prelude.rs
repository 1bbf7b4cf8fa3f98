#[allow(unused_macros)]
macro_rules! eprintln {
    ("{}", $error:ident) => { eprintln!(@mark $error "{}" $error) };
    ("{:?}", $error:ident) => { eprintln!(@mark $error "{:?}" $error) };
    (@mark error $format:literal $error:ident) => {{
        ::std::print!("\x02X{}\x03", ::std::format_args!($format, $error));
        let _ = ::std::io::Write::flush(&mut ::std::io::stdout());
    }};
    (@mark $name:ident $format:literal $error:ident) => { ::std::eprintln!($format, $error) };
    ($($rest:tt)*) => { ::std::eprintln!($($rest)*) };
}
mod evcxr_show {
    pub trait EvcxrShow { fn evcxr_display(&self); }
    impl<T: ::std::fmt::Debug + ?Sized> EvcxrShow for T {
        fn evcxr_display(&self) {
            let text = ::std::format!("{:?}", self);
            if text != "()" {
                ::std::print!("EVCXR_BEGIN_CONTENT text/plain\n{text}\nEVCXR_END_CONTENT\n");
            }
        }
    }
}
#[allow(unused_imports)]
use evcxr_show::EvcxrShow as _;
Ok::<(), String>(())?;
