//! Tree × data → text. Source: text/template/exec.go.

use std::collections::BTreeMap;

use super::functions;
use super::parse::{Branch, Node, Operand, Pipeline};
use crate::api::Json;
use crate::api::go;

/// A value while a template runs; `None`: nothing was there (`<no value>`).
pub type Value = Option<Json>;

/// How deep templates may call each other (`maxExecDepth`, smaller: the stack here is smaller).
const DEEPEST: usize = 200;
/// How much a template may print: ranges in ranges grow fast.
const LONGEST: usize = 256 << 20;

/// One run of a template.
pub struct Run<'a> {
    pub out: String,
    defined: &'a BTreeMap<String, Vec<Node>>,
    allow_missing: bool,
    variables: Vec<(String, Value)>,
    depth: usize,
    at: (usize, usize),
}

/// How a list of nodes ended.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

type Done<T> = Result<T, String>;

impl<'a> Run<'a> {
    pub fn new(defined: &'a BTreeMap<String, Vec<Node>>, allow_missing: bool, data: &Json) -> Self {
        let variables = vec![("$".to_owned(), Some(data.clone()))];
        Run { out: String::new(), defined, allow_missing, variables, depth: 0, at: (1, 0) }
    }

    pub fn line(&self) -> usize {
        self.at.0
    }

    pub fn column(&self) -> usize {
        self.at.1
    }

    /// Runs the template called `name` on `dot`.
    pub fn template(&mut self, name: &str, dot: &Json) -> Done<()> {
        self.call(name, &Some(dot.clone())).map_err(|e| format!("\"{name}\" {e}"))
    }

