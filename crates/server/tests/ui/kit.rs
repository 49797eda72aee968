//! A browser without scripts: it keeps a cookie, follows no link by itself, and sends the forms that pages have.

use reqwest::{Method, RequestBuilder, redirect::Policy};

use crate::api::kit::{Answer, World, answer};

/// Somebody who looks at the pages of a world.
pub(crate) struct Browser<'w> {
    world: &'w World,
    client: reqwest::Client,
    cookie: Option<String>,
}

impl<'w> Browser<'w> {
    pub(crate) fn of(world: &'w World) -> Self {
        let client = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build();
        Self { world, client: client.expect("a client"), cookie: None }
    }

    /// A request as browsers make it.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://localhost:{}{path}", self.world.address.port());
        let request = self.client.request(method, url).header("accept", "text/html,application/xhtml+xml");
        match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    /// A page that is there.
    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.text
    }

    /// Sends a form as it is.
    pub(crate) async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = format!("http://localhost:{}", self.world.address.port());
        answer(self.request(Method::POST, path).header("origin", origin).form(fields)).await
    }

    /// Sends a form with what the page at `from` puts into its forms.
    pub(crate) async fn submit(&self, from: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = csrf(&self.page(from).await);
        let mut all = vec![("csrf", csrf.as_str())];
        all.extend(fields);
        self.send(path, &all).await
    }

    /// Signs in and keeps the cookie.
    pub(crate) async fn sign_in(&mut self, token: &str) -> Answer {
        let answer = self.send("/sign-in", &[("token", token)]).await;
        let cookie = answer.header("set-cookie").and_then(|cookie| cookie.split(';').next());
        self.cookie = cookie.map(str::to_owned);
        answer
    }
}

/// What the forms of a page carry.
pub(crate) fn csrf(page: &str) -> String {
    let rest = page.split_once("name=\"csrf\" value=\"").expect("the page has a form").1;
    rest.split('"').next().expect("the value ends").to_owned()
}
