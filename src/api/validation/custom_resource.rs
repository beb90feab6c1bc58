//! Whether a CustomResourceDefinition may be: its names, versions, schemas and conversion.
//! Source: staging/src/k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go.

use super::definition_parts::{approval, conversion, names as resource_names, version_parts};
use super::field::{self, Errors, Path};
use super::{internal_form, meta, names, rules};
use crate::api::custom::{formats, openapi};
use crate::api::tree::Tree;
use crate::api::{Cause, Json, JsonMap, Object};

/// What all versions have in common stands once in the internal type, and is named there when it is wrong
/// (pkg/apis/apiextensions/v1/conversion.go).
const SHARED: &[(&str, &str)] = &[
    ("schema", "validation"),
    ("subresources", "subresources"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

pub fn create(object: &Object) -> Errors {
    let mut errors = meta::create_common(object, false, names::name_is_subdomain);
    let at = errors.iter().rposition(|e| e.field == "metadata.name").map_or(0, |last| last + 1);
    errors.splice(at..at, expected_name(object));
    let spec = internal(object.json().field("spec"));
    errors.extend(self::spec(&spec, &Path::new("spec")));
    errors.extend(status(object, &spec));
    errors.extend(approval(object, None));
    errors.extend(keeps_unknown(&spec));
    errors
}

/// The name says what the resource is called and of which group it is.
fn expected_name(object: &Object) -> Option<Cause> {
    let spec = object.json().field("spec");
    let required = format!("{}.{}", spec.field("names").text("plural"), spec.text("group"));
    if object.name() == required || object.name().is_empty() {
        return None;
    }
    let detail = "must be spec.names.plural+\".\"+spec.group";
    Some(field::invalid(&Path::new("metadata").child("name"), object.name(), detail))
}

pub fn update(new: &Object, old: &Object) -> Errors {
    let (spec, path) = (internal(new.json().field("spec")), Path::new("spec"));
    let mut errors = meta::update_common(new, old);
    errors.extend(self::spec(&spec, &path));
    let immutable = |at: &[&str]| {
        let of = |object: &Object| at.iter().fold(object.json().field("spec").clone(), |tree, name| tree.field(name).clone());
        let path = at.iter().fold(path.clone(), |path, name| path.child(name));
        rules::immutable(&path, "", &of(new), &of(old))
    };
    let established = old.json().field("status").list("conditions");
    if established.iter().any(|c| c.text("type") == "Established" && c.text("status") == "True") {
        errors.extend(immutable(&["scope"]));
        errors.extend(immutable(&["names", "kind"]));
    }
    errors.extend(immutable(&["group"]));
    errors.extend(immutable(&["names", "plural"]));
    errors.extend(status(new, &spec));
    errors.extend(approval(new, Some(old)));
    if !old.json().field("spec").flag("preserveUnknownFields") {
        errors.extend(keeps_unknown(&spec));
    }
    errors
}

pub fn update_status(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update_common(new, old);
    errors.extend(accepted_names(new));
    errors
}

/// Formats that nobody checks, unless they were there.
pub fn warnings(new: &Object, old: Option<&Object>) -> Vec<String> {
    let of = |object: &Object| {
        let spec = internal(object.json().field("spec"));
        let holders = std::iter::once(spec.field("validation")).chain(spec.list("versions").iter().map(|v| v.field("schema")));
        holders.flat_map(|holder| formats::unrecognized(holder.field("openAPIV3Schema"))).collect::<Vec<_>>()
    };
    let before = old.map(of).unwrap_or_default();
    let new = of(new).into_iter().filter(|format| !before.contains(format));
    new.map(|format| format!("unrecognized format {}", crate::api::status::quote(&format))).collect()
}

/// The spec as Kubernetes' internal type has it.
fn internal(spec: &Json) -> Json {
    let mut spec = spec.clone();
    let versions = spec.list("versions").to_vec();
    let (Some(first), Some(map)) = (versions.first(), spec.as_object_mut()) else { return spec };
    let value = |version: &Json, name: &str| match version.field(name) {
        Json::Array(items) if items.is_empty() => Json::Null,
        value => value.clone(),
    };
    let shared: Vec<&(&str, &str)> = SHARED
        .iter()
        .filter(|(name, _)| versions.iter().all(|version| value(version, name) == value(first, name)))
        .collect();
    for (name, top) in &shared {
        map.insert((*top).into(), value(first, name));
    }
    let rest = |version: &Json| {
        let mut version = version.as_object().cloned().unwrap_or_default();
        version.retain(|name, _| !shared.iter().any(|(shared, _)| name == shared));
        Json::Object(version)
    };
    map.insert("versions".into(), versions.iter().map(rest).collect());
    map.insert("version".into(), first.text("name").into());
    spec
}

fn spec(spec: &Json, path: &Path) -> Errors {
    let mut errors = group(spec.text("group"), &path.child("group"));
    match spec.text("scope") {
        "" => errors.push(field::required(&path.child("scope"), "")),
        "Cluster" | "Namespaced" => {}
        other => errors.push(field::not_supported(&path.child("scope"), other, &["Cluster", "Namespaced"])),
    }
    let all_versions = spec.list("versions");
    let at = path.child("versions");
    if !spec.field("validation").has("openAPIV3Schema") {
        for (i, _) in all_versions.iter().enumerate().filter(|(_, v)| !v.field("schema").has("openAPIV3Schema")) {
            errors.push(field::required(&at.index(i).child("schema").child("openAPIV3Schema"), ""));
        }
    }
    let free = spec.flag("preserveUnknownFields");
    if free && schemas(spec).any(openapi::has_defaults) {
        let detail = "must be false in order to use defaults in the schema";
        errors.push(field::invalid(&path.child("preserveUnknownFields"), true, detail));
    }
    errors.extend(versions(spec, &at));
    errors.extend(first_version(spec, &path.child("version")));
    let names = spec.field("names");
    for name in ["plural", "singular", "kind", "listKind"].into_iter().filter(|name| names.text(name).is_empty()) {
        errors.push(field::required(&path.child("names").child(name), ""));
    }
    errors.extend(resource_names(names, &path.child("names")));
    let top: JsonMap = SHARED.iter().map(|(name, top)| ((*name).to_owned(), spec.field(top).clone())).collect();
    let with_status = all_versions.iter().chain([spec]).any(|holder| holder.field("subresources").has("status"));
    errors.extend(version_parts(&Json::Object(top), path, with_status, true));
    let strategy = spec.field("conversion").text("strategy");
    if free && spec.has("conversion") && strategy != "None" {
        let detail = "must be None if spec.preserveUnknownFields is true";
        errors.push(field::invalid(&path.child("conversion").child("strategy"), strategy, detail));
    }
    errors.extend(conversion(spec.field("conversion"), &path.child("conversion")));
    errors
}

fn schemas(spec: &Json) -> impl Iterator<Item = &Json> {
    let versions = spec.list("versions").iter().map(|version| version.field("schema"));
    std::iter::once(spec.field("validation")).chain(versions).map(|holder| holder.field("openAPIV3Schema"))
}

fn group(group: &str, path: &Path) -> Errors {
    if group.is_empty() {
        return vec![field::required(path, "")];
    }
    let problems = names::dns1123_subdomain(group);
    if !problems.is_empty() {
        return vec![field::invalid(path, group, &problems.join(","))];
    }
    if !group.contains('.') {
        return vec![field::invalid(path, group, "should be a domain with at least one dot")];
    }
    Errors::new()
}

fn versions(spec: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let versions = spec.list("versions");
    let apart = versions.iter().any(|version| version.has("subresources"));
    for (i, version) in versions.iter().enumerate() {
        errors.extend(label(version.text("name"), &path.index(i).child("name"), ""));
        errors.extend(deprecation(version, &path.index(i).child("deprecationWarning")));
        let subresources = if apart { version.field("subresources") } else { spec.field("subresources") };
        errors.extend(version_parts(version, &path.index(i), subresources.has("status"), false));
    }
    let mut say = |detail: &str| {
        let shown: Vec<String> =
            versions.iter().map(|v| internal_form::line("CustomResourceDefinitionVersion", v)).collect();
        let shown = if spec.has("versions") { format!("[{}]", shown.join(",")) } else { "null".into() };
        errors.push(field::invalid_shown(path, &shown, detail));
    };
    let twice = |(i, version): (usize, &Json)| versions[..i].iter().any(|v| v.text("name") == version.text("name"));
    if versions.iter().enumerate().any(twice) {
        say("must contain unique version names");
    }
    if versions.iter().filter(|version| version.flag("storage")).count() != 1 {
        say("must have exactly one version marked as storage version");
    }
    errors
}

/// The internal type names the first version once more.
fn first_version(spec: &Json, path: &Path) -> Errors {
    if spec.text("version").is_empty() { Errors::new() } else { label(spec.text("version"), path, "") }
}

/// A DNS-1035 label; all that is wrong with it in one error.
pub(super) fn label(value: &str, path: &Path, before: &str) -> Errors {
    let lower = value.to_lowercase();
    let problems = names::dns1035_label(if before.is_empty() { value } else { &lower });
    if problems.is_empty() {
        return Errors::new();
    }
    vec![field::invalid(path, value, &format!("{before}{}", problems.join(",")))]
}

fn deprecation(version: &Json, path: &Path) -> Errors {
    let Some(warning) = version.opt_text("deprecationWarning") else { return Errors::new() };
    let mut problems: Vec<String> = Vec::new();
    if version.flag("deprecated") {
        if warning.len() > 256 {
            problems.push("must be <= 256 characters long".into());
        }
        if warning.is_empty() {
            problems.push("must not be an empty string".into());
        }
        let odd = |c: char| c.is_control() || (c.is_whitespace() && c != ' ');
        if let Some((at, _)) = warning.char_indices().find(|(_, c)| odd(*c)) {
            let what = "must only contain printable UTF-8 characters; non-printable character found at index";
            problems.push(format!("{what} {at}"));
        }
    } else {
        problems.push("can only be set for deprecated versions".into());
    }
    rules::each(path, warning, problems)
}

fn status(object: &Object, spec: &Json) -> Errors {
    let mut errors = accepted_names(object);
    let (status, path) = (object.json().field("status"), Path::new("status").child("storedVersions"));
    let stored = status.texts("storedVersions");
    let shown = status.field("storedVersions").clone();
    if stored.is_empty() {
        errors.push(field::invalid(&path, shown, "must have at least one stored version"));
        return errors;
    }
    let versions = spec.list("versions");
    for version in versions.iter().filter(|version| version.flag("storage") && !stored.contains(&version.text("name"))) {
        let detail = format!("must have the storage version {}", version.text("name"));
        errors.push(field::invalid(&path, shown.clone(), &detail));
    }
    for (i, name) in stored.iter().enumerate().filter(|(_, name)| !versions.iter().any(|v| v.text("name") == **name)) {
        let detail = format!(
            "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a \
             storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
        );
        errors.push(field::invalid(&path.index(i), *name, &detail));
    }
    errors
}

fn accepted_names(object: &Object) -> Errors {
    resource_names(object.json().field("status").field("acceptedNames"), &Path::new("status").child("acceptedNames"))
}

fn keeps_unknown(spec: &Json) -> Errors {
    if !spec.flag("preserveUnknownFields") {
        return Errors::new();
    }
    let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
    vec![field::invalid(&Path::new("spec").child("preserveUnknownFields"), true, detail)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(change: impl FnOnce(&mut Json)) -> Object {
        let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "color": {"type": "string"}, "size": {"type": "number"}}}}}});
        let mut tree = json!({
            "metadata": {"name": "lamps.example.com", "resourceVersion": "1"},
            "spec": {"group": "example.com", "scope": "Namespaced", "conversion": {"strategy": "None"},
                "names": {"plural": "lamps", "singular": "lamp", "kind": "Lamp", "listKind": "LampList"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}]},
            "status": {"storedVersions": ["v1"]},
        });
        change(&mut tree);
        Object::new(tree)
    }

    fn shown(errors: &Errors) -> Vec<String> {
        errors.iter().map(|e| format!("{}: {}", e.field, e.message)).collect()
    }

    fn problems(change: impl FnOnce(&mut Json)) -> Vec<String> {
        shown(&create(&definition(change)))
    }

    #[test]
    fn a_plain_definition_may_be() {
        assert_eq!(problems(|_| {}), Vec::<String>::new());
        assert_eq!(shown(&update(&definition(|_| {}), &definition(|_| {}))), Vec::<String>::new());
    }

    #[test]
    fn what_all_versions_share_is_named_at_the_top() {
        let column = json!([{"name": "A", "type": "text", "jsonPath": "spec"}]);
        let shared = problems(|tree| {
            tree["spec"]["versions"][0]["additionalPrinterColumns"] = column.clone();
            tree["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["type"] = "".into();
        });
        assert_eq!(
            shared,
            [
                "spec.validation.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object \
                 fields",
                "spec.additionalPrinterColumns[0].type: Invalid value: \"text\": must be one of \
                 boolean,date,integer,number,string",
                "spec.additionalPrinterColumns[0].JSONPath: Invalid value: \"spec\": must be a simple json path starting with .",
            ]
        );
        let apart = problems(|tree| {
            let mut second = json!({"name": "v2", "served": true, "additionalPrinterColumns": column});
            second["schema"] = tree["spec"]["versions"][0]["schema"].clone();
            tree["spec"]["versions"].as_array_mut().unwrap().push(second);
        });
        assert_eq!(apart.len(), 2);
        assert!(apart[0].starts_with("spec.versions[1].additionalPrinterColumns[0].type: "), "{apart:?}");
    }

    #[test]
    fn versions_are_named_once_and_one_is_stored() {
        let label = "Invalid value: \"V1\": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with \
            an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
            validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
        let odd = problems(|tree| {
            tree["spec"]["versions"][0]["name"] = "V1".into();
            tree["status"]["storedVersions"] = json!(["V1"]);
        });
        assert_eq!(odd, [format!("spec.versions[0].name: {label}"), format!("spec.version: {label}")]);
        let none = problems(|tree| {
            tree["spec"]["versions"][0]["storage"] = false.into();
            tree["status"] = json!({});
        });
        assert_eq!(
            none,
            [
                "spec.versions: Invalid value: [{\"Name\":\"v1\",\"Served\":true,\"Storage\":false,\"Deprecated\":false,\
                 \"DeprecationWarning\":null,\"Schema\":null,\"Subresources\":null,\"AdditionalPrinterColumns\":null,\
                 \"SelectableFields\":null}]: must have exactly one version marked as storage version",
                "status.storedVersions: Invalid value: null: must have at least one stored version",
            ]
        );
        let gone = problems(|tree| tree["status"]["storedVersions"] = json!(["v1alpha1", "v1"]));
        assert_eq!(
            gone,
            ["status.storedVersions[0]: Invalid value: \"v1alpha1\": missing from spec.versions; v1alpha1 was previously a \
              storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in \
              v1alpha1 and removes v1alpha1 from status.storedVersions"]
        );
    }

    #[test]
    fn every_version_has_a_schema_and_a_warning_only_when_deprecated() {
        let bare = problems(|tree| {
            tree["spec"]["versions"][0].as_object_mut().unwrap().remove("schema");
            tree["spec"]["versions"][0]["deprecationWarning"] = "old".into();
        });
        assert_eq!(
            bare,
            [
                "spec.versions[0].schema.openAPIV3Schema: Required value",
                "spec.versions[0].deprecationWarning: Invalid value: \"old\": can only be set for deprecated versions",
            ]
        );
    }

    #[test]
    fn the_root_says_little_beside_a_status() {
        let odd = problems(|tree| {
            tree["spec"]["versions"][0]["subresources"] = json!({"status": {}});
            tree["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = json!({"type": "object", "maxProperties": 3});
        });
        assert_eq!(odd.len(), 1);
        let head = "spec.validation.openAPIV3Schema: Invalid value: {\"ID\":\"\",\"Schema\":\"\",\"Ref\":null,";
        let tail = "\"XMapType\":null,\"XValidations\":null}: only [Description Type Format Title Maximum ExclusiveMaximum Minimum \
            ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties \
            ExternalDocs Example XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the status \
            subresource is enabled";
        assert!(odd[0].starts_with(head) && odd[0].ends_with(tail), "{odd:?}");
    }

    #[test]
    fn fields_to_select_by_are_plain_ones_of_the_schema() {
        let fields = problems(|tree| {
            let paths = [".spec.color", ".spec.color", ".spec.size", ".metadata.name", ".spec.nothing", "", ".spec['color']"];
            let paths = paths.map(|path| json!({"jsonPath": path}));
            tree["spec"]["versions"][0]["selectableFields"] = json!(paths);
            let metadata = json!({"type": "object", "properties": {"name": {"type": "string"}}});
            tree["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["metadata"] = metadata;
        });
        let scalar = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
        assert_eq!(
            fields,
            [
                "spec.selectableFields[1].jsonPath: Duplicate value: \".spec.color\"".to_owned(),
                format!("spec.selectableFields[2].jsonPath: Invalid value: \".spec.size\": {scalar}"),
                "spec.selectableFields[3].jsonPath: Invalid value: \".metadata.name\": must not point to fields in metadata".into(),
                "spec.selectableFields[4].jsonPath: Invalid value: \".spec.nothing\": is an invalid path: does not refer to a \
                 valid field".into(),
                "spec.selectableFields[5].jsonPath: Required value".into(),
                "spec.selectableFields[6].jsonPath: Invalid value: \".spec['color']\": is an invalid path: array notation is not \
                 allowed".into(),
            ]
        );
    }

    #[test]
    fn names_and_conversion_are_checked() {
        let odd = problems(|tree| {
            tree["metadata"]["name"] = "lights.example.com".into();
            tree["spec"]["names"]["listKind"] = "Lamp".into();
            tree["spec"]["names"]["kind"] = "Lamp".into();
            tree["spec"]["conversion"] = json!({"strategy": "None", "webhook": {"conversionReviewVersions": ["v1"]}});
        });
        assert_eq!(
            odd,
            [
                "metadata.name: Invalid value: \"lights.example.com\": must be spec.names.plural+\".\"+spec.group",
                "spec.names.listKind: Invalid value: \"Lamp\": kind and listKind may not be the same",
                "spec.conversion.conversionReviewVersions: Forbidden: should not be set when strategy is not set to Webhook",
            ]
        );
        let webhook = problems(|tree| {
            let client = json!({"url": "http://u@h/x?y"});
            let webhook = json!({"clientConfig": client, "conversionReviewVersions": ["v2", "v2"]});
            tree["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": webhook});
        });
        let at = "spec.conversion.webhookClientConfig.url: Invalid value";
        assert_eq!(
            webhook,
            [
                format!("{at}: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]"),
                format!("{at}: \"u\": user information is not permitted in the URL"),
                format!("{at}: \"y\": query parameters are not permitted in the URL"),
                "spec.conversion.conversionReviewVersions[1]: Invalid value: \"v2\": duplicate version".into(),
                "spec.conversion.conversionReviewVersions: Invalid value: [\"v2\",\"v2\"]: must include at least one of v1, v1beta1"
                    .into(),
            ]
        );
    }

    #[test]
    fn groups_of_the_community_need_approval() {
        let of = |annotation: &str| {
            let text = annotation.to_owned();
            definition(|tree| {
                tree["metadata"]["name"] = "lamps.x-k8s.k8s.io".into();
                tree["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": text});
                tree["spec"]["group"] = "x-k8s.k8s.io".into();
            })
        };
        let at = "metadata.annotations[api-approved.kubernetes.io]";
        let must = "protected groups must have approval annotation \"api-approved.kubernetes.io\"";
        let see = "see https://github.com/kubernetes/enhancements/pull/1111";
        assert_eq!(shown(&create(&of(""))), [format!("{at}: Required value: {must}, {see}")]);
        let or = "with either a URL or a reason starting with \"unapproved\"";
        assert_eq!(shown(&create(&of("yes"))), [format!("{at}: Invalid value: \"yes\": {must} {or}, {see}")]);
        for good in ["unapproved, a test", "https://github.com/kubernetes/kubernetes/pull/1"] {
            assert_eq!(shown(&create(&of(good))), Vec::<String>::new());
        }
        assert_eq!(shown(&update(&of(""), &of(""))), Vec::<String>::new());
    }

    #[test]
    fn what_is_established_keeps_its_kind() {
        let old = definition(|tree| tree["status"]["conditions"] = json!([{"type": "Established", "status": "True"}]));
        let new = definition(|tree| {
            tree["spec"]["names"]["kind"] = "Light".into();
            tree["spec"]["scope"] = "Cluster".into();
            tree["spec"]["preserveUnknownFields"] = true.into();
        });
        assert_eq!(
            shown(&update(&new, &old)),
            [
                "spec.scope: Invalid value: \"Cluster\": field is immutable",
                "spec.names.kind: Invalid value: \"Light\": field is immutable",
                "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to \
                 true in spec.versions[*].schema instead",
            ]
        );
    }
}
