//! Which texts may be names, label keys, ports and the like; each function says what is wrong, in
//! Kubernetes' words. Empty: nothing is.
//! Sources: k8s.io/apimachinery/pkg/util/validation/validation.go, pkg/api/validate/content/*.go.

/// A rule for an object's name. The flag: the name is a prefix that gets something appended.
pub type NameRule = fn(&str, bool) -> Vec<String>;

const DNS_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS_SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_SAYS: &str =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// The most bytes a DNS label may have (RFC 1123).
pub const LABEL_MAX: usize = 63;
/// The most bytes a DNS subdomain may have (RFC 1123).
pub const SUBDOMAIN_MAX: usize = 253;

/// `must be no more than 63 characters`.
pub fn max_length(length: usize) -> String {
    format!("must be no more than {length} characters")
}

/// The same limit as keys and values of labels word it: `must be no more than 63 bytes`.
fn max_bytes(length: usize) -> String {
    format!("must be no more than {length} bytes")
}

/// `must be between 1 and 65535, inclusive`.
pub fn between(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

/// A rule with its regular expression and examples, as Kubernetes' `RegexError`.
pub fn regex_says(message: &str, regex: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{regex}')");
    }
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!("{message} (e.g. {}regex used for validation is '{regex}')", examples.join(" or "))
}

fn is_lower_alnum(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// Starts with `first`, ends with `last`, and has only `inner` between.
fn shaped(text: &str, first: fn(u8) -> bool, inner: fn(u8) -> bool, last: fn(u8) -> bool) -> bool {
    match text.as_bytes() {
        [] => false,
        [only] => first(*only) && last(*only),
        [a, middle @ .., z] => first(*a) && middle.iter().all(|b| inner(*b)) && last(*z),
    }
}

fn is_label_shaped(text: &str) -> bool {
    shaped(text, is_lower_alnum, |b| is_lower_alnum(b) || b == b'-', is_lower_alnum)
}

fn is_subdomain_shaped(text: &str) -> bool {
    text.split('.').all(is_label_shaped)
}

fn is_qualified_shaped(text: &str) -> bool {
    shaped(
        text,
        |b| b.is_ascii_alphanumeric(),
        |b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'),
        |b| b.is_ascii_alphanumeric(),
    )
}

/// RFC 1123 label: `my-name`.
pub fn dns1123_label(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > LABEL_MAX {
        errors.push(max_length(LABEL_MAX));
    }
    if !is_label_shaped(value) {
        errors.push(if is_subdomain_shaped(value) {
            "must not contain dots".to_owned()
        } else {
            let says = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
                        start and end with an alphanumeric character";
            regex_says(says, DNS_LABEL, &["my-name", "123-abc"])
        });
    }
    errors
}

/// RFC 1123 subdomain: `example.com`.
pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > SUBDOMAIN_MAX {
        errors.push(max_length(SUBDOMAIN_MAX));
    }
    if !is_subdomain_shaped(value) {
        let says = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                    must start and end with an alphanumeric character";
        errors.push(regex_says(says, DNS_SUBDOMAIN, &["example.com"]));
    }
    errors
}

/// RFC 1123 subdomain in which labels may hold underscores, as DNS search paths may.
pub fn dns1123_subdomain_with_underscore(value: &str) -> Vec<String> {
    const REGEX: &str =
        "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";
    let is_label = |label: &str| {
        let label = label.strip_prefix('_').unwrap_or(label);
        shaped(label, is_lower_alnum, |b| is_lower_alnum(b) || matches!(b, b'-' | b'_'), is_lower_alnum)
    };
    let mut errors = Vec::new();
    if value.len() > SUBDOMAIN_MAX {
        errors.push(max_length(SUBDOMAIN_MAX));
    }
    if !value.split('.').all(is_label) {
        let says = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', \
                    and must start and end with an alphanumeric character";
        errors.push(regex_says(says, REGEX, &["example.com"]));
    }
    errors
}

