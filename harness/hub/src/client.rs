//! Requests that are redirected by hand, so that credentials stay with the host they are for.

use std::time::Duration;

use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use crate::address::{Address, Target};
use crate::error::Problem;
use crate::token::Token;

/// How often a request is sent elsewhere before that is taken for a circle.
const REDIRECTS: usize = 10;

/// How long is waited for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the name of a host, and then for a connection with it.
    pub connection: Duration,
    /// For the head of an answer.
    pub answer: Duration,
    /// For the next bytes of a file. A file may take as long as it likes while they come: a bound on the whole would have
    /// to guess at the network's speed.
    pub stall: Duration,
    /// Before a second attempt; doubled before each further one.
    pub first_wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connection: Duration::from_secs(30),
            answer: Duration::from_secs(60),
            stall: Duration::from_secs(60),
            first_wait: Duration::from_secs(1),
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Ask {
    /// What the first host tells about a file: a redirect to another host is an answer.
    Head,
    /// The content from this byte on, wherever it is.
    Content(u64),
}

/// An answer, and who gave it.
pub(crate) struct Answer {
    pub(crate) response: Response<Body>,
    /// `scheme://host:port`.
    pub(crate) host: String,
}

impl Answer {
    /// The value of a header, `None` if it is absent. One that is no text is in no form that anyone wants.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let value = self.response.headers().get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    /// A header that is a number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.header(name)?.trim().parse().ok()
    }

    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// That it is not the file.
    pub(crate) fn problem(&self) -> Problem {
        Problem::Status {
            host: self.host.clone(),
            status: self.status(),
            wait: self.number("Retry-After").map(Duration::from_secs),
        }
    }
}

pub(crate) struct Client<'a> {
    agent: Agent,
    token: Option<&'a Token>,
    stall: Duration,
}

impl<'a> Client<'a> {
    /// A client that shows `token` to the host that an address names.
    pub(crate) fn new(patience: &Patience, token: Option<&'a Token>) -> Self {
        let config = Agent::config_builder()
            .user_agent(concat!("prunebench/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_resolve(Some(patience.connection))
            .timeout_connect(Some(patience.connection))
            .timeout_recv_response(Some(patience.answer))
            .timeout_per_read(Some(patience.stall));
        Self {
            agent: config.build().new_agent(),
            token,
            stall: patience.stall,
        }
    }

    /// The answer to `ask` at `address`, of whichever status.
    pub(crate) fn send(&self, ask: Ask, address: &Address) -> Result<Answer, Problem> {
        let (mut target, userinfo) = address.target()?;
        let home = target.origin();
        let mut first = true;
        for _ in 0..=REDIRECTS {
            let host = target.origin();
            // The client makes a header of a name and a password, unless the token is one.
            let uri = target.uri(userinfo.as_deref().filter(|_| first));
            let mut request = match ask {
                Ask::Head => self.agent.head(uri),
                Ask::Content(_) => self.agent.get(uri),
            };
            // Lengths and hashes are of the content itself.
            request = request.header("Accept-Encoding", "identity");
            if let Some(token) = self.token.filter(|_| first) {
                request = request.header("Authorization", token.header()?);
            }
            if let Ask::Content(from @ 1..) = ask {
                request = request.header("Range", format!("bytes={from}-"));
            }
            let response = request.call().map_err(|error| self.problem(&host, error))?;
            let answer = Answer { response, host };
            let Some(next) = redirect(&answer, &target)? else {
                return Ok(answer);
            };
            // Once left, the first host is no longer the one that was asked: another chose the path.
            first &= next.origin() == home;
            if !first && matches!(ask, Ask::Head) {
                return Ok(answer);
            }
            target = next;
        }
        Err(Problem::Redirect {
            host: home,
            reason: "never arrives",
        })
    }

    /// What an error means that came of asking `host`.
    pub(crate) fn problem(&self, host: &str, error: ureq::Error) -> Problem {
        Problem::of(host.to_owned(), error, self.stall)
    }
}

/// Where an answer from `target` sends, if it does.
fn redirect(answer: &Answer, target: &Target) -> Result<Option<Target>, Problem> {
    use StatusCode as Code;
    let refused = |reason| Problem::Redirect {
        host: answer.host.clone(),
        reason,
    };
    let codes = [
        Code::MOVED_PERMANENTLY,
        Code::FOUND,
        Code::SEE_OTHER,
        Code::TEMPORARY_REDIRECT,
        Code::PERMANENT_REDIRECT,
    ];
    if !codes.contains(&answer.response.status()) {
        return Ok(None);
    }
    let location = answer.header("Location").ok_or_else(|| refused("does not say where"))?;
    let next = target
        .join(&location)
        .ok_or_else(|| refused("the place is no http or https address"))?;
    if target.is_encrypted() && !next.is_encrypted() {
        return Err(refused("the way there is not encrypted"));
    }
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirected(from: &str, status: u16, location: Option<&str>) -> Result<Option<String>, Problem> {
        let mut response = Response::builder().status(status);
        if let Some(location) = location {
            response = response.header("Location", location);
        }
        let answer = Answer {
            response: response.body(Body::builder().data("")).unwrap(),
            host: "https://hub".to_owned(),
        };
        let (target, _) = Address::new(from).target().unwrap();
        redirect(&answer, &target).map(|next| next.map(|next| next.uri(None)))
    }

    #[test]
    fn an_encrypted_connection_is_never_left_for_a_plain_one() {
        let refused = redirected("https://hub/a", 302, Some("http://hub/a"));
        assert!(matches!(refused, Err(Problem::Redirect { .. })), "{refused:?}");
        let to = |from, location| redirected(from, 302, Some(location)).unwrap().unwrap();
        assert_eq!(to("http://hub/a", "https://hub/a"), "https://hub/a");
        assert_eq!(to("http://hub/a", "http://cdn/a"), "http://cdn/a");
    }

    #[test]
    fn a_redirect_that_leads_nowhere_is_a_problem() {
        assert!(redirected("https://hub/a", 302, None).is_err());
        assert!(redirected("https://hub/a", 302, Some("ftp://hub/a")).is_err());
        assert_eq!(redirected("https://hub/a", 304, Some("/b")).unwrap(), None);
        assert_eq!(redirected("https://hub/a", 200, Some("/b")).unwrap(), None);
    }
}
