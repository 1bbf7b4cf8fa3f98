//! This machine and `FINETUNING_CPU` → the level of instructions that all arithmetic of the process uses, and functions
//! that are compiled for each level.

use std::sync::OnceLock;

/// The environment variable that lowers the level, to test and to measure what other machines compute.
pub const VARIABLE: &str = "FINETUNING_CPU";

/// A set of instructions; each has those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What every machine of its architecture has.
    Portable,
    /// AVX2 with FMA: eight numbers at a time.
    Avx2,
    /// AVX-512 (F, BW, DQ, VL): sixteen.
    Avx512,
    /// The same with products of pairs of bf16.
    Avx512Bf16,
}

impl Level {
    /// All levels, the lowest first.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Bf16];

    /// As [`VARIABLE`] calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512bf16",
        }
    }

    /// The highest level of this machine.
    pub fn of_machine() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            match (avx2, avx512, is_x86_feature_detected!("avx512bf16")) {
                (true, true, true) => Self::Avx512Bf16,
                (true, true, false) => Self::Avx512,
                (true, false, _) => Self::Avx2,
                _ => Self::Portable,
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        Self::Portable
    }

    /// The level of this process: the machine's, or a lower one that [`VARIABLE`] names. It is read once, when it is first
    /// asked for; a name that cannot be followed is refused in a line on stderr, and the machine's level is used.
    #[inline]
    pub fn current() -> Self {
        static CURRENT: OnceLock<Level> = OnceLock::new();
        *CURRENT.get_or_init(|| {
            let given = std::env::var_os(VARIABLE).unwrap_or_default();
            let machine = Self::of_machine();
            chosen(&given.to_string_lossy(), machine).unwrap_or_else(|refusal| {
                eprintln!("{refusal}");
                machine
            })
        })
    }
}

/// The level of a name, `machine` for none; or why it cannot be that one.
fn chosen(given: &str, machine: Level) -> Result<Level, String> {
    if given.is_empty() {
        return Ok(machine);
    }
    let allowed = || Level::ALL.into_iter().filter(|level| *level <= machine);
    allowed().find(|level| level.name() == given).ok_or_else(|| {
        let fault = match Level::ALL.iter().any(|level| level.name() == given) {
            true => "is more than this machine has",
            false => "is no level of instructions",
        };
        let names: Vec<&str> = allowed().map(Level::name).collect();
        format!("{VARIABLE}={given} {fault}; allowed here: {}; {} is used", names.join(", "), machine.name())
    })
}

/// Defines a function whose body is compiled three times on x86-64: for AVX-512, for AVX2 with FMA, and for any machine.
/// What the body calls must be `#[inline(always)]`, or it stays compiled for any machine.
macro_rules! vectorised {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $output:ty)? $body:block) => {
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) $(-> $output)? {
            #[inline(always)]
            fn portable($($argument: $type),*) $(-> $output)? $body

            #[cfg(target_arch = "x86_64")]
            {
                use $crate::cpu::isa::Level;

                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512($($argument: $type),*) $(-> $output)? {
                    portable($($argument),*)
                }

                #[target_feature(enable = "avx2,fma")]
                fn avx2($($argument: $type),*) $(-> $output)? {
                    portable($($argument),*)
                }

                let level = Level::current();
                if level >= Level::Avx512 {
                    // SAFETY: the level is at most the machine's, for which all six features of `avx512` were found.
                    return unsafe { avx512($($argument),*) };
                }
                if level >= Level::Avx2 {
                    // SAFETY: the level is at most the machine's, for which both features of `avx2` were found.
                    return unsafe { avx2($($argument),*) };
                }
            }
            portable($($argument),*)
        }
    };
}
pub(crate) use vectorised;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_the_machine_has_is_followed() {
        assert_eq!(chosen("", Level::Avx512), Ok(Level::Avx512));
        for (index, level) in Level::ALL.into_iter().enumerate() {
            for (above, machine) in Level::ALL.into_iter().enumerate() {
                assert_eq!(chosen(level.name(), machine).is_ok(), index <= above, "{level:?} on {machine:?}");
            }
        }
        assert_eq!(chosen("avx2", Level::Avx512Bf16), Ok(Level::Avx2));
    }

    #[test]
    fn any_other_is_refused_with_what_is_allowed() {
        let unknown = "FINETUNING_CPU=sse is no level of instructions; allowed here: portable, avx2; avx2 is used";
        assert_eq!(chosen("sse", Level::Avx2).unwrap_err(), unknown);
        let above = "FINETUNING_CPU=avx512 is more than this machine has; allowed here: portable, avx2; avx2 is used";
        assert_eq!(chosen("avx512", Level::Avx2).unwrap_err(), above);
    }

    /// This program once more, in a process of its own that is told a level.
    fn again(level: &str, words: &[&str]) -> (bool, String) {
        let mut tests = std::process::Command::new(std::env::current_exe().unwrap());
        let output = tests.args(words).env(VARIABLE, level).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    #[test]
    fn all_tests_at_every_lower_level() {
        for level in Level::ALL.into_iter().filter(|level| *level < Level::current()) {
            let (passed, text) = again(level.name(), &["--skip", "all_tests_at_every_lower_level"]);
            assert!(passed && !text.contains("running 0 tests"), "{level:?}:\n{text}");
        }
    }

    #[test]
    fn a_refusal_is_said_once_and_aloud() {
        let (passed, text) = again("sse9", &["--nocapture", "every_shape_"]);
        assert!(passed && text.matches("FINETUNING_CPU=sse9 is no level of instructions; allowed here: portable").count() == 1, "{text}");
        assert!(!again("portable", &["--nocapture", "every_shape_"]).1.contains(VARIABLE));
    }
}
