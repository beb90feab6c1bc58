//! Who owns which field: `metadata.managedFields` kept through updates, and server-side apply.
//! Source of the rules: k8s.io/apimachinery/pkg/util/managedfields/internal, and
//! sigs.k8s.io/structured-merge-diff/v6/merge/update.go.

mod apply;
mod conflict;
mod entries;
mod last_applied;
mod scale;
mod times;
mod update;

pub use conflict::{ApplyError, Conflict};
pub use entries::{ManagerId, Operation};
pub use last_applied::LAST_APPLIED;
pub use scale::{scale_entries_to_parent, scale_entries_to_scale};
pub use times::keep_times_of_unchanged;

use jiff::Timestamp;

use super::fields::FieldSet;
use super::typed::{self, CustomTypes, TypeRef};
use crate::api::{Gvk, Json};

/// How many managers that used updates an object remembers one by one.
/// Source: `DefaultMaxUpdateManagers` in fieldmanager.go.
const MAX_UPDATE_MANAGERS: usize = 10;

/// What the older of them are merged into. Source: capmanagers.go.
const ANCIENT: &str = "ancient-changes";

/// The owner of what was there before anybody used apply. Source: skipnonapplied.go.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Length of a field manager's name, in bytes. Source: `FieldManagerMaxLength`.
pub const MANAGER_MAX_LENGTH: usize = 128;

/// Turns an object of one API version of a kind into another, if the server has that version.
pub type Converter<'a> = &'a dyn Fn(&Json, &str) -> Option<Json>;

/// Keeps the ownership of the fields of objects written through one resource or subresource.
pub struct FieldManager<'a> {
    gvk: Gvk,
    kind: TypeRef<'a>,
    subresource: String,
    reset: FieldSet,
    convert: Option<Converter<'a>>,
    /// Of a custom kind.
    custom: Option<&'a CustomTypes>,
}

impl<'a> FieldManager<'a> {
    /// `subresource` is empty for the resource itself.
    pub fn new(gvk: &Gvk, subresource: &str) -> Self {
        FieldManager {
            gvk: gvk.clone(),
            kind: TypeRef::of_kind(gvk),
            subresource: subresource.to_owned(),
            reset: typed::reset(gvk, subresource),
            convert: None,
            custom: None,
        }
    }

    /// For a custom kind, whose definition says what its lists and maps are.
    pub fn with_types(mut self, types: &'a CustomTypes) -> Self {
        let version = self.gvk.api_version();
        self.kind = types.at(&version);
        self.reset = typed::reset_of_custom(&self.subresource, types.has_status(&version));
        self.custom = Some(types);
        self
    }

    /// The type of the kind at another version.
    fn kind_at(&self, version: &str) -> TypeRef<'a> {
        match self.custom {
            Some(types) => types.at(version),
            None => TypeRef::of_kind(&Gvk::of(version, &self.gvk.kind)),
        }
    }

    /// With a way to the other versions of the kind; without it, what is owned at another version is forgotten.
    pub fn with_converter(mut self, convert: Converter<'a>) -> Self {
        self.convert = Some(convert);
        self
    }

    /// Ownership after an update, patch or create: `new` with its `managedFields`. `live` is `None` for a create.
    /// Never fails: where ownership cannot be worked out, the live object's is kept.
    pub fn update(&self, live: Option<&Json>, new: Json, manager: &str, now: Timestamp) -> Json {
        update::update(self, live, new, manager, now)
    }

    /// Server-side apply of `patch` to `live` (`None`: it creates): the merged object, not yet defaulted,
    /// with its `managedFields`.
    pub fn apply(
        &self,
        live: Option<&Json>,
        patch: &Json,
        manager: &str,
        force: bool,
        now: Timestamp,
    ) -> Result<Json, ApplyError> {
        apply::apply(self, live, patch, manager, force, now)
    }

    /// Whether an apply of `patch` surely leaves `live` as it is: `manager` sent the same last time, and the live object has
    /// all of it. `false` says nothing.
    pub fn sends_nothing_new(&self, live: &Json, patch: &Json, manager: &str) -> bool {
        apply::sends_nothing_new(self, live, patch, manager)
    }

    fn api_version(&self) -> String {
        self.gvk.api_version()
    }

    /// An object in which nothing is set.
    fn nothing(&self) -> Json {
        self.structured(serde_json::json!({}))
    }

    fn structured(&self, tree: Json) -> Json {
        let tree = if tree.is_object() { tree } else { serde_json::json!({}) };
        let mut tree = typed::structured(&self.gvk, tree);
        if let Some(root) = tree.as_object_mut() {
            root.insert("apiVersion".into(), self.gvk.api_version().into());
            root.insert("kind".into(), self.gvk.kind.as_str().into());
        }
        tree
    }

    /// The tree at another version with the type of that version. `None`: there is no such version.
    fn at_version(&self, tree: &Json, version: &str) -> Option<(Json, TypeRef<'a>)> {
        if version == self.gvk.api_version() {
            return Some((tree.clone(), self.kind));
        }
        let converted = self.convert?(tree, version)?;
        Some((converted, self.kind_at(version)))
    }

    fn id(&self, manager: &str, operation: Operation) -> ManagerId {
        let manager = if manager.is_empty() { "unknown" } else { manager };
        let api_version = match operation {
            Operation::Apply => String::new(),
            Operation::Update => self.api_version(),
        };
        ManagerId { manager: manager.to_owned(), operation, api_version, subresource: self.subresource.clone() }
    }
}

/// The name a request's changes are owned by: its `fieldManager`, or the first word of the client's name.
/// Source: `managerOrUserAgent` in k8s.io/apiserver/pkg/endpoints/handlers/create.go.
pub fn manager_name(field_manager: Option<&str>, user_agent: &str) -> String {
    if let Some(name) = field_manager.filter(|n| !n.is_empty()) {
        return name.to_owned();
    }
    let mut name = String::new();
    for c in user_agent.split('/').next().unwrap_or("").chars().filter(|c| is_printable(*c)) {
        if name.len() + c.len_utf8() > MANAGER_MAX_LENGTH {
            break;
        }
        name.push(c);
    }
    name
}

/// As Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
pub fn is_printable(c: char) -> bool {
    let formatting = matches!(c, '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e007f}' | '\u{f0000}'..);
    c == ' ' || !(c.is_control() || c.is_whitespace() || formatting)
}

#[cfg(test)]
pub(crate) mod tests;
