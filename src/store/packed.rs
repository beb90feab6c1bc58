//! Older changes, packed together: whoever follows closely never asks for them, and as trees they weigh thirty times as much.

use std::collections::HashMap;
use std::io::{BufWriter, Read, Write};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde_json::{Deserializer, json};

use crate::api::{GroupResource, Json, Key, Object};
use crate::state::Change;

const WINDOW: usize = 32 * 1024;

/// Changes that follow each other without a gap.
pub(crate) struct Block {
    pub(crate) last: u64,
    bytes: Vec<u8>,
}

impl Block {
    /// Packs changes, oldest first; `None` where there is nothing to pack.
    pub(crate) fn pack(changes: &[Arc<Change>]) -> Option<Block> {
        let last = changes.last()?.revision;
        // The encoder would take each word of a tree on its own, and make room for a whole window each time.
        let mut encoder = BufWriter::with_capacity(WINDOW, DeflateEncoder::new(Vec::new(), Compression::fast()));
        let mut newest: HashMap<&Key, Option<&Object>> = HashMap::new();
        for change in changes {
            let key = &change.key;
            let names = [&*key.resource.group, &*key.resource.resource, &*key.namespace, &*key.name];
            write(&mut encoder, &json!([change.revision, names]))?;
            // What an object was before is mostly what an earlier change of the block made of it.
            let known = newest.contains_key(key);
            write(&mut encoder, if known { &Json::Bool(true) } else { tree(change.before.as_deref()) })?;
            write(&mut encoder, tree(change.after.as_deref()))?;
            newest.insert(key, change.after.as_deref());
        }
        Some(Block { last, bytes: encoder.into_inner().ok()?.finish().ok()? })
    }

    /// The changes as they were; `None` where they cannot be read, which a packed block always can.
    pub(crate) fn unpack(&self) -> Option<Vec<Arc<Change>>> {
        let mut text = Vec::new();
        DeflateDecoder::new(self.bytes.as_slice()).read_to_end(&mut text).ok()?;
        let mut values = Deserializer::from_slice(&text).into_iter::<Json>();
        let mut newest: HashMap<Key, Option<Arc<Object>>> = HashMap::new();
        let mut changes = Vec::new();
        while let Some(head) = values.next() {
            let head = head.ok()?;
            let name = |n: usize| head[1][n].as_str();
            let key = Key::new(GroupResource::new(name(0)?, name(1)?), name(2)?, name(3)?);
            let before = match values.next()?.ok()? {
                Json::Bool(_) => newest.get(&key)?.clone(),
                other => object(other),
            };
            let after = object(values.next()?.ok()?);
            newest.insert(key.clone(), after.clone());
            changes.push(Arc::new(Change { revision: head[0].as_u64()?, key, before, after }));
        }
        Some(changes)
    }
}

fn write(encoder: &mut impl Write, value: &Json) -> Option<()> {
    serde_json::to_writer(&mut *encoder, value).ok()?;
    encoder.write_all(b"\n").ok()
}

fn tree(object: Option<&Object>) -> &Json {
    object.map_or(&Json::Null, Object::json)
}

fn object(tree: Json) -> Option<Arc<Object>> {
    (!tree.is_null()).then(|| Arc::new(Object::new(tree)))
}