/// `*.example.com`.
pub fn wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > SUBDOMAIN_MAX {
        errors.push(max_length(SUBDOMAIN_MAX));
    }
    if !value.strip_prefix("*.").is_some_and(is_subdomain_shaped) {
        let says = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must \
                    consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
        errors.push(regex_says(says, &format!("\\*\\.{DNS_SUBDOMAIN}"), &["*.example.com"]));
    }
    errors
}

/// RFC 1035 label, as names of Services: starts with a letter.
pub fn dns1035_label(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > LABEL_MAX {
        errors.push(max_length(LABEL_MAX));
    }
    if !is_label_shaped(value) || !value.as_bytes()[0].is_ascii_lowercase() {
        let says = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                    alphabetic character, and end with an alphanumeric character";
        errors.push(regex_says(says, "[a-z]([-a-z0-9]*[a-z0-9])?", &["my-name", "abc-123"]));
    }
    errors
}

/// A key of a label or annotation, a finalizer, a taint: `example.com/MyName`.
pub fn qualified_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let examples = ["MyName", "my.name", "123-abc"];
    let name = match value.split('/').collect::<Vec<_>>()[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                let wrong = dns1123_subdomain(prefix).into_iter();
                errors.extend(wrong.map(|e| format!("prefix part {}", e.replace(&max_length(SUBDOMAIN_MAX), &max_bytes(SUBDOMAIN_MAX)))));
            }
            name
        }
        _ => {
            let says = regex_says(QUALIFIED_SAYS, QUALIFIED, &examples);
            return vec![format!(
                "a valid label key {says} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        errors.push(format!("name part {}", max_bytes(LABEL_MAX)));
    }
    if !is_qualified_shaped(name) {
        errors.push(format!("name part {}", regex_says(QUALIFIED_SAYS, QUALIFIED, &examples)));
    }
    errors
}

/// A value of a label.
pub fn label_value(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > LABEL_MAX {
        errors.push(max_bytes(LABEL_MAX));
    }
    if !value.is_empty() && !is_qualified_shaped(value) {
        let says = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
                    must start and end with an alphanumeric character";
        errors.push(regex_says(says, &format!("({QUALIFIED})?"), &["MyValue", "my_value", "12345"]));
    }
    errors
}

/// A number of a port.
pub fn port_number(port: i64) -> Vec<String> {
    in_range(port, 1, 65535)
}

/// A number within bounds, both included.
pub fn in_range(value: i64, low: i64, high: i64) -> Vec<String> {
    if (low..=high).contains(&value) { Vec::new() } else { vec![between(low, high)] }
}

/// A uid or gid.
pub fn user_id(id: i64) -> Vec<String> {
    in_range(id, 0, i64::from(i32::MAX))
}

/// The name of a port (IANA service name).
pub fn port_name(port: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if port.len() > 15 {
        errors.push(max_length(15));
    }
    if port.is_empty() || !port.bytes().all(|b| is_lower_alnum(b) || b == b'-') {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !port.bytes().any(|b| b.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".to_owned());
    }
    if port.contains("--") {
        errors.push("must not contain consecutive hyphens".to_owned());
    }
    if port.starts_with('-') || port.ends_with('-') {
        errors.push("must not begin or end with a hyphen".to_owned());
    }
    errors
}

/// `25%`.
pub fn percent(value: &str) -> Vec<String> {
    let digits = value.strip_suffix('%').unwrap_or("");
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Vec::new();
    }
    let says = "a valid percent string must be a numeric string followed by an ending '%'";
    vec![regex_says(says, "[0-9]+%", &["1%", "93%"])]
}

/// The name of an HTTP header.
pub fn http_header_name(value: &str) -> Vec<String> {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Vec::new();
    }
    let says = "a valid HTTP header must consist of alphanumeric characters or '-'";
    vec![regex_says(says, "[-A-Za-z0-9]+", &["X-Header-Name"])]
}

