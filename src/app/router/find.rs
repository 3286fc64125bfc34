//! The way of a request through a router: path, method, route.

use std::{borrow::Cow, ops::Range, sync::Arc};

use matchit::Params;

use super::{Router, encode};
use crate::{
    app::{handler::Route, middleware::Wrap, response::Response},
    http::Head,
};

/// A path and a method that have a route. Only [`Router::find`] makes one, so the route exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RouteId {
    path: usize,
    entry: TableEntry,
}

/// Where in a path's table a route is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableEntry {
    Method(usize),
    Any,
    Refused,
}

/// The result of looking up a request head.
#[derive(Debug)]
pub(crate) enum Found {
    Route(RouteId),
    /// No handler answers the request. This is the answer.
    Answer(Response),
}

impl Router {
    /// Looks up the route of a request. Writes the positions of the path's parameters to `parameters`, and the number of
    /// the path (for [`Router::parameter_names`]) to `path_number`.
    pub(crate) fn find(
        &self,
        head: &Head,
        parameters: &mut Vec<Range<usize>>,
        path_number: &mut Option<usize>,
    ) -> Found {
        let path = if self.has_encoded { encode::path(head.path()) } else { Cow::Borrowed(head.path()) };
        let path = &*path;
        let number = if let Ok(matched) = self.paths.at(path) {
            keep(&matched.params, path, parameters);
            *matched.value
        } else if let Ok(matched) = self.fallbacks.at(path) {
            keep(&matched.params, path, parameters);
            *matched.value
        } else if let Some(fallback) = self.fallback {
            fallback
        } else {
            return Found::Answer(self.refuse_path(head));
        };
        let table = &self.tables[number];
        let Some(entry) = table.find(head) else {
            return Found::Answer(self.refuse_method(head, &table.allow()));
        };
        *path_number = Some(number);
        Found::Route(RouteId { path: number, entry })
    }

    pub(crate) fn get_route(&self, id: RouteId) -> &Route {
        let table = &self.tables[id.path];
        match id.entry {
            TableEntry::Method(position) => &table.methods[position].1,
            TableEntry::Any => {
                table.any.as_ref().expect("`find` returns this entry only if there is a route")
            }
            TableEntry::Refused => {
                table.refused.as_ref().expect("`find` returns this entry only if there is a route")
            }
        }
    }

    /// The method and the pattern of a route, as in `GET /users/{id}`.
    pub(crate) fn describe(&self, id: RouteId) -> String {
        let table = &self.tables[id.path];
        let method = match id.entry {
            TableEntry::Method(position) => table.methods[position].0.as_str(),
            TableEntry::Any | TableEntry::Refused => "any",
        };
        format!("{method} {}", table.pattern)
    }

    /// The wrappers around a route. Without a route: those around the whole router.
    pub(crate) fn wrappers(&self, route: Option<RouteId>) -> &[Arc<dyn Wrap>] {
        match route {
            Some(route) => &self.get_route(route).wrappers,
            None => &self.around_all,
        }
    }

    pub(crate) fn parameter_names(&self, path_number: usize) -> &[String] {
        &self.tables[path_number].parameters
    }
}

/// Notes where in the path the parameters are.
fn keep(found: &Params<'_, '_>, path: &str, parameters: &mut Vec<Range<usize>>) {
    let begin = path.as_ptr().addr();
    parameters.extend(found.iter().map(|(_, value)| {
        let offset = value.as_ptr().addr() - begin;
        offset..offset + value.len()
    }));
}
