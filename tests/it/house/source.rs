//! Reads Rust sources far enough to see which other modules and crates they name: comments and literals apart, `use` trees
//! spread out, inline paths followed, relative ones resolved, code for tests left out.

use std::collections::BTreeSet;

/// One source file: its path from the top of the repository and its text.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `::`
    Colons,
    Mark(char),
    /// The content of a string, as written.
    Text(String),
}

/// A path that a file names, resolved as far as it can be without types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) line: usize,
    pub(super) target: Target,
    /// It is part of a `pub use`.
    pub(super) exported: bool,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// Something in this crate, from its root; a glob ends in `*`.
    Inside(Vec<String>),
    /// Something of another crate, with the crate's name first.
    Outside(Vec<String>),
}

/// What a file that is compiled into the product names.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// The module that the file is, from the crate's root; empty for the root.
    pub(super) module: Vec<String>,
    pub(super) mentions: Vec<Mention>,
    /// Every word, with its line: for names that must not occur at all.
    pub(super) words: Vec<(usize, String)>,
    /// Macros that are called.
    pub(super) macros: Vec<(usize, String)>,
}

/// Reads all files of one crate. Code for tests alone is left out: items that are there only with `#[cfg(test)]` or
/// `#[cfg(any(test, fuzzing))]`, and the files of such modules.
pub(super) fn read(sources: &[Source]) -> Vec<(String, Reading)> {
    let modules: BTreeSet<Vec<String>> = sources.iter().map(|s| module_of(&s.path)).collect();
    let lexed: Vec<_> = sources.iter().map(|s| (s, lex(&s.text))).collect();
    let mut for_tests = BTreeSet::new();
    for (source, tokens) in &lexed {
        without_tests(tokens, &module_of(&source.path), &mut for_tests);
    }
    let is_for_tests = |module: &[String]| (1..=module.len()).any(|n| for_tests.contains(&module[..n]));
    let product = lexed.iter().filter(|(source, _)| !is_for_tests(&module_of(&source.path)));
    product
        .map(|(source, tokens)| {
            let module = module_of(&source.path);
            let tokens = without_tests(tokens, &module, &mut BTreeSet::new());
            (source.path.clone(), Reader::new(module, &modules).read(&tokens))
        })
        .collect()
}

/// The strings of a source, tests included.
pub(super) fn texts(source: &str) -> Vec<String> {
    let texts = lex(source).into_iter().filter_map(|(_, token)| match token {
        Token::Text(text) => Some(text),
        _ => None,
    });
    texts.collect()
}

/// The words of a source, tests included, with their lines.
pub(super) fn words(source: &str) -> Vec<(usize, String)> {
    let words = lex(source).into_iter().filter_map(|(line, token)| match token {
        Token::Word(word) => Some((line, word)),
        _ => None,
    });
    words.collect()
}

/// `src/a/b.rs` is the module `a::b`; `src/lib.rs` and `src/main.rs` are roots.
fn module_of(path: &str) -> Vec<String> {
    let inner = path.strip_prefix("src/").unwrap_or(path).trim_end_matches(".rs");
    if inner == "lib" || inner == "main" { Vec::new() } else { inner.split('/').map(str::to_owned).collect() }
}

