//! `--custom`: a partial container spec that changes what the profile gives.

use crate::api::Json;
use crate::cli::{CliError, Context};

/// Reads the file, JSON or YAML.
pub fn read(ctx: &Context, name: &str) -> Result<Json, CliError> {
    let bytes = std::fs::read(ctx.path(name)).map_err(|error| {
        let why = super::super::print::flags::go_error(&error);
        CliError::message(format!("must pass a container spec json file for custom profile: open {name}: {why}"))
    })?;
    let wrong = |why: &str| CliError::message(format!("{name} does not contain a valid container spec: {why}"));
    // JSON is YAML too.
    match serde_yaml::from_slice::<Json>(&bytes) {
        Ok(spec) if spec.is_object() => Ok(spec),
        Ok(_) => Err(wrong("it is no object")),
        Err(error) => Err(wrong(&error.to_string())),
    }
}

/// Some fields are the command line's own.
pub fn check(spec: &Json) -> Result<(), CliError> {
    let set = |field: &str| spec.get(field).is_some_and(|v| !v.is_null() && *v != "" && v.as_array().is_none_or(|a| !a.is_empty()));
    if ["name", "command", "image", "lifecycle", "volumeDevices"].iter().any(|field| set(field)) {
        let why = "name, command, image, lifecycle and volume devices are not modifiable via custom profile";
        return Err(CliError::message(why));
    }
    Ok(())
}
