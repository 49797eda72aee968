//! Applications, their tokens and what they may do (facts §2.2, §5).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::answer::Refusal;
use crate::error::Error;
use crate::item::Actor;
use crate::options::{AppOptions, SiteGrant};
use crate::site::Site;
use crate::state::State;

/// A public certificate of an application, by its two thumbprints (facts §5.3).
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    pub(crate) pem: String,
    /// `x5t#S256`.
    pub(crate) sha256: String,
    /// `x5t`.
    pub(crate) sha1: String,
}

/// A registered application.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) client_id: String,
    pub(crate) secrets: Vec<String>,
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) roles: Vec<String>,
    pub(crate) grants: Vec<SiteGrant>,
    pub(crate) actor: Arc<Actor>,
}

/// An access token in force.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) app: usize,
    /// The user it speaks for; absent in an app-only token.
    pub(crate) user: Option<Arc<Delegation>>,
    pub(crate) expires_ms: i64,
}

/// What an application may do for a user.
#[derive(Debug)]
pub(crate) struct Delegation {
    pub(crate) oid: String,
    /// Without their resource.
    pub(crate) scopes: Vec<String>,
    /// The client declared the capability `cp1` (facts §5.6 \[D\]).
    pub(crate) knows_challenges: bool,
}

/// Who calls Graph: an application, for itself or for a user.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    pub(crate) app: usize,
    pub(crate) user: Option<Arc<Delegation>>,
}

/// What an operation needs, least first (facts §2.2 \[M\]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    Read,
    Write,
    Manage,
}

impl App {
    pub(crate) fn new(options: &AppOptions) -> Result<Self, Error> {
        let certificates = options.certificates.iter().map(|pem| {
            certificate(pem)
                .map_err(|source| Error::AppCertificate { client_id: options.client_id.clone(), source })
        });
        let name = if options.display_name.is_empty() { "App" } else { options.display_name.as_str() };
        Ok(Self {
            client_id: options.client_id.clone(),
            secrets: options.secrets.clone(),
            certificates: certificates.collect::<Result<_, _>>()?,
            roles: options.roles.clone(),
            grants: options.grants.clone(),
            actor: Arc::new(Actor::application(&options.client_id, name)),
        })
    }
}

fn certificate(pem: &str) -> Result<Certificate, Box<dyn std::error::Error + Send + Sync>> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes())?;
    let digest = |algorithm| URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(algorithm, &der));
    Ok(Certificate {
        pem: pem.to_owned(),
        sha256: digest(&aws_lc_rs::digest::SHA256),
        sha1: digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY),
    })
}

impl State {
    /// The roles of an application, or the scopes it has for a user: a user's token never carries roles (facts §5.1).
    pub(crate) fn powers<'a>(&'a self, caller: &'a Caller) -> &'a [String] {
        caller.user.as_ref().map_or(&self.apps[caller.app].roles, |user| &user.scopes)
    }

    /// Whether roles or scopes, or the application's grants on this site, allow the operation.
    pub(crate) fn may(&self, caller: &Caller, need: Need, site: Option<&Site>) -> Result<(), Refusal> {
        let powers = self.powers(caller);
        let by_power = powers.iter().any(|power| match power.as_str() {
            "Sites.Read.All" => need <= Need::Read,
            "Sites.ReadWrite.All" => need <= Need::Write,
            "Sites.Manage.All" | "Sites.FullControl.All" => true,
            _ => false,
        });
        if by_power {
            return Ok(());
        }
        let selected = powers.iter().any(|power| power == "Sites.Selected");
        let granted = |grant: &SiteGrant| {
            let here =
                site.is_some_and(|site| site.path.eq_ignore_ascii_case(grant.site.trim_end_matches('/')));
            here && match grant.role.as_str() {
                "read" => need <= Need::Read,
                "write" => need <= Need::Write,
                "manage" | "owner" | "fullcontrol" => true,
                _ => false,
            }
        };
        if selected && self.apps[caller.app].grants.iter().any(granted) {
            Ok(())
        } else {
            Err(Refusal::denied())
        }
    }

    /// Who is behind an `Authorization` header (facts §1.4: 401 `InvalidAuthenticationToken`).
    pub(crate) fn authenticate(&self, authorization: Option<&str>) -> Result<Caller, Refusal> {
        let Some(header) = authorization else {
            return Err(Refusal::bad_token("Access token is empty."));
        };
        let token = match header.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => return Err(Refusal::bad_token("Access token is empty.")),
        };
        let Some(known) = self.tokens.get(token) else {
            return Err(Refusal::bad_token("Access token validation failure. Invalid token."));
        };
        if known.expires_ms <= self.clock.now_ms() {
            return Err(Refusal::bad_token("Lifetime validation failed, the token is expired."));
        }
        if let Some(user) = &known.user
            && let Some(claims) = self.people.challenge(&user.oid)
            && (user.knows_challenges || !self.rules.challenge_needs_capability)
        {
            return Err(Refusal::challenge(claims));
        }
        Ok(Caller { app: known.app, user: known.user.clone() })
    }

    /// Makes every token of an application stop working, as a revocation does.
    pub(crate) fn revoke_tokens(&mut self, app: Option<usize>) {
        self.tokens.retain(|_, token| app.is_some_and(|app| token.app != app));
    }
}
