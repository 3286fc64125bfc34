//! A router finds the handler of a request: `matchit` matches the path, and a short list behind each path the method.
//!
//! | file | what |
//! | --- | --- |
//! | `router.rs` | how a program builds a router |
//! | `router/table.rs` | the routes of one path, by method |
//! | `router/method.rs` | the methods that a route can have |
//! | `router/encode.rs` | patterns in the form in which clients send paths |
//! | `router/nest.rs` | how one router gets into another |
//! | `router/find.rs` | how a request goes through the router |
//! | `router/refuse.rs` | the answers that no handler gives: 404, 405, 501, `OPTIONS` |
//! | `router/error.rs` | why a route cannot be added |

mod encode;
mod error;
mod find;
mod method;
mod nest;
mod refuse;
mod table;

use std::{fmt, sync::Arc};

pub use self::error::RouteError;
pub(crate) use self::find::{Found, RouteId};
use self::{
    error::{Problem, Subject},
    method::RouteMethod,
    table::{Origin, PathTable, Reach},
};
use crate::{
    app::{
        handler::{IntoRoute, Route},
        middleware::Wrap,
    },
    http::Method,
};

/// Paths, methods and the handlers behind them.
///
/// - A path is matched exactly; `{name}` stands for one segment and `{*name}` for the rest of the path. The more specific
///   path wins, in whatever order the paths were added.
/// - A character that cannot stand in a path on the wire may be written as it is or percent-encoded: `/größe` and
///   `/gr%C3%B6%C3%9Fe` are the same path, and match either case of the hexadecimal digits.
/// - A route for `HEAD` answers `HEAD`. Without one, the route for `GET` does, and its content is not sent.
/// - A route for `OPTIONS` answers `OPTIONS`. Without one, the router answers 204 with the methods that the path has.
/// - Any other method that the path does not have is answered 405 with `Allow`.
/// - A path that the router does not have is answered 404. [`Router::fallback`] replaces this answer.
/// - A method that no RFC and no route of the router knows is answered 501.
///
/// [`Router::wrap`] stands around all of these answers, and [`Router::nest`] puts one router into another.
///
/// ```
/// use softstop::{Request, Router};
///
/// let router = Router::new()
///     .get("/", |_: &Request| "home")
///     .get("/users/{id}", |request: &Request| format!("user {}", request.param("id").unwrap_or_default()))
///     .post("/users", |request: &Request| format!("{} bytes", request.body().len()))
///     .route("PURGE", "/users", |_: &Request| "nobody is left");
/// # let _ = router;
/// ```
///
/// `.get("/", |request| ..)` does not compile, because Rust cannot see the type of `request` there. Write
/// `|request: &Request|`, or [`route(|request| ..)`](crate::route()). [`IntoResponse`](crate::IntoResponse) says what a
/// handler can return.
#[derive(Default)]
pub struct Router {
    /// The number of the table of each path.
    paths: matchit::Router<usize>,
    /// The number of the table of each fallback that has a prefix.
    fallbacks: matchit::Router<usize>,
    tables: Vec<PathTable>,
    /// The table of the fallback without a prefix.
    fallback: Option<usize>,
    /// The extension methods that any path has.
    extensions: Vec<Box<str>>,
    /// The innermost first. Empty once the router is finished.
    wrappers: Vec<Arc<dyn Wrap>>,
    /// The same wrappers, once the router is finished. They are told of requests that have no route.
    around_all: Vec<Arc<dyn Wrap>>,
    /// Whether any path is percent-encoded. Only then the case of a client's hexadecimal digits matters.
    has_encoded: bool,
}

impl Router {
    /// A router without any path: it answers 404 to everything.
    #[must_use]
    pub fn new() -> Router {
        Router::default()
    }

    /// Adds a route for `GET`. It also answers `HEAD`, unless the path has a route for [`HEAD`](Router::head).
    ///
    /// # Panics
    ///
    /// Like [`Router::route`].
    #[must_use]
    #[track_caller]
    pub fn get(self, path: &str, route: impl IntoRoute) -> Router {
        self.route(Method::Get, path, route)
    }

