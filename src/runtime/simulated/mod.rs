//! A strict pretend node.
