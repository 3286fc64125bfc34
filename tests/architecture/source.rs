//! The modules of the crate, read from its source: the definitions, the imports, and the target of each path.
//! Re-exports are followed, so that `crate::Body` leads to the module that defines `Body`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Ident, Item, ItemMod, UseTree,
    visit::{self, Visit},
};

/// The segments of a path from the crate's root, without `crate`. A path of another crate begins with that crate's
/// name.
pub(crate) type Segments = Vec<String>;

/// All modules of the library, by path. The modules of the program and of the tests are left out.
#[derive(Default)]
pub(crate) struct Source {
    pub(crate) modules: BTreeMap<Segments, Module>,
}

#[derive(Default)]
pub(crate) struct Module {
    pub(crate) file: String,
    /// The definitions of this module, and the paths that the types of each definition name.
    pub(crate) definitions: BTreeMap<String, Definition>,
    /// The imports of this module: the local name, and the full path.
    aliases: BTreeMap<String, Segments>,
    globs: Vec<Segments>,
    /// Every path that the code of this module names. Paths that only tests name are left out.
    pub(crate) named: BTreeSet<Segments>,
    /// The functions that the code calls by path, such as `Instant::now`.
    pub(crate) calls: BTreeSet<Segments>,
}

#[derive(Default)]
pub(crate) struct Definition {
    pub(crate) fields: BTreeSet<Segments>,
}

/// The target of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// An item of this crate: the module, and the name there. The steps are the re-exports that lead there.
    Here { module: Segments, name: String, steps: Vec<String> },
    /// A path of another crate or of the standard library.
    Elsewhere(Segments),
}

impl Source {
    /// Parses the library of this package.
    pub(crate) fn of_this_crate() -> Source {
        Source::parse(library_files())
    }

    /// Parses a crate from its files: their names below `src`, and their texts.
    pub(crate) fn parse(files: impl IntoIterator<Item = (String, String)>) -> Source {
        let mut source = Source::default();
        for (file, text) in files {
            let module = module_of(&file);
            let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
            source.add(module, &format!("src/{file}"), &parsed.items);
        }
        source
    }

    fn add(&mut self, path: Segments, file: &str, items: &[Item]) {
        let mut reader = Reader {
            path,
            module: Module { file: file.to_owned(), ..Module::default() },
            inline: Vec::new(),
        };
        items.iter().for_each(|item| reader.visit_item(item));
        let Reader { path, module, inline } = reader;
        for (name, items) in inline {
            self.add([path.clone(), vec![name]].concat(), file, &items);
        }
        self.modules.insert(path, module);
    }

    /// The target of `path` as the code in `module` names it. `None` means something local, such as a type parameter.
    pub(crate) fn resolve(&self, module: &Segments, path: &Segments) -> Option<Target> {
        self.follow(module, path, Vec::new(), 0)
    }

    fn follow(
        &self,
        from: &Segments,
        path: &Segments,
        mut steps: Vec<String>,
        depth: usize,
    ) -> Option<Target> {
        if depth > 32 {
            return None;
        }
        let mut at = from.clone();
        let mut rest = path.as_slice();
        let mut is_explicit = false;
        loop {
            match rest.split_first() {
                Some((first, others)) if first == "crate" => (at, rest) = (Vec::new(), others),
                Some((first, others)) if first == "self" => rest = others,
                Some((first, others)) if first == "super" => {
                    at.pop();
                    rest = others;
                }
                _ => break,
            }
            is_explicit = true;
        }
        loop {
            let Some((first, others)) = rest.split_first() else {
                return Some(Target::Here { module: at, name: String::new(), steps });
            };
            let module = self.modules.get(&at)?;
            let below = [at.clone(), vec![first.clone()]].concat();
            if let Some(alias) = module.aliases.get(first) {
                if at != *from || is_explicit {
                    steps.push(module.file.clone());
                }
                let target = [alias.clone(), others.to_vec()].concat();
                return self.follow(&at, &target, steps, depth + 1);
            }
            if module.definitions.contains_key(first) {
                return Some(Target::Here { module: at, name: first.clone(), steps });
            }
            if self.modules.contains_key(&below) {
                (at, rest, is_explicit) = (below, others, true);
                continue;
            }
            let through = module.globs.iter().find_map(|glob| {
                let target = [glob.clone(), rest.to_vec()].concat();
                self.follow(&at, &target, steps.clone(), depth + 1)
                    .filter(|target| matches!(target, Target::Here { .. }))
            });
            let is_another_crate = at == *from && !is_explicit && path.len() > 1;
            return through.or_else(|| is_another_crate.then(|| Target::Elsewhere(path.clone())));
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Here { module, name, .. } => write!(f, "crate::{}::{name}", module.join("::")),
            Target::Elsewhere(path) => f.write_str(&path.join("::")),
        }
    }
}

