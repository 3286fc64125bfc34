//! A router inside of another one. The outer router takes over the tables of the inner one, so a request finds its route
//! in one look, however deep the routers are nested.

use super::{
    Reach, RouteError, Router, encode,
    error::{Problem, Subject},
    table::{Origin, parameter_names},
};

impl Router {
    /// Puts all of `router` below `prefix`: its `/users` answers `/api/users`, and its `/` answers `/api` (not `/api/`,
    /// which is another path). The prefix may have parameters. The handlers see them beside their own.
    /// [`Request::path`](crate::Request::path) is the whole path, as the client sent it.
    ///
    /// `router` keeps its wrappers and its fallback. The fallback answers every path below the prefix for which `router`
    /// has no route. Without a fallback of `router`, the outer router answers these paths.
    ///
    /// ```
    /// use softstop::{middleware::Next, Request, Router, StatusCode};
    ///
    /// let stamped = |request: &Request, next: &Next| next.run(request).header("X-Api", "2");
    /// let api = Router::new()
    ///     .get("/", |_: &Request| "the interface")
    ///     .get("/notes/{note}", |request: &Request| {
    ///         let name = |part| request.param(part).unwrap_or_default();
    ///         format!("note {} of {}", name("note"), name("user"))
    ///     })
    ///     .fallback(|_: &Request| (StatusCode::NOT_FOUND, "{\"error\": \"no such thing\"}"))
    ///     .wrap(stamped);
    /// let router = Router::new().get("/", |_: &Request| "home").nest("/users/{user}", api);
    /// # let _ = router;
    /// ```
    ///
    /// # Panics
    ///
    /// If `router` cannot be added: see [`Router::try_nest`], which returns an error instead.
    #[must_use]
    #[track_caller]
    pub fn nest(mut self, prefix: &str, router: Router) -> Router {
        match self.try_nest(prefix, router) {
            Ok(_) => self,
            Err(error) => panic!("{error}"),
        }
    }

    /// Puts all of `router` below `prefix`, like [`Router::nest`].
    ///
    /// # Errors
    ///
    /// After an error this router is as it was before, and `router` is dropped.
    ///
    /// - The prefix is malformed: it must begin with `/` and not end with `/`.
    /// - This router has one of the paths already, because a path belongs to one router.
    /// - One of the paths conflicts with another one: one segment has two names, or one name is used for two segments.
    /// - There is a fallback for that prefix already.
    pub fn try_nest(&mut self, prefix: &str, router: Router) -> Result<&mut Router, RouteError> {
        let error = |path: &str, problem| RouteError::new(Subject::NestedPath, path, problem);
        if !prefix.starts_with('/') || prefix.ends_with('/') {
            return Err(error(prefix, Problem::NotAPrefix));
        }
        let prefix = &*encode::pattern(prefix).map_err(|problem| error(prefix, problem))?;
        let router = router.finish();
        // All or nothing.
        let before = (self.paths.clone(), self.fallbacks.clone(), self.tables.len());
        for mut table in router.tables {
            let pattern = match &*table.pattern {
                "/" if table.reach == Reach::Path => prefix.to_owned(),
                pattern => format!("{prefix}{pattern}"),
            };
            table.parameters = parameter_names(&pattern);
            table.pattern.clone_from(&pattern);
            table.origin = Origin::Nested;
            if let Err(problem) = self.insert(table) {
                self.paths = before.0;
                self.fallbacks = before.1;
                self.tables.truncate(before.2);
                return Err(error(&pattern, problem));
            }
        }
        for extension in router.extensions {
            self.add_extension(&extension);
        }
        Ok(self)
    }
}
