//! Files of reports: within the project's directory, and never half written.

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    path::{Component, Path, PathBuf},
};

use super::Failure;

/// The path that a template gave, relative to the project's directory.
///
/// # Errors
/// It leads elsewhere, to a hidden file, or to one that is not HTML: the path may come from data, and data must not reach other
/// files.
pub(super) fn path(rendered: &str) -> Result<PathBuf, Failure> {
    let wrong = |why: &str| Err(Failure::new("file", format!("the path of the file {why}")));
    let path = Path::new(rendered.trim());
    if rendered.contains(['\\', '\0', '\n', '\r']) {
        return wrong("holds a character that paths must not have");
    }
    let normal = |part: Component<'_>| match part {
        Component::Normal(name) => !name.to_string_lossy().starts_with('.'),
        _ => false,
    };
    if path.as_os_str().is_empty() || !path.components().all(normal) {
        return wrong("leads out of the project's directory, or to a hidden file");
    }
    let html =
        |extension: &OsStr| extension.eq_ignore_ascii_case("html") || extension.eq_ignore_ascii_case("htm");
    if !path.extension().is_some_and(html) {
        return wrong("does not end in .html");
    }
    Ok(path.to_owned())
}

/// Writes a file as a whole: whoever reads it sees the old content or the new one. Folders are made.
pub(super) async fn write(directory: &Path, path: &Path, content: String) -> Result<(), Failure> {
    let (directory, path) = (directory.to_owned(), path.to_owned());
    #[expect(clippy::disallowed_methods, reason = "awaited here")]
    let written = tokio::task::spawn_blocking(move || put(&directory, &path, &content));
    written.await.map_err(|_| Failure::new("file", "the thread of the file ended early"))?
}

fn put(directory: &Path, path: &Path, content: &str) -> Result<(), Failure> {
    let shown = path.display().to_string();
    let failed = |error: std::io::Error| Failure::new("file", format!("{shown}: {}", error.kind()));
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let whole = directory.join(path);
    let folder = whole.parent().unwrap_or(directory);
    fs::create_dir_all(folder).map_err(failed)?;
    // a link in the path may lead elsewhere
    let (real, root) = (folder.canonicalize().map_err(failed)?, directory.canonicalize().map_err(failed)?);
    if !real.starts_with(&root) {
        return Err(Failure::new("file", format!("{shown}: a link leads out of the project's directory")));
    }
    let name = whole.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let fresh = real.join(format!(".{name}.{}.part", std::process::id()));
    let written = fs::File::create(&fresh).and_then(|mut file| {
        file.write_all(content.as_bytes())?;
        file.sync_all()
    });
    let moved = written.and_then(|()| fs::rename(&fresh, real.join(&name)));
    if moved.is_err() {
        // nothing is left of it, or it cannot be helped
        drop(fs::remove_file(&fresh));
    }
    moved.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_within_the_project() {
        for good in ["weekly.html", "reports/2026/w 48.HTM", "bücher/a.html"] {
            assert!(path(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            " ",
            "/etc/passwd.html",
            "../up.html",
            "a/../../up.html",
            "./a.html",
            "syncline.yaml",
            "reports/.hidden/a.html",
            ".a.html",
            "a\\b.html",
            "a\n.html",
            "reports/",
        ] {
            assert_eq!(path(bad).map_err(|f| f.code), Err("file"), "{bad:?}");
        }
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_links_lead_nowhere() {
        let project = tempfile::tempdir().expect("a directory");
        let elsewhere = tempfile::tempdir().expect("a directory");
        for content in ["old", "new"] {
            put(project.path(), Path::new("reports/a.html"), content).expect("it can be written");
        }
        let written = fs::read_to_string(project.path().join("reports/a.html")).expect("it is there");
        assert_eq!(written, "new");
        assert_eq!(
            fs::read_dir(project.path().join("reports")).expect("a folder").count(),
            1,
            "nothing is left"
        );
        std::os::unix::fs::symlink(elsewhere.path(), project.path().join("out")).expect("a link");
        let error = put(project.path(), Path::new("out/a.html"), "x").expect_err("it leads elsewhere");
        assert_eq!(error.code, "file");
        assert_eq!(fs::read_dir(elsewhere.path()).expect("a folder").count(), 0);
    }
}
