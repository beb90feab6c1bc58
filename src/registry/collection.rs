//! DELETE of all objects that a list would give.
//! Source: k8s.io/apiserver/pkg/registry/generic/registry/store.go: DeleteCollection.

use std::sync::Arc;

use serde_json::json;

use super::paging::{self, Continue, Page};
use super::run::Run;
use super::{Answer, delete, list};
use crate::api::{Json, Object, Status};

pub(crate) fn delete_collection(mut run: Run<'_, '_>) -> Result<Answer, Status> {
    let options = delete::options(&run)?;
    let dry_run = run.request.options.dry_run || options.dry_run.as_ref().is_some_and(|d| !d.is_empty());
    let asked = &run.request.options;
    let selection = list::Selection::parse(
        &run.request.resource,
        asked.label_selector.as_deref().unwrap_or(""),
        asked.field_selector.as_deref().unwrap_or(""),
    )?;
    let kept_as = run.kept_as();
    let from = asked.token.as_deref().map(Continue::parse).transpose()?;
    let page = Page {
        limit: asked.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(0),
        revision: run.state.revision(),
        all_namespaces: false,
        selects: !selection.is_empty(),
    };
    let to_come = |object: &Object| from.as_ref().is_none_or(|from| from.is_before(&paging::place(object, false)));
    let mut found: Vec<&Arc<Object>> = list::objects(run.state, &kept_as, &run.request.namespace)
        .filter(|object| to_come(object) && selection.matches(object))
        .collect();
    let mut metadata = json!({});
    paging::cut(&mut found, &page, &mut metadata);
    let found: Vec<Arc<Object>> = found.into_iter().cloned().collect();
    for object in &found {
        delete::one(&mut run, object, &options, dry_run)?;
    }
    let resource = &run.request.resource;
    let items: Vec<Json> = found.iter().map(|object| list::item(resource, object)).collect();
    metadata["resourceVersion"] = run.state.revision().to_string().into();
    let body = json!({
        "kind": format!("{}List", resource.kind), "apiVersion": resource.api_version(),
        "metadata": metadata, "items": items,
    });
    Ok(Answer { code: 200, body, warnings: run.warnings })
}
