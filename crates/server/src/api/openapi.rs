//! The description of the API: OpenAPI 3.1, made from the handlers.

use axum::{http::header, response::IntoResponse};
use utoipa::PartialSchema;
use utoipa::openapi::{
    Components, Info, License, OpenApi,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    codes::Code,
    extract::{Id, Name, Path},
    open_router,
    problem::Problem,
};

/// Name of the way in which all but users sign in.
pub(crate) const SCHEME: &str = "token";
/// Name of the way in which users sign in.
pub(crate) const USER_SCHEME: &str = "user";

/// The document, as JSON with a line feed at its end.
pub fn document() -> String {
    let mut document = open_router().into_openapi();
    name_operations(&mut document);
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Names operations for generated clients: `chains_resume`. A handler's own name is unique in its file only.
fn name_operations(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
            operation.operation_id = operation.operation_id.take().map(|name| format!("{tag}_{name}"));
        }
    }
}

/// What the document says besides its paths.
pub(crate) fn base() -> OpenApi {
    let mut info = Info::new("Syncline", "1");
    info.description = Some(
        "Definitions, runs, chains, schedules and what waits for a person. Errors are problem details (RFC 9457) with \
         stable codes; lists come in pages; times are UTC."
            .to_owned(),
    );
    info.license = Some(License::new("MIT OR Apache-2.0"));
    let mut components = Components::new();
    let mut bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    bearer.description =
        Some("A token of `syncline tokens create`; its scopes are read, run, write, admin.".to_owned());
    // parameters name these, and only bodies bring their schemas with them
    components.schemas.insert("Name".to_owned(), Name::schema());
    components.schemas.insert("Id".to_owned(), Id::schema());
    components.add_security_scheme(SCHEME, SecurityScheme::Http(bearer));
    let mut user = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    user.description =
        Some("An access token of a user, issued for this service by `server.users.issuer`.".to_owned());
    components.add_security_scheme(USER_SCHEME, SecurityScheme::Http(user));
    let mut base = OpenApi::new(info, utoipa::openapi::Paths::new());
    base.components = Some(components);
    base
}

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(openapi_document))
}

/// The routes of the pages about codes.
pub(crate) fn pages() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(page))
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "about", security(("token" = ["read"])),
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = serde_json::Value),
              (status = "default", description = "A problem", body = super::problem::Sent, content_type = "application/problem+json")))]
async fn openapi_document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document())
}

/// What a code of an error means: what happened, why, what to do.
#[utoipa::path(get, path = "/docs/errors/{page}", tag = "about", security(("token" = ["read"])),
    params(("page" = String, Path, description = "`CODE.md`")),
    responses((status = 200, description = "Markdown", content_type = "text/markdown", body = String),
              (status = "default", description = "A problem", body = super::problem::Sent, content_type = "application/problem+json")))]
async fn page(Path(page): Path<String>) -> Result<impl IntoResponse, Problem> {
    let code = Code::ALL.iter().find(|code| page.strip_suffix(".md") == Some(code.as_str()));
    let code = code.ok_or_else(|| Problem::missing("page", format!("{page:?}")))?;
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], code.page()))
}
