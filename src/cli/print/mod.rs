//! Trees → text: tables, JSON, YAML, names, JSONPath, Go templates, custom columns.

pub mod columns;
pub mod flags;
pub mod gosort;
pub mod gotemplate;
pub mod jsonpath;
pub mod kyaml;
pub mod table;
pub mod tabwriter;
pub mod yaml;
