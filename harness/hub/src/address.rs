//! Addresses, and which host they are of.

use std::fmt;

use ureq::http::Uri;
use ureq::http::uri::Scheme;

use crate::error::Problem;

/// An `http` or `https` address as the user gave it. A name and a password in it (`https://user:password@host`) are for its
/// host alone and print as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// The address in `text`, which is looked at when it is used.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The address with `path` added, which begins with a slash.
    pub(crate) fn with(&self, path: &str) -> Self {
        Self(format!("{}{path}", self.0.trim_end_matches('/')))
    }

    /// Where it leads, and the `user:password` in it.
    pub(crate) fn target(&self) -> Result<(Target, Option<String>), Problem> {
        let target = Target::parse(&self.0).ok_or_else(|| Problem::Address(self.clone()))?;
        Ok((target, userinfo(&self.0)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.0.find("://").map_or(0, |at| at + 3);
        match self.0[start..].rsplit_once('@') {
            Some((_, rest)) => write!(f, "{}***@{rest}", &self.0[..start]),
            None => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

fn userinfo(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let (userinfo, _) = uri.authority()?.as_str().rsplit_once('@')?;
    Some(userinfo.to_owned())
}

/// Where a request goes, without credentials.
#[derive(Clone)]
pub(crate) struct Target {
    scheme: Scheme,
    /// Host, with its port unless that is the usual one.
    host: String,
    /// Path and query.
    path: String,
}

impl Target {
    fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let scheme = uri.scheme()?.clone();
        let usual = match scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return None,
        };
        let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(usual);
        Some(Self {
            host: if port == usual { host } else { format!("{host}:{port}") },
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            scheme,
        })
    }

    /// Where the header `Location` of an answer from here leads: it is an address, or relative to this one.
    pub(crate) fn join(&self, location: &str) -> Option<Self> {
        let path = self.path.split('?').next().unwrap_or_default();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let origin = self.origin();
        // A colon behind a slash or a question mark begins no address.
        let scheme = location.split(['/', '?']).next().unwrap_or_default();
        let target = if scheme.ends_with(':') {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{}:{location}", self.scheme)
        } else if location.starts_with('/') {
            format!("{origin}{location}")
        } else if location.starts_with('?') {
            format!("{origin}{path}{location}")
        } else {
            format!("{origin}{folder}/{location}")
        };
        Self::parse(&target)
    }

    /// Scheme, host and port: whose it is.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.host)
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The whole address, with credentials if it is to have any.
    pub(crate) fn uri(&self, userinfo: Option<&str>) -> String {
        let userinfo = userinfo.map_or_else(String::new, |userinfo| format!("{userinfo}@"));
        format!("{}://{userinfo}{}{}", self.scheme, self.host, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        Address::new(text).target().unwrap().0
    }

    #[test]
    fn credentials_in_an_address_are_never_printed() {
        let address = Address::new("https://user:pass@host:8443/path");
        assert_eq!(address.to_string(), "https://***@host:8443/path");
        assert!(!format!("{address:?}").contains("pass"));
        let (target, userinfo) = address.target().unwrap();
        assert_eq!(userinfo.as_deref(), Some("user:pass"));
        assert_eq!(target.uri(None), "https://host:8443/path");
        // What is no address, or has a password with a slash in it, is not shown either.
        for text in [
            "ftp://user:pass@host",
            "user:pass@host",
            "https://user:pa/ss@host",
            "https://us er:pass@host",
        ] {
            let shown = Address::new(text).to_string();
            assert!(!shown.contains("pa") && shown.ends_with("***@host"), "{shown}");
        }
    }

    #[test]
    fn only_http_addresses_are_taken() {
        for text in [
            "not an address",
            "unused",
            "ftp://host/file",
            "file:///etc/passwd",
            "https://",
            "",
        ] {
            assert!(
                matches!(Address::new(text).target(), Err(Problem::Address(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn the_origin_is_scheme_host_and_port() {
        assert_eq!(target("HTTPS://Host:443/a").origin(), "https://host");
        assert_eq!(target("http://host:80").origin(), "http://host");
        assert_eq!(target("http://host:443/a").origin(), "http://host:443");
        assert_eq!(target("http://u:p@[::1]:90/a").origin(), "http://[::1]:90");
    }

    #[test]
    fn redirects_are_resolved_against_where_they_come_from() {
        let from = target("https://host/a/b?c=d");
        for (location, wanted) in [
            ("/x/y?z=1", "https://host/x/y?z=1"),
            ("y", "https://host/a/y"),
            ("?e", "https://host/a/b?e"),
            ("//other/x", "https://other/x"),
            ("http://other:8080/x", "http://other:8080/x"),
            ("https://user:pass@other/x", "https://other/x"),
            ("/x?to=http://other/", "https://host/x?to=http://other/"),
        ] {
            assert_eq!(from.join(location).unwrap().uri(None), wanted, "{location}");
        }
        for location in ["ftp://other/x", "javascript:alert(1)", "https://", "/a b"] {
            assert!(
                from.join(location)
                    .is_none_or(|target| target.origin() == "https://host"),
                "{location}"
            );
        }
    }
}
