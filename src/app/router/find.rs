//! The way of a request through a router: path, method, route.

use std::{borrow::Cow, ops::Range, sync::Arc};

use matchit::Params;

use super::{PathTable, Router, encode, refuse};
use crate::{
    app::{handler::Route, middleware::Wrap, response::Response},
    http::{Head, Method},
};

/// A path and a method that have a route: made by [`Router::find`] only, so that what it points at is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RouteId {
    path: usize,
    place: Place,
}

/// Where in a path's table a route is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Method(usize),
    Any,
    Refused,
}

/// What a router makes of a request head.
#[derive(Debug)]
pub(crate) enum Found {
    Route(RouteId),
    /// No handler: this is the answer.
    Answer(Response),
}

impl Router {
    /// The route of a request. Where its path's parameters stand is written to `parameters`, the path's number (for
    /// [`Router::parameter_names`]) to `path_number`.
    pub(crate) fn find(
        &self,
        head: &Head,
        parameters: &mut Vec<Range<usize>>,
        path_number: &mut Option<usize>,
    ) -> Found {
        let method = head.method();
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
            return Found::Answer(refuse::path(method, path));
        };
        let table = &self.tables[number];
        let Some(place) = table.find(method) else {
            return Found::Answer(refuse::method(method, &table.allow()));
        };
        *path_number = Some(number);
        Found::Route(RouteId { path: number, place })
    }

    pub(crate) fn get_route(&self, id: RouteId) -> &Route {
        let table = &self.tables[id.path];
        match id.place {
            Place::Method(position) => &table.methods[position].1,
            Place::Any => table.any.as_ref().expect("found only where there is one"),
            Place::Refused => table.refused.as_ref().expect("found only where there is one"),
        }
    }

    /// What stands around a route, or around everything.
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

impl PathTable {
    /// Where the route for `method` is.
    fn find(&self, method: Method) -> Option<Place> {
        let exact = |wanted| self.methods.iter().position(|(known, _)| *known == wanted);
        let named = match method {
            Method::Head => exact(Method::Head).or_else(|| exact(Method::Get)),
            method => exact(method),
        };
        let any = || self.any.as_ref().map(|_| Place::Any);
        let refused = || self.refused.as_ref().map(|_| Place::Refused);
        named.map(Place::Method).or_else(any).or_else(refused)
    }
}
