//! `$(NAME)` in commands, arguments and values.
//! Source: k8s.io/kubernetes/third_party/forked/golang/expansion/expand.go.

/// Replaces `$(NAME)` by what `lookup` knows; `$$` is one `$`; unknown names stay as they are.
pub fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        if let Some(inside) = after.strip_prefix('(')
            && let Some(close) = inside.find(')')
        {
            let name = &inside[..close];
            match lookup(name) {
                Some(value) => out.push_str(&value),
                None => out.push_str(&rest[dollar..dollar + close + 3]),
            }
            rest = &inside[close + 1..];
        } else if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_as_the_kubelet_does() {
        let lookup = |name: &str| (name == "A").then(|| "value".to_owned());
        for (text, expected) in [
            ("x $(A) y", "x value y"),
            ("$$", "$"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$value"),
            ("$$$$", "$$"),
            ("$(B)", "$(B)"),
            ("$(A", "$(A"),
            ("$A", "$A"),
            ("end$", "end$"),
            ("$()", "$()"),
        ] {
            assert_eq!(expand(text, lookup), expected, "{text}");
        }
    }
}
