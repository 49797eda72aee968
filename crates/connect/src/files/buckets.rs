//! The object stores of Amazon, Google and Microsoft, and those that speak their languages.

use std::sync::Arc;

use object_store::{
    ObjectStore, aws::AmazonS3Builder, azure::MicrosoftAzureBuilder, gcp::GoogleCloudStorageBuilder,
    path::Path,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{config::Bucket, store::Root};
use crate::{Error, error::Kind};

/// Opens the place of a url. Nothing is sent yet. Without a credential, that of the machine it runs on is asked for.
///
/// # Errors
/// [`Kind::Definition`].
pub(super) fn open(bucket: &Bucket) -> Result<Root, Error> {
    let store = match bucket.url.scheme() {
        "s3" | "s3a" => amazon(bucket),
        "gs" => google(bucket),
        "az" | "abfs" | "abfss" => microsoft(bucket),
        scheme => {
            let message = format!("url {scheme}://: no object store of ours");
            return Err(Error::new(Kind::Definition, message).hint("known: s3, gs, az, abfs, abfss and file"));
        }
    };
    let unusable = |_| {
        Error::new(Kind::Definition, "the options do not fit the object store of the url")
            .hint("check the url's bucket, and that key, account and region are complete")
    };
    let prefix = Path::from_url_path(bucket.url.path());
    let prefix = prefix.map_err(|_| Error::new(Kind::Definition, "url: its path cannot be a prefix"))?;
    Ok(Root::new(store.map_err(unusable)?, prefix))
}

type Built = Result<Arc<dyn ObjectStore>, object_store::Error>;

fn amazon(bucket: &Bucket) -> Built {
    let mut builder = AmazonS3Builder::new().with_url(bucket.url.as_str());
    if let Some(region) = &bucket.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &bucket.endpoint {
        builder = builder.with_endpoint(without_slash(endpoint)).with_allow_http(is_plain(endpoint));
    }
    if let Some(id) = &bucket.access_key_id {
        builder = builder.with_access_key_id(told(id));
    }
    if let Some(key) = &bucket.secret_access_key {
        builder = builder.with_secret_access_key(told(key));
    }
    if let Some(token) = &bucket.session_token {
        builder = builder.with_token(told(token));
    }
    Ok(Arc::new(builder.build()?))
}

fn google(bucket: &Bucket) -> Built {
    let mut builder = GoogleCloudStorageBuilder::new().with_url(bucket.url.as_str());
    if let Some(endpoint) = &bucket.endpoint {
        builder = builder.with_base_url(&without_slash(endpoint));
    }
    if let Some(key) = &bucket.service_account {
        builder = builder.with_service_account_key(told(key));
    }
    Ok(Arc::new(builder.build()?))
}

fn microsoft(bucket: &Bucket) -> Built {
    let mut builder = MicrosoftAzureBuilder::new().with_url(bucket.url.as_str());
    if let Some(account) = &bucket.account {
        builder = builder.with_account(account);
    }
    if let Some(endpoint) = &bucket.endpoint {
        builder = builder.with_endpoint(without_slash(endpoint)).with_allow_http(is_plain(endpoint));
    }
    if let Some(key) = &bucket.key {
        builder = builder.with_access_key(told(key));
    }
    Ok(Arc::new(builder.build()?))
}

fn told(secret: &SecretString) -> &str {
    secret.expose_secret()
}

fn is_plain(endpoint: &Url) -> bool {
    endpoint.scheme() == "http"
}

fn without_slash(endpoint: &Url) -> String {
    endpoint.as_str().trim_end_matches('/').to_owned()
}
