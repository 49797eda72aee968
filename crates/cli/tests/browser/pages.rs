//! The driver against what there is without pages.

use super::{
    audit::{fits, quiet},
    driver::{Browser, Scheme},
};
use crate::serve::kit::{Service, place};

#[test]
fn the_browser_sees_what_the_service_says() {
    let place = place(3);
    let service = Service::start(&place, "one", &[]);
    let browser = Browser::start(service.ready["api"].as_str().unwrap());
    browser.open("/livez");
    browser.prefer(Scheme::Dark);
    assert_eq!(browser.run("return matchMedia('(prefers-color-scheme: dark)').matches", &[]), true);
    browser.size(360, 800);
    assert_eq!(browser.run("return innerWidth", &[]), 360);
    fits(&browser);
    quiet(&browser);
    browser.run("console.error('seen')", &[]);
    assert_eq!(browser.complaints().len(), 1);
}
