//! For which part of a sync, and for whom, a command is given: `--param` and `--user-token-file`.

use std::{collections::BTreeMap, io::Read, path::Path, sync::Arc};

use base64::Engine as _;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use syncline_connect::registry::{Caller, User};
use syncline_core::{partition::Partition, sync::Sync};
use syncline_engine::load::params;

use crate::{args::WhomArgs, exit::Failure, output};

/// Longest token that is read: those of directories with many groups have some 16 KiB.
const TOKEN_BYTES_MAX: u64 = 64 << 10;

/// What was asked for.
#[derive(Debug, Default)]
pub(crate) struct Whom {
    pub(crate) partition: Partition,
    pub(crate) caller: Caller,
}

impl Whom {
    /// Reads what was typed, and the token.
    ///
    /// # Errors
    /// A parameter without a value or given twice; a file that is no token. The token is in no message.
    pub(crate) fn of(args: &WhomArgs) -> Result<Self, Failure> {
        let mut values = BTreeMap::new();
        for given in &args.params {
            let Some((name, value)) = given.split_once('=').filter(|(name, _)| !name.is_empty()) else {
                return Err(Failure::usage(format!("--param {given:?} has no value"))
                    .hint("write --param name=value, once for each"));
            };
            if values.insert(name.to_owned(), value.to_owned()).is_some() {
                return Err(Failure::usage(format!("--param {name} is given twice")));
            }
        }
        let user = args.user_token_file.as_deref().map(user).transpose()?;
        let owner = user.as_ref().map(|user| user.owner.clone());
        let caller = Caller { user: user.map(Arc::new), correlation: None };
        Ok(Self { partition: Partition { params: values, owner }, caller })
    }

    /// Of the syncs that a command names none of, those that need no values: the others are told of.
    pub(crate) fn without_values<'s>(&self, syncs: Vec<&'s Sync>, named: bool) -> Vec<&'s Sync> {
        if named || !self.partition.is_whole() {
            return syncs;
        }
        let (asked_for, syncs): (Vec<_>, Vec<_>) =
            syncs.into_iter().partition(|sync| params::takes_values(sync));
        for sync in asked_for {
            output::chat(format!(
                "{}: left out: it is run with values for its parameters, by its name",
                sync.name
            ));
        }
        syncs
    }

    /// Whether a sync takes these values, before anything is opened for it.
    pub(crate) fn check(&self, sync: &Sync) -> Result<(), Failure> {
        params::check(sync, &self.partition).map_err(|error| {
            let failure = Failure::usage(error.to_string());
            match error.hint() {
                Some(hint) => failure.hint(format!("{hint}; each is given as --param name=value")),
                None => failure,
            }
        })
    }
}

/// What a token says of its user. Nothing is verified here: whoever is asked in the user's name does that.
#[derive(Deserialize)]
struct Claims {
    oid: String,
    tid: String,
}

fn user(path: &Path) -> Result<User, Failure> {
    let token = token(path)?;
    let broken = || {
        Failure::usage("--user-token-file: this is not the access token of a user")
            .hint("it has three parts with dots between them, and the claims oid and tid, as Microsoft Entra issues it")
    };
    let claims = token.expose_secret().split('.').nth(1).ok_or_else(broken)?;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(claims.trim_end_matches('='))
        .map_err(|_| broken())?;
    let Claims { oid, tid } = serde_json::from_slice(&claims).map_err(|_| broken())?;
    if oid.is_empty() || tid.is_empty() {
        return Err(broken());
    }
    Ok(User { owner: oid, tenant: tid, assertion: token })
}

/// The token in a file; `-`: in the standard input.
fn token(path: &Path) -> Result<SecretString, Failure> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(TOKEN_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(TOKEN_BYTES_MAX + 1).read_to_string(&mut text))
    };
    let refused = |why: String| Failure::usage(format!("--user-token-file {}: {why}", path.display()));
    match read {
        Err(error) => Err(refused(error.kind().to_string())),
        Ok(bytes) if bytes as u64 > TOKEN_BYTES_MAX => {
            Err(refused(format!("it has more than {} KiB", TOKEN_BYTES_MAX >> 10)))
        }
        Ok(_) if text.trim().is_empty() => Err(refused("it is empty".into())),
        Ok(_) => Ok(SecretString::from(text.trim().to_owned())),
    }
}
