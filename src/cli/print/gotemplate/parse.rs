//! Tokens → tree. Source: text/template/parse/parse.go.

use std::collections::BTreeMap;

use super::functions;
use super::lex::{Placed, Token, lex};
use crate::api::Json;

#[derive(Clone, Debug)]
pub enum Node {
    Text(String),
    Action(Pipeline),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template { name: String, argument: Option<Pipeline> },
    Break,
    Continue,
}

#[derive(Clone, Debug)]
pub struct Branch {
    pub pipeline: Pipeline,
    pub then: Vec<Node>,
    pub otherwise: Vec<Node>,
}

/// `$a, $b := command | command`.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub variables: Vec<String>,
    pub declares: bool,
    pub commands: Vec<Vec<Operand>>,
    /// Line and column, for messages.
    pub at: (usize, usize),
}

#[derive(Clone, Debug)]
pub enum Operand {
    Dot,
    Nil,
    Literal(Json),
    /// `.a.b`.
    Fields(Vec<String>),
    /// `$x.a.b`.
    Variable(String, Vec<String>),
    /// `(pipeline).a.b`.
    Pipeline(Box<Pipeline>, Vec<String>),
    Function(String),
}

/// How deep blocks and parentheses may nest.
const DEEPEST: usize = 64;

/// Every defined template, the main one under `name`.
pub fn parse(name: &str, text: &str) -> Result<BTreeMap<String, Vec<Node>>, String> {
    let at_line = |at: usize| 1 + text[..at.min(text.len())].matches('\n').count();
    let wrong = |(at, why): (usize, String)| format!("template: {name}:{}: {why}", at_line(at));
    let tokens = lex(text).map_err(wrong)?;
    let mut parser = Parser { text, tokens, next: 0, defined: BTreeMap::new(), variables: vec!["$".into()], ranges: 0, depth: 0 };
    let (nodes, end) = parser.list().map_err(wrong)?;
    if let Some((word, at)) = end {
        return Err(wrong((at, format!("unexpected {{{{{word}}}}}"))));
    }
    parser.defined.insert(name.into(), nodes);
    Ok(parser.defined)
}

