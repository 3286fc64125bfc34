//! Which handler a request belongs to: paths are matched by `matchit`, methods by a short list behind each path.

use std::{fmt, ops::Range};

use crate::{
    handler::{IntoRoute, Route},
    http::{Head, IntoResponse, Method, Response, StatusCode},
};

/// Paths, methods and the handlers behind them.
///
/// A path is matched exactly; `{name}` stands for one segment and `{*name}` for all that is left. The more specific
/// path wins, in whatever order they were added. `HEAD` is answered by the `GET` handler, without its content;
/// `OPTIONS` with the methods that the path has. A path that nobody has is answered 404, a known one with another
/// method 405 and `Allow`, a method that no RFC knows 501.
///
/// ```
/// use softstop::{Request, Router};
///
/// let router = Router::new()
///     .get("/", |_: &Request| "home")
///     .get("/users/{id}", |request: &Request| format!("user {}", request.param("id").unwrap_or_default()))
///     .post("/users", |request: &Request| format!("{} bytes", request.body().len()));
/// # let _ = router;
/// ```
#[derive(Default)]
pub struct Router {
    paths: matchit::Router<usize>,
    tables: Vec<PathTable>,
}

/// The methods of one path.
struct PathTable {
    pattern: String,
    parameters: Vec<String>,
    methods: Vec<(Method, Route)>,
    any: Option<Route>,
}

/// A path and a method that have a route: made by [`Router::find`] only, so that what it points at is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RouteId {
    path: usize,
    /// `None`: the route for any method.
    method: Option<usize>,
}

/// What a router makes of a request head.
#[derive(Debug)]
pub(crate) enum Found {
    Route(RouteId),
    /// No handler: this is the answer.
    Answer(Response),
}

/// A route that cannot be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteError(String);

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RouteError {}

impl Router {
    /// A router without any path: everything is answered 404.
    #[must_use]
    pub fn new() -> Router {
        Router::default()
    }

    /// Adds a route for `GET` and `HEAD`.
    ///
    /// # Panics
    ///
    /// Like [`Router::route`].
    #[must_use]
    #[track_caller]
    pub fn get(self, path: &str, route: impl IntoRoute) -> Router {
        self.route(Method::Get, path, route)
    }

    /// Adds a route for `POST`.
    ///
    /// # Panics
    ///
    /// Like [`Router::route`].
    #[must_use]
    #[track_caller]
    pub fn post(self, path: &str, route: impl IntoRoute) -> Router {
        self.route(Method::Post, path, route)
    }

    /// Adds a route for `PUT`.
    ///
    /// # Panics
    ///
    /// Like [`Router::route`].
    #[must_use]
    #[track_caller]
    pub fn put(self, path: &str, route: impl IntoRoute) -> Router {
        self.route(Method::Put, path, route)
    }

    /// Adds a route for `DELETE`.
    ///
    /// # Panics
    ///
    /// Like [`Router::route`].
    #[must_use]
    #[track_caller]
    pub fn delete(self, path: &str, route: impl IntoRoute) -> Router {
        self.route(Method::Delete, path, route)
    }

    /// Adds a route for a method.
    ///
    /// # Panics
    ///
    /// If the route cannot be added: see [`Router::try_route`], which says so without a panic, for paths that are not
    /// written in the program.
    #[must_use]
    #[track_caller]
    pub fn route(self, method: Method, path: &str, route: impl IntoRoute) -> Router {
        match self.try_route(method, path, route) {
            Ok(router) => router,
            Err(error) => panic!("{error}"),
        }
    }

    /// Adds a route for every method that has none of its own on this path, those that no RFC knows included.
    ///
    /// # Panics
    ///
    /// Like [`Router::route`].
    #[must_use]
    #[track_caller]
    pub fn any(mut self, path: &str, route: impl IntoRoute) -> Router {
        match self.table(path) {
            Ok(table) if table.any.is_none() => table.any = Some(route.into_route()),
            Ok(_) => panic!("the path {path:?} already has a route for any method: add each route once"),
            Err(error) => panic!("{error}"),
        }
        self
    }

    /// Adds a route for a method.
    ///
    /// # Errors
    ///
    /// If the path is malformed (it must begin with `/`; braces hold a name), if it conflicts with another path (the
    /// same segment under two names), if the route is there already, or if the method is [`Method::Other`]
    /// ([`Router::any`] takes those).
    pub fn try_route(
        mut self,
        method: Method,
        path: &str,
        route: impl IntoRoute,
    ) -> Result<Router, RouteError> {
        if method == Method::Other {
            return Err(RouteError(format!("no name for the method of {path:?}: use Router::any for it")));
        }
        let table = self.table(path)?;
        if table.methods.iter().any(|(known, _)| *known == method) {
            let message = format!("{} {path:?} has a route already: add each route once", method.as_str());
            return Err(RouteError(message));
        }
        table.methods.push((method, route.into_route()));
        Ok(self)
    }

