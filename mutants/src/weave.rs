//! Mutants in a source file, each behind its switch.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;

use proc_macro2::{LineColumn, Span};
use serde_json::Value;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Arm, BinOp, Expr, ExprBinary, ExprUnary};

/// What switches a mutant on, and the modules of the library where `cargo mutants` finds them.
pub fn with_switch(lib: &str) -> String {
    let mut text = String::new();
    let mut is_room = false;
    for line in lib.lines() {
        match line.trim() {
            "rooms! {" => is_room = true,
            "}" if is_room => is_room = false,
            name if is_room && name.ends_with(';') => {
                let _ = writeln!(text, "pub mod {name}");
            }
            _ => {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    text + "/// Whether a mutant is on.\npub fn mutant(number: u32) -> bool {\n    static ON: std::sync::LazyLock<Option<u32>> =\n        \
            std::sync::LazyLock::new(|| std::env::var(\"WL_MUTANT\").ok()?.parse().ok());\n    *ON == Some(number)\n}\n"
}

/// One mutant, as `cargo mutants --list --json` has it.
pub struct Mutant {
    pub file: String,
    /// With its place: `src/a.rs:1:2: replace == with != in f`.
    pub name: String,
    genre: String,
    replacement: String,
    /// Where it begins: line and column, both from one.
    at: (usize, usize),
}

impl Mutant {
    pub fn read(listed: &Value) -> Option<Self> {
        let text = |pointer: &str| listed.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let number = |pointer: &str| usize::try_from(listed.pointer(pointer)?.as_u64()?).ok();
        Some(Mutant {
            file: text("/file")?,
            name: text("/name")?,
            genre: text("/genre")?,
            replacement: text("/replacement").unwrap_or_default(),
            at: (number("/span/start/line")?, number("/span/start/column")?),
        })
    }

    /// Of a function that returns some iterator, both what it returned and the mutant would have to be of one type.
    pub fn has_one_type(&self) -> bool {
        !self.replacement.starts_with("::std::iter::")
    }
}

/// A mutant's name without line and column.
pub fn without_place(name: &str) -> &str {
    name.splitn(4, ':').nth(3).map_or(name, str::trim_start)
}

/// The number of the last switch in a line.
pub fn last_switch(line: &str) -> Option<usize> {
    let rest = &line[line.rfind(SWITCH)? + SWITCH.len()..];
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

const SWITCH: &str = "crate::mutant(";

/// The text with its mutants, and which of them found their place.
pub fn weave<'m>(
    text: &str,
    mutants: impl Iterator<Item = (usize, &'m Mutant)>,
) -> syn::Result<(String, BTreeSet<usize>)> {
    let ast = syn::parse_file(text)?;
    let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let mut weaver = Weaver { text, starts, by_place: HashMap::new(), edits: Vec::new(), put: BTreeSet::new() };
    for (number, mutant) in mutants {
        if mutant.genre == "FnValue" {
            let value = if mutant.replacement == "()" { "" } else { &mutant.replacement };
            let at = weaver.offset(LineColumn { line: mutant.at.0, column: mutant.at.1 - 1 });
            weaver.edit(at, Edge::Value, number, format!("if {SWITCH}{number}) {{ return {value}; }} "));
            weaver.put.insert(number);
        } else {
            weaver.by_place.entry(mutant.at).or_default().push((number, mutant));
        }
    }
    weaver.visit_file(&ast);
    Ok(weaver.woven())
}

/// In which order the edits of one place come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Edge {
    /// Behind an expression: inner ones first.
    Close,
    /// Before the first statement of a function.
    Value,
    /// Before an expression: outer ones first.
    Open,
}

struct Edit {
    at: usize,
    edge: Edge,
    /// Where the expression's other end is.
    other: usize,
    text: String,
}

struct Weaver<'m, 't> {
    text: &'t str,
    /// Offsets of the lines.
    starts: Vec<usize>,
    by_place: HashMap<(usize, usize), Vec<(usize, &'m Mutant)>>,
    edits: Vec<Edit>,
    put: BTreeSet<usize>,
}

impl<'m> Weaver<'m, '_> {
    fn offset(&self, at: LineColumn) -> usize {
        let start = self.starts[at.line - 1];
        let line = &self.text[start..];
        start + line.char_indices().nth(at.column).map_or(line.len(), |(offset, _)| offset)
    }

    fn text_of(&self, span: Span) -> String {
        self.text[self.offset(span.start())..self.offset(span.end())].to_owned()
    }

    fn edit(&mut self, at: usize, edge: Edge, other: usize, text: String) {
        self.edits.push(Edit { at, edge, other, text });
    }

    fn mutants_at(&self, span: Span, genres: &[&str]) -> Vec<(usize, &'m Mutant)> {
        let start = span.start();
        let found = self.by_place.get(&(start.line, start.column + 1)).into_iter().flatten().copied();
        found.filter(|(_, mutant)| genres.contains(&mutant.genre.as_str())).collect()
    }

    /// Puts a choice around an expression: for each mutant its text, else the expression.
    fn choose(&mut self, span: Span, choices: &[(usize, String)]) {
        if choices.is_empty() {
            return;
        }
        let (start, end) = (self.offset(span.start()), self.offset(span.end()));
        let mut text = "(".to_owned();
        for (number, choice) in choices {
            let _ = write!(text, "if {SWITCH}{number}) {{ ({choice}) }} else ");
            self.put.insert(*number);
        }
        self.edit(start, Edge::Open, end, text + "{ (");
        self.edit(end, Edge::Close, start, ") })".to_owned());
    }

    fn woven(mut self) -> (String, BTreeSet<usize>) {
        self.edits.sort_by(|a, b| (a.at, a.edge).cmp(&(b.at, b.edge)).then(b.other.cmp(&a.other)));
        let (mut text, mut at) = (String::new(), 0);
        for edit in &self.edits {
            text += &self.text[at..edit.at];
            text += &edit.text;
            at = edit.at;
        }
        (text + &self.text[at..], self.put)
    }
}

impl<'ast> Visit<'ast> for Weaver<'_, '_> {
    fn visit_expr_binary(&mut self, binary: &'ast ExprBinary) {
        if !has_let(&binary.left) && !has_let(&binary.right) {
            let (left, right) = (self.text_of(binary.left.span()), self.text_of(binary.right.span()));
            let mutants = self.mutants_at(binary.op.span(), &["BinaryOperator"]);
            let choices =
                mutants.iter().map(|(number, mutant)| (*number, format!("{left} {} {right}", mutant.replacement)));
            self.choose(binary.span(), &choices.collect::<Vec<_>>());
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast ExprUnary) {
        let inner = self.text_of(unary.expr.span());
        let mutants = self.mutants_at(unary.op.span(), &["UnaryOperator"]);
        self.choose(unary.span(), &mutants.iter().map(|(number, _)| (*number, inner.clone())).collect::<Vec<_>>());
        visit::visit_expr_unary(self, unary);
    }

    fn visit_arm(&mut self, arm: &'ast Arm) {
        let gone = self.mutants_at(arm.span(), &["MatchArm"]);
        match &arm.guard {
            Some((_, guard)) if !has_let(guard) => {
                let mutants = self.mutants_at(guard.span(), &["MatchArmGuard"]);
                let choices = mutants.iter().map(|(number, mutant)| (*number, mutant.replacement.clone()));
                let choices = choices.chain(gone.iter().map(|(number, _)| (*number, "false".to_owned())));
                self.choose(guard.span(), &choices.collect::<Vec<_>>());
            }
            Some(_) => {}
            None => {
                for (number, _) in gone {
                    let at = self.offset(arm.pat.span().end());
                    self.edit(at, Edge::Close, at, format!(" if !{SWITCH}{number})"));
                    self.put.insert(number);
                }
            }
        }
        visit::visit_arm(self, arm);
    }
}

/// A condition that binds cannot be put into parentheses.
fn has_let(expression: &Expr) -> bool {
    match expression {
        Expr::Let(_) => true,
        Expr::Binary(binary) => matches!(binary.op, BinOp::And(_)) && (has_let(&binary.left) || has_let(&binary.right)),
        _ => false,
    }
}
