//! api/selector
