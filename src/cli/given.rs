//! Objects as files give them, before any server holds them.

use std::sync::Arc;

use super::input::{Files, Item, place};
use super::resources::{Info, Infos};
use super::{CliError, Context};
use crate::client::Found;

impl Files {
    /// The objects of the files where they belong on the server. One that has no place there stops none of the others.
    pub async fn infos(&self, ctx: &mut Context) -> Result<Infos, CliError> {
        let items = self.objects(ctx).await?;
        let discovery = ctx.client().await?.discovery().await?;
        let mut all = Infos { single: items.len() == 1, ..Infos::default() };
        for item in items {
            match place(ctx, &discovery, &item) {
                Ok((found, namespace)) => all.infos.push(info(item, found, namespace)),
                Err(error) => all.errors.push(error),
            }
        }
        Ok(all)
    }

    /// The objects of the files for a command that asks no server (`--local`).
    pub async fn local_infos(&self, ctx: &mut Context) -> Result<Infos, CliError> {
        let items = self.objects(ctx).await?;
        let mut all = Infos { single: items.len() == 1, ..Infos::default() };
        for item in items {
            let gvk = item.object.gvk();
            let resource = gvk.kind.to_lowercase();
            let found = Found {
                group: gvk.group,
                version: gvk.version,
                kind: gvk.kind,
                singular: resource.clone(),
                resource,
                namespaced: true,
                short_names: Vec::new(),
                categories: Vec::new(),
                verbs: Vec::new(),
                subresources: Vec::new(),
            };
            let namespace = item.object.namespace().to_owned();
            let source = item.source.clone();
            let name = item.object.name().to_owned();
            all.infos.push(Info { found: Arc::new(found), namespace, name, object: item.object.json().clone(), source: Some(source) });
        }
        Ok(all)
    }
}

/// As the builder of cli-runtime hands objects on: with the namespace filled in.
fn info(item: Item, found: Arc<Found>, namespace: String) -> Info {
    let mut object = item.object.json().clone();
    if found.namespaced && object["metadata"].is_object() {
        object["metadata"]["namespace"] = namespace.as_str().into();
    }
    Info { found, namespace, name: item.object.name().to_owned(), object, source: Some(item.source) }
}
