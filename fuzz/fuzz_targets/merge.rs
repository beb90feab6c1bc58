//! Any two trees, one after the other, patched and applied onto each other.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut trees = serde_json::Deserializer::from_slice(bytes).into_iter::<serde_json::Value>();
    if let (Some(Ok(live)), Some(Ok(patch))) = (trees.next(), trees.next()) {
        wl::apply::fuzz::merge_any(&live, &patch);
    }
});
