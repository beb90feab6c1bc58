//! `wl create`: makes objects, from files or by a generator each for common kinds.
//! Source: k8s.io/kubectl/pkg/cmd/create.

mod config;
mod configmap;
mod from_files;
mod ingress;
mod making;
mod policy;
mod rbac;
mod secret;
mod service;
mod sources;
mod tls;
mod token;
mod workloads;

pub use making::{last_applied, required, typed};
pub use sources::name_hash;
pub use policy::{int_or_text, quantities, selector};

use super::{CliError, CliResult, Context};

/// Create objects from files, or by a generator
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  wl create -f web.yaml\n  wl create deployment web --image=nginx --replicas=2\n  wl create job once --from=cronjob/backup"
)]
pub struct Create {
    #[arg(hide = true)]
    args: Vec<String>,
    #[command(flatten)]
    from_files: from_files::FromFiles,
    #[command(subcommand)]
    generator: Option<Generator>,
}

/// The generators: the variant's name is the word on the command line.
macro_rules! generators {
    ($($(#[$attribute:meta])* $variant:ident($arguments:path),)*) => {
        #[derive(clap::Subcommand)]
        enum Generator {
            $($(#[$attribute])* $variant(Box<$arguments>),)*
        }

        impl Generator {
            async fn run(&self, ctx: &mut Context) -> CliResult {
                match self {
                    $(Generator::$variant(arguments) => arguments.run(ctx).await,)*
                }
            }
        }
    };
}

generators! {
    #[command(name = "clusterrole")]
    ClusterRole(rbac::ClusterRole),
    #[command(name = "clusterrolebinding")]
    ClusterRoleBinding(rbac::ClusterRoleBinding),
    #[command(name = "configmap", alias = "cm")]
    ConfigMap(configmap::ConfigMap),
    #[command(name = "cronjob", alias = "cj")]
    CronJob(workloads::CronJob),
    #[command(alias = "deploy")]
    Deployment(workloads::Deployment),
    #[command(alias = "ing")]
    Ingress(ingress::Ingress),
    Job(workloads::Job),
    #[command(alias = "ns")]
    Namespace(config::Namespace),
    #[command(name = "poddisruptionbudget", alias = "pdb")]
    PodDisruptionBudget(policy::PodDisruptionBudget),
    #[command(name = "priorityclass", alias = "pc")]
    PriorityClass(policy::PriorityClass),
    #[command(alias = "resourcequota")]
    Quota(policy::Quota),
    Role(rbac::Role),
    #[command(name = "rolebinding")]
    RoleBinding(rbac::RoleBinding),
    Secret(secret::Secret),
    #[command(alias = "svc")]
    Service(service::Service),
    #[command(name = "serviceaccount", alias = "sa")]
    ServiceAccount(config::ServiceAccount),
    Token(token::Token),
}

impl Create {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        match &self.generator {
            Some(generator) => generator.run(ctx).await,
            None if !self.args.is_empty() => {
                Err(CliError::Usage(format!("Unexpected args: [{}]", self.args.join(" "))))
            }
            None => self.from_files.run(ctx).await,
        }
    }
}
