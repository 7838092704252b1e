//! Access tokens, which are never shown.

use std::fmt;

use ureq::http::HeaderValue;

use crate::error::Problem;

/// An access token of the Hub. It prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token in `text`, without the space around it; none if that is all there is.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The header that shows it to a server.
    pub(crate) fn header(&self) -> Result<HeaderValue, Problem> {
        let plain = self.0.bytes().all(|byte| byte.is_ascii_graphic());
        let header = plain.then(|| HeaderValue::try_from(format!("Bearer {}", self.0)).ok());
        let mut header = header.flatten().ok_or(Problem::Token)?;
        header.set_sensitive(true);
        Ok(header)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_prints_as_stars() {
        let token = Token::new(" hf_secret\n").unwrap();
        assert_eq!(format!("{token} {token:?} {token:#?}"), "*** *** ***");
        assert_eq!(token.header().unwrap().to_str().unwrap(), "Bearer hf_secret");
        assert!(!format!("{:?}", token.header().unwrap()).contains("secret"));
    }

    #[test]
    fn a_token_that_would_break_its_header_is_refused() {
        for text in ["hf_a\nX-Evil: b", "hf_a\r\nb", "hf_a\0b", "hf a", "hf_ä", "hf_\u{7f}"] {
            let problem = Token::new(text).unwrap().header().unwrap_err();
            assert!(matches!(problem, Problem::Token), "{text:?}");
            assert!(problem.to_string().contains("HF_TOKEN") && !problem.to_string().contains("hf_"));
        }
        assert_eq!(Token::new(" \n"), None);
    }
}
