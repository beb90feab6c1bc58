//! `wl create quota|poddisruptionbudget|priorityclass`.

use serde_json::json;

use super::config::not_empty;
use super::making::Making;
use crate::api::selector::LabelSelector;
use crate::api::{Json, JsonMap, quantity::Quantity};
use crate::cli::{CliError, CliResult, Context};

/// Create a ResourceQuota
#[derive(clap::Args)]
pub struct Quota {
    #[command(flatten)]
    making: Making,
    /// Limits: `cpu=1,pods=3`
    #[arg(long, default_value = "", hide_default_value = true)]
    hard: String,
    /// Scopes, with commas between
    #[arg(long, default_value = "", hide_default_value = true)]
    scopes: String,
}

impl Quota {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let name = self.making.name()?;
        self.making.check(ctx)?;
        not_empty(name)?;
        let hard = quantities(&self.hard, "Invalid")?;
        let scopes: Vec<&str> = if self.scopes.is_empty() { Vec::new() } else { self.scopes.split(',').collect() };
        if scopes.contains(&"") {
            return Err(CliError::message("invalid resource quota scope \"\""));
        }
        let tree = json!({
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": self.making.metadata(ctx, name),
            "spec": {"hard": hard, "scopes": scopes},
        });
        self.making.make(ctx, "resourcequotas", tree, "failed to create quota:").await
    }
}

/// `cpu=1,memory=1Gi`. `invalid`: the first word about what is not so; commands differ in its spelling.
/// Source: k8s.io/kubectl/pkg/cmd/create/create_quota.go, `populateResourceListV1`.
pub fn quantities(text: &str, invalid: &str) -> Result<JsonMap, CliError> {
    let mut all = JsonMap::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let [name, value] = part.split('=').collect::<Vec<_>>()[..] else {
            return Err(CliError::message(format!("{invalid} argument syntax {part}, expected <resource>=<value>")));
        };
        let quantity = Quantity::parse(value).map_err(CliError::message)?;
        all.insert(name.to_owned(), quantity.to_string().into());
    }
    Ok(all)
}

/// Create a PodDisruptionBudget
#[derive(clap::Args)]
pub struct PodDisruptionBudget {
    #[command(flatten)]
    making: Making,
    /// So many pods, or percent of them, stay available
    #[arg(long, default_value = "", hide_default_value = true)]
    min_available: String,
    /// So many pods, or percent of them, may be unavailable
    #[arg(long, default_value = "", hide_default_value = true)]
    max_unavailable: String,
    /// The pods it is about
    #[arg(long, default_value = "", hide_default_value = true)]
    selector: String,
}

impl PodDisruptionBudget {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let name = self.making.name()?;
        self.making.check(ctx)?;
        not_empty(name)?;
        let (field, amount) = self.amount()?;
        let tree = json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": self.making.metadata(ctx, name),
            "spec": {"selector": selector(&self.selector)?, field: int_or_text(amount)},
        });
        self.making.make(ctx, "poddisruptionbudgets.policy", tree, "failed to create poddisruptionbudgets:").await
    }

    fn amount(&self) -> Result<(&'static str, &str), CliError> {
        let (min, max) = (self.min_available.as_str(), self.max_unavailable.as_str());
        let fail = |text: &str| Err(CliError::message(text));
        if self.selector.is_empty() {
            return fail("a selector must be specified");
        }
        match (min.is_empty(), max.is_empty()) {
            (true, true) => fail("one of min-available or max-unavailable must be specified"),
            (false, false) => fail("min-available and max-unavailable cannot be both specified"),
            (false, true) if !is_amount(min) => fail("invalid format specified for min-available"),
            (true, false) if !is_amount(max) => fail("invalid format specified for max-unavailable"),
            (false, true) => Ok(("minAvailable", min)),
            (true, false) => Ok(("maxUnavailable", max)),
        }
    }
}

fn is_amount(text: &str) -> bool {
    let digits = text.strip_suffix('%').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Go's `intstr.Parse`: a number where it is one that fits 32 bits.
pub fn int_or_text(text: &str) -> Json {
    text.parse::<i32>().map_or_else(|_| text.into(), Json::from)
}

/// A selector in words as the object's field.
/// Source: k8s.io/apimachinery/pkg/apis/meta/v1/helpers.go, `ParseToLabelSelector`.
pub fn selector(text: &str) -> Result<Json, CliError> {
    use crate::api::selector::Operator;
    let parsed = LabelSelector::parse(text);
    let parsed = parsed.map_err(|e| CliError::message(format!("couldn't parse the selector string \"{text}\": {e}")))?;
    let (mut labels, mut expressions) = (JsonMap::new(), Vec::new());
    for requirement in parsed.requirements() {
        let (key, values) = (&requirement.key, &requirement.values);
        let operator = match requirement.operator {
            Operator::Equals | Operator::DoubleEquals => {
                if let Some(value) = values.first() {
                    labels.insert(key.clone(), value.as_str().into());
                }
                continue;
            }
            Operator::In => "In",
            Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            Operator::Greater => return Err(CliError::message("\"gt\" isn't supported in label selectors")),
            Operator::Less => return Err(CliError::message("\"lt\" isn't supported in label selectors")),
            Operator::NotEquals => return Err(CliError::message("\"!=\" is not a valid label selector operator")),
        };
        expressions.push(json!({"key": key, "operator": operator, "values": values}));
    }
    Ok(json!({"matchLabels": labels, "matchExpressions": expressions}))
}

/// Create a PriorityClass
#[derive(clap::Args)]
pub struct PriorityClass {
    #[command(flatten)]
    making: Making,
    /// The priority
    #[arg(long, default_value_t = 0, value_parser = crate::cli::flags::integer32)]
    value: i32,
    /// Whether pods without a class get it
    #[arg(long)]
    global_default: bool,
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// Never or PreemptLowerPriority
    #[arg(long, default_value = "PreemptLowerPriority")]
    preemption_policy: String,
}

impl PriorityClass {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let name = self.making.name()?;
        self.making.check(ctx)?;
        let tree = json!({
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": self.value,
            "globalDefault": self.global_default,
            "description": self.description,
            "preemptionPolicy": self.preemption_policy,
        });
        self.making.make(ctx, "priorityclasses.scheduling.k8s.io", tree, "failed to create priorityclass:").await
    }
}
