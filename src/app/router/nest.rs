//! A router inside of another one. It is dissolved into it: a request finds its route in one look, however deep.

use std::sync::Arc;

use super::{PathTable, Reach, RouteError, Router, encode, parameter_names};
use crate::app::{handler::Route, middleware::Wrap};

impl Router {
    /// Puts all of `router` below `prefix`: its `/users` answers `/api/users`, and its `/` answers `/api` (not `/api/`,
    /// which is another path). The prefix may have parameters, which its handlers see beside their own.
    /// [`Request::path`](crate::Request::path) is the whole path, as the client sent it.
    ///
    /// What stands around `router` stays with it, and so does its fallback: it answers whatever is below the prefix and has
    /// no route in the whole of the router. Without one, that falls to the outer router.
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
    /// If it cannot be added: see [`Router::try_nest`], which says so without a panic.
    #[must_use]
    #[track_caller]
    pub fn nest(self, prefix: &str, router: Router) -> Router {
        match self.try_nest(prefix, router) {
            Ok(router) => router,
            Err(error) => panic!("{error}"),
        }
    }

    /// Puts all of `router` below `prefix`.
    ///
    /// # Errors
    ///
    /// If the prefix is malformed (it must begin with `/` and not end with one), if one of the paths is there already, as
    /// one path belongs to one router, or conflicts with one that is (the same segment under two names, one name for
    /// two segments), or if there is a fallback for that prefix already.
    pub fn try_nest(mut self, prefix: &str, router: Router) -> Result<Router, RouteError> {
        if !prefix.starts_with('/') || prefix.ends_with('/') {
            let message =
                format!("the prefix {prefix:?} is not a path to nest below: it is to look like \"/api\"");
            return Err(RouteError(message));
        }
        let prefix = &*encode::pattern(prefix)?;
        for mut table in router.finish().tables {
            let pattern = match &*table.pattern {
                "/" if table.reach == Reach::Path => prefix.to_owned(),
                pattern => format!("{prefix}{pattern}"),
            };
            table.parameters = parameter_names(&pattern);
            table.pattern = pattern;
            table.nested = true;
            self.insert(table)?;
        }
        Ok(self)
    }
}

impl PathTable {
    /// Puts a wrapper around every route.
    pub(super) fn wrap(&mut self, wrapper: &Arc<dyn Wrap>) {
        let wrapped = |route: Route| route.wrap_shared(Arc::clone(wrapper));
        let methods = std::mem::take(&mut self.methods);
        self.methods = methods.into_iter().map(|(method, route)| (method, wrapped(route))).collect();
        self.any = self.any.take().map(wrapped);
        self.refused = self.refused.take().map(wrapped);
    }
}
