//! What `kustomization.yaml` says. Source: sigs.k8s.io/kustomize/api/types/kustomization.go.

use std::collections::BTreeMap;
use std::path::Path;

use super::unsupported;
use crate::api::Json;
use crate::cli::{CliError, Context};
use crate::manifest;

const NAMES: &[&str] = &["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// Fields that are known and that need more than is done here.
const MORE: &[&str] = &[
    "openapi", "vars", "crds", "helmGlobals", "helmCharts", "helmChartInflationGenerator",
    "configurations", "generators", "transformers", "validators", "buildMetadata", "imageTags",
];

pub type Texts = BTreeMap<String, String>;

/// What resources must be and be called: `group`, `version`, `kind`, `name`, `namespace`, `labelSelector`, `annotationSelector`.
#[derive(Clone, Debug, Default)]
pub struct Ids(Texts);

impl Ids {
    /// What is said of a field, or nothing.
    pub fn get(&self, field: &str) -> &str {
        self.0.get(field).map_or("", String::as_str)
    }

    /// Whether it says anything of what they are and are called.
    pub fn is_any(&self) -> bool {
        self.0.keys().any(|key| !key.ends_with("Selector"))
    }

    fn take(part: &mut Part<'_>, fields: &[&'static str]) -> Result<Self, CliError> {
        let mut texts = Texts::new();
        for field in fields {
            let text = part.text(field)?;
            if !text.is_empty() {
                texts.insert((*field).into(), text);
            }
        }
        Ok(Ids(texts))
    }
}

const ID: [&str; 5] = ["group", "version", "kind", "name", "namespace"];
const SELECTOR: [&str; 7] = ["group", "version", "kind", "name", "namespace", "labelSelector", "annotationSelector"];

#[derive(Debug, Default)]
pub struct Kustomization {
    /// It changes what the kustomization that names it has so far.
    pub is_component: bool,
    pub components: Vec<String>,
    /// Objects stay in the order in which they were found.
    pub keeps_order: bool,
    pub resources: Vec<String>,
    pub prefix: String,
    pub suffix: String,
    pub namespace: String,
    pub labels: Vec<Label>,
    pub annotations: Texts,
    pub images: Vec<Image>,
    pub replicas: Vec<Replica>,
    pub config_maps: Vec<Generated>,
    pub secrets: Vec<Generated>,
    pub strategic: Vec<String>,
    pub patches: Vec<Patch>,
    pub json_patches: Vec<Patch>,
    pub replacements: Vec<ReplacementEntry>,
}

#[derive(Debug, Default)]
pub struct Label {
    pub pairs: Texts,
    pub selectors: bool,
    pub templates: bool,
    pub claim_templates: bool,
}

#[derive(Debug, Default)]
pub struct Image {
    pub name: String,
    pub new_name: String,
    pub new_tag: String,
    pub tag_suffix: String,
    pub digest: String,
}

#[derive(Debug)]
pub struct Replica {
    pub name: String,
    pub count: i64,
}

#[derive(Debug, Default)]
pub struct Generated {
    pub name: String,
    pub namespace: String,
    /// `create`, `merge`, `replace`, or nothing.
    pub behavior: String,
    /// Only of Secrets.
    pub kind: String,
    pub literals: Vec<String>,
    pub files: Vec<String>,
    pub envs: Vec<String>,
    pub options: Options,
}

#[derive(Clone, Debug, Default)]
pub struct Options {
    pub labels: Texts,
    pub annotations: Texts,
    pub no_hash: bool,
    pub immutable: bool,
}

#[derive(Debug, Default)]
pub struct Patch {
    pub path: String,
    pub text: String,
    pub target: Option<Ids>,
    pub may_rename: bool,
    pub may_change_kind: bool,
}

/// An entry of `replacements`: one, or a file of some.
#[derive(Debug, Default)]
pub struct ReplacementEntry {
    pub json: Json,
    pub path: String,
    pub own: Replacement,
}

/// Source: sigs.k8s.io/kustomize/api/types/replacement.go.
#[derive(Clone, Debug, Default)]
pub struct Replacement {
    pub source: Option<Source>,
    /// Instead of a source: the value itself.
    pub value: Option<String>,
    pub targets: Option<Vec<Target>>,
}