type Parsed<T> = Result<T, (usize, String)>;
/// `end` or `else`, and where.
type End = Option<(String, usize)>;

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Placed>,
    next: usize,
    defined: BTreeMap<String, Vec<Node>>,
    variables: Vec<String>,
    ranges: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|p| &p.token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.text.len(), |p| p.at)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.next += 1;
        token
    }

    fn spaces(&mut self) {
        while self.peek() == Some(&Token::Space) {
            self.next += 1;
        }
    }

    fn fail<T>(&self, why: impl Into<String>) -> Parsed<T> {
        Err((self.at(), why.into()))
    }

    /// Nodes up to `{{end}}`, `{{else}}` or the end of the text; an `else` leaves its rest to the caller.
    fn list(&mut self) -> Parsed<(Vec<Node>, End)> {
        let mut nodes = Vec::new();
        while let Some(token) = self.take() {
            match token {
                Token::Text(text) => nodes.push(Node::Text(text)),
                _ => {
                    self.spaces();
                    let at = self.at();
                    if let Some(Token::Identifier(word)) = self.peek() {
                        let word = word.clone();
                        if word == "end" || word == "else" {
                            self.next += 1;
                            if word == "end" {
                                self.close("end")?;
                            }
                            return Ok((nodes, Some((word, at))));
                        }
                    }
                    if let Some(node) = self.action()? {
                        nodes.push(node);
                    }
                }
            }
        }
        Ok((nodes, None))
    }

    fn close(&mut self, context: &str) -> Parsed<()> {
        self.spaces();
        match self.peek() {
            Some(Token::Close) => {
                self.next += 1;
                Ok(())
            }
            other => {
                let shown = show(other);
                self.fail(format!("unexpected {shown} in {context}"))
            }
        }
    }

    fn action(&mut self) -> Parsed<Option<Node>> {
        let word = match self.peek() {
            Some(Token::Identifier(word)) => word.clone(),
            _ => String::new(),
        };
        match word.as_str() {
            "if" => self.branch("if").map(|b| Some(Node::If(b))),
            "with" => self.branch("with").map(|b| Some(Node::With(b))),
            "range" => self.branch("range").map(|b| Some(Node::Range(b))),
            "break" | "continue" => {
                if self.ranges == 0 {
                    return self.fail(format!("{{{{{word}}}}} outside {{{{range}}}}"));
                }
                self.next += 1;
                self.close(&word)?;
                Ok(Some(if word == "break" { Node::Break } else { Node::Continue }))
            }
            "template" => self.template().map(Some),
            "block" => self.block().map(Some),
            "define" => self.define().map(|()| None),
            _ => {
                let pipeline = self.pipeline("command", false)?;
                self.close("command")?;
                Ok(Some(Node::Action(pipeline)))
            }
        }
    }

    fn branch(&mut self, word: &str) -> Parsed<Branch> {
        self.next += 1;
        self.branch_rest(word)
    }

    fn branch_rest(&mut self, word: &str) -> Parsed<Branch> {
        self.deeper()?;
        let known = self.variables.len();
        let pipeline = self.pipeline(word, word == "range")?;
        self.close(word)?;
        self.ranges += usize::from(word == "range");
        let (then, end) = self.list()?;
        self.ranges -= usize::from(word == "range");
        let mut otherwise = Vec::new();
        match end {
            Some((word, _)) if word == "end" => {}
            Some(_) => otherwise = self.otherwise(word)?,
            None => return self.fail("unexpected EOF"),
        }
        self.variables.truncate(known);
        self.depth -= 1;
        Ok(Branch { pipeline, then, otherwise })
    }

    /// Behind `else`: an `else if`, or a list up to `end`.
    fn otherwise(&mut self, word: &str) -> Parsed<Vec<Node>> {
        self.spaces();
        if let Some(Token::Identifier(next)) = self.peek().cloned()
            && next == word && word != "range" {
                self.next += 1;
                let branch = self.branch_rest(word)?;
                return Ok(vec![if word == "if" { Node::If(branch) } else { Node::With(branch) }]);
            }
        self.close("else")?;
        let (nodes, end) = self.list()?;
        match end {
            Some((word, _)) if word == "end" => Ok(nodes),
            Some((_, at)) => Err((at, "expected end; found {{else}}".into())),
            None => self.fail("unexpected EOF"),
        }
    }

    fn name(&mut self, context: &str) -> Parsed<String> {
        self.next += 1;
        self.spaces();
        match self.take() {
            Some(Token::String(name)) => Ok(name),
            other => {
                self.next -= 1;
                self.fail(format!("unexpected {} in {context}", show(other.as_ref())))
            }
        }
    }

    fn template(&mut self) -> Parsed<Node> {
        let name = self.name("template clause")?;
        self.spaces();
        let argument = if self.peek() == Some(&Token::Close) { None } else { Some(self.pipeline("template", false)?) };
        self.close("template")?;
        Ok(Node::Template { name, argument })
    }

    fn define(&mut self) -> Parsed<()> {
        let name = self.name("define clause")?;
        self.close("define clause")?;
        self.definition(name)
    }

    fn block(&mut self) -> Parsed<Node> {
        let name = self.name("block clause")?;
        let argument = self.pipeline("block clause", false)?;
        self.close("block clause")?;
        self.definition(name.clone())?;
        Ok(Node::Template { name, argument: Some(argument) })
    }

    fn definition(&mut self, name: String) -> Parsed<()> {
        self.deeper()?;
        let outer = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (nodes, end) = self.list()?;
        self.variables = outer;
        self.ranges = ranges;
        self.depth -= 1;
        match end {
            Some((word, _)) if word == "end" => {
                self.defined.insert(name, nodes);
                Ok(())
            }
            Some((word, at)) => Err((at, format!("unexpected {{{{{word}}}}} in define clause"))),
            None => self.fail("unexpected EOF"),
        }
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > DEEPEST { self.fail("the template is nested too deeply") } else { Ok(()) }
    }

    fn pipeline(&mut self, context: &str, range: bool) -> Parsed<Pipeline> {
        self.spaces();
        let at = self.at();
        let before = &self.text[..at.min(self.text.len())];
        let column = before.len() - before.rfind('\n').map_or(0, |n| n + 1);
        let mut pipeline = Pipeline {
            variables: Vec::new(),
            declares: true,
            commands: Vec::new(),
            at: (1 + before.matches('\n').count(), column),
        };
        self.declarations(&mut pipeline, range)?;
        loop {
            self.spaces();
            let command = self.command()?;
            if command.is_empty() {
                return match self.peek() {
                    Some(Token::Close | Token::RightParenthesis) | None => self.fail(format!("missing value for {context}")),
                    other => {
                        let shown = show(other);
                        self.fail(format!("unexpected {shown} in {context}"))
                    }
                };
            }
            pipeline.commands.push(command);
            if self.peek() != Some(&Token::Pipe) {
                break;
            }
            self.next += 1;
        }
        for command in pipeline.commands.iter().skip(1) {
            if matches!(command[0], Operand::Dot | Operand::Nil | Operand::Literal(_)) {
                return self.fail(format!("non executable command in pipeline stage {}", 2));
            }
        }
        if pipeline.declares {
            self.variables.extend(pipeline.variables.iter().cloned());
        }
        Ok(pipeline)
    }

    fn declarations(&mut self, pipeline: &mut Pipeline, range: bool) -> Parsed<()> {
        let start = self.next;
        loop {
            self.spaces();
            let Some(Token::Variable(name)) = self.peek().cloned() else { break };
            self.next += 1;
            self.spaces();
            match self.peek() {
                Some(Token::Comma) if range && pipeline.variables.is_empty() => {
                    pipeline.variables.push(name);
                    self.next += 1;
                }
                Some(token @ (Token::Declare | Token::Assign)) => {
                    pipeline.declares = *token == Token::Declare;
                    pipeline.variables.push(name);
                    self.next += 1;
                    return Ok(());
                }
                _ => break,
            }
        }
        self.next = start;
        pipeline.variables.clear();
        Ok(())
    }

    fn command(&mut self) -> Parsed<Vec<Operand>> {
        let mut operands = Vec::new();
        loop {
            self.spaces();
            match self.operand(operands.is_empty())? {
                Some(operand) => operands.push(operand),
                None => return Ok(operands),
            }
            match self.peek() {
                Some(Token::Space | Token::Pipe | Token::Close | Token::RightParenthesis) | None => {}
                other => {
                    let shown = show(other);
                    return self.fail(format!("unexpected {shown} in operand"));
                }
            }
        }
    }

    fn operand(&mut self, _first: bool) -> Parsed<Option<Operand>> {
        let operand = match self.peek().cloned() {
            Some(Token::Dot) => Operand::Dot,
            Some(Token::Identifier(word)) => match word.as_str() {
                "nil" => Operand::Nil,
                "true" => Operand::Literal(true.into()),
                "false" => Operand::Literal(false.into()),
                _ if functions::is_known(&word) => Operand::Function(word),
                _ => return self.fail(format!("function \"{word}\" not defined")),
            },
            Some(Token::String(text)) => Operand::Literal(text.into()),
            Some(Token::Character(c)) => Operand::Literal((c as u32).into()),
            Some(Token::Number(text)) => match number(&text) {
                Some(number) => Operand::Literal(number),
                None => return self.fail(format!("bad number syntax: \"{text}\"")),
            },
            Some(Token::Variable(name)) => {
                if !self.variables.contains(&name) {
                    return self.fail(format!("undefined variable \"{name}\""));
                }
                self.next += 1;
                return Ok(Some(Operand::Variable(name, self.chain())));
            }
            Some(Token::Field(_)) => return Ok(Some(Operand::Fields(self.chain()))),
            Some(Token::LeftParenthesis) => {
                self.next += 1;
                self.deeper()?;
                let pipeline = self.pipeline("parenthesized pipeline", false)?;
                self.depth -= 1;
                self.spaces();
                if self.peek() != Some(&Token::RightParenthesis) {
                    return self.fail("unclosed left paren");
                }
                self.next += 1;
                return Ok(Some(Operand::Pipeline(Box::new(pipeline), self.chain())));
            }
            _ => return Ok(None),
        };
        self.next += 1;
        Ok(Some(operand))
    }

    fn chain(&mut self) -> Vec<String> {
        let mut fields = Vec::new();
        while let Some(Token::Field(name)) = self.peek() {
            fields.push(name.clone());
            self.next += 1;
        }
        fields
    }
}

