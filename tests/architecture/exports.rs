//! The public API names no type of another crate except the standard library. A new major version of a dependency is
//! therefore no breaking change of this crate.
//!
//! The test looks at every item that is `pub` without a restriction, whether or not the crate's root exports it. A type
//! therefore counts before it is exported. The test does not see items that a macro makes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use syn::{
    Fields, GenericParam, ImplItem, Item, ItemImpl, TraitItem, Type, UseTree, Visibility,
    visit::{self, Visit},
};

use super::source::{Segments, Source, Target, attributes, is_for_tests, library_files, module_of};

/// The name of another crate in a public item: the crate, the item, the file, and the full path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Foreign {
    krate: String,
    item: String,
    file: String,
    path: String,
}

/// Crates that the public API may name: the crate, the file, and the reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "serde",
        "src/serialize.rs",
        "with the feature serde the reports implement serde's trait, which is stable since 1.0",
    ),
    ("serde", "src/serialize/progress.rs", "the progress of a stop is serialisable like its report"),
    (
        "crossbeam_channel",
        "src/stop/context.rs",
        "Context::done is for its select!, which takes no other receivers",
    ),
];

/// The roots of paths that every Rust program has.
const STANDARD: &[&str] = &["std", "core", "alloc", "Self"];

struct Exports<'a> {
    source: &'a Source,
    public_types: BTreeSet<(Segments, String)>,
    found: BTreeSet<Foreign>,
}

impl Exports<'_> {
    fn of(source: &Source, files: &[(String, String)]) -> BTreeSet<Foreign> {
        let mut modules = BTreeMap::new();
        for (file, text) in files {
            let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
            flatten(module_of(file), &format!("src/{file}"), parsed.items, &mut modules);
        }
        let mut exports = Exports { source, public_types: BTreeSet::new(), found: BTreeSet::new() };
        for (module, (_, items)) in &modules {
            for item in items {
                if let Some((Visibility::Public(_), name)) = type_of(item) {
                    exports.public_types.insert((module.clone(), name));
                }
            }
        }
        for (module, (file, items)) in &modules {
            items.iter().for_each(|item| exports.item(module, file, item));
        }
        exports.found
    }

    fn item(&mut self, module: &Segments, file: &str, item: &Item) {
        let mut place =
            Place { exports: self, module, file, item: String::new(), parameters: BTreeSet::new() };
        let is_public = |visibility: &Visibility| matches!(visibility, Visibility::Public(_));
        match item {
            Item::Use(item) if is_public(&item.vis) => place.exported_again(&Vec::new(), &item.tree),
            Item::Struct(item) if is_public(&item.vis) => {
                place.enter(&item.ident, &item.generics);
                place.fields(&item.fields);
            }
            Item::Enum(item) if is_public(&item.vis) => {
                place.enter(&item.ident, &item.generics);
                item.variants.iter().for_each(|variant| place.visit_fields(&variant.fields));
            }
            Item::Type(item) if is_public(&item.vis) => {
                place.enter(&item.ident, &item.generics);
                place.visit_type(&item.ty);
            }
            Item::Const(item) if is_public(&item.vis) => {
                place.enter(&item.ident, &item.generics);
                place.visit_type(&item.ty);
            }
            Item::Static(item) if is_public(&item.vis) => {
                place.enter(&item.ident, &syn::Generics::default());
                place.visit_type(&item.ty);
            }
            Item::Fn(item) if is_public(&item.vis) => {
                place.enter(&item.sig.ident, &item.sig.generics);
                place.visit_signature(&item.sig);
            }
            Item::Trait(item) if is_public(&item.vis) => {
                place.enter(&item.ident, &item.generics);
                item.supertraits.iter().for_each(|bound| place.visit_type_param_bound(bound));
                for inner in &item.items {
                    match inner {
                        TraitItem::Fn(method) => place.signature(&method.sig),
                        TraitItem::Type(inner) => place.visit_trait_item_type(inner),
                        TraitItem::Const(inner) => place.visit_type(&inner.ty),
                        _ => {}
                    }
                }
            }
            Item::Impl(item) => place.implementation(item),
            _ => {}
        }
    }

    fn is_public_type(&self, module: &Segments, of: &Type) -> bool {
        let of = if let Type::Reference(reference) = of { &*reference.elem } else { of };
        let Type::Path(path) = of else { return false };
        match self.source.resolve(module, &segments(&path.path)) {
            Some(Target::Here { module, name, .. }) => self.public_types.contains(&(module, name)),
            // The implemented type is another crate's, as in `impl OurTrait for theirs::Type`, or a type parameter.
            Some(Target::Elsewhere(_)) | None => true,
        }
    }
}

