//! `-o`: which printer, with kubectl's formats and errors.
//! Source: k8s.io/kubectl/pkg/cmd/get/get_flags.go, k8s.io/cli-runtime/pkg/genericclioptions/print_flags.go.

use std::path::Path;

use super::columns::Columns;
use super::gotemplate::GoTemplate;
use super::jsonpath::JsonPath;
use super::{kyaml, yaml};
use crate::api::go::{self, json};
use crate::api::{GroupResource, Json, Object};
use crate::cli::CliError;

/// How objects are printed.
#[derive(Clone, Debug)]
pub enum Format {
    /// The server's table; `wide`: all columns.
    Table { wide: bool },
    Json,
    Yaml,
    Kyaml,
    /// `pod/web`
    Name,
    JsonPath(JsonPath),
    /// The values found, as one JSON list.
    JsonPathAsJson(JsonPath),
    GoTemplate(GoTemplate),
    Columns(Columns),
}

/// Which formats a command offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// `get`: tables and columns too.
    Get,
    /// What changes objects: the objects themselves, names and templates.
    Change,
}

/// What `-o` and its companions say.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct PrintFlags {
    /// Output format: json, yaml, kyaml, name, go-template(-file), template(file), jsonpath(-as-json, -file)
    #[arg(short, long, default_value = "", hide_default_value = true, value_name = "FORMAT")]
    pub output: String,
    /// Template text, or the file of one, for the template formats
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEMPLATE")]
    pub template: String,
    /// Whether a key that an object lacks prints nothing instead of being an error
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub allow_missing_template_keys: bool,
    /// Keep `managedFields` in JSON and YAML
    #[arg(long)]
    pub show_managed_fields: bool,
}

const TEMPLATES: &[&str] =
    &["go-template", "go-template-file", "jsonpath", "jsonpath-as-json", "jsonpath-file", "template", "templatefile"];

impl PrintFlags {
    /// The format asked for; `None`: the command's own words. `cwd`: where template files are looked for.
    pub fn format(&self, cwd: &Path, offer: Offer) -> Result<Option<Format>, CliError> {
        let (name, argument) = match self.output.split_once('=') {
            Some((name, argument)) => (name, Some(argument)),
            None => (self.output.as_str(), None),
        };
        let plain = argument.is_none();
        match name {
            "" if !self.template.is_empty() && plain => self.template_format("go-template", &self.template, cwd).map(Some),
            "" if plain => Ok(None),
            "json" if plain => Ok(Some(Format::Json)),
            "yaml" if plain => Ok(Some(Format::Yaml)),
            "kyaml" if plain => Ok(Some(Format::Kyaml)),
            "name" if plain => Ok(Some(Format::Name)),
            "wide" if plain && offer == Offer::Get => Ok(Some(Format::Table { wide: true })),
            "custom-columns" if offer == Offer::Get => {
                columns(argument.unwrap_or(&self.template), None).map(Some)
            }
            "custom-columns-file" if offer == Offer::Get => {
                columns(argument.unwrap_or(&self.template), Some(cwd)).map(Some)
            }
            name if TEMPLATES.contains(&name) => {
                self.template_format(name, argument.unwrap_or(&self.template), cwd).map(Some)
            }
            _ => Err(self.no_printer(offer)),
        }
    }

    fn no_printer(&self, offer: Offer) -> CliError {
        let allowed = match offer {
            Offer::Get => {
                "custom-columns,custom-columns-file,go-template,go-template-file,json,jsonpath,jsonpath-as-json,\
                 jsonpath-file,kyaml,name,template,templatefile,wide,yaml"
            }
            Offer::Change => {
                "go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,kyaml,name,template,\
                 templatefile,yaml"
            }
        };
        CliError::message(format!(
            "unable to match a printer suitable for the output format \"{}\", allowed formats are: {allowed}",
            self.output
        ))
    }

    fn template_format(&self, name: &str, text: &str, cwd: &Path) -> Result<Format, CliError> {
        if text.is_empty() {
            return Err(CliError::message("template format specified but no template given"));
        }
        let text = if name.ends_with("file") { read(text, cwd, "--template")? } else { text.to_owned() };
        if name.starts_with("jsonpath") {
            let path = JsonPath::parse(&text);
            let path = path.map_err(|e| CliError::message(format!("error parsing jsonpath {text}, {e}\n")))?;
            let path = path.allow_missing(self.allow_missing_template_keys);
            return Ok(if name == "jsonpath-as-json" { Format::JsonPathAsJson(path) } else { Format::JsonPath(path) });
        }
        let template = GoTemplate::parse(&text);
        let template = template.map_err(|e| CliError::message(format!("error parsing template {text}, {e}\n")))?;
        Ok(Format::GoTemplate(template.allow_missing(self.allow_missing_template_keys)))
    }
}

