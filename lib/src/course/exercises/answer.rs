//! A value of any type that exercises take → the one form in which they look at it.

use crate::course::job::Comparison;
use crate::data::dataset::Dataset;
use crate::data::example::Example;
use crate::error::Result;
use crate::evaluate::report::AnswerReport;
use crate::evaluate::verdict::Verdict;
use crate::train::trainer::Trainer;

/// The turns of a conversation as ids: who speaks, and the ids.
pub type Turn = (String, Vec<u32>);
/// A kind of error: its name, how often it comes, how much harm it does.
pub type Kind = (String, usize, usize);

/// What may be handed in. `Form` tells forms apart and is found by the compiler: write [`check`](super::check::check)`("2.2", joined)?`.
#[diagnostic::on_unimplemented(
    message = "`check` does not know what to do with this value",
    label = "of a type that no exercise takes",
    note = "an exercise takes a number, a text, a list of texts or of numbers, a `Dataset`, or a function with exactly the signature that its task names, such as `fn joined(row: &Example) -> Result<String>`"
)]
pub trait Answer<Form> {
    /// The value as exercises look at it.
    fn given<'a>(self) -> Given<'a>
    where
        Self: 'a;
}

/// The scores before and after a finetuning.
#[derive(Debug, Clone)]
pub struct Scores {
    /// Of the model as it was.
    pub before: AnswerReport,
    /// Of the finetuned one.
    pub after: AnswerReport,
}

macro_rules! forms {
    (
        values { $($value:ident, $value_name:ident: $type:ty = $words:literal;)+ }
        functions { $($function:ident, $function_name:ident: ($($argument:ty),+) -> $result:ty;)+ }
    ) => {
        /// What was handed in, in the one form in which exercises look at it.
        #[non_exhaustive]
        pub enum Given<'a> {
            $(#[doc = $words] $value($type),)+
            $(#[doc = concat!("`", stringify!(fn($($argument),+) -> $result), "`")] $function(Box<dyn Fn($($argument),+) -> $result + 'a>),)+
        }

        impl<'a> Given<'a> {
            /// What it is, in words.
            pub fn form(&self) -> &'static str {
                match self {
                    $(Self::$value(_) => $words,)+
                    $(Self::$function(_) => concat!("a function `", stringify!(fn($($argument),+) -> $result), "`"),)+
                }
            }

            $(
                /// The value, of an exercise that takes this form.
                ///
                /// # Errors
                /// What is taken and what was given, when it has another form.
                pub fn $value_name(self) -> Result<$type, String> {
                    match self {
                        Self::$value(value) => Ok(value),
                        other => Err(other.instead($words)),
                    }
                }
            )+
            $(
                /// The function, of an exercise that takes this form.
                ///
                /// # Errors
                /// What is taken and what was given, when it has another form.
                #[allow(clippy::type_complexity)]
                pub fn $function_name(self) -> Result<Box<dyn Fn($($argument),+) -> $result + 'a>, String> {
                    match self {
                        Self::$function(function) => Ok(function),
                        other => Err(other.instead(concat!("a function `", stringify!(fn($($argument),+) -> $result), "`"))),
                    }
                }
            )+

            fn instead(&self, wanted: &str) -> String {
                format!("it takes {wanted}; {} was given", self.form())
            }
        }

        $(
            impl<F: Fn($($argument),+) -> $result> Answer<fn($($argument),+) -> $result> for F {
                fn given<'a>(self) -> Given<'a>
                where
                    Self: 'a,
                {
                    Given::$function(Box::new(self))
                }
            }
        )+
    };
}

forms! {
    values {
        Number, number: f64 = "a number";
        Text, text: String = "a text";
        Words, words: Vec<String> = "a list of words";
        Numbers, numbers: Vec<f64> = "a list of numbers";
        Rows, rows: Dataset = "a data set";
        Scores, scores: Box<Scores> = "the scores before and after";
    }
    functions {
        Reply, reply: (&str) -> Result<String>;
        Joined, joined: (&Example) -> Result<String>;
        Hydrated, hydrated: (&Example) -> Result<Example>;
        Balanced, balanced: (&Dataset) -> Result<Dataset>;
        Kept, kept: (&str, &str) -> bool;
        Compared, compared: (&str, &str) -> f64;
        Priced, priced: (f64, f64, f64) -> f64;
        Counted, counted: (usize, usize, usize) -> usize;
        Averaged, averaged: (&[(f64, usize)]) -> f64;
        Judged, judged: (&dyn Fn(&str, &str) -> Verdict, &str, &str) -> Verdict;
        Chosen, chosen: (&[Kind]) -> String;
        Masked, masked: (&[Turn]) -> Vec<i64>;
    }
}

/// Values that are one form by a conversion, each with a form of its own.
macro_rules! values {
    ($($type:ty => |$value:ident| $given:expr;)+) => {$(
        impl Answer<$type> for $type {
            fn given<'a>(self) -> Given<'a>
            where
                Self: 'a,
            {
                let $value = self;
                $given
            }
        }
    )+};
}

values! {
    f64 => |number| Given::Number(number);
    f32 => |number| Given::Number(number.into());
    usize => |number| Given::Number(number as f64);
    u64 => |number| Given::Number(number as f64);
    i64 => |number| Given::Number(number as f64);
    u32 => |number| Given::Number(number.into());
    i32 => |number| Given::Number(number.into());
    String => |text| Given::Text(text);
    &str => |text| Given::Text(text.into());
    Vec<String> => |words| Given::Words(words);
    Vec<&str> => |words| Given::Words(words.into_iter().map(String::from).collect());
    Vec<f64> => |numbers| Given::Numbers(numbers);
    Vec<usize> => |numbers| Given::Numbers(numbers.into_iter().map(|number| number as f64).collect());
    Vec<u32> => |numbers| Given::Numbers(numbers.into_iter().map(f64::from).collect());
    Vec<i32> => |numbers| Given::Numbers(numbers.into_iter().map(f64::from).collect());
    Dataset => |rows| Given::Rows(rows);
    &Dataset => |rows| Given::Rows(rows.clone());
    Comparison => |scores| Given::Scores(Box::new(Scores { before: scores.base, after: scores.trained }));
    &Comparison => |scores| Given::Scores(Box::new(Scores { before: scores.base.clone(), after: scores.trained.clone() }));
    (AnswerReport, AnswerReport) => |scores| Given::Scores(Box::new(Scores { before: scores.0, after: scores.1 }));
    &Trainer => |trainer| Given::Numbers(trainer.history().iter().map(|step| step.loss).collect());
}

impl<const N: usize> Answer<[String; N]> for [&str; N] {
    fn given<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given::Words(self.into_iter().map(String::from).collect())
    }
}

impl<const N: usize> Answer<[usize; N]> for [usize; N] {
    fn given<'a>(self) -> Given<'a>
    where
        Self: 'a,
    {
        Given::Numbers(self.into_iter().map(|number| number as f64).collect())
    }
}