/// Reads one module.
struct Reader {
    path: Segments,
    module: Module,
    inline: Vec<(String, Vec<Item>)>,
}

impl Reader {
    fn import(&mut self, prefix: &Segments, tree: &UseTree) {
        let with = |name: &Ident| [prefix.clone(), vec![name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.import(&with(&path.ident), &path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(prefix, tree)),
            UseTree::Glob(_) => {
                self.module.named.insert(prefix.clone());
                self.module.globs.push(prefix.clone());
            }
            UseTree::Name(name) if name.ident == "self" => {
                let local = prefix.last().cloned().unwrap_or_default();
                self.alias(local, prefix.clone());
            }
            UseTree::Name(name) => self.alias(name.ident.to_string(), with(&name.ident)),
            UseTree::Rename(rename) => self.alias(rename.rename.to_string(), with(&rename.ident)),
        }
    }

    fn alias(&mut self, local: String, target: Segments) {
        self.module.named.insert(target.clone());
        self.module.aliases.insert(local, target);
    }

    fn define(&mut self, name: &Ident, item: &Item) {
        let mut paths = Paths::default();
        match item {
            // A trait or a function holds no value. A caller that keeps a value from there keeps it in the caller's own
            // fields.
            Item::Struct(item) => paths.visit_fields(&item.fields),
            Item::Enum(item) => item.variants.iter().for_each(|variant| paths.visit_fields(&variant.fields)),
            Item::Type(item) => paths.visit_type(&item.ty),
            _ => {}
        }
        self.module.definitions.insert(name.to_string(), Definition { fields: paths.named });
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_for_tests(attributes(item)) {
            return;
        }
        match item {
            Item::Use(item) => return self.import(&Vec::new(), &item.tree),
            Item::Mod(ItemMod { ident, content: Some((_, items)), .. }) => {
                self.inline.push((ident.to_string(), items.clone()));
                return;
            }
            Item::Struct(inner) => self.define(&inner.ident, item),
            Item::Enum(inner) => self.define(&inner.ident, item),
            Item::Type(inner) => self.define(&inner.ident, item),
            Item::Trait(inner) => self.define(&inner.ident, item),
            Item::Fn(inner) => self.define(&inner.sig.ident, item),
            Item::Const(inner) => self.define(&inner.ident, item),
            Item::Static(inner) => self.define(&inner.ident, item),
            _ => {}
        }
        let mut paths = Paths::default();
        paths.visit_item(item);
        self.module.named.extend(paths.named);
        self.module.calls.extend(paths.calls);
    }
}

/// Collects every path in a piece of code.
#[derive(Default)]
struct Paths {
    named: BTreeSet<Segments>,
    calls: BTreeSet<Segments>,
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.named.insert(segments(path));
        visit::visit_path(self, path);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let syn::Expr::Path(path) = &*call.func {
            self.calls.insert(segments(&path.path));
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

fn segments(path: &syn::Path) -> Segments {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Mod(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether the compiler sees the item only in a test or for the benchmarks.
pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        let condition = quoted(attribute);
        let is_negated = condition.starts_with("not");
        let has = |word| condition.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word);
        !is_negated && (has("test") || has("doctest") || (condition.contains("internals") && has("feature")))
    })
}

fn quoted(attribute: &Attribute) -> String {
    match &attribute.meta {
        syn::Meta::List(list) => list.tokens.to_string(),
        _ => String::new(),
    }
}

pub(crate) fn module_of(file: &str) -> Segments {
    let mut path: Segments = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if path.last().is_some_and(|last| last == "mod" || last == "lib") {
        path.pop();
    }
    path
}

/// The files of the library: their names below `src`, and their texts. The program's files are left out. Unit tests and
/// loom models with a file of their own are left out too.
pub(crate) fn library_files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = rust_files(&root).into_iter().map(|path| {
        let name =
            path.strip_prefix(&root).expect("the search began at this folder").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("a source file can be read");
        (name, text)
    });
    let is_test = |name: &str| name.ends_with("/tests.rs") || name.ends_with("/models.rs");
    files.filter(|(name, _)| name != "main.rs" && !name.starts_with("cli/") && !is_test(name)).collect()
}

pub(crate) fn rust_files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a source folder can be read") {
            let path = entry.expect("a source folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