/// The public item that is being looked through. The names in `parameters` are its type parameters, and name no type of
/// a crate.
struct Place<'a, 'b> {
    exports: &'a mut Exports<'b>,
    module: &'a Segments,
    file: &'a str,
    item: String,
    parameters: BTreeSet<String>,
}

impl Place<'_, '_> {
    fn enter(&mut self, name: impl ToString, generics: &syn::Generics) {
        self.item = name.to_string();
        self.parameters(generics);
        self.visit_generics(generics);
    }

    fn parameters(&mut self, generics: &syn::Generics) {
        self.parameters.extend(generics.params.iter().filter_map(|parameter| match parameter {
            GenericParam::Type(parameter) => Some(parameter.ident.to_string()),
            _ => None,
        }));
    }

    /// Looks only at the public fields of a struct.
    fn fields(&mut self, fields: &Fields) {
        for field in fields.iter().filter(|field| matches!(field.vis, Visibility::Public(_))) {
            self.visit_type(&field.ty);
        }
    }

    fn signature(&mut self, signature: &syn::Signature) {
        let (item, parameters) = (self.item.clone(), self.parameters.clone());
        self.item = format!("{item}::{}", signature.ident);
        self.parameters(&signature.generics);
        self.visit_signature(signature);
        (self.item, self.parameters) = (item, parameters);
    }