fn number(text: &str) -> Option<Json> {
    if let Ok(value) = crate::cli::flags::integer(&text.replace('_', "")) {
        return Some(value.into());
    }
    let value: f64 = text.parse().ok()?;
    Some(value.into())
}

fn show(token: Option<&Token>) -> String {
    match token {
        None => "EOF".into(),
        Some(Token::Text(text) | Token::String(text)) => format!("\"{text}\""),
        Some(Token::Identifier(text)) => format!("<{text}>"),
        Some(Token::Number(text) | Token::Variable(text)) => format!("\"{text}\""),
        Some(Token::Field(name)) => format!("<.{name}>"),
        Some(Token::Dot) => "<.>".into(),
        Some(Token::Open) => "\"{{\"".into(),
        Some(Token::Close) => "\"}}\"".into(),
        Some(Token::Character(c) | Token::Other(c)) => format!("\"{c}\""),
        Some(Token::Declare) => "\":=\"".into(),
        Some(Token::Assign) => "\"=\"".into(),
        Some(Token::Pipe) => "\"|\"".into(),
        Some(Token::Comma) => "\",\"".into(),
        Some(Token::LeftParenthesis) => "\"(\"".into(),
        Some(Token::RightParenthesis) => "\")\"".into(),
        Some(Token::Space) => "\" \"".into(),
    }
}