fn columns(spec: &str, file_in: Option<&Path>) -> Result<Format, CliError> {
    let columns = match file_in {
        None => Columns::parse(spec),
        Some(_) if spec.is_empty() => Err("custom-columns format specified but no custom columns given".into()),
        Some(cwd) => Columns::parse_file(&read(spec, cwd, "template")?),
    };
    columns.map(Format::Columns).map_err(CliError::Message)
}

fn read(path: &str, cwd: &Path, what: &str) -> Result<String, CliError> {
    std::fs::read_to_string(cwd.join(path))
        .map_err(|e| CliError::message(format!("error reading {what} {path}, open {path}: {}\n", go_error(&e))))
}

/// An I/O error in Go's words.
pub fn go_error(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        std::io::ErrorKind::IsADirectory => "is a directory".into(),
        _ => error.to_string(),
    }
}

impl Format {
    /// Whether one table of several objects is wanted, not the objects themselves.
    pub fn is_table(&self) -> bool {
        matches!(self, Format::Table { .. })
    }

    /// The text of one object, or of a `List`, in any format but tables. The text may come with an error:
    /// what was printed before it.
    pub fn render(&self, tree: &Json, heads: bool) -> (String, Result<(), CliError>) {
        let done = |text: String| (text, Ok(()));
        match self {
            Format::Table { .. } => done(String::new()),
            Format::Json => done(json::pretty(tree, "    ") + "\n"),
            Format::Yaml => done(yaml::to_yaml(tree)),
            Format::Kyaml => done(kyaml::to_kyaml(tree)),
            Format::Name => done(items(tree).iter().map(|o| name(o) + "\n").collect()),
            Format::JsonPath(path) => match path.render(tree) {
                Ok(text) => done(text),
                Err(e) => (String::new(), Err(jsonpath_error(path, &e, tree))),
            },
            Format::JsonPathAsJson(path) => match path.values(tree) {
                Ok(values) => done(json::pretty(&Json::Array(values), "    ") + "\n"),
                Err(e) => (String::new(), Err(jsonpath_error(path, &e, tree))),
            },
            Format::GoTemplate(template) => go_template(template, tree),
            Format::Columns(columns) => match columns.render(&items(tree), heads) {
                Ok(text) => done(text),
                Err(e) => (String::new(), Err(CliError::Message(e))),
            },
        }
    }
}

fn items(tree: &Json) -> Vec<&Json> {
    let kind = tree.get("kind").and_then(Json::as_str).unwrap_or("");
    match tree.get("items").and_then(Json::as_array) {
        Some(items) if kind.ends_with("List") => items.iter().collect(),
        _ => vec![tree],
    }
}

/// `pod/web`, `deployment.apps/web`. Source: k8s.io/cli-runtime/pkg/printers/name.go.
pub fn name(tree: &Json) -> String {
    let object = Object::new(tree.clone());
    let kind = GroupResource::new(&object.gvk().group, &object.kind().to_lowercase());
    if kind.resource.is_empty() { format!("<unknown>/{}", object.name()) } else { format!("{kind}/{}", object.name()) }
}

fn jsonpath_error(path: &JsonPath, why: &str, tree: &Json) -> CliError {
    CliError::message(format!(
        "error executing jsonpath {}: Error executing template: {why}. Printing more information for debugging the \
         template:\n\ttemplate was:\n\t\t{}\n\tobject given to jsonpath engine was:\n\t\t{}\n\n\n",
        crate::api::status::quote(path.template()),
        path.template(),
        go::syntax(tree)
    ))
}

fn go_template(template: &GoTemplate, tree: &Json) -> (String, Result<(), CliError>) {
    let (mut text, result) = template.render(tree);
    let Err(why) = result else { return (text, Ok(())) };
    text.push_str(&format!(
        "Error executing template: {why}. Printing more information for debugging the template:\n\ttemplate was:\n\t\t{}\n\
         \traw data was:\n\t\t{}\n\tobject given to template engine was:\n\t\t{}\n\n",
        template.template(),
        json::compact(tree),
        go::display(tree)
    ));
    let quoted = crate::api::status::quote(template.template());
    (text, Err(CliError::message(format!("error executing template {quoted}: {why}"))))
}
