//! A real identity provider: the certified `oidc-provider`, as `script/test` installs it, with a few people of ours.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

pub const CLIENT: &str = "countersign";
pub const SECRET: &str = "the secret of the portal at Example Corp";

/// The provider's process. It ends with this.
pub struct IdentityProvider {
    process: Child,
    pub issuer: String,
}

impl IdentityProvider {
    /// Starts it for a portal that is at `portal`, with the provider named `name` there.
    pub fn start(portal: &str, name: &str, people: &[Value]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let installed = std::env::var_os("COUNTERSIGN_TEST_IDENTITY_PROVIDER").map(PathBuf::from);
        let modules = installed.unwrap_or_else(|| root.join("target/tools/identity-provider")).join("node_modules");
        assert!(
            modules.join("oidc-provider").is_dir(),
            "the identity provider is not installed; run script/test, which installs it, or set \
             COUNTERSIGN_TEST_IDENTITY_PROVIDER"
        );
        let redirect = format!("{portal}/sign-in/sso/{name}/back");
        let settings = json!({
            "clients": [{ "client_id": CLIENT, "client_secret": SECRET, "redirect_uris": [redirect] }], "people": people,
        });
        let mut process = Command::new("node")
            .arg(root.join("tests/data/idp/provider.mjs"))
            .args([modules.as_os_str(), settings.to_string().as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node is installed (script/test installs it)");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let ready = lines.find_map(|line| line.strip_prefix("Ready: ").map(str::to_owned));
        let issuer = ready.expect("the identity provider gets ready");
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, issuer }
    }

    /// How the portal is told of it.
    pub fn config(&self, name: &str, more: &str) -> String {
        format!(
            "[[sso]]\nname = \"{name}\"\nlabel = \"Example Corp\"\nissuer = \"{}\"\nclient_id = \"{CLIENT}\"\n\
             client_secret = \"{SECRET}\"\n{more}\n",
            self.issuer
        )
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Somebody with a password there, who uses a second factor if `amr` says so.
pub fn person(name: &str, groups: &[&str], amr: &[&str]) -> Value {
    json!({
        "sub": name, "password": password(name), "amr": amr, "email": format!("{name}@corp.example"),
        "email_verified": true, "name": format!("{name} of Example Corp"), "groups": groups,
    })
}

pub fn password(name: &str) -> String {
    format!("what {name} types at Example Corp")
}
