use proptest::prelude::*;

use super::*;

/// A cell: its text and whether it was quoted.
type Cell = (String, bool);

/// Every record, the input given in parts that end at `cuts`.
fn parse(text: &[u8], delimiter: u8, cuts: &[usize]) -> Option<Vec<Vec<Cell>>> {
    let mut parser = Parser::new(delimiter);
    let mut records = Vec::new();
    let cells = |record: &Record| -> Vec<Cell> {
        let cell = |i| {
            let (bytes, quoted) = record.cell(i);
            (String::from_utf8_lossy(bytes).into_owned(), quoted)
        };
        (0..record.len()).map(cell).collect()
    };
    let mut cuts: Vec<_> = cuts.iter().map(|c| c % (text.len() + 1)).collect();
    cuts.push(text.len());
    cuts.sort_unstable();
    let mut start = 0;
    for end in cuts {
        while start < end {
            let (used, complete) = parser.feed(&text[start..end]);
            start += used;
            if complete {
                records.push(cells(parser.record()));
            }
        }
    }
    if parser.end()? {
        records.push(cells(parser.record()));
    }
    Some(records)
}

fn texts(records: Option<Vec<Vec<Cell>>>) -> Vec<Vec<String>> {
    let texts = |record: Vec<Cell>| record.into_iter().map(|(text, _)| text).collect();
    records.expect("closed quotes").into_iter().map(texts).collect()
}

#[test]
fn the_grammar() {
    let plain = |text: &str| (text.to_owned(), false);
    let quoted = |text: &str| (text.to_owned(), true);
    for (text, expected) in [
        ("", vec![]),
        ("a,b\n", vec![vec![plain("a"), plain("b")]]),
        ("a,b", vec![vec![plain("a"), plain("b")]]),
        ("a,", vec![vec![plain("a"), plain("")]]),
        (",\"\"\n", vec![vec![plain(""), quoted("")]]),
        ("a\r\nb\r\n", vec![vec![plain("a")], vec![plain("b")]]),
        ("\"a\"\r\n\"b\"", vec![vec![quoted("a")], vec![quoted("b")]]),
        ("\r\n", vec![vec![plain("")]]),
        ("\"a\"\"b\",\"c\nd\"\n", vec![vec![quoted("a\"b"), quoted("c\nd")]]),
        ("a\"b,c\rd\n", vec![vec![plain("a\"b"), plain("c\rd")]]),
        ("\"a\r\"\n", vec![vec![quoted("a\r")]]),
        ("a\n\nb\n", vec![vec![plain("a")], vec![plain("")], vec![plain("b")]]),
    ] {
        for cut in 0..=text.len() {
            assert_eq!(parse(text.as_bytes(), b',', &[cut]), Some(expected.clone()), "{text:?} cut at {cut}");
        }
    }
    assert_eq!(parse(b"a,\"b\n", b',', &[]), None, "a quote is open at the end");
}

#[test]
fn faults_cost_one_record() {
    let mut parser = Parser::new(b',');
    let text = b"\"a\"b,c\nd,e\n";
    let (used, complete) = parser.feed(text);
    assert!(complete && parser.record().fault == Some(Fault::AfterQuote));
    let (_, complete) = parser.feed(&text[used..]);
    assert!(complete && parser.record().fault.is_none());
    assert_eq!((parser.record().line, parser.record().cell(1)), (2, (&b"e"[..], false)));
}

#[test]
fn cells_and_bytes_have_bounds() {
    let mut parser = Parser::new(b',');
    let wide = [&b",".repeat(COLUMNS_MAX)[..], b"\nx\n"].concat();
    let (used, _) = parser.feed(&wide);
    assert_eq!(parser.record().fault, Some(Fault::TooManyCells));
    parser.feed(&wide[used..]);
    assert_eq!((parser.record().fault, parser.record().len()), (None, 1));
    let part = vec![b'x'; RECORD_MAX / 2 + 1];
    assert_eq!(parser.feed(&part), (part.len(), false));
    parser.feed(&part);
    let (_, complete) = parser.feed(b"\n");
    assert!(complete && parser.record().fault == Some(Fault::TooLong));
    assert!(parser.record().bytes.len() <= RECORD_MAX);
}

/// As a careful writer writes them: a text is quoted where it has to be, and where it is empty.
fn written(records: &[Vec<Option<String>>], delimiter: char, line_end: &str, always: bool) -> String {
    let cell = |cell: &Option<String>| match cell {
        None => String::new(),
        Some(text) if always || text.is_empty() || text.contains(['"', '\r', '\n', delimiter]) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Some(text) => text.clone(),
    };
    let line = |record: &Vec<Option<String>>| {
        record.iter().map(cell).collect::<Vec<_>>().join(&delimiter.to_string()) + line_end
    };
    records.iter().map(line).collect()
}

fn cell() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        Just(None),
        Just(Some(String::new())),
        "[a\",;\\t\\r\\n ü🙂\\x00]{1,6}".prop_map(Some),
        ".{1,12}".prop_map(Some),
    ]
}

proptest! {
    #[test]
    fn null_empty_and_text_come_back(
        records in (1_usize..5).prop_flat_map(|width| proptest::collection::vec(proptest::collection::vec(cell(), width), 0..8)),
        delimiter in prop_oneof![Just(','), Just(';'), Just('\t')],
        line_end in prop_oneof![Just("\n"), Just("\r\n")],
        always in any::<bool>(),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
    ) {
        let text = written(&records, delimiter, line_end, always);
        let read = parse(text.as_bytes(), delimiter as u8, &cuts).expect("closed quotes");
        let read: Vec<Vec<Option<String>>> = read
            .into_iter()
            .map(|r| r.into_iter().map(|(text, quoted)| (quoted || !text.is_empty()).then_some(text)).collect())
            .collect();
        prop_assert_eq!(read, records, "{:?}", text);
    }

    #[test]
    fn what_another_library_writes_is_read(
        records in (1_usize..5).prop_flat_map(|width| proptest::collection::vec(proptest::collection::vec("[ab\",\\r\\n ü]{0,5}", width), 0..8)),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
    ) {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        records.iter().for_each(|record| writer.write_record(record).expect("memory"));
        let text = writer.into_inner().expect("memory");
        prop_assert_eq!(texts(parse(&text, b',', &cuts)), records, "{:?}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn any_bytes_end_and_cuts_do_not_matter(text in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b','), Just(b'\n'), Just(b'\r'), any::<u8>()], 0..60), cuts in proptest::collection::vec(any::<usize>(), 0..6)) {
        prop_assert_eq!(parse(&text, b',', &cuts), parse(&text, b',', &[]));
    }
}
