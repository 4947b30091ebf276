//! The administrator's configuration of elevated workers.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::trust;
use crate::stream::elevated::CONFIGURATION;

/// The contents of the configuration file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Configuration {
    pub(super) prefix: Option<PathBuf>,
    pub(super) destructive: bool,
    pub(super) grab: bool,
}

impl Configuration {
    /// Reads the file. Without one, the defaults apply.
    pub(super) fn read() -> Result<Configuration, String> {
        let path = Path::new(CONFIGURATION);
        match std::fs::read_to_string(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Configuration::default()),
            Err(e) => Err(format!("{CONFIGURATION}: {e}")),
            Ok(text) => {
                trust::of_root(path)?;
                Configuration::parse(&text).map_err(|e| format!("{CONFIGURATION}: {e}"))
            }
        }
    }

    fn parse(text: &str) -> Result<Configuration, String> {
        let mut configuration = Configuration::default();
        let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
        for line in lines {
            let (name, value) =
                line.split_once('=').ok_or(format!("not of the form \"name = value\": {line}"))?;
            let (name, value) = (name.trim(), value.trim());
            let yes = match value {
                "yes" => Ok(true),
                "no" => Ok(false),
                _ => Err(format!("{name} must be yes or no, not {value}")),
            };
            match name {
                "prefix" if Path::new(value).is_absolute() => {
                    configuration.prefix = Some(value.into());
                }
                "prefix" => return Err(format!("prefix must be an absolute path, not {value}")),
                "destructive" => configuration.destructive = yes?,
                "grab" => configuration.grab = yes?,
                _ => return Err(format!("unknown name {name}")),
            }
        }
        Ok(configuration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_and_mistakes_are_errors() {
        let text = "# mine\n\nprefix = /opt/x y\ndestructive=yes\ngrab = no\n";
        let expected =
            Configuration { prefix: Some("/opt/x y".into()), destructive: true, grab: false };
        assert_eq!(Configuration::parse(text), Ok(expected));
        assert_eq!(Configuration::parse(""), Ok(Configuration::default()));
        for wrong in ["prefix = opt", "destructive = maybe", "grab", "libdir = /x"] {
            assert!(Configuration::parse(wrong).is_err(), "{wrong}");
        }
    }
}
