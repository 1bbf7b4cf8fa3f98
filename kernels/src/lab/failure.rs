//! Why a command ends, and what to type.

/// Why a command ends, and what to type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub what: String,
    pub fix: Option<String>,
}

impl Failure {
    /// A failure with the command that mends it.
    pub fn new(what: impl Into<String>, fix: impl Into<String>) -> Failure {
        Failure { what: what.into(), fix: Some(fix.into()) }
    }
}

impl From<String> for Failure {
    fn from(what: String) -> Failure {
        Failure { what, fix: None }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error: {}", self.what)?;
        match &self.fix {
            Some(fix) => write!(f, "\nfix:   {fix}"),
            None => Ok(()),
        }
    }
}
