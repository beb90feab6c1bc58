//! Any bytes as a manifest: no panic, and what is written reads back as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for document in wl::manifest::parse("fuzz.yaml", bytes).documents {
        let tree = document.json();
        document.place_of("spec.template.spec.containers[0].image");
        let again = wl::manifest::parse("again.yaml", wl::manifest::to_yaml(&tree).as_bytes());
        assert!(again.problems.is_empty());
    }
});
