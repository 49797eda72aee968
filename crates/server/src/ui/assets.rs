//! What pages are drawn with: one stylesheet of ours, two scripts of others. Compiled in, and served under names that
//! change with their content, so that a browser asks for each once.

use std::sync::LazyLock;

use axum::{
    Router,
    extract::Path,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use sha2::{Digest, Sha256};

use super::{Ui, fault::Fault};

/// Bytes of the hash that a name carries.
const HASH_BYTES: usize = 8;

/// One file.
#[derive(Debug)]
pub(crate) struct Asset {
    /// Its name with the hash of its content: `style.0123456789abcdef.css`.
    name: String,
    media_type: &'static str,
    bytes: &'static [u8],
}

impl Asset {
    fn new(stem: &str, extension: &str, media_type: &'static str, bytes: &'static [u8]) -> Self {
        let hash: String =
            Sha256::digest(bytes).iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect();
        Self { name: format!("{stem}.{hash}.{extension}"), media_type, bytes }
    }

    /// Where it is served.
    pub(crate) fn url(&self) -> String {
        format!("/assets/{}", self.name)
    }
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The look of every page.
pub(crate) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("style", "css", "text/css; charset=utf-8", include_bytes!("../../assets/style.css"))
});
/// Replaces parts of pages.
pub(crate) static HTMX: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("htmx", "js", JAVASCRIPT, include_bytes!("../../assets/vendor/htmx.min.js")));
/// Lets events do that.
pub(crate) static HTMX_SSE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("htmx-sse", "js", JAVASCRIPT, include_bytes!("../../assets/vendor/htmx-ext-sse.min.js"))
});
/// The sign in the browser's tab.
pub(crate) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_bytes!("../../assets/icon.svg")));

/// Served to anybody: they say nothing about anything.
pub(crate) fn routes() -> Router<Ui> {
    Router::new().route("/assets/{name}", get(asset))
}

async fn asset(Path(name): Path<String>) -> Result<Response, Fault> {
    let all = [&STYLE, &HTMX, &HTMX_SSE, &ICON];
    let asset = all.into_iter().find(|asset| asset.name == name);
    let asset = asset.ok_or_else(|| Fault::missing("file", &name))?;
    let mut response = asset.bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
    let immutable = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, immutable);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_content() {
        let (one, two) = (Asset::new("a", "css", "text/css", b"x"), Asset::new("a", "css", "text/css", b"y"));
        assert_eq!(one.url(), "/assets/a.2d711642b726b044.css");
        assert_ne!(one.name, two.name);
    }

    #[test]
    fn the_files_of_others_are_those_of_the_table() {
        let table = include_str!("../../assets/vendor/README.md");
        for asset in [&HTMX, &HTMX_SSE] {
            let hash: String = Sha256::digest(asset.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(table.contains(&hash), "{}", asset.name);
        }
    }
}
