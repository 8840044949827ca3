//! A Rust source as tokens: comments and texts cannot be mistaken for code, and macros' insides are seen too.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::repo::File;

/// What the rules want to know of one source.
#[derive(Debug, Default)]
pub(crate) struct Rust {
    /// Path from the top.
    pub(crate) path: String,
    /// First folder or file below src: `phone` for src/phone/actor.rs.
    pub(crate) module: String,
    /// Every path named outside test modules, `use` groups unfolded; also the words `async` and `await`.
    pub(crate) paths: Vec<Named>,
    /// Every function with a body.
    pub(crate) functions: Vec<Function>,
    /// Every attribute.
    pub(crate) attributes: Vec<Attribute>,
    /// Every macro called: name and line.
    pub(crate) macros: Vec<(String, usize)>,
}

/// A path as written, from `crate` where it means that.
#[derive(Debug)]
pub(crate) struct Named {
    /// At least one.
    pub(crate) segments: Vec<String>,
    /// Where.
    pub(crate) line: usize,
}

impl Named {
    /// As in source.
    pub(crate) fn text(&self) -> String {
        self.segments.join("::")
    }

    /// True if the path is `name` or lies below it.
    pub(crate) fn is_under(&self, name: &str) -> bool {
        name.split("::").enumerate().all(|(at, part)| self.segments.get(at).is_some_and(|segment| segment == part))
    }
}

/// A function with a body.
#[derive(Debug)]
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// Where it begins.
    pub(crate) line: usize,
    /// From `fn` to the closing brace.
    pub(crate) lines: usize,
}

/// An attribute.
#[derive(Debug)]
pub(crate) struct Attribute {
    /// All its words, inner ones too; at least one.
    pub(crate) words: Vec<String>,
    /// Where.
    pub(crate) line: usize,
}

/// Reads a source.
pub(crate) fn rust(file: &File) -> Rust {
    let below = file.path.strip_prefix("src/").unwrap_or(&file.path);
    let module = below.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
    let tokens: TokenStream = file.text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.path));
    let mut rust = Rust { path: file.path.clone(), module, ..Rust::default() };
    let all = trees(tokens);
    items(&all, &mut rust);
    paths(&all, &[], &mut rust.paths);
    let depth = below.trim_end_matches("/mod.rs").split('/').count();
    rust.paths.iter_mut().for_each(|path| from_the_root(path, depth));
    rust
}

fn trees(tokens: TokenStream) -> Vec<TokenTree> {
    tokens.into_iter().collect()
}

/// Functions, attributes and macro calls, at any depth, test modules included.
fn items(all: &[TokenTree], into: &mut Rust) {
    for (at, tree) in all.iter().enumerate() {
        match tree {
            TokenTree::Ident(word) if word == "fn" => into.functions.extend(function(&all[at..])),
            TokenTree::Ident(word)
                if is_punct(all.get(at + 1), '!') && matches!(all.get(at + 2), Some(TokenTree::Group(_))) =>
            {
                into.macros.push((word.to_string(), word.span().start().line));
            }
            TokenTree::Group(group) => {
                into.attributes.extend(attribute(&all[..at], group));
                items(&trees(group.stream()), into);
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// The function that begins these tokens; none for a type `fn(…)` or a declaration without a body.
fn function(tokens: &[TokenTree]) -> Option<Function> {
    let [TokenTree::Ident(keyword), TokenTree::Ident(name), rest @ ..] = tokens else { return None };
    let end = rest.iter().find(|tree| is_punct(Some(tree), ';') || braces(tree).is_some())?;
    let (first, last) = (keyword.span().start().line, braces(end)?.span_close().end().line);
    Some(Function { name: name.to_string(), line: first, lines: last - first + 1 })
}

fn attribute(before: &[TokenTree], group: &Group) -> Option<Attribute> {
    let inner = before.len() > 1 && is_punct(before.last(), '!') && is_punct(before.get(before.len() - 2), '#');
    let ours = group.delimiter() == Delimiter::Bracket && (inner || is_punct(before.last(), '#'));
    let mut words = Vec::new();
    collect_words(group.stream(), &mut words);
    (ours && !words.is_empty()).then(|| Attribute { words, line: group.span_open().start().line })
}

fn collect_words(tokens: TokenStream, into: &mut Vec<String>) {
    for tree in tokens {
        match tree {
            TokenTree::Ident(word) => into.push(word.to_string()),
            TokenTree::Group(group) => collect_words(group.stream(), into),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// Paths of these tokens, each with `prefix` before it: the path before the braces of a `use` group.
fn paths(all: &[TokenTree], prefix: &[String], into: &mut Vec<Named>) {
    let mut at = 0;
    while let Some(tree) = all.get(at) {
        match tree {
            TokenTree::Ident(first) if !begins_after_path(all, at) => {
                at = path(all, at, first.span().start().line, prefix, into)
            }
            TokenTree::Group(group) if !is_test_module(all, at) => {
                paths(&trees(group.stream()), &[], into);
                at += 1;
            }
            TokenTree::Group(_) | TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => at += 1,
        }
    }
}

/// Reads the path whose first word stands at `at`; answers where it ends.
fn path(all: &[TokenTree], mut at: usize, line: usize, prefix: &[String], into: &mut Vec<Named>) -> usize {
    let mut segments = prefix.to_vec();
    while let Some(TokenTree::Ident(word)) = all.get(at) {
        segments.push(word.to_string());
        at += 1;
        if !(is_punct(all.get(at), ':') && is_punct(all.get(at + 1), ':')) {
            break;
        }
        at += 2;
        if let Some(group) = all.get(at).and_then(braces) {
            paths(&trees(group.stream()), &segments, into);
            return at + 1;
        }
    }
    into.push(Named { segments, line });
    at
}

/// True for the `B` of `<A>::B` and of `a.b::<C>::B`: no path begins there. `::B` by itself is a path from outside.
fn begins_after_path(all: &[TokenTree], at: usize) -> bool {
    at > 2 && is_punct(all.get(at - 1), ':') && is_punct(all.get(at - 2), ':') && is_punct(all.get(at - 3), '>')
}

/// True for the braces of `#[cfg(test)] mod name { … }`.
fn is_test_module(all: &[TokenTree], at: usize) -> bool {
    let is_mod = at > 3 && matches!(&all[at - 2], TokenTree::Ident(word) if word == "mod");
    is_mod
        && matches!(&all[at - 3], TokenTree::Group(group) if group.stream().to_string().replace(' ', "") == "cfg(test)")
}

/// Spells `super` and the library's own name as `crate` where they lead to the top.
fn from_the_root(path: &mut Named, depth: usize) {
    let supers = path.segments.iter().take_while(|segment| *segment == "super").count();
    if supers == depth {
        path.segments.splice(..supers, ["crate".to_owned()]);
    } else if path.segments[0] == "otpd" {
        path.segments[0] = "crate".to_owned();
    }
}

fn is_punct(tree: Option<&TokenTree>, wanted: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn braces(tree: &TokenTree) -> Option<&Group> {
    match tree {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group),
        TokenTree::Group(_) | TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => None,
    }
}
