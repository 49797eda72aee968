//! HTML as plain text, for those who read mail without it. It reads what our templates write: tags are not checked, their
//! text is kept, and what is not meant to be seen is left out.

/// What begins a new line.
const BLOCKS: &[&str] = &[
    "p",
    "div",
    "br",
    "tr",
    "table",
    "ul",
    "ol",
    "li",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "section",
    "article",
    "header",
    "footer",
    "hr",
    "blockquote",
    "pre",
    "figure",
    "figcaption",
    "svg",
    "title",
    "desc",
];
/// What has an empty line before and after it.
const APART: &[&str] =
    &["p", "table", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "svg", "blockquote"];
/// What is not text. Of a drawing its title and description are kept.
const HIDDEN: &[&str] = &["style", "script", "head", "text"];

/// The text of a document.
pub(super) fn of_html(html: &str) -> String {
    let mut out = Writer::default();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        out.text(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with("<!--") {
            rest = rest.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let Some(end) = end_of_tag(rest) else {
            // no tag at all
            out.text(rest);
            return out.finish();
        };
        let (tag, after) = rest.split_at(end + 1);
        rest = after;
        let name = name_of(tag);
        if HIDDEN.contains(&name.as_str()) && !tag.starts_with("</") && !tag.ends_with("/>") {
            rest = behind(rest, &name);
            continue;
        }
        out.tag(tag, &name);
    }
    out.text(rest);
    out.finish()
}

/// Where the tag at the beginning ends; a `>` in a quoted attribute does not count.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '>') => return Some(at),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

/// The name of a tag, in small letters.
fn name_of(tag: &str) -> String {
    let name = tag.trim_start_matches(['<', '/']);
    let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
    name[..end].to_ascii_lowercase()
}

/// What stands behind the end of the element called `name`.
fn behind<'a>(text: &'a str, name: &str) -> &'a str {
    let closes = |at: &usize| text[at + 2..].get(..name.len()).is_some_and(|n| n.eq_ignore_ascii_case(name));
    let end = text.match_indices("</").map(|(at, _)| at).find(closes);
    end.and_then(|at| text[at..].split_once('>')).map_or("", |(_, after)| after)
}

/// The address of a link that is worth telling.
fn link(tag: &str) -> Option<String> {
    let (_, rest) = tag.split_once("href=")?;
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let address = decoded(rest[1..].split_once(quote)?.0);
    (address.starts_with("https:") || address.starts_with("http:") || address.starts_with("mailto:"))
        .then_some(address)
}

#[derive(Default)]
struct Writer {
    out: String,
    /// Empty lines and line ends that are due before the next text.
    breaks: usize,
    /// Whether a space is due before the next text.
    space: bool,
    /// The address of the link that is open.
    link: Option<String>,
}

impl Writer {
    fn tag(&mut self, tag: &str, name: &str) {
        let closing = tag.starts_with("</");
        if BLOCKS.contains(&name) {
            self.breaks = self.breaks.max(if APART.contains(&name) { 2 } else { 1 });
            self.space = false;
        }
        match (name, closing) {
            ("li", false) => self.put("- "),
            ("td" | "th", true) => self.put("\t"),
            ("a", false) => self.link = link(tag),
            ("a", true) => {
                if let Some(address) = self.link.take().filter(|a| !self.out.ends_with(a.as_str())) {
                    self.put(&format!(" ({address})"));
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, raw: &str) {
        let text = decoded(raw);
        if text.starts_with(is_space) {
            self.space = true;
        }
        for word in text.split(is_space).filter(|w| !w.is_empty()) {
            if self.space
                && self.breaks == 0
                && !self.out.is_empty()
                && !self.out.ends_with(['\n', '\t', ' '])
            {
                self.out.push(' ');
            }
            self.put(word);
            self.space = true;
        }
        self.space = text.ends_with(is_space);
    }

    fn put(&mut self, text: &str) {
        if !self.out.is_empty() {
            while self.out.ends_with([' ', '\t']) && self.breaks > 0 {
                self.out.pop();
            }
            for _ in 0..self.breaks {
                self.out.push('\n');
            }
        }
        self.breaks = 0;
        self.out.push_str(text);
    }

    fn finish(self) -> String {
        let lines: Vec<&str> = self.out.lines().map(str::trim_end).collect();
        let mut text = lines.join("\n").trim().to_owned();
        text.push('\n');
        text
    }
}

/// White space that is folded; a no-break space is text.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}')
}

/// Text without the escapes that we write, and numeric ones.
fn decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(12).position(|b| b == b';');
        let sign = end.and_then(|end| Some((sign(&rest[1..end])?, end + 1)));
        let (sign, length) = sign.unwrap_or(('&', 1));
        out.push(sign);
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

fn sign(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "middot" => '·',
        "ndash" => '–',
        "mdash" => '—',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_read_as_text() {
        let html = "<!doctype html><html><head><title>hidden</title><style>p { color: red }</style></head><body>\
            <h1>Partners</h1>\n<p>Dear  Zo&#235;,<br>three <b>partners</b> &amp; more: <a href=\"https://a.example/x?a=1&amp;b\">the \
            list</a>.</p><ul><li>one</li><li>two</li></ul><!-- not seen <p> --><table><tr><th>Name</th><th>Users</th></tr>\
            <tr><td>A &lt;b&gt;</td><td>12</td></tr></table>\
            <svg role=\"img\" aria-label=\"a > b\"><title>Users</title><desc>Bar chart: A 12.</desc><text>12</text></svg></body></html>";
        assert_eq!(
            of_html(html),
            "Partners\n\nDear Zoë,\nthree partners & more: the list (https://a.example/x?a=1&b).\n\n- one\n- two\n\n\
             Name\tUsers\nA <b>\t12\n\nUsers\nBar chart: A 12.\n"
        );
    }

    #[test]
    fn anything_is_read_without_a_panic() {
        for html in [
            "",
            "<",
            "<p",
            "&",
            "&#xFFFFFFFF;",
            "&#;",
            "a < b",
            "<script>",
            "<!--",
            "</",
            "<a href='>x",
            "ä&ö;",
        ] {
            assert!(of_html(html).ends_with('\n'), "{html}");
        }
    }
}
