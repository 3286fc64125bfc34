//! Why a route or a nested router cannot be added. The error names the method, the path, and the problem.

use std::fmt;

/// The error of [`Router::try_route`](crate::Router::try_route) and [`Router::try_nest`](crate::Router::try_nest): a
/// route or a nested router cannot be added.
///
/// ```
/// use softstop::{Method, Router, route};
///
/// let mut router = Router::new().get("/users/{id}", route(|_| "a user"));
/// let error = router.try_route(Method::Put, "/users/{name}", route(|_| "")).unwrap_err();
/// assert_eq!((error.method(), error.path(), error.is_conflict()), (Some("PUT"), "/users/{name}", true));
/// assert_eq!(
///     error.to_string(),
///     "PUT \"/users/{name}\" cannot be added: it conflicts with the path \"/users/{id}\""
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteError {
    subject: Subject,
    path: String,
    problem: Problem,
}

/// What was to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// A route for one method.
    Method(String),
    /// A route for every method.
    AnyMethod,
    /// All that a nested router has for a path.
    NestedPath,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// The caller gave `Method::Other`, which has no name.
    NoMethodName,
    /// No client can send this as a method.
    NotAMethod,
    Connect,
    NoLeadingSlash,
    Query,
    DuplicateParameter(String),
    /// `matchit` refuses the pattern.
    Malformed(String),
    NotAPrefix,
    /// The path has a route for this method.
    HasRoute,
    /// A nested router has a path that this router has.
    HasPath,
    /// A nested router has a fallback, and there is one for the same prefix.
    HasFallback,
    /// The router has this other path.
    Conflict(String),
    /// A nested router has the path.
    IsNested,
}

impl RouteError {
    pub(super) fn new(subject: Subject, path: &str, problem: Problem) -> RouteError {
        RouteError { subject, path: path.to_owned(), problem }
    }

    /// The method of the route, as the caller gave it. `None` for a route for every method, and for a nested router.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        match &self.subject {
            Subject::Method(method) => Some(method),
            Subject::AnyMethod | Subject::NestedPath => None,
        }
    }

    /// The path that cannot be added. For a nested router this is the prefix together with the path in that router.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the route conflicts with one that the router has. Otherwise the method or the path is malformed.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        match self.problem {
            Problem::HasRoute
            | Problem::HasPath
            | Problem::HasFallback
            | Problem::Conflict(_)
            | Problem::IsNested => true,
            Problem::NoMethodName
            | Problem::NotAMethod
            | Problem::Connect
            | Problem::NoLeadingSlash
            | Problem::Query
            | Problem::DuplicateParameter(_)
            | Problem::Malformed(_)
            | Problem::NotAPrefix => false,
        }
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Method(method) => write!(f, "{} ", method.escape_debug())?,
            Subject::AnyMethod => f.write_str("any method of ")?,
            Subject::NestedPath => f.write_str("the path ")?,
        }
        write!(f, "{:?} cannot be added: {}", self.path, self.problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::NoMethodName => f.write_str(
                "Method::Other has no name: write the name, such as \"PURGE\", or use Router::any",
            ),
            Problem::NotAMethod => f.write_str("the method is no token (RFC 9110 section 5.6.2)"),
            Problem::Connect => f.write_str("a CONNECT request has no path: Router::fallback answers it"),
            Problem::NoLeadingSlash => f.write_str("the path does not begin with a slash"),
            Problem::Query => f.write_str("a question mark begins the query, which Request::query reads"),
            Problem::DuplicateParameter(name) => write!(f, "it has two parameters named {name:?}"),
            Problem::Malformed(reason) => f.write_str(reason),
            Problem::NotAPrefix => {
                f.write_str("the prefix of a nested router looks like \"/api\", without a slash at its end")
            }
            Problem::HasRoute => f.write_str("it has a route already"),
            Problem::HasPath => f.write_str("the router has this path already"),
            Problem::HasFallback => f.write_str("there is a fallback for it already"),
            Problem::Conflict(other) => write!(f, "it conflicts with the path {other:?}"),
            Problem::IsNested => f.write_str("the path belongs to a nested router: add the route there"),
        }
    }
}

impl std::error::Error for RouteError {}

impl From<matchit::InsertError> for Problem {
    fn from(error: matchit::InsertError) -> Problem {
        use matchit::InsertError;

        let reason = match error {
            InsertError::Conflict { with } => return Problem::Conflict(with),
            InsertError::InvalidParamSegment => "a segment can have one parameter",
            InsertError::InvalidParam => "a parameter needs a name between matching braces",
            InsertError::InvalidCatchAll => "only the last segment can be a {*name}",
            other => return Problem::Malformed(other.to_string()),
        };
        Problem::Malformed(reason.to_owned())
    }
}