    fn call(&mut self, name: &str, dot: &Value) -> Done<()> {
        let Some(nodes) = self.defined.get(name) else {
            return Err(format!("at <>: template \"{name}\" not defined"));
        };
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("exceeded maximum template depth".into());
        }
        let outer = std::mem::replace(&mut self.variables, vec![("$".into(), dot.clone())]);
        self.list(nodes, dot)?;
        self.variables = outer;
        self.depth -= 1;
        Ok(())
    }

    fn list(&mut self, nodes: &[Node], dot: &Value) -> Done<Flow> {
        for node in nodes {
            if self.out.len() > LONGEST {
                return Err("the output is too long".into());
            }
            let flow = self.node(node, dot)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Done<Flow> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.out.push_str(&show(&value));
                }
            }
            Node::If(branch) | Node::With(branch) => {
                let known = self.variables.len();
                let value = self.pipeline(&branch.pipeline, dot)?;
                let flow = if truth(&value) {
                    let inner = if matches!(node, Node::With(_)) { &value } else { dot };
                    self.list(&branch.then, inner)?
                } else {
                    self.list(&branch.otherwise, dot)?
                };
                self.variables.truncate(known);
                return Ok(flow);
            }
            Node::Range(branch) => return self.range(branch, dot),
            Node::Template { name, argument, .. } => {
                let value = match argument {
                    Some(pipeline) => self.pipeline(pipeline, dot)?,
                    None => None,
                };
                self.call(name, &value)?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn range(&mut self, branch: &Branch, dot: &Value) -> Done<Flow> {
        let known = self.variables.len();
        let over = self.pipeline(&branch.pipeline, dot)?;
        // The pipeline set its variables to the whole; here they name each item.
        self.variables.truncate(known);
        let items: Vec<(Json, Json)> = match over {
            None | Some(Json::Null) => Vec::new(),
            Some(Json::Array(items)) => items.into_iter().enumerate().map(|(i, v)| (Json::from(i), v)).collect(),
            Some(Json::Object(map)) => map.into_iter().map(|(k, v)| (Json::from(k), v)).collect(),
            Some(Json::Number(n)) if n.as_i64().is_some_and(|n| n <= 1_000_000) => {
                (0..n.as_i64().unwrap_or(0)).map(|i| (Json::from(i), Json::from(i))).collect()
            }
            Some(other) => return Err(format!("at <>: range can't iterate over {}", go::display(&other))),
        };
        if items.is_empty() {
            return self.list(&branch.otherwise, dot);
        }
        for (key, item) in items {
            let item = Some(item);
            match &branch.pipeline.variables[..] {
                [value] => self.set(value, item.clone(), branch.pipeline.declares)?,
                [index, value] => {
                    self.set(index, Some(key), branch.pipeline.declares)?;
                    self.set(value, item.clone(), branch.pipeline.declares)?;
                }
                _ => {}
            }
            let flow = self.list(&branch.then, &item);
            self.variables.truncate(known);
            if flow? == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn set(&mut self, name: &str, value: Value, declare: bool) -> Done<()> {
        if declare {
            self.variables.push((name.into(), value));
            return Ok(());
        }
        match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => return Err(format!("at <>: undefined variable: {name}")),
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Done<Value> {
        self.at = pipeline.at;
        let mut last: Option<Value> = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, dot, last)?);
        }
        let value = last.flatten();
        if pipeline.variables.len() == 1 {
            self.set(&pipeline.variables[0], value.clone(), pipeline.declares)?;
        }
        Ok(value)
    }

    fn command(&mut self, command: &[Operand], dot: &Value, last: Option<Value>) -> Done<Value> {
        if let Operand::Function(name) = &command[0] {
            return self.function(name, &command[1..], dot, last);
        }
        if command.len() > 1 || last.is_some() {
            return Err("at <>: can't give argument to non-function".into());
        }
        self.operand(&command[0], dot)
    }

    fn function(&mut self, name: &str, operands: &[Operand], dot: &Value, last: Option<Value>) -> Done<Value> {
        // `and` and `or` evaluate no further than needed.
        if name == "and" || name == "or" {
            let mut value = None;
            for operand in operands {
                value = self.operand(operand, dot)?;
                if truth(&value) == (name == "or") {
                    return Ok(value);
                }
            }
            return Ok(last.unwrap_or(value));
        }
        let mut arguments = Vec::new();
        for operand in operands {
            arguments.push(self.operand(operand, dot)?);
        }
        arguments.extend(last);
        functions::call(name, arguments).map_err(|e| format!("at <{name}>: error calling {name}: {e}"))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Done<Value> {
        match operand {
            Operand::Dot => Ok(dot.clone()),
            Operand::Nil => Ok(Some(Json::Null)),
            Operand::Literal(json) => Ok(Some(json.clone())),
            Operand::Fields(path) => self.fields(dot, path),
            Operand::Variable(name, path) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                let value = found.map(|(_, v)| v.clone()).ok_or_else(|| format!("at <{name}>: undefined variable: {name}"))?;
                self.fields(&value, path)
            }
            Operand::Pipeline(pipeline, path) => {
                let value = self.pipeline(pipeline, dot)?;
                self.fields(&value, path)
            }
            Operand::Function(name) => self.function(name, &[], dot, None),
        }
    }

    fn fields(&self, value: &Value, path: &[String]) -> Done<Value> {
        let mut at = value.as_ref();
        for name in path {
            at = match at {
                None | Some(Json::Null) => None,
                Some(Json::Object(map)) => match map.get(name) {
                    None if !self.allow_missing => {
                        return Err(format!("at <.{}>: map has no entry for key \"{name}\"", path.join(".")));
                    }
                    found => found,
                },
                Some(other) => {
                    let kind = functions::go_type(other);
                    return Err(format!("at <.{}>: can't evaluate field {name} in type {kind}", path.join(".")));
                }
            };
        }
        Ok(at.cloned())
    }
}

/// As an action prints it.
fn show(value: &Value) -> String {
    match value {
        None | Some(Json::Null) => "<no value>".into(),
        Some(json) => go::display(json),
    }
}

/// Whether `if` takes it.
pub fn truth(value: &Value) -> bool {
    match value {
        None | Some(Json::Null) => false,
        Some(Json::Bool(b)) => *b,
        Some(Json::Number(n)) => n.as_f64() != Some(0.0),
        Some(Json::String(text)) => !text.is_empty(),
        Some(Json::Array(items)) => !items.is_empty(),
        Some(Json::Object(map)) => !map.is_empty(),
    }
}
