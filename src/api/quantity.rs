//! api/quantity
