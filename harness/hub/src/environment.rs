//! What the environment says about the Hub, in the variables of Hugging Face's own libraries.

use std::ffi::OsString;
use std::path::PathBuf;
use std::{env, fs};

use crate::address::Address;
use crate::client::Patience;
use crate::hub::Hub;
use crate::token::Token;

/// The Hub itself.
const ENDPOINT: &str = "https://huggingface.co";

impl Hub {
    /// The Hub as the environment describes it:
    ///
    /// | variable | says | without it |
    /// | --- | --- | --- |
    /// | `HF_ENDPOINT` | address of the Hub | `https://huggingface.co` |
    /// | `HF_HUB_CACHE` | folder of the cache | `hub` in `HF_HOME` |
    /// | `HF_TOKEN` | access token | what the file `HF_TOKEN_PATH` has |
    /// | `HF_TOKEN_PATH` | file of the token | `token` in `HF_HOME` |
    /// | `HF_HOME` | folder of both | `huggingface` in `XDG_CACHE_HOME`, else in `~/.cache` |
    /// | `HF_HUB_OFFLINE` | `1`, `on`, `yes` or `true`: use the cache only | the Hub is asked |
    ///
    /// An empty variable is as good as none. What is wrong with a value is told when it is used.
    pub fn from_env() -> Self {
        Self::from_variables(|name| env::var_os(name))
    }

    /// As [`Hub::from_env`], with the variables that `variable` knows.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        // What is no Unicode is no token and no address either, and is refused as such.
        let text = |name: &str| set(name).map(|value| value.to_string_lossy().into_owned());
        let caches = || match set("XDG_CACHE_HOME") {
            Some(folder) => Some(PathBuf::from(folder)),
            None => Some(dirs::home_dir()?.join(".cache")),
        };
        let home = match set("HF_HOME") {
            Some(folder) => Some(PathBuf::from(folder)),
            None => caches().map(|folder| folder.join("huggingface")),
        };
        let in_home = |name: &str| home.as_ref().map(|home| home.join(name));
        let or_in_home = |variable: &str, name: &str| set(variable).map(PathBuf::from).or_else(|| in_home(name));
        let login = || {
            let content = fs::read_to_string(or_in_home("HF_TOKEN_PATH", "token")?).ok()?;
            Token::new(&content)
        };
        Self {
            endpoint: Address::new(text("HF_ENDPOINT").as_deref().unwrap_or(ENDPOINT)),
            cache: or_in_home("HF_HUB_CACHE", "hub"),
            token: text("HF_TOKEN").and_then(|token| Token::new(&token)).or_else(login),
            offline: text("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value)),
            patience: Patience::default(),
        }
    }
}

/// The spellings of "yes" that the Hub's own client takes.
fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.to_ascii_uppercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(variables: &[(&str, &str)]) -> Hub {
        Hub::from_variables(|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_folder_of_the_cache_is_where_huggingface_hub_has_it() {
        for (variables, wanted) in [
            (
                &[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/x")][..],
                "/c",
            ),
            (&[("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/x")], "/h/hub"),
            (
                &[("HF_HUB_CACHE", ""), ("HF_HOME", ""), ("XDG_CACHE_HOME", "/x")],
                "/x/huggingface/hub",
            ),
        ] {
            assert_eq!(hub(variables).cache, Some(PathBuf::from(wanted)), "{variables:?}");
        }
        if let Some(home) = dirs::home_dir() {
            assert_eq!(hub(&[]).cache, Some(home.join(".cache/huggingface/hub")));
        }
    }

    #[test]
    fn the_token_is_the_variables_before_the_files() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
        let (folder, elsewhere) = (at(""), at("elsewhere"));
        let token = |more: &[(&str, &str)]| {
            let variables: Vec<_> = [&[("HF_HOME", folder.as_str())][..], more].concat();
            hub(&variables).token
        };
        assert_eq!(token(&[]), None);
        fs::write(at("token"), "of-login\n").unwrap();
        fs::write(&elsewhere, " of-path ").unwrap();
        assert_eq!(token(&[]), Token::new("of-login"));
        assert_eq!(token(&[("HF_TOKEN_PATH", &elsewhere)]), Token::new("of-path"));
        assert_eq!(token(&[("HF_TOKEN", "of-variable\n")]), Token::new("of-variable"));
        assert_eq!(token(&[("HF_TOKEN", " ")]), Token::new("of-login"));
    }

    #[test]
    fn offline_is_spelt_as_huggingface_hub_spells_it() {
        for value in ["1", "on", "YES", "True"] {
            assert!(hub(&[("HF_HUB_OFFLINE", value)]).offline, "{value}");
        }
        for value in ["0", "no", "false", "off", ""] {
            assert!(!hub(&[("HF_HUB_OFFLINE", value)]).offline, "{value}");
        }
    }

    #[test]
    fn nothing_secret_is_printed_of_what_the_environment_says() {
        let hub = hub(&[
            ("HF_TOKEN", "hf_secret"),
            ("HF_ENDPOINT", "https://user:secret@hub.example/"),
        ]);
        let shown = format!("{hub:?}");
        assert!(shown.contains("***") && !shown.contains("secret"), "{shown}");
    }
}