#[derive(Clone, Debug, Default)]
pub struct Source {
    pub ids: Ids,
    pub path: String,
    pub options: Option<FieldOptions>,
}

#[derive(Clone, Debug, Default)]
pub struct Target {
    pub select: Option<Ids>,
    pub reject: Vec<Ids>,
    pub paths: Vec<String>,
    pub options: Option<FieldOptions>,
}

/// The piece of a text that is meant, and whether a field that is missing is made.
#[derive(Clone, Debug, Default)]
pub struct FieldOptions {
    pub delimiter: String,
    pub index: i64,
    pub create: bool,
}

/// A part of the file: its fields are taken one by one, and what is left is unknown.
struct Part<'a> {
    json: &'a Json,
    /// Go's name of the struct, and the way to it, for messages.
    name: &'static str,
    path: String,
    known: Vec<&'static str>,
}

impl<'a> Part<'a> {
    fn new(json: &'a Json, name: &'static str, path: String) -> Result<Self, CliError> {
        if !json.is_object() && !json.is_null() {
            return Err(wrong_type(json, name, &path, &format!("types.{name}")));
        }
        Ok(Part { json, name, path, known: Vec::new() })
    }

    fn get(&mut self, key: &'static str) -> Option<&'a Json> {
        self.known.push(key);
        self.json.get(key).filter(|v| !v.is_null())
    }

    fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn text(&mut self, key: &'static str) -> Result<String, CliError> {
        match self.get(key) {
            None => Ok(String::new()),
            Some(Json::String(text)) => Ok(text.clone()),
            Some(other) => Err(wrong_type(other, self.name, &self.at(key), "string")),
        }
    }

    fn flag(&mut self, key: &'static str) -> Result<bool, CliError> {
        match self.get(key) {
            None => Ok(false),
            Some(Json::Bool(value)) => Ok(*value),
            Some(other) => Err(wrong_type(other, self.name, &self.at(key), "bool")),
        }
    }

    fn number(&mut self, key: &'static str) -> Result<i64, CliError> {
        match self.get(key) {
            None => Ok(0),
            Some(other) => other.as_i64().ok_or_else(|| wrong_type(other, self.name, &self.at(key), "int64")),
        }
    }

    fn list(&mut self, key: &'static str, of: &str) -> Result<&'a [Json], CliError> {
        match self.get(key) {
            None => Ok(&[]),
            Some(Json::Array(items)) => Ok(items),
            Some(other) => Err(wrong_type(other, self.name, &self.at(key), &format!("[]{of}"))),
        }
    }

    fn texts_of_list(&mut self, key: &'static str) -> Result<Vec<String>, CliError> {
        let (name, at) = (self.name, self.at(key));
        let one = |item: &Json| match item {
            Json::String(text) => Ok(text.clone()),
            other => Err(wrong_type(other, name, &at, "string")),
        };
        self.list(key, "string")?.iter().map(one).collect()
    }

    fn texts(&mut self, key: &'static str) -> Result<Texts, CliError> {
        let at = self.at(key);
        let map = match self.get(key) {
            None => return Ok(Texts::new()),
            Some(Json::Object(map)) => map,
            Some(other) => return Err(wrong_type(other, self.name, &at, "map[string]string")),
        };
        let one = |(key, value): (&String, &Json)| match value {
            Json::String(text) => Ok((key.clone(), text.clone())),
            Json::Null => Ok((key.clone(), String::new())),
            other => Err(wrong_type(other, self.name, &at, "string")),
        };
        map.iter().map(one).collect()
    }

    /// The same, where fields that are not known are mistakes.
    fn end_if(self, strict: bool) -> Result<(), CliError> {
        if strict { self.end() } else { Ok(()) }
    }

    /// Nothing but what was asked for may be there.
    fn end(self) -> Result<(), CliError> {
        let unknown = self.json.as_object().into_iter().flatten().map(|(key, _)| key);
        match unknown.into_iter().find(|key| !self.known.contains(&key.as_str())) {
            Some(key) => Err(CliError::message(format!("invalid Kustomization: json: unknown field \"{key}\""))),
            None => Ok(()),
        }
    }
}

/// Go's words for a value of a wrong type.
fn wrong_type(value: &Json, name: &str, path: &str, wanted: &str) -> CliError {
    let kind = match value {
        Json::Null => "null",
        Json::Bool(_) => "bool",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    };
    CliError::message(format!("invalid Kustomization: json: cannot unmarshal {kind} into Go struct field {name}.{path} of type {wanted}"))
}

impl Kustomization {
    pub fn read(ctx: &mut Context, root: &Path) -> Result<Self, CliError> {
        let there: Vec<_> = NAMES.iter().map(|name| root.join(name)).filter(|path| path.is_file()).collect();
        let path = match there.as_slice() {
            [] => {
                return Err(CliError::message(format!(
                    "unable to find one of 'kustomization.yaml', 'kustomization.yml' or 'Kustomization' in directory '{}'",
                    root.display()
                )));
            }
            [one] => one,
            _ => {
                let text = format!("Found multiple kustomization files under: {}\n", root.display());
                return Err(CliError::message(text));
            }
        };
        let bytes = std::fs::read(path).map_err(|e| CliError::message(format!("{}: {e}", path.display())))?;
        let first = manifest::first_document(&bytes);
        let tree = first.map_err(|e| CliError::message(format!("invalid Kustomization: yaml: {e}")))?.tree;
        if tree.as_object().is_none_or(serde_json::Map::is_empty) {
            return Err(CliError::message("kustomization.yaml is empty"));
        }
        let kustomization = Self::of(&tree, root)?;
        for (field, instead) in [
            ("bases", "resources"),
            ("commonLabels", "labels"),
            ("patchesJson6902", "patches"),
            ("patchesStrategicMerge", "patches"),
        ] {
            if tree.get(field).is_some_and(|v| !v.is_null()) {
                ctx.err.line(&format!(
                    "# Warning: '{field}' is deprecated. Please use '{instead}' instead. Run 'kustomize edit fix' to update your \
                     Kustomization automatically."
                ));
            }
        }
        Ok(kustomization)
    }

    fn of(tree: &Json, root: &Path) -> Result<Self, CliError> {
        let mut part = Part::new(tree, "Kustomization", String::new())?;
        if let Some(field) = MORE.iter().find(|field| tree.get(**field).is_some_and(|v| !v.is_null())) {
            return Err(unsupported(&format!("the field '{field}' of a kustomization")));
        }
        part.known.extend(MORE);
        part.get("metadata");
        let mut wrong = Vec::new();
        let (version, kind) = (part.text("apiVersion")?, part.text("kind")?);
        let is_component = kind == "Component";
        if !matches!(kind.as_str(), "" | "Kustomization" | "Component") {
            wrong.push("kind should be Kustomization or Component".to_owned());
        }
        let known = if is_component { "kustomize.config.k8s.io/v1alpha1" } else { "kustomize.config.k8s.io/v1beta1" };
        if !version.is_empty() && version != known {
            wrong.push(format!("apiVersion for {} should be {known}", if kind.is_empty() { "Kustomization" } else { &kind }));
        }
        if !wrong.is_empty() {
            let root = root.display();
            return Err(CliError::message(format!("Failed to read kustomization file under {root}:\n{}", wrong.join("\n"))));
        }
        let mut resources = part.texts_of_list("resources")?;
        resources.extend(part.texts_of_list("bases")?);
        let common = part.texts("commonLabels")?;
        let mut labels = Vec::new();
        for json in part.list("labels", "types.Label")? {
            labels.push(label(json)?);
        }
        if !common.is_empty() {
            labels.push(Label { pairs: common, selectors: true, ..Label::default() });
        }
        let options = match part.get("generatorOptions") {
            Some(json) => options(json, "generatorOptions")?,
            None => Options::default(),
        };
        let keeps_order = match part.get("sortOptions") {
            Some(json) => keeps_order(json)?,
            None => false,
        };
        let kustomization = Kustomization {
            is_component,
            components: part.texts_of_list("components")?,
            keeps_order,
            resources,
            prefix: part.text("namePrefix")?,
            suffix: part.text("nameSuffix")?,
            namespace: part.text("namespace")?,
            labels,
            annotations: part.texts("commonAnnotations")?,
            images: all(part.list("images", "types.Image")?, image)?,
            replicas: all(part.list("replicas", "types.Replica")?, replica)?,
            config_maps: all(part.list("configMapGenerator", "types.ConfigMapArgs")?, |j| generated(j, "ConfigMapArgs", &options))?,
            secrets: all(part.list("secretGenerator", "types.SecretArgs")?, |j| generated(j, "SecretArgs", &options))?,
            strategic: part.texts_of_list("patchesStrategicMerge")?,
            patches: all(part.list("patches", "types.Patch")?, patch)?,
            json_patches: all(part.list("patchesJson6902", "types.Patch")?, patch)?,
            replacements: all(part.list("replacements", "types.ReplacementField")?, replacement_entry)?,
        };
        part.end()?;
        Ok(kustomization)
    }
}

fn all<T>(items: &[Json], one: impl Fn(&Json) -> Result<T, CliError>) -> Result<Vec<T>, CliError> {
    items.iter().map(one).collect()
}

/// Source: sigs.k8s.io/kustomize/api/types/sortoptions.go.
fn keeps_order(json: &Json) -> Result<bool, CliError> {
    let mut part = Part::new(json, "SortOptions", "sortOptions".into())?;
    if part.get("legacySortOptions").is_some() {
        return Err(unsupported("the field 'legacySortOptions' of sortOptions"));
    }
    let order = part.text("order")?;
    part.end()?;
    match order.as_str() {
        "" | "legacy" => Ok(false),
        "fifo" => Ok(true),
        _ => Err(CliError::message("the field 'sortOptions.order' must be one of [fifo, legacy]")),
    }
}

fn label(json: &Json) -> Result<Label, CliError> {
    let mut part = Part::new(json, "Label", "labels".into())?;
    if part.get("fields").is_some() {
        return Err(unsupported("the field 'fields' of labels"));
    }
    let label = Label {
        pairs: part.texts("pairs")?,
        selectors: part.flag("includeSelectors")?,
        templates: part.flag("includeTemplates")?,
        claim_templates: part.flag("includeVolumeClaimTemplates")?,
    };
    part.end()?;
    Ok(label)
}

fn image(json: &Json) -> Result<Image, CliError> {
    let mut part = Part::new(json, "Image", "images".into())?;
    let image = Image {
        name: part.text("name")?,
        new_name: part.text("newName")?,
        new_tag: part.text("newTag")?,
        tag_suffix: part.text("tagSuffix")?,
        digest: part.text("digest")?,
    };
    part.end()?;
    Ok(image)
}

fn replica(json: &Json) -> Result<Replica, CliError> {
    let mut part = Part::new(json, "Replica", "replicas".into())?;
    let replica = Replica { name: part.text("name")?, count: part.number("count")? };
    part.end()?;
    Ok(replica)
}

fn options(json: &Json, path: &str) -> Result<Options, CliError> {
    let mut part = Part::new(json, "GeneratorOptions", path.into())?;
    let options = Options {
        labels: part.texts("labels")?,
        annotations: part.texts("annotations")?,
        no_hash: part.flag("disableNameSuffixHash")?,
        immutable: part.flag("immutable")?,
    };
    part.end()?;
    Ok(options)
}

/// The options of one generator win over those of all.
fn generated(json: &Json, name: &'static str, common: &Options) -> Result<Generated, CliError> {
    let path = if name == "SecretArgs" { "secretGenerator" } else { "configMapGenerator" };
    let mut part = Part::new(json, name, path.into())?;
    let own = match part.get("options") {
        Some(json) => options(json, &format!("{path}.options"))?,
        None => Options::default(),
    };
    let mut options = common.clone();
    options.labels.extend(own.labels);
    options.annotations.extend(own.annotations);
    options.no_hash |= own.no_hash;
    options.immutable |= own.immutable;
    let mut envs = part.texts_of_list("envs")?;
    envs.extend(Some(part.text("env")?).filter(|env| !env.is_empty()));
    let kind = if name == "SecretArgs" { part.text("type")? } else { String::new() };
    let generated = Generated {
        name: part.text("name")?,
        namespace: part.text("namespace")?,
        behavior: part.text("behavior")?,
        kind,
        literals: part.texts_of_list("literals")?,
        files: part.texts_of_list("files")?,
        envs,
        options,
    };
    part.end()?;
    Ok(generated)
}

fn patch(json: &Json) -> Result<Patch, CliError> {
    let mut part = Part::new(json, "Patch", "patches".into())?;
    let (may_rename, may_change_kind) = match part.get("options") {
        Some(json) => {
            let mut options = Part::new(json, "PatchArgs", "patches.options".into())?;
            let flags = (options.flag("allowNameChange")?, options.flag("allowKindChange")?);
            options.end()?;
            flags
        }
        None => (false, false),
    };
    let target = match part.get("target") {
        Some(json) => {
            let mut target = Part::new(json, "Selector", "patches.target".into())?;
            let ids = Ids::take(&mut target, &SELECTOR)?;
            target.end()?;
            Some(ids)
        }
        None => None,
    };
    let patch = Patch { path: part.text("path")?, text: part.text("patch")?.trim().to_owned(), target, may_rename, may_change_kind };
    part.end()?;
    Ok(patch)
}

fn replacement_entry(json: &Json) -> Result<ReplacementEntry, CliError> {
    let mut part = Part::new(json, "ReplacementField", "replacements".into())?;
    let entry = ReplacementEntry { json: json.clone(), path: part.text("path")?, own: replacement(&mut part, true)? };
    part.end()?;
    Ok(entry)
}

/// A replacement of a file of its own, in which fields that are not known are passed over.
pub fn replacement_of_file(json: &Json) -> Result<Replacement, CliError> {
    replacement(&mut Part::new(json, "Replacement", String::new())?, false)
}

fn replacement(part: &mut Part<'_>, strict: bool) -> Result<Replacement, CliError> {
    let source = match part.get("source") {
        Some(json) => {
            let mut source = Part::new(json, "SourceSelector", part.at("source"))?;
            let ids = Ids::take(&mut source, &ID)?;
            let found = Source { ids, path: source.text("fieldPath")?, options: field_options(&mut source, strict)? };
            source.end_if(strict)?;
            Some(found)
        }
        None => None,
    };
    let value = match part.get("sourceValue") {
        Some(_) => Some(part.text("sourceValue")?),
        None => None,
    };
    let targets = match part.get("targets") {
        Some(_) => {
            let path = part.at("targets");
            let targets = part.list("targets", "*types.TargetSelector")?;
            Some(all(targets, |json| target(json, &path, strict))?)
        }
        None => None,
    };
    Ok(Replacement { source, value, targets })
}

fn target(json: &Json, path: &str, strict: bool) -> Result<Target, CliError> {
    let mut part = Part::new(json, "TargetSelector", path.to_owned())?;
    let ids = |json: &Json, path: String| {
        let mut ids = Part::new(json, "Selector", path)?;
        let found = Ids::take(&mut ids, &SELECTOR)?;
        ids.end_if(strict)?;
        Ok(found)
    };
    let select = match part.get("select") {
        Some(json) => Some(ids(json, part.at("select"))?),
        None => None,
    };
    let reject = part.at("reject");
    let target = Target {
        select,
        reject: all(part.list("reject", "*types.Selector")?, |json| ids(json, reject.clone()))?,
        paths: part.texts_of_list("fieldPaths")?,
        options: field_options(&mut part, strict)?,
    };
    part.end_if(strict)?;
    Ok(target)
}

fn field_options(part: &mut Part<'_>, strict: bool) -> Result<Option<FieldOptions>, CliError> {
    let Some(json) = part.get("options") else { return Ok(None) };
    let mut options = Part::new(json, "FieldOptions", part.at("options"))?;
    // Known to kustomize, and without effect there.
    options.get("encoding");
    let found = FieldOptions { delimiter: options.text("delimiter")?, index: options.number("index")?, create: options.flag("create")? };
    options.end_if(strict)?;
    Ok(Some(found))
}