/// The name of an environment variable by the strict rule (prefixes of `envFrom` before it was relaxed).
pub fn env_name(value: &str) -> Vec<String> {
    let first = |b: u8| b.is_ascii_alphabetic() || matches!(b, b'-' | b'.' | b'_');
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let mut errors = Vec::new();
    if !shaped(value, first, inner, inner) {
        let says = "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', \
                    and must not start with a digit";
        let examples = ["my.env-name", "MY_ENV.NAME", "MyEnvName1"];
        errors.push(regex_says(says, "[-._a-zA-Z][-._a-zA-Z0-9]*", &examples));
    }
    errors.extend(changes_directory(value));
    errors
}

/// The name of an environment variable: printable ASCII but `=` (since 1.34).
pub fn relaxed_env_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.is_empty() {
        errors.push("environment variable name must be non-empty".to_owned());
    }
    if !value.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=') {
        let says = "a valid environment variable name must consist only of printable ASCII characters other than '='";
        errors.push(says.to_owned());
    }
    errors
}

/// A key of a ConfigMap or Secret.
pub fn config_key(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > SUBDOMAIN_MAX {
        errors.push(max_length(SUBDOMAIN_MAX));
    }
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
        let says = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        errors.push(regex_says(says, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    errors.extend(changes_directory(value));
    errors
}

fn changes_directory(value: &str) -> Option<String> {
    match value {
        "." => Some("must not be '.'".to_owned()),
        ".." => Some("must not be '..'".to_owned()),
        _ if value.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}

/// A name that can stand in a path of a URL; what every object's name must be at least.
pub fn path_segment(name: &str, prefix: bool) -> Vec<String> {
    if !prefix && (name == "." || name == "..") {
        return vec![format!("may not be '{name}'")];
    }
    let held = ["/", "%"].into_iter().filter(|c| name.contains(c));
    held.map(|c| format!("may not contain '{c}'")).collect()
}

/// Names of most kinds.
pub fn name_is_subdomain(name: &str, prefix: bool) -> Vec<String> {
    dns1123_subdomain(&mask(name, prefix))
}

/// Names of Namespaces.
pub fn name_is_label(name: &str, prefix: bool) -> Vec<String> {
    dns1123_label(&mask(name, prefix))
}

/// A prefix may end with a dash, for something follows it; so judge it without.
fn mask(name: &str, prefix: bool) -> String {
    match name.strip_suffix('-') {
        Some(rest) if prefix && !rest.is_empty() => {
            let end = rest.len() - 1;
            // Not within a character: what is not ASCII is refused anyway.
            if rest.is_char_boundary(end) { format!("{}a", &rest[..end]) } else { rest.to_owned() }
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_no_dots_and_at_most_63_bytes() {
        assert!(dns1123_label("a-1").is_empty());
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(dns1123_label(&"a".repeat(64)), ["must be no more than 63 characters"]);
        assert_eq!(dns1123_label("-").len(), 1);
        assert_eq!(dns1123_label("").len(), 1);
    }

    #[test]
    fn a_prefix_may_end_with_a_dash() {
        assert!(name_is_subdomain("web-", true).is_empty());
        assert!(!name_is_subdomain("web-", false).is_empty());
        assert!(!name_is_subdomain("ä-", true).is_empty());
    }

    #[test]
    fn a_qualified_name_has_one_slash_at_most() {
        assert!(qualified_name("example.com/My.Name").is_empty());
        assert_eq!(qualified_name("/a"), ["prefix part must be non-empty"]);
        assert!(qualified_name("a/b/c")[0].starts_with("a valid label key must consist"));
        assert_eq!(qualified_name("").len(), 2);
    }

    #[test]
    fn rules_with_examples_read_like_kubernetes() {
        assert_eq!(
            percent("x")[0],
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex \
             used for validation is '[0-9]+%')"
        );
    }
}