    /// Adds a route for `HEAD`, in place of the one for `GET`: for a program that knows the fields of the response without
    /// making its content. The client gets the head of the response only.
    ///
    /// # Panics
    ///
    /// Like [`Router::route`].
    #[must_use]
    #[track_caller]
    pub fn head(self, path: &str, route: impl IntoRoute) -> Router {
        self.route(Method::Head, path, route)
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

    /// Adds a route for `PATCH`.
    ///
    /// # Panics
    ///
    /// Like [`Router::route`].
    #[must_use]
    #[track_caller]
    pub fn patch(self, path: &str, route: impl IntoRoute) -> Router {
        self.route(Method::Patch, path, route)
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

    /// Adds a route for `OPTIONS`, in place of the router's own answer.
    ///
    /// # Panics
    ///
    /// Like [`Router::route`].
    #[must_use]
    #[track_caller]
    pub fn options(self, path: &str, route: impl IntoRoute) -> Router {
        self.route(Method::Options, path, route)
    }

    /// Adds a route for a method: a [`Method`], or the name of any other method, such as `"PURGE"`. Names of methods have
    /// case.
    ///
    /// ```
    /// use softstop::{Method, Router, route};
    ///
    /// let router = Router::new()
    ///     .route(Method::Trace, "/", route(|request| format!("{} {}", request.method_str(), request.path())))
    ///     .route("PURGE", "/cache/{key}", route(|_| ()));
    /// # let _ = router;
    /// ```
    ///
    /// # Panics
    ///
    /// If the route cannot be added: see [`Router::try_route`], which returns an error instead.
    #[must_use]
    #[track_caller]
    pub fn route(mut self, method: impl AsRef<str>, path: &str, route: impl IntoRoute) -> Router {
        match self.try_route(method, path, route) {
            Ok(_) => self,
            Err(error) => panic!("{error}"),
        }
    }

    /// Adds a route for every method for which the path has no other route, extension methods included.
    ///
    /// # Panics
    ///
    /// Like [`Router::route`].
    #[must_use]
    #[track_caller]
    pub fn any(mut self, path: &str, route: impl IntoRoute) -> Router {
        match self.add_any(path, route.into_route()) {
            Ok(()) => self,
            Err(problem) => panic!("{}", RouteError::new(Subject::AnyMethod, path, problem)),
        }
    }

    /// Adds a route for a method, like [`Router::route`]: for paths that do not stand in the program.
    ///
    /// ```
    /// use softstop::{Router, route, routing::RouteError};
    ///
    /// fn router(greetings: &[(String, String)]) -> Result<Router, RouteError> {
    ///     let mut router = Router::new();
    ///     for (path, greeting) in greetings {
    ///         let greeting = greeting.clone();
    ///         router.try_route("GET", path, route(move |_| greeting.clone()).inline())?;
    ///     }
    ///     Ok(router)
    /// }
    /// # let greeting = |path: &str| (path.to_owned(), "hello".to_owned());
    /// # assert!(router(&[greeting("/a"), greeting("/b")]).is_ok());
    /// # assert!(router(&[greeting("/a"), greeting("/a")]).is_err_and(|error| error.is_conflict()));
    /// ```
    ///
    /// # Errors
    ///
    /// After an error the router is as it was before, and `route` is dropped.
    ///
    /// - The path is malformed: it must begin with `/`, braces hold a name, and a query is no part of it.
    /// - The path conflicts with another one: the same segment has two names.
    /// - The router has the route already.
    /// - `method` is no method, or [`Method::Other`] (which [`Router::any`] takes), or [`Method::Connect`] (whose requests
    ///   have no path).
    pub fn try_route(
        &mut self,
        method: impl AsRef<str>,
        path: &str,
        route: impl IntoRoute,
    ) -> Result<&mut Router, RouteError> {
        let name = method.as_ref();
        match RouteMethod::parse(name).and_then(|method| self.add(method, path, route.into_route())) {
            Ok(()) => Ok(self),
            Err(problem) => Err(RouteError::new(Subject::Method(name.to_owned()), path, problem)),
        }
    }

    /// Puts `wrapper` around every answer of this router, in whatever order routes are added and this method is called:
    ///
    /// - its routes and its fallback,
    /// - the routers that are [nested](Router::nest) in it,
    /// - the answers that it gives without any handler (404, 405, 501, and those to `OPTIONS`).
    ///
    /// Of several wrappers, the one that was added last is the outermost: it sees a request first and its response last.
    /// The wrappers of a nested router and of a [single route](crate::routing::Route::wrap) are inside of those of this router.
    ///
    /// A wrapper runs where its route runs. Around an answer without any handler it runs on the worker pool, unless all
    /// routes of the router are [inline](crate::routing::Route::inline). Then it runs on the loop anyway.
    ///
    /// ```
    /// use softstop::{middleware::{Next, access_log}, Request, Router};
    ///
    /// let version = |request: &Request, next: &Next| next.run(request).header("X-Version", "7");
    /// let router = Router::new().wrap(version).wrap(access_log()).get("/", |_: &Request| "home");
    /// # let _ = router;
    /// ```
    ///
    /// [`Wrap`] has more examples.
    #[must_use]
    pub fn wrap(mut self, wrapper: impl Wrap) -> Router {
        self.wrappers.push(Arc::new(wrapper));
        self
    }

    /// Answers every request for which the router has no path, whatever its method, and `OPTIONS *` too. Without this
    /// method the answer is 404. A method that a known path does not have is still answered 405.
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
    /// If the router has a fallback already.
    #[must_use]
    #[track_caller]
    pub fn fallback(mut self, route: impl IntoRoute) -> Router {
        assert!(self.fallback.is_none(), "the router has a fallback already: give each router one");
        self.fallback = Some(self.tables.len());
        self.tables.push(PathTable { any: Some(route.into_route()), ..PathTable::new(Reach::Below, "") });
        self
    }

    fn add(&mut self, method: RouteMethod, path: &str, route: Route) -> Result<(), Problem> {
        let table = self.table(path)?;
        if table.methods.iter().any(|(known, _)| *known == method) {
            return Err(Problem::HasRoute);
        }
        table.methods.push((method.clone(), route));
        if let RouteMethod::Extension(name) = method {
            self.add_extension(&name);
        }
        Ok(())
    }

    fn add_any(&mut self, path: &str, route: Route) -> Result<(), Problem> {
        let table = self.table(path)?;
        if table.any.is_some() {
            return Err(Problem::HasRoute);
        }
        table.any = Some(route);
        Ok(())
    }

    fn add_extension(&mut self, name: &str) {
        if !self.extensions.iter().any(|known| **known == *name) {
            self.extensions.push(name.into());
        }
    }

    /// The table of a path, which is made if there is none.
    fn table(&mut self, path: &str) -> Result<&mut PathTable, Problem> {
        let pattern = encode::pattern(path)?;
        let known = |table: &PathTable| table.reach == Reach::Path && table.pattern == pattern;
        let number = match self.tables.iter().position(known) {
            Some(known) if self.tables[known].origin == Origin::Nested => return Err(Problem::IsNested),
            Some(known) => known,
            None => self.insert(PathTable::new(Reach::Path, &pattern))?,
        };
        Ok(&mut self.tables[number])
    }

    /// Adds a table, and returns its number. After an error of [`Reach::Below`] a part of its patterns may be left.
    fn insert(&mut self, table: PathTable) -> Result<usize, Problem> {
        use matchit::InsertError;

        let (number, pattern) = (self.tables.len(), &table.pattern);
        if !pattern.starts_with('/') && table.reach == Reach::Path {
            return Err(Problem::NoLeadingSlash);
        }
        let parameters = &table.parameters;
        let is_duplicate = |(position, name)| parameters[..position].contains(name);
        if let Some((_, name)) = parameters.iter().enumerate().find(|parameter| is_duplicate(*parameter)) {
            return Err(Problem::DuplicateParameter(name.clone()));
        }
        match table.reach {
            Reach::Path => match self.paths.insert(pattern, number) {
                Ok(()) => {}
                Err(InsertError::Conflict { with }) if with == *pattern => return Err(Problem::HasPath),
                Err(error) => return Err(error.into()),
            },
            Reach::Below => {
                // `{*below}` matches no empty rest, so the prefix itself needs patterns too.
                for end in ["", "/", "/{*below}"] {
                    match self.fallbacks.insert(format!("{pattern}{end}"), number) {
                        Ok(()) => {}
                        Err(InsertError::Conflict { .. }) => return Err(Problem::HasFallback),
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
        self.has_encoded |= table.pattern.contains('%');
        self.tables.push(table);
        Ok(number)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths = self.tables.iter().filter(|table| table.reach == Reach::Path);
        f.debug_list().entries(paths.map(|table| &table.pattern)).finish()
    }
}
