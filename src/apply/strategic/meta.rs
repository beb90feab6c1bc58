//! What the schema says about patching a place: its strategies and the key that lists merge by.

use crate::api::Gvk;
use crate::api::schema::{Field, Schema, Type};

use super::PatchError;

/// The Go type of a place, as far as patching asks for it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meta<'s> {
    Struct(&'s str, &'s Type),
    Field(&'s Field),
    /// A kind that the schema does not know.
    Unknown,
}

/// How a field is patched.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Strategy<'s> {
    strategies: &'s str,
    pub merge_key: &'s str,
}

impl Strategy<'_> {
    pub fn is_merge(&self) -> bool {
        self.strategies.split(',').any(|s| s == "merge")
    }

    pub fn is_replace(&self) -> bool {
        self.strategies.split(',').any(|s| s == "replace")
    }

    pub fn retains_keys(&self) -> bool {
        self.strategies.split(',').any(|s| s == "retainKeys")
    }
}

impl Meta<'static> {
    pub fn of_kind(gvk: &Gvk) -> Self {
        let schema = Schema::get();
        match schema.type_name(gvk).and_then(|name| schema.types.get_key_value(name)) {
            Some((name, kind)) => Meta::Struct(name, kind),
            None => Meta::Unknown,
        }
    }
}

fn resolved(field: &'static Field) -> Meta<'static> {
    match field.reference.as_ref().and_then(|r| Schema::get().types.get_key_value(r)) {
        Some((name, kind)) => Meta::Struct(name, kind),
        None => Meta::Field(field),
    }
}

impl Meta<'static> {
    /// The field `key` of this struct. Source: `LookupPatchMetadataForStruct` in
    /// k8s.io/apimachinery/third_party/forked/golang/json/fields.go.
    pub fn of_field(self, key: &str) -> Result<(Meta<'static>, Strategy<'static>), PatchError> {
        let Meta::Struct(name, Type { fields: Some(fields), .. }) = self else {
            let message = format!("merging an object in json but data type is not struct, instead is: {}", self.kind());
            return Err(PatchError::Other(message));
        };
        let field = fields.get(key).or_else(|| fields.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, f)| f));
        let Some(field) = field else {
            let short = name.rsplit('.').next().unwrap_or(name);
            let message = format!(
                "unable to find api field in struct {short} for the json field {}",
                crate::api::status::quote(key)
            );
            return Err(PatchError::Other(message));
        };
        let strategy = Strategy {
            strategies: field.patch_strategy.as_deref().unwrap_or(""),
            merge_key: field.patch_merge_key.as_deref().unwrap_or(""),
        };
        Ok((resolved(field), strategy))
    }

    /// The items of the list field `key` of this struct.
    pub fn of_list(self, key: &str) -> Result<(Meta<'static>, Strategy<'static>), PatchError> {
        let (meta, strategy) = self.of_field(key)?;
        match meta {
            Meta::Field(Field { items: Some(items), .. }) => Ok((resolved(items), strategy)),
            _ => Err(PatchError::Other(format!("expected slice or array type, but got: {}", self.kind()))),
        }
    }

    /// As `reflect.Kind` prints it.
    pub fn kind(self) -> &'static str {
        match self {
            Meta::Struct(..) => "struct",
            Meta::Unknown => "map",
            Meta::Field(field) => match (field.kind.as_deref(), field.format.as_deref()) {
                (Some("array"), _) => "slice",
                (Some("string"), Some("byte")) => "slice",
                (Some("string"), _) => "string",
                (Some("boolean"), _) => "bool",
                (Some("integer"), Some("int64")) => "int64",
                (Some("integer"), _) => "int32",
                (Some("number"), _) => "float64",
                _ => "map",
            },
        }
    }
}
