//! Any bytes as a body in protobuf: no panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = wl::api::protobuf::decode(bytes, &wl::api::Gvk::of("v1", "Pod"));
});