    fn implementation(&mut self, item: &ItemImpl) {
        if !self.exports.is_public_type(self.module, &item.self_ty) {
            return;
        }
        let own = if let Type::Path(path) = &*item.self_ty {
            segments(&path.path).join("::")
        } else {
            "_".to_owned()
        };
        match &item.trait_ {
            // The trait defines the signatures of these methods.
            Some((_, of, _)) => {
                self.enter(format!("impl {} for {own}", segments(of).join("::")), &item.generics);
                self.visit_path(of);
                self.visit_type(&item.self_ty);
                for inner in &item.items {
                    if let ImplItem::Type(inner) = inner {
                        self.visit_type(&inner.ty);
                    }
                }
            }
            None => {
                self.enter(own, &item.generics);
                for inner in &item.items {
                    match inner {
                        ImplItem::Fn(method) if matches!(method.vis, Visibility::Public(_)) => {
                            self.signature(&method.sig);
                        }
                        ImplItem::Const(inner) if matches!(inner.vis, Visibility::Public(_)) => {
                            self.visit_type(&inner.ty);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn exported_again(&mut self, prefix: &Segments, tree: &UseTree) {
        let with = |name: &syn::Ident| [prefix.clone(), vec![name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.exported_again(&with(&path.ident), &path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.exported_again(prefix, tree)),
            UseTree::Glob(_) => self.named(&[prefix.clone(), vec!["*".to_owned()]].concat()),
            UseTree::Name(name) => self.named(&with(&name.ident)),
            UseTree::Rename(rename) => self.named(&with(&rename.ident)),
        }
    }

    fn named(&mut self, path: &Segments) {
        let is_parameter = path.first().is_some_and(|first| self.parameters.contains(first));
        let Some(Target::Elsewhere(target)) = self.exports.source.resolve(self.module, path) else { return };
        let Some(krate) = target.first() else { return };
        if !is_parameter && !STANDARD.contains(&krate.as_str()) {
            let item = if self.item.is_empty() { "pub use".to_owned() } else { self.item.clone() };
            self.exports.found.insert(Foreign {
                krate: krate.clone(),
                item,
                file: self.file.to_owned(),
                path: target.join("::"),
            });
        }
    }
}

impl<'ast> Visit<'ast> for Place<'_, '_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.named(&segments(path));
        visit::visit_path(self, path);
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    /// A pattern or an expression in a signature, such as a length, is not a type.
    fn visit_expr(&mut self, _: &'ast syn::Expr) {}
}

fn segments(path: &syn::Path) -> Segments {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

/// Adds a file's module, and the modules inside that module.
fn flatten(
    module: Segments,
    file: &str,
    items: Vec<Item>,
    into: &mut BTreeMap<Segments, (String, Vec<Item>)>,
) {
    // The module `internals` is for the benchmarks and is no API.
    if module.first().is_some_and(|first| first == "internals") {
        return;
    }
    let (mut own, mut inline) = (Vec::new(), Vec::new());
    for item in items.into_iter().filter(|item| !is_for_tests(attributes(item))) {
        match item {
            Item::Mod(item) if item.content.is_some() => inline.push(item),
            item => own.push(item),
        }
    }
    for item in inline {
        let (_, items) = item.content.unwrap();
        flatten([module.clone(), vec![item.ident.to_string()]].concat(), file, items, into);
    }
    into.insert(module, (file.to_owned(), own));
}

fn type_of(item: &Item) -> Option<(&Visibility, String)> {
    match item {
        Item::Struct(item) => Some((&item.vis, item.ident.to_string())),
        Item::Enum(item) => Some((&item.vis, item.ident.to_string())),
        Item::Trait(item) => Some((&item.vis, item.ident.to_string())),
        _ => None,
    }
}

/// Computed once for all tests, because the computation takes a moment.
static IN_THIS_CRATE: LazyLock<BTreeSet<Foreign>> =
    LazyLock::new(|| Exports::of(&Source::of_this_crate(), &library_files()));

fn is_excepted(foreign: &Foreign) -> bool {
    EXCEPTIONS.iter().any(|(krate, file, _)| foreign.krate == *krate && foreign.file == *file)
}

#[test]
fn the_public_api_names_no_type_of_another_crate() {
    let found: Vec<&Foreign> = IN_THIS_CRATE.iter().filter(|foreign| !is_excepted(foreign)).collect();
    let lines: Vec<String> =
        found.iter().map(|Foreign { item, file, path, .. }| format!("{file}: {item} names {path}")).collect();
    assert!(found.is_empty(), "{} public items name other crates:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn every_crate_that_is_excepted_is_named() {
    for (krate, file, _) in EXCEPTIONS {
        let is_needed = IN_THIS_CRATE.iter().any(|foreign| foreign.krate == *krate && foreign.file == *file);
        assert!(is_needed, "{krate} is not named in {file} any more: remove the exception");
    }
}

fn planted(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<(String, String)> =
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let source = Source::parse(files.clone());
    Exports::of(&source, &files)
        .into_iter()
        .map(|Foreign { item, path, .. }| format!("{item}: {path}"))
        .collect()
}

#[test]
fn a_planted_foreign_type_is_found_wherever_a_signature_can_have_one() {
    let found = planted(&[(
        "lib.rs",
        "use mio::{Token, event::Source as Events}; use std::io;
         pub struct Field(pub Vec<Token>, Token); pub enum Variant { A { token: Option<Token> } }
         pub fn argument(_: impl Fn(&Token) -> io::Result<()>) {} pub fn result() -> httparse::Error { todo!() }
         pub type Alias = Token; pub const CONSTANT: Token = Token(0);
         pub trait Trait: Events { fn method(&self) -> Token; type Of: Into<Token>; }
         impl Variant { pub fn of(&self) -> Token { todo!() } fn private(&self) -> Token { todo!() } }
         impl From<Token> for Variant { fn from(_: Token) -> Self { todo!() } }
         impl Events for Variant {} pub fn bound<T>() where T: Into<Token> {} pub use mio::Poll;",
    )]);
    let expected = [
        "Alias: mio::Token",
        "CONSTANT: mio::Token",
        "Field: mio::Token",
        "Trait: mio::Token",
        "Trait: mio::event::Source",
        "Trait::method: mio::Token",
        "Variant: mio::Token",
        "Variant::of: mio::Token",
        "argument: mio::Token",
        "bound: mio::Token",
        "impl Events for Variant: mio::event::Source",
        "impl From for Variant: mio::Token",
        "pub use: mio::Poll",
        "result: httparse::Error",
    ];
    assert_eq!(BTreeSet::from_iter(found.iter().map(String::as_str)), BTreeSet::from(expected));
}

#[test]
fn what_is_private_standard_or_ours_is_not_found() {
    let found = planted(&[
        (
            "lib.rs",
            "mod net; pub use net::Peer; pub fn of<T: Iterator>(_: T::Item) -> std::io::Result<Peer> { todo!() }",
        ),
        (
            "net.rs",
            "use mio::Token; pub struct Peer(Token); pub(crate) struct Inner(pub Token);
             impl Inner { pub fn token(&self) -> Token { todo!() } } impl From<Token> for Inner {}
             impl Peer { pub(crate) fn token(&self) -> Token { todo!() } pub fn other() -> Self { todo!() } }
             impl Iterator for Peer { type Item = u8; fn next(&mut self) -> Option<Self::Item> { None } }
             #[cfg(test)] mod tests { pub fn of() -> mio::Token { todo!() } }",
        ),
    ]);
    assert_eq!(found, [""; 0]);
}
