//! Where clients find the token service (facts §5.7).

use serde_json::json;

use crate::answer::Reply;
use crate::state::State;
use crate::token::is_tenant;

/// `/{tenant}/v2.0/.well-known/openid-configuration` (facts §5.7).
pub(crate) fn openid_configuration(state: &State, base: &str, tenant: &str) -> Reply {
    if !is_tenant(state, tenant) && tenant != "common" && tenant != "organizations" {
        return Reply::value(400, &json!({ "error": "invalid_tenant" }));
    }
    let id = state.tenant_id;
    Reply::value(
        200,
        &json!({
            "issuer": format!("{base}/{id}/v2.0"),
            "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
            "authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/authorize"),
            "device_authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/devicecode"),
            "jwks_uri": format!("{base}/{tenant}/discovery/v2.0/keys"),
            "token_endpoint_auth_methods_supported":
                ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
        }),
    )
}

/// `/common/discovery/instance`: the simulator is just one more cloud (facts §1.1, §5.7).
pub(crate) fn instance_discovery(base: &str, tenant: &str) -> Reply {
    let host = base.split_once("://").map_or(base, |(_, host)| host);
    Reply::value(
        200,
        &json!({
            "tenant_discovery_endpoint": format!("{base}/{tenant}/v2.0/.well-known/openid-configuration"),
            "api-version": "1.1",
            "metadata": [{ "preferred_network": host, "preferred_cache": host, "aliases": [host] }],
        }),
    )
}
