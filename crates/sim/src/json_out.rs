//! Writes JSON straight into bytes: answers are built per item, and a tree of values per item would make the
//! simulator the bottleneck of a load test.

/// A JSON text under construction. The caller closes what it opens.
#[derive(Debug, Default)]
pub(crate) struct JsonOut {
    bytes: Vec<u8>,
    needs_comma: bool,
}

impl JsonOut {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), needs_comma: false }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn separate(&mut self) {
        if self.needs_comma {
            self.bytes.push(b',');
        }
        self.needs_comma = true;
    }

    pub(crate) fn open(&mut self) {
        self.separate();
        self.bytes.push(b'{');
        self.needs_comma = false;
    }

    pub(crate) fn close(&mut self) {
        self.bytes.push(b'}');
        self.needs_comma = true;
    }

    pub(crate) fn open_array(&mut self) {
        self.separate();
        self.bytes.push(b'[');
        self.needs_comma = false;
    }

    pub(crate) fn close_array(&mut self) {
        self.bytes.push(b']');
        self.needs_comma = true;
    }

    pub(crate) fn key(&mut self, key: &str) {
        self.separate();
        push_string(&mut self.bytes, key);
        self.bytes.push(b':');
        self.needs_comma = false;
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.separate();
        push_string(&mut self.bytes, value);
    }

    pub(crate) fn boolean(&mut self, value: bool) {
        self.separate();
        self.bytes.extend_from_slice(if value { b"true" } else { b"false" });
    }

    pub(crate) fn integer(&mut self, value: i64) {
        self.separate();
        self.bytes.extend_from_slice(value.to_string().as_bytes());
    }

    /// A double; whole ones without a fraction, as the service prints them.
    pub(crate) fn number(&mut self, value: f64) {
        if value.fract() == 0.0 && value.abs() < 1e15 {
            return self.integer(value as i64);
        }
        self.separate();
        let text = serde_json::Number::from_f64(value).map_or("null".to_owned(), |n| n.to_string());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// A value that is JSON already.
    pub(crate) fn raw(&mut self, json: &[u8]) {
        self.separate();
        self.bytes.extend_from_slice(json);
    }

    pub(crate) fn value(&mut self, value: &serde_json::Value) {
        self.separate();
        serde_json::to_writer(&mut self.bytes, value).expect("a value can be written to memory");
    }

    pub(crate) fn text_field(&mut self, key: &str, value: &str) {
        self.key(key);
        self.text(value);
    }

    pub(crate) fn bool_field(&mut self, key: &str, value: bool) {
        self.key(key);
        self.boolean(value);
    }

    pub(crate) fn value_field(&mut self, key: &str, value: &serde_json::Value) {
        self.key(key);
        self.value(value);
    }
}

fn push_string(bytes: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(bytes, text).expect("a string can be written to memory");
}
