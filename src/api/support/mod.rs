//! support/mod
