//! The method of a route: one that this crate has a constant for, or an extension method.

use super::error::Problem;
use crate::http::{Method, grammar::is_token};

/// A method that a client can send, and that a path can have a route for. Only [`RouteMethod::parse`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RouteMethod {
    /// Neither [`Method::Other`] nor [`Method::Connect`].
    Known(Method),
    /// The name of a method without a constant, such as `PURGE`.
    Extension(Box<str>),
}

impl RouteMethod {
    pub(super) fn parse(name: &str) -> Result<RouteMethod, Problem> {
        if name.is_empty() {
            return Err(Problem::NoMethodName);
        }
        if !is_token(name.as_bytes()) {
            return Err(Problem::NotAMethod);
        }
        match Method::from_token(name.as_bytes()) {
            // RFC 9112 section 3.2.3: its target is an authority, so no pattern matches it.
            Method::Connect => Err(Problem::Connect),
            Method::Other => Ok(RouteMethod::Extension(name.into())),
            known => Ok(RouteMethod::Known(known)),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            RouteMethod::Known(method) => method.as_str(),
            RouteMethod::Extension(name) => name,
        }
    }

    pub(super) fn is(&self, method: Method) -> bool {
        matches!(self, RouteMethod::Known(known) if *known == method)
    }

    pub(super) fn is_extension(&self, name: &str) -> bool {
        matches!(self, RouteMethod::Extension(known) if **known == *name)
    }
}