fn lex(text: &str) -> Vec<(usize, Token)> {
    let chars: Vec<char> = text.chars().collect();
    let (mut at, mut line, mut tokens) = (0, 1, Vec::new());
    let peek = |i: usize| chars.get(i).copied().unwrap_or('\0');
    while at < chars.len() {
        let (start, start_line) = (at, line);
        let c = chars[at];
        if c == '/' && peek(at + 1) == '/' {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if c == '/' && peek(at + 1) == '*' {
            at = end_of_comment(&chars, at);
        } else if let Some((open, hashes)) = opens_text(&chars, at) {
            let end = end_of_text(&chars, open, hashes);
            let inner: String = chars[open..end.min(chars.len())].iter().collect();
            tokens.push((start_line, Token::Text(inner.trim_end_matches('#').trim_end_matches('"').to_owned())));
            at = end;
        } else if c == '\'' && (peek(at + 1) == '\\' || peek(at + 2) == '\'') {
            // A character; a lifetime has no second quote so near.
            at += if peek(at + 1) == '\\' { 3 } else { 2 };
            while at < chars.len() && chars[at] != '\'' {
                at += 1;
            }
            at += 1;
        } else if c.is_alphanumeric() || c == '_' {
            while at < chars.len() && (chars[at].is_alphanumeric() || chars[at] == '_') {
                at += 1;
            }
            let word: String = chars[start..at].iter().collect();
            if word == "r" && peek(at) == '#' {
                at += 1;
            } else {
                tokens.push((start_line, Token::Word(word)));
            }
        } else if c == ':' && peek(at + 1) == ':' {
            at += 2;
            tokens.push((start_line, Token::Colons));
        } else {
            at += 1;
            if !c.is_whitespace() && c != '\'' {
                tokens.push((start_line, Token::Mark(c)));
            }
        }
        line += chars[start..at.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

fn end_of_comment(chars: &[char], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Where the content of a string begins, if one does here, and its number of `#`; `None` for a string with escapes.
fn opens_text(chars: &[char], at: usize) -> Option<(usize, Option<usize>)> {
    let is_part_of_a_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    let mut i = at;
    if !is_part_of_a_word {
        while i < at + 2 && matches!(chars.get(i), Some('b' | 'c' | 'r')) {
            i += 1;
        }
    }
    let raw = chars[at..i].contains(&'r');
    let quote = i + if raw { chars[i..].iter().take_while(|c| **c == '#').count() } else { 0 };
    (chars.get(quote) == Some(&'"')).then(|| (quote + 1, raw.then_some(quote - i)))
}

/// The place after the closing quote.
fn end_of_text(chars: &[char], open: usize, hashes: Option<usize>) -> usize {
    let mut at = open;
    while at < chars.len() {
        match (chars[at], hashes) {
            ('\\', None) => at += 1,
            ('"', None) => return at + 1,
            ('"', Some(n)) if chars[at + 1..].iter().take_while(|c| **c == '#').count() >= n => return at + 1 + n,
            _ => {}
        }
        at += 1;
    }
    at
}

fn is_mark(token: Option<&(usize, Token)>, mark: char) -> bool {
    matches!(token, Some((_, Token::Mark(m))) if *m == mark)
}

fn word(token: Option<&(usize, Token)>) -> Option<&str> {
    match token {
        Some((_, Token::Word(word))) => Some(word),
        _ => None,
    }
}

/// The tokens without items for tests; modules that are for tests and have files of their own are noted.
fn without_tests(tokens: &[(usize, Token)], module: &[String], for_tests: &mut BTreeSet<Vec<String>>) -> Vec<(usize, Token)> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !is_test_attribute(&tokens[at..]) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let item = at;
        while is_mark(tokens.get(at), '#') {
            at = after_group(tokens, at + 1);
        }
        // The item ends with its block or with a semicolon, whichever comes first outside of brackets.
        while at < tokens.len() && !is_mark(tokens.get(at), ';') && !is_mark(tokens.get(at), '{') {
            at = if is_mark(tokens.get(at), '(') || is_mark(tokens.get(at), '[') { after_group(tokens, at) } else { at + 1 };
        }
        if is_mark(tokens.get(at), ';') {
            if let Some(i) = (item..at).find(|i| word(tokens.get(*i)) == Some("mod")) {
                let name = word(tokens.get(i + 1)).unwrap_or_default().to_owned();
                for_tests.insert(module.iter().cloned().chain([name]).collect());
            }
            at += 1;
        } else {
            at = after_group(tokens, at);
            // `use a::{b};` ends after its braces.
            at += usize::from(is_mark(tokens.get(at), ';'));
        }
    }
    kept
}

fn is_test_attribute(tokens: &[(usize, Token)]) -> bool {
    [&["#", "[", "cfg", "(", "test", ")"][..], &["#", "[", "cfg", "(", "any", "(", "test", ",", "fuzzing", ")", ")"]].iter().any(
        |attribute| {
            attribute.len() <= tokens.len()
                && attribute.iter().zip(tokens).all(|(expected, (_, token))| match token {
                    Token::Word(word) => word == expected,
                    Token::Mark(mark) => expected.chars().eq([*mark]),
                    Token::Colons | Token::Text(_) => false,
                })
        },
    )
}

/// The place after the bracket that closes the one at `open`.
fn after_group(tokens: &[(usize, Token)], open: usize) -> usize {
    let (mut at, mut depth) = (open, 0i32);
    while at < tokens.len() {
        if let Token::Mark(mark) = tokens[at].1 {
            depth += i32::from("([{".contains(mark)) - i32::from(")]}".contains(mark));
        }
        at += 1;
        if depth <= 0 {
            break;
        }
    }
    at
}

struct Reader<'a> {
    modules: &'a BTreeSet<Vec<String>>,
    file: Vec<String>,
    /// Inline modules around the current place, with the depth of braces at which they end.
    inline: Vec<(String, usize)>,
    depth: usize,
    reading: Reading,
}

impl<'a> Reader<'a> {
    fn new(module: Vec<String>, modules: &'a BTreeSet<Vec<String>>) -> Self {
        let reading = Reading { module: module.clone(), mentions: Vec::new(), words: Vec::new(), macros: Vec::new() };
        Self { modules, file: module, inline: Vec::new(), depth: 0, reading }
    }

    fn read(mut self, tokens: &[(usize, Token)]) -> Reading {
        let mut at = 0;
        while at < tokens.len() {
            at = self.step(tokens, at);
        }
        self.reading
    }

    fn step(&mut self, tokens: &[(usize, Token)], at: usize) -> usize {
        match &tokens[at].1 {
            Token::Mark('{') => self.depth += 1,
            Token::Mark('}') => {
                self.depth = self.depth.saturating_sub(1);
                self.inline.retain(|(_, depth)| *depth < self.depth + 1);
            }
            Token::Word(name) if name == "mod" && is_mark(tokens.get(at + 2), '{') => {
                let inner = word(tokens.get(at + 1)).unwrap_or_default().to_owned();
                self.inline.push((inner, self.depth + 1));
                return at + 2;
            }
            // `impl Trait + use<'a>` is no import.
            Token::Word(name) if name == "use" && !is_mark(tokens.get(at + 1), '<') => {
                let exported = is_exported(&tokens[..at]);
                return self.use_tree(tokens, at + 1, &[], exported);
            }
            Token::Word(name) if !follows_a_path(tokens, at) => {
                let mut path = vec![name.clone()];
                let mut end = at + 1;
                while matches!(tokens.get(end), Some((_, Token::Colons))) {
                    let Some(next) = word(tokens.get(end + 1)) else { break };
                    path.push(next.to_owned());
                    end += 2;
                }
                let line = tokens[at].0;
                path.iter().for_each(|word| self.reading.words.push((line, word.clone())));
                if is_mark(tokens.get(end), '!') && !is_mark(tokens.get(end + 1), '=') {
                    self.reading.macros.push((line, path.last().cloned().unwrap_or_default()));
                }
                if path.len() > 1 {
                    self.mention(line, path, false);
                }
                return end;
            }
            _ => {}
        }
        at + 1
    }

    /// Spreads a `use` tree out; returns the place after it.
    fn use_tree(&mut self, tokens: &[(usize, Token)], start: usize, before: &[String], exported: bool) -> usize {
        let mut path = before.to_vec();
        let mut at = start;
        loop {
            match tokens.get(at) {
                Some((_, Token::Colons)) => at += 1,
                Some((line, Token::Word(name))) if name == "as" => {
                    self.mention(*line, std::mem::take(&mut path), exported);
                    at += 2;
                }
                Some((line, Token::Word(name))) => {
                    self.reading.words.push((*line, name.clone()));
                    if name != "self" || path.is_empty() {
                        path.push(name.clone());
                    }
                    at += 1;
                }
                Some((_, Token::Mark('*'))) => {
                    path.push("*".to_owned());
                    at += 1;
                }
                Some((_, Token::Mark('{'))) => {
                    at += 1;
                    while at < tokens.len() && !is_mark(tokens.get(at), '}') {
                        at = self.use_tree(tokens, at, &path, exported);
                        at += usize::from(is_mark(tokens.get(at), ','));
                    }
                    at += 1;
                    path.clear();
                }
                end => {
                    if !path.is_empty() {
                        let line = end.or(tokens.last()).map_or(0, |(line, _)| *line);
                        self.mention(line, path, exported);
                    }
                    return at;
                }
            }
        }
    }

    fn mention(&mut self, line: usize, path: Vec<String>, exported: bool) {
        if path.is_empty() {
            return;
        }
        let target = self.resolve(path);
        self.reading.mentions.push(Mention { line, target, exported });
    }

    fn resolve(&self, path: Vec<String>) -> Target {
        let mut here: Vec<String> = self.file.iter().cloned().chain(self.inline.iter().map(|(name, _)| name.clone())).collect();
        let mut rest = path.as_slice();
        match path[0].as_str() {
            "crate" | "defender_feed" => return Target::Inside(path[1..].to_vec()),
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    here.pop();
                    rest = &rest[1..];
                }
            }
            first => {
                let child: Vec<String> = here.iter().cloned().chain([first.to_owned()]).collect();
                if !self.modules.contains(&child) {
                    return Target::Outside(path);
                }
            }
        }
        Target::Inside(here.into_iter().chain(rest.iter().cloned()).collect())
    }
}

/// True if a word belongs to a path or a method call that began before it.
fn follows_a_path(tokens: &[(usize, Token)], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|i| tokens.get(i));
    match before {
        Some((_, Token::Mark('.'))) => true,
        Some((_, Token::Colons)) => {
            // `::std::fs` begins with the colons; `<T as Trait>::f` and `Vec::<T>::new` do not.
            let earlier = at.checked_sub(2).and_then(|i| tokens.get(i));
            matches!(earlier, Some((_, Token::Word(_)))) || is_mark(earlier, '>')
        }
        _ => false,
    }
}

/// `pub use`, `pub(crate) use` and the like.
fn is_exported(before: &[(usize, Token)]) -> bool {
    let last = before.len().checked_sub(1).and_then(|i| before.get(i));
    word(last) == Some("pub") || (is_mark(last, ')') && before.iter().rev().take(6).any(|token| word(Some(token)) == Some("pub")))
}
