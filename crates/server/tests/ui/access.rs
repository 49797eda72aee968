//! Who may look, who may act, and what a browser is told to refuse.

use reqwest::Method;
use syncline_server::auth::Scope;

use super::kit::{Browser, csrf};
use crate::api::kit::{Made, World, answer, now};

async fn locked() -> World {
    World::make(Made { locked: true, ..Made::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_known_is_sent_to_sign_in_and_comes_back() {
    let world = locked().await;
    let mut browser = Browser::of(&world);
    let sent = browser.get("/?text=a%20b&page=2").await;
    assert_eq!(
        (sent.status.as_u16(), sent.header("location")),
        (303, Some("/sign-in?next=/?text=a%2520b%26page=2"))
    );
    let page = browser.page("/sign-in?next=/?text=a%2520b%26page=2").await;
    assert!(page.contains(r#"name="next" value="/?text=a%20b&#38;page=2""#), "{page}");

    let token = world.token("reader", &[Scope::Read]).await;
    let signed = browser.send("/sign-in", &[("token", &token), ("next", "/?page=2")]).await;
    assert_eq!((signed.status.as_u16(), signed.header("location")), (303, Some("/?page=2")));
    let cookie = signed.header("set-cookie").expect("a session").to_owned();
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200"), "{cookie}");
    assert!(!cookie.contains(&token), "the token stays on the server");

    browser.sign_in(&token).await;
    assert!(browser.page("/").await.contains("Sign out"));
    let out = browser.submit("/", "/sign-out", &[]).await;
    assert_eq!((out.status.as_u16(), out.header("location")), (303, Some("/sign-in")));
    assert_eq!(browser.get("/").await.status, 303, "the session is over, not only the cookie");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_one_opens_nothing() {
    let world = locked().await;
    let mut browser = Browser::of(&world);
    for bad in ["", "syn_x", "<script>alert(1)</script>"] {
        let refused = browser.sign_in(bad).await;
        assert_eq!(refused.status, 403);
        assert!(refused.text.contains("The token is not known") && !refused.text.contains("<script>alert"));
        assert_eq!(refused.header("set-cookie"), None);
    }
    for next in ["//evil.example", "https://evil.example", "/\\evil.example"] {
        let token = world.token(next, &[Scope::Read]).await;
        let signed = browser.send("/sign-in", &[("token", &token), ("next", next)]).await;
        assert_eq!(signed.header("location"), Some("/"), "{next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_ends_its_sessions() {
    let world = locked().await;
    let mut browser = Browser::of(&world);
    browser.sign_in(&world.token("reader", &[Scope::Read]).await).await;
    browser.page("/").await;
    let id = world.store.tokens().await.expect("tokens")[0].id;
    world.store.revoke_token(id, now()).await.expect("revoked");
    assert_eq!(browser.get("/").await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_others_change_nothing() {
    let world = locked().await;
    let mut browser = Browser::of(&world);
    browser.sign_in(&world.token("admin", &[Scope::Admin]).await).await;
    let token = csrf(&browser.page("/").await);
    for bad in ["", "x", &token[1..]] {
        let refused = browser.send("/sign-out", &[("csrf", bad)]).await;
        assert_eq!(refused.status, 403, "{}", refused.text);
        assert!(refused.text.contains("Nothing was done"));
    }
    for (name, value) in
        [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
    {
        let form = browser.request(Method::POST, "/sign-out").header(name, value).form(&[("csrf", &token)]);
        assert_eq!(answer(form).await.status, 403, "{name}: {value}");
    }
    browser.page("/").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tokens_this_machine_is_let_in_and_other_names_are_not() {
    let world = World::open().await;
    let browser = Browser::of(&world);
    assert!(!browser.page("/").await.contains("Sign out"), "there is no session to end");
    let elsewhere = answer(browser.request(Method::GET, "/").header("host", "evil.example")).await;
    assert_eq!(elsewhere.status, 421);
    assert!(elsewhere.text.contains("Without a token"), "{}", elsewhere.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_tells_the_browser_what_to_refuse() {
    let world = World::open().await;
    let browser = Browser::of(&world);
    for path in ["/", "/sign-in", "/nowhere", "/assets/nothing.css"] {
        let answer = browser.get(path).await;
        let policy = answer.header("content-security-policy").expect("a policy");
        assert_eq!(
            policy,
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        );
        let header = |name| answer.header(name).unwrap_or_default();
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "same-origin");
        assert_eq!(header("cache-control"), "no-store", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_are_kept_by_browsers_and_nothing_comes_from_elsewhere() {
    let world = locked().await;
    let browser = Browser::of(&world);
    let page = browser.page("/sign-in").await;
    let mut found = Vec::new();
    for piece in page.split(['"', '\'']).filter(|piece| piece.starts_with("/assets/")) {
        let asset = browser.get(piece).await;
        assert_eq!(asset.status, 200, "{piece}");
        assert_eq!(asset.header("cache-control"), Some("public, max-age=31536000, immutable"));
        found.push(asset.header("content-type").unwrap_or_default().to_owned());
    }
    found.sort();
    found.dedup();
    assert_eq!(found, ["image/svg+xml", "text/css; charset=utf-8", "text/javascript; charset=utf-8"]);
    assert!(!page.contains("://"), "{page}");
    for inline in ["<style", "style=", "onclick", "<script>"] {
        assert!(!page.contains(inline), "{inline}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_pages_for_browsers_and_problems_for_programs() {
    let world = World::open().await;
    let browser = Browser::of(&world);
    let page = browser.get("/nowhere").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (404, Some("text/html; charset=utf-8")));
    assert!(page.text.contains("There is no such page") && page.text.contains("To the overview"));
    world.get("/nowhere").await.problem(404, "not_found");
    let wrong = browser.send("/", &[]).await;
    assert_eq!(wrong.status, 405);
    assert!(wrong.text.contains("does not take that"));
    let part = answer(browser.request(Method::GET, "/nowhere").header("hx-request", "true")).await;
    assert!(!part.text.contains("<html"), "a part stays a part: {}", part.text);
    // the API is as it was
    browser.get("/api/v1/nowhere").await.problem(404, "not_found");
}
