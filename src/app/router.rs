//! Which handler a request belongs to: paths are matched by `matchit`, methods by a short list behind each path. How a
//! router is put together is here; `find` is how a request goes through it, and `nest` how one gets into another.

mod encode;
mod find;
mod nest;
mod refuse;

use std::{fmt, sync::Arc};

pub(crate) use self::find::{Found, RouteId};

use crate::{
    app::{
        handler::{IntoRoute, Route},
        middleware::Wrap,
    },
    http::Method,
};

/// Paths, methods and the handlers behind them.
///
/// A path is matched exactly; `{name}` stands for one segment and `{*name}` for all that is left. The more specific
/// path wins, in whatever order they were added. What cannot stand in a path on the wire may be written as it is or
/// percent-encoded: `/größe` and `/gr%C3%B6%C3%9Fe` are the same path, and match either case of the hexadecimal digits.
/// `HEAD` is answered by the `GET` handler, without its content;
/// `OPTIONS` with the methods that the path has. A path that nobody has is answered 404, a known one with another
/// method 405 and `Allow`, a method that no RFC knows 501. [`Router::fallback`] takes the place of the 404,
/// [`Router::wrap`] stands around all of it, and [`Router::nest`] puts one router into another.
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
    /// Both lead to the number of a table.
    paths: matchit::Router<usize>,
    fallbacks: matchit::Router<usize>,
    tables: Vec<PathTable>,
    /// The table for what nothing else is for.
    fallback: Option<usize>,
    /// The innermost first. None any more once the router is finished.
    wrappers: Vec<Arc<dyn Wrap>>,
    /// The same wrappers, once the router is finished: they are told of requests that have no route.
    around_all: Vec<Arc<dyn Wrap>>,
    /// Whether any path is percent-encoded: only then the case of a client's hexadecimal digits matters.
    has_encoded: bool,
}

/// What there is behind one path, or below it.
struct PathTable {
    reach: Reach,
    pattern: String,
    parameters: Vec<String>,
    methods: Vec<(Method, Route)>,
    any: Option<Route>,
    /// Refuses the methods that are not there, where it takes more than a look to do so: behind wrappers.
    refused: Option<Route>,
    /// Whether it came with a nested router, whose wrappers are around what it has.
    nested: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Exactly the path.
    Path,
    /// The path and whatever is below it, as far as nobody has it: for a fallback.
    Below,
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
    /// If the path is malformed (it must begin with `/`; braces hold a name; a query is no part of it), if it conflicts with another path (the
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

    /// Puts `wrapper` around everything that this router answers: its routes, in whatever order they are added and this
    /// is called, the routers that are [nested](Router::nest) in it, its fallback, and the answers that it gives without
    /// any handler (404, 405, 501, and those to `OPTIONS`). Of several, the one that was added last is the outermost: it
    /// sees a request first and its response last. What stands around a nested router or a
    /// [single route](crate::routing::Route::wrap) is inside of what stands around the router.
    ///
    /// A wrapper runs where its route runs. Around an answer without any handler it runs on the worker pool, unless all
    /// routes of the router are [inline](crate::routing::Route::inline): then it is made for the loop anyway.
    ///
    /// ```
    /// use softstop::{middleware::{Next, access_log}, Request, Router};
    ///
    /// let version = |request: &Request, next: &Next| next.run(request).header("X-Version", "7");
    /// let router = Router::new().wrap(version).wrap(access_log()).get("/", |_: &Request| "home");
    /// # let _ = router;
    /// ```
    ///
    /// There is more that one can do with it at [`Wrap`].
    #[must_use]
    pub fn wrap(mut self, wrapper: impl Wrap) -> Router {
        self.wrappers.push(Arc::new(wrapper));
        self
    }

    /// Answers what has no path here, instead of the 404: whatever its method, and `OPTIONS *` too. A known path with a
    /// method that it does not have is still answered 405.
    ///
    /// ```
    /// use softstop::{Request, Router, StatusCode};
    ///
    /// let router = Router::new()
    ///     .get("/", |_: &Request| "home")
    ///     .fallback(|request: &Request| (StatusCode::NOT_FOUND, format!("no {} here\n", request.path())));
    /// # let _ = router;
    /// ```
    ///
    /// # Panics
    ///
    /// If it has one already.
    #[must_use]
    #[track_caller]
    pub fn fallback(mut self, route: impl IntoRoute) -> Router {
        assert!(self.fallback.is_none(), "the router has a fallback already: a path can only fall once");
        self.fallback = Some(self.tables.len());
        self.tables.push(PathTable { any: Some(route.into_route()), ..PathTable::new(Reach::Below, "") });
        self
    }

    fn table(&mut self, path: &str) -> Result<&mut PathTable, RouteError> {
        let pattern = encode::pattern(path)?;
        let known = |table: &PathTable| table.reach == Reach::Path && table.pattern == pattern;
        let number = match self.tables.iter().position(known) {
            Some(known) if self.tables[known].nested => {
                return Err(RouteError(format!(
                    "the path {path:?} belongs to a nested router: add the route there"
                )));
            }
            Some(known) => known,
            None => self.insert(PathTable::new(Reach::Path, &pattern))?,
        };
        Ok(&mut self.tables[number])
    }

    /// Adds a path, or what is below one: its number.
    fn insert(&mut self, table: PathTable) -> Result<usize, RouteError> {
        let (number, pattern) = (self.tables.len(), &table.pattern);
        let cannot = |error: &dyn fmt::Display| {
            Err(RouteError(format!("the path {pattern:?} cannot be added: {error}")))
        };
        if !pattern.starts_with('/') && table.reach == Reach::Path {
            return Err(RouteError(format!("the path {pattern:?} does not begin with a slash")));
        }
        let parameters = &table.parameters;
        let is_doubled = |(position, name)| parameters[..position].contains(name);
        if let Some((_, name)) = parameters.iter().enumerate().find(|parameter| is_doubled(*parameter)) {
            return cannot(&format_args!("it has two parameters named {name:?}"));
        }
        match table.reach {
            Reach::Path => {
                if let Err(error) = self.paths.insert(pattern, number) {
                    return cannot(&error);
                }
            }
            Reach::Below if pattern.is_empty() => self.fallback = Some(number),
            Reach::Below => {
                // What takes the rest of a path does not take an empty rest.
                for end in ["", "/", "/{*below}"] {
                    if let Err(error) = self.fallbacks.insert(format!("{pattern}{end}"), number) {
                        return cannot(&error);
                    }
                }
            }
        }
        self.has_encoded |= table.pattern.contains('%');
        self.tables.push(table);
        Ok(number)
    }
}

impl PathTable {
    fn new(reach: Reach, pattern: &str) -> PathTable {
        PathTable {
            reach,
            pattern: pattern.to_owned(),
            parameters: parameter_names(pattern),
            methods: Vec::new(),
            any: None,
            refused: None,
            nested: false,
        }
    }

    fn routes(&self) -> impl Iterator<Item = &Route> {
        self.methods.iter().map(|(_, route)| route).chain(&self.any).chain(&self.refused)
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

/// The names in the braces of a pattern, in order; doubled braces are literal ones.
fn parameter_names(pattern: &str) -> Vec<String> {
    let literal_free = pattern.replace("{{", "").replace("}}", "");
    let inside = |part: &str| Some(part.split_once('}')?.0.trim_start_matches('*').to_owned());
    literal_free.split('{').skip(1).filter_map(inside).collect()
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths = self.tables.iter().filter(|table| table.reach == Reach::Path);
        f.debug_list().entries(paths.map(|table| &table.pattern)).finish()
    }
}
