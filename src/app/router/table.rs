//! The routes of one path, by method.

use std::sync::Arc;

use super::{find::TableEntry, method::RouteMethod};
use crate::{
    app::{handler::Route, middleware::Wrap},
    http::{Head, Method},
};

/// The routes behind one path, or below it.
pub(super) struct PathTable {
    pub(super) reach: Reach,
    pub(super) pattern: String,
    /// The names in the pattern's braces, in order.
    pub(super) parameters: Vec<String>,
    pub(super) methods: Vec<(RouteMethod, Route)>,
    /// For every method that is not in `methods`.
    pub(super) any: Option<Route>,
    /// Refuses every method that is not in `methods`, inside of the router's wrappers. None without wrappers, because
    /// the router then makes the answer itself.
    pub(super) refused: Option<Route>,
    pub(super) origin: Origin,
}

/// Which paths a table is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Exactly the path.
    Path,
    /// The path and every path below it that has no table of its own: for a fallback.
    Below,
}

/// Which router the caller added a table to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// This one.
    Own,
    /// A nested one, whose wrappers are around the table's routes already.
    Nested,
}

impl PathTable {
    pub(super) fn new(reach: Reach, pattern: &str) -> PathTable {
        PathTable {
            reach,
            pattern: pattern.to_owned(),
            parameters: parameter_names(pattern),
            methods: Vec::new(),
            any: None,
            refused: None,
            origin: Origin::Own,
        }
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.methods.iter().map(|(_, route)| route).chain(&self.any).chain(&self.refused)
    }

    /// Where the route for the method of `head` is. A route for `HEAD` comes before the one for `GET`.
    pub(super) fn find(&self, head: &Head) -> Option<TableEntry> {
        let known = |wanted| self.methods.iter().position(|(method, _)| method.is(wanted));
        let named = match head.method() {
            Method::Head => known(Method::Head).or_else(|| known(Method::Get)),
            Method::Other => {
                self.methods.iter().position(|(method, _)| method.is_extension(head.method_str()))
            }
            method => known(method),
        };
        let any = || self.any.as_ref().map(|_| TableEntry::Any);
        let refused = || self.refused.as_ref().map(|_| TableEntry::Refused);
        named.map(TableEntry::Method).or_else(any).or_else(refused)
    }

    /// The value of the `Allow` field (RFC 9110 section 10.2.1).
    pub(super) fn allow(&self) -> String {
        let has = |wanted| self.methods.iter().any(|(method, _)| method.is(wanted));
        let mut names: Vec<&str> = self.methods.iter().map(|(method, _)| method.as_str()).collect();
        if has(Method::Get) && !has(Method::Head) {
            names.push("HEAD");
        }
        if !has(Method::Options) {
            names.push("OPTIONS");
        }
        names.join(", ")
    }

    /// Puts a wrapper around every route.
    pub(super) fn wrap(&mut self, wrapper: &Arc<dyn Wrap>) {
        let wrapped = |route: Route| route.wrap_shared(Arc::clone(wrapper));
        let methods = std::mem::take(&mut self.methods);
        self.methods = methods.into_iter().map(|(method, route)| (method, wrapped(route))).collect();
        self.any = self.any.take().map(wrapped);
        self.refused = self.refused.take().map(wrapped);
    }
}

/// The names in the braces of a pattern, in order. Doubled braces are literal ones.
pub(super) fn parameter_names(pattern: &str) -> Vec<String> {
    let literal_free = pattern.replace("{{", "").replace("}}", "");
    let inside = |part: &str| Some(part.split_once('}')?.0.trim_start_matches('*').to_owned());
    literal_free.split('{').skip(1).filter_map(inside).collect()
}