    fn table(&mut self, path: &str) -> Result<&mut PathTable, RouteError> {
        if let Some(known) = self.tables.iter().position(|table| table.pattern == path) {
            return Ok(&mut self.tables[known]);
        }
        if !path.starts_with('/') {
            return Err(RouteError(format!("the path {path:?} does not begin with a slash")));
        }
        self.paths
            .insert(path, self.tables.len())
            .map_err(|error| RouteError(format!("the path {path:?} cannot be added: {error}")))?;
        let parameters = parameter_names(path);
        self.tables.push(PathTable { pattern: path.to_owned(), parameters, methods: Vec::new(), any: None });
        let last = self.tables.len() - 1;
        Ok(&mut self.tables[last])
    }

    /// The route of a request. Where its path's parameters stand is written to `parameters`, the path's number (for
    /// [`Router::parameter_names`]) to `path_number`.
    pub(crate) fn find(
        &self,
        head: &Head,
        parameters: &mut Vec<Range<usize>>,
        path_number: &mut Option<usize>,
    ) -> Found {
        let (method, path) = (head.method(), head.path());
        let Ok(matched) = self.paths.at(path) else {
            return Found::Answer(match (method, path) {
                // RFC 9110 section 9.3.7: about the server as a whole.
                (Method::Options, "*") => Response::new(StatusCode::NO_CONTENT),
                (Method::Other | Method::Connect, _) => not_implemented(),
                _ => (StatusCode::NOT_FOUND, "no such path\n").into_response(),
            });
        };
        let number = *matched.value;
        let table = &self.tables[number];
        let Some(route) = table.find(method) else { return Found::Answer(table.refuse(method)) };
        let begin = path.as_ptr() as usize;
        parameters.extend(matched.params.iter().map(|(_, value)| {
            let offset = value.as_ptr() as usize - begin;
            offset..offset + value.len()
        }));
        *path_number = Some(number);
        Found::Route(RouteId { path: number, method: route })
    }

    pub(crate) fn get_route(&self, id: RouteId) -> &Route {
        let table = &self.tables[id.path];
        match id.method {
            Some(position) => &table.methods[position].1,
            None => table.any.as_ref().expect("found only where there is one"),
        }
    }

    pub(crate) fn parameter_names(&self, path_number: usize) -> &[String] {
        &self.tables[path_number].parameters
    }
}

impl PathTable {
    /// The position of the route for `method`, `Some(None)` if it is the one for any method.
    fn find(&self, method: Method) -> Option<Option<usize>> {
        let exact = |wanted| self.methods.iter().position(|(known, _)| *known == wanted);
        let named = match method {
            Method::Head => exact(Method::Head).or_else(|| exact(Method::Get)),
            method => exact(method),
        };
        named.map(Some).or(self.any.as_ref().map(|_| None))
    }

    /// The answer to a method that the path does not have.
    fn refuse(&self, method: Method) -> Response {
        match method {
            Method::Other | Method::Connect => not_implemented(),
            Method::Options => Response::new(StatusCode::NO_CONTENT).header("Allow", &self.allow()),
            _ => (StatusCode::METHOD_NOT_ALLOWED, "this path does not have that method\n")
                .into_response()
                .header("Allow", &self.allow()),
        }
    }

    /// RFC 9110 section 10.2.1.
    fn allow(&self) -> String {
        let has = |method| self.methods.iter().any(|(known, _)| *known == method);
        let mut names: Vec<&str> = self.methods.iter().map(|(method, _)| method.as_str()).collect();
        if has(Method::Get) && !has(Method::Head) {
            names.push("HEAD");
        }
        if !has(Method::Options) {
            names.push("OPTIONS");
        }
        names.join(", ")
    }
}

fn not_implemented() -> Response {
    (StatusCode::NOT_IMPLEMENTED, "this server does not know that method\n").into_response()
}

/// The names in the braces of a pattern, in order; doubled braces are literal ones.
fn parameter_names(pattern: &str) -> Vec<String> {
    let literal_free = pattern.replace("{{", "").replace("}}", "");
    let inside = |part: &str| Some(part.split_once('}')?.0.trim_start_matches('*').to_owned());
    literal_free.split('{').skip(1).filter_map(inside).collect()
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.tables.iter().map(|table| &table.pattern)).finish()
    }
}
