//! `wl create deployment|job|cronjob`.

use serde_json::json;

use super::making::{Making, required};
use crate::api::{Json, Random as _};
use crate::cli::resources::{Selection, items};
use crate::cli::{CliError, CliResult, Context};
use crate::store::SystemRandom;

/// Create a Deployment
#[derive(clap::Args)]
pub struct Deployment {
    #[command(flatten)]
    making: Making,
    /// Image to run; several make several containers
    #[arg(long, value_delimiter = ',')]
    image: Vec<String>,
    /// Port of the first container
    #[arg(long, default_value_t = -1, value_parser = crate::cli::flags::integer32, hide_default_value = true)]
    port: i32,
    /// How many pods
    #[arg(short, long, default_value_t = 1, value_parser = crate::cli::flags::integer32)]
    replicas: i32,
}

impl Deployment {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        required(&[("image", !self.image.is_empty())])?;
        let name = self.making.name()?;
        self.making.check(ctx)?;
        let command = &self.making.rest;
        if self.image.len() > 1 && !command.is_empty() {
            return Err(CliError::message("cannot specify multiple --image options and command"));
        }
        let mut containers: Vec<Json> = self
            .image
            .iter()
            .map(|image| json!({"name": container_name(image), "image": image, "command": command}))
            .collect();
        if self.port >= 0 && let Some(first) = containers.first_mut() {
            first["ports"] = json!([{"containerPort": self.port}]);
        }
        let labels = json!({"app": name});
        let mut metadata = self.making.metadata(ctx, name);
        metadata["labels"] = labels.clone();
        let tree = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": self.replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
            },
        });
        self.making.make(ctx, "deployments.apps", tree, "failed to create deployment:").await
    }
}

/// The image's name without registry, tag and digest; where dots or underscores had to go, with a suffix that keeps
/// it apart from others. Source: create_deployment.go, `sanitizeAndUniquify`.
fn container_name(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or("");
    let name = name.split([':', '@']).next().unwrap_or("");
    if !name.contains(['_', '.']) {
        return name.to_owned();
    }
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = SystemRandom::new();
    let suffix: String = (0..5).map(|_| char::from(ALPHABET[(random.next_u64() % ALPHABET.len() as u64) as usize])).collect();
    format!("{}-{suffix}", name.replace(['_', '.'], "-"))
}

/// Create a Job, anew or from a CronJob
#[derive(clap::Args)]
pub struct Job {
    #[command(flatten)]
    making: Making,
    /// Image to run
    #[arg(long, default_value = "", hide_default_value = true)]
    image: String,
    /// The CronJob to take it from: `cronjob/backup`
    #[arg(long, default_value = "", hide_default_value = true, add = crate::cli::complete::resources())]
    from: String,
}

impl Job {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let name = self.making.name()?;
        self.making.check(ctx)?;
        if self.image.is_empty() == self.from.is_empty() {
            return Err(CliError::message("either --image or --from must be specified"));
        }
        if !self.making.rest.is_empty() && !self.from.is_empty() {
            return Err(CliError::message("cannot specify --from and command"));
        }
        let metadata = self.making.metadata(ctx, name);
        let tree = if self.from.is_empty() {
            json!({
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": metadata,
                "spec": {"template": {"spec": {
                    "containers": [{"name": name, "image": self.image, "command": self.making.rest}],
                    "restartPolicy": "Never",
                }}},
            })
        } else {
            self.instance(ctx, metadata).await?
        };
        self.making.make(ctx, "jobs.batch", tree, "failed to create job:").await
    }

    /// A Job as the CronJob's controller would make it, marked as made by hand.
    async fn instance(&self, ctx: &mut Context, mut metadata: Json) -> Result<Json, CliError> {
        let selection = Selection { args: vec![self.from.clone()], ..Selection::default() };
        self.making.dry_run(ctx)?.client(ctx).await?;
        let found = selection.fetch(ctx).await?;
        if let Some(error) = CliError::many(found.errors) {
            return Err(error);
        }
        let infos = items(found.infos);
        let [cron_job] = infos.as_slice() else {
            return Err(CliError::message("from must be an existing cronjob"));
        };
        if (cron_job.found.group.as_str(), cron_job.found.kind.as_str()) != ("batch", "CronJob") {
            let text = format!("unknown object type *{}.{}", cron_job.found.version, cron_job.found.kind);
            return Err(CliError::message(text));
        }
        let part = |pointer: &str| cron_job.object.pointer(pointer).cloned();
        let mut annotations = json!({"cronjob.kubernetes.io/instantiate": "manual"});
        for (key, value) in part("/spec/jobTemplate/metadata/annotations").as_ref().and_then(Json::as_object).into_iter().flatten() {
            annotations[key] = value.clone();
        }
        metadata["annotations"] = annotations;
        if let Some(labels) = part("/spec/jobTemplate/metadata/labels") {
            metadata["labels"] = labels;
        }
        metadata["ownerReferences"] = json!([{
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "name": cron_job.name,
            "uid": part("/metadata/uid"),
            "controller": true,
        }]);
        let spec = part("/spec/jobTemplate/spec");
        Ok(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}))
    }
}

/// Create a CronJob
#[derive(clap::Args)]
pub struct CronJob {
    #[command(flatten)]
    making: Making,
    /// Image to run
    #[arg(long)]
    image: Option<String>,
    /// When to run, in cron's five fields or as `@daily`
    #[arg(long)]
    schedule: Option<String>,
    /// OnFailure or Never
    #[arg(long, default_value = "", hide_default_value = true)]
    restart: String,
}

impl CronJob {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        required(&[("image", self.image.is_some()), ("schedule", self.schedule.is_some())])?;
        let name = self.making.name()?;
        self.making.check(ctx)?;
        let restart = if self.restart.is_empty() { "OnFailure" } else { &self.restart };
        let tree = json!({
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": self.making.metadata(ctx, name),
            "spec": {
                "schedule": self.schedule,
                "jobTemplate": {
                    "metadata": {"name": name},
                    "spec": {"template": {"spec": {
                        "containers": [{"name": name, "image": self.image, "command": self.making.rest}],
                        "restartPolicy": restart,
                    }}},
                },
            },
        });
        self.making.make(ctx, "cronjobs.batch", tree, "failed to create cronjob:").await
    }
}
