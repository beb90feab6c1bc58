//! validation/mod
