//! `wl create secret generic|docker-registry|tls`. Source: k8s.io/kubectl/pkg/cmd/create/create_secret*.go.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::config::not_empty;
use super::making::Making;
use super::sources::{Sources, files, name_hash};
use crate::api::JsonMap;
use crate::api::status::quote;
use crate::api::validation::names::config_key;
use crate::cli::print::flags::go_error;
use crate::cli::{CliError, CliResult, Context, Exit};

const DOCKER_CONFIG: &str = ".dockerconfigjson";

/// Create a Secret
#[derive(clap::Args)]
pub struct Secret {
    #[command(subcommand)]
    kind: Option<Kind>,
}

#[derive(clap::Subcommand)]
enum Kind {
    Generic(Box<Generic>),
    DockerRegistry(Box<DockerRegistry>),
    Tls(Box<Tls>),
}

impl Secret {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        match &self.kind {
            Some(Kind::Generic(arguments)) => arguments.run(ctx).await,
            Some(Kind::DockerRegistry(arguments)) => arguments.run(ctx).await,
            Some(Kind::Tls(arguments)) => arguments.run(ctx).await,
            None => {
                crate::cli::help(ctx, &["create", "secret"]);
                Ok(Exit::Failure)
            }
        }
    }
}

/// Create a Secret of any type from files or values
#[derive(clap::Args)]
pub struct Generic {
    #[command(flatten)]
    making: Making,
    #[command(flatten)]
    sources: Sources,
    /// The Secret's type
    #[arg(long = "type", default_value = "", hide_default_value = true)]
    kind: String,
    /// Append a hash of the contents to the name
    #[arg(long)]
    append_hash: bool,
}

impl Generic {
    async fn run(&self, ctx: &mut Context) -> CliResult {
        let name = self.making.name()?;
        self.making.check(ctx)?;
        not_empty(name)?;
        self.sources.check()?;
        let mut data = JsonMap::new();
        for (key, bytes) in self.sources.literals()?.into_iter().chain(files(ctx, &self.sources.from_file)?) {
            add(&mut data, key, &bytes)?;
        }
        for (key, bytes) in self.sources.env_files(ctx, "secret")? {
            add(&mut data, key, &bytes)?;
        }
        make(&self.making, ctx, name, &self.kind, data, self.append_hash).await
    }
}

/// Create a Secret with a user of an image registry
#[derive(clap::Args)]
pub struct DockerRegistry {
    #[command(flatten)]
    making: Making,
    #[arg(long, default_value = "", hide_default_value = true)]
    docker_username: String,
    #[arg(long, default_value = "", hide_default_value = true)]
    docker_password: String,
    #[arg(long, default_value = "", hide_default_value = true)]
    docker_email: String,
    #[arg(long, default_value = "https://index.docker.io/v1/")]
    docker_server: String,
    /// A file as `podman login` and `docker login` write it
    #[arg(long, value_delimiter = ',', value_hint = clap::ValueHint::FilePath)]
    from_file: Vec<String>,
    /// Append a hash of the contents to the name
    #[arg(long)]
    append_hash: bool,
}

impl DockerRegistry {
    async fn run(&self, ctx: &mut Context) -> CliResult {
        let name = self.making.name()?;
        self.making.check(ctx)?;
        not_empty(name)?;
        let user = [&self.docker_username, &self.docker_password, &self.docker_server];
        if self.from_file.is_empty() && user.iter().any(|part| part.is_empty()) {
            return Err(CliError::message(
                "either --from-file or the combination of --docker-username, --docker-password and --docker-server is required",
            ));
        }
        let mut data = JsonMap::new();
        if self.from_file.is_empty() {
            data.insert(DOCKER_CONFIG.into(), STANDARD.encode(self.docker_config()).into());
        } else {
            let named = |file: &String| if file.contains('=') { file.clone() } else { format!("{DOCKER_CONFIG}={file}") };
            let sources: Vec<String> = self.from_file.iter().map(named).collect();
            for (key, bytes) in files(ctx, &sources)? {
                add(&mut data, key, &bytes)?;
            }
        }
        make(&self.making, ctx, name, "kubernetes.io/dockerconfigjson", data, self.append_hash).await
    }

    /// The file in the order in which Go's struct has its fields; empty ones are left out.
    fn docker_config(&self) -> String {
        let auth = STANDARD.encode(format!("{}:{}", self.docker_username, self.docker_password));
        let fields = [
            ("username", &self.docker_username),
            ("password", &self.docker_password),
            ("email", &self.docker_email),
            ("auth", &auth),
        ];
        let text = |value: &str| crate::api::go::json::compact(&value.into());
        let parts: Vec<String> =
            fields.iter().filter(|(_, v)| !v.is_empty()).map(|(key, v)| format!("\"{key}\":{}", text(v))).collect();
        format!("{{\"auths\":{{{}:{{{}}}}}}}", text(&self.docker_server), parts.join(","))
    }
}

/// Create a Secret with a certificate and its private key
#[derive(clap::Args)]
pub struct Tls {
    #[command(flatten)]
    making: Making,
    /// File with the certificate, PEM
    #[arg(long, default_value = "", hide_default_value = true, value_hint = clap::ValueHint::FilePath)]
    cert: String,
    /// File with its private key, PEM
    #[arg(long, default_value = "", hide_default_value = true, value_hint = clap::ValueHint::FilePath)]
    key: String,
    /// Append a hash of the contents to the name
    #[arg(long)]
    append_hash: bool,
}

impl Tls {
    async fn run(&self, ctx: &mut Context) -> CliResult {
        let name = self.making.name()?;
        self.making.check(ctx)?;
        if self.cert.is_empty() || self.key.is_empty() {
            return Err(CliError::message("key and cert must be specified"));
        }
        let read = |file: &str| {
            std::fs::read(ctx.path(file))
                .map_err(|e| CliError::message(format!("Cannot read file {file}, open {file}: {}", go_error(&e))))
        };
        let (cert, key) = (read(&self.cert)?, read(&self.key)?);
        super::tls::check_pair(&cert, &key).map_err(CliError::message)?;
        let mut data = JsonMap::new();
        add(&mut data, "tls.crt".into(), &cert)?;
        add(&mut data, "tls.key".into(), &key)?;
        make(&self.making, ctx, name, "kubernetes.io/tls", data, self.append_hash).await
    }
}

fn add(data: &mut JsonMap, key: String, bytes: &[u8]) -> Result<(), CliError> {
    let wrong = config_key(&key);
    if !wrong.is_empty() {
        return Err(CliError::message(format!("{} is not valid key name for a Secret {}", quote(&key), wrong.join(";"))));
    }
    if data.contains_key(&key) {
        return Err(CliError::message(format!("cannot add key {key}, another key by that name already exists")));
    }
    data.insert(key, STANDARD.encode(bytes).into());
    Ok(())
}

async fn make(making: &Making, ctx: &mut Context, name: &str, kind: &str, data: JsonMap, append_hash: bool) -> CliResult {
    let hashed = json!({"kind": "Secret", "type": kind, "name": name, "data": data});
    let whole =
        if append_hash { format!("{name}-{}", name_hash(&crate::api::go::json::compact(&hashed))) } else { name.to_owned() };
    let tree = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": making.metadata(ctx, &whole),
        "type": kind,
        "data": data,
    });
    making.make(ctx, "secrets", tree, "failed to create secret").await
}
