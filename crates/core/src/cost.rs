//! How much work an expression can make on one record, before it is evaluated: an upper bound, from the expression's shape
//! and the sizes of the record's values. Pure arithmetic; it evaluates nothing.
//!
//! An expression has no loops but those over lists, yet lists can be written down, split from texts, and nested in each
//! other; and a text can be doubled a hundred times. So four kilobytes of expression can ask for more steps than there
//! are seconds left, or for more memory than there is. Such a record is refused instead, with a reason.

use cel::{
    IdedExpr,
    common::ast::{
        CallExpr, ComprehensionExpr, EntryExpr, Expr as Ast, LiteralValue, MapExpr, StructExpr, operators,
    },
};
use regex::{Error as PatternError, RegexBuilder};

use crate::functions;

/// Most work on one record. A unit is one node evaluated, or [`UNIT_BYTES`] made or looked at; ten million are about a
/// second.
pub(crate) const WORK_MAX: f64 = 10_000_000.0;

/// Levels of the tree. The evaluator recurses, and some hundred levels are the most that the stack of a thread holds with
/// room to spare. The parser bounds brackets, but not chains: `1 + 1 + 1 …` is as deep as it is long.
pub(crate) const DEPTH_MAX: usize = 500;

/// Comprehensions inside each other. More than two is rare, and each doubles the price of this estimate.
pub(crate) const NESTED_MAX: usize = 5;

/// Bytes that count as one unit of work.
const UNIT_BYTES: f64 = 16.0;

/// What a value takes at least.
const VALUE_BYTES: f64 = 16.0;

/// Most bytes that a number, a time or the like takes as text: a double written out has 309 digits, 100 of them may follow
/// the point.
const TEXT_OF_SCALAR: f64 = 450.0;

/// Sizes of compiled patterns that are told apart, in bytes. What is larger than the last is refused.
const PATTERN_BYTES: [usize; 9] =
    [4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20];

/// Size that a pattern is taken to have when it comes from the record: the most that the evaluator compiles.
const PATTERN_UNKNOWN: f64 = 10.0 * 1024.0 * 1024.0;

/// At most how large a value is. All parts are zero or more; what is too large to count is infinite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Size {
    /// Bytes of all of it.
    bytes: f64,
    /// Elements of a list, or entries of a map.
    items: f64,
    /// Bytes of one element.
    largest: f64,
}

impl Size {
    /// A number, a truth value, a time.
    pub(crate) const SCALAR: Self = Self { bytes: VALUE_BYTES, items: 0.0, largest: 0.0 };

    /// A text or bytes.
    pub(crate) fn text(bytes: usize) -> Self {
        Self { bytes: VALUE_BYTES + bytes as f64, ..Self::SCALAR }
    }

    /// A list of values.
    pub(crate) fn list(items: impl IntoIterator<Item = Self>) -> Self {
        items.into_iter().fold(Self::SCALAR, |all, item| Self {
            bytes: all.bytes + item.bytes,
            items: all.items + 1.0,
            largest: all.largest.max(item.bytes),
        })
    }

    /// An element of it, which may be a list itself.
    fn element(self) -> Self {
        Self::any(self.largest)
    }

    /// Anything of this many bytes.
    fn any(bytes: f64) -> Self {
        Self { bytes, items: bytes / VALUE_BYTES, largest: bytes }
    }

    fn max(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            items: self.items.max(other.items),
            largest: self.largest.max(other.largest),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            items: self.items + other.items,
            largest: self.largest.max(other.largest),
        }
    }
}

/// A bound on the work and on the size of what comes out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) work: f64,
    size: Size,
}

impl Cost {
    fn new(work: f64, size: Size) -> Self {
        Self { work, size }
    }
}

/// Whether the work can exceed what the length of the expression and the record's own size allow: where there is a loop,
/// or a function whose result is larger than what it is given. The others need no estimate.
pub(crate) fn can_grow(node: &IdedExpr) -> bool {
    let own = match &node.expr {
        Ast::Comprehension(_) => true,
        Ast::Call(call) => matches!(
            call.func_name.as_str(),
            operators::ADD
                | "replace"
                | "join"
                | "split"
                | "format"
                | "quote"
                | "string"
                | "indexOf"
                | "lastIndexOf"
                | "matches"
        ),
        _ => false,
    };
    own || children(node).into_iter().any(can_grow)
}

/// Levels of the tree below and with this node, and comprehensions inside each other.
pub(crate) fn depth(node: &IdedExpr) -> (usize, usize) {
    // Not recursive: it looks for trees that recursion cannot walk.
    let (mut deepest, mut nested) = (0, 0);
    let mut open = vec![(node, 1, 0)];
    while let Some((node, level, loops)) = open.pop() {
        deepest = deepest.max(level);
        nested = nested.max(loops);
        if let Ast::Comprehension(inner) = &node.expr {
            let outside = [&inner.iter_range, &inner.accu_init];
            open.extend(outside.into_iter().map(|child| (child, level + 1, loops)));
            let inside = [&inner.loop_cond, &inner.loop_step, &inner.result];
            open.extend(inside.into_iter().map(|child| (child, level + 1, loops + 1)));
        } else {
            open.extend(children(node).into_iter().map(|child| (child, level + 1, loops)));
        }
    }
    (deepest, nested)
}

fn children(node: &IdedExpr) -> Vec<&IdedExpr> {
    match &node.expr {
        Ast::Unspecified | Ast::Literal(_) | Ast::Ident(_) => Vec::new(),
        Ast::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Ast::Select(select) => vec![&select.operand],
        Ast::List(list) => list.elements.iter().collect(),
        Ast::Map(MapExpr { entries }) | Ast::Struct(StructExpr { entries, .. }) => {
            let parts = entries.iter().flat_map(|entry| match &entry.expr {
                EntryExpr::StructField(field) => [None, Some(&field.value)],
                EntryExpr::MapEntry(entry) => [Some(&entry.key), Some(&entry.value)],
            });
            parts.flatten().collect()
        }
        Ast::Comprehension(c) => {
            vec![&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result]
        }
    }
}

/// The patterns of `matches` that are written down, each with its node: those that are no patterns, or too large, are
/// found when the expression is compiled.
pub(crate) fn patterns(node: &IdedExpr) -> Vec<(&IdedExpr, &str)> {
    let mut found = Vec::new();
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        if let Ast::Call(call) = &node.expr
            && call.func_name == "matches"
            && let Some(pattern) = call.args.last()
            && let Some(text) = literal_text(pattern)
        {
            found.push((pattern, text));
        }
        open.extend(children(node));
    }
    found
}

/// Compiled size of a pattern, as far as it is told apart.
///
/// # Errors
/// Words that follow "the pattern of matches()".
pub(crate) fn pattern_bytes(pattern: &str) -> Result<usize, &'static str> {
    for limit in PATTERN_BYTES {
        match RegexBuilder::new(pattern).size_limit(limit).build() {
            Ok(_) => return Ok(limit),
            Err(PatternError::CompiledTooBig(_)) => {}
            Err(_) => return Err("is not a regular expression"),
        }
    }
    Err("is too large when its repetitions are written out")
}

/// An upper bound on the work of evaluating `node`, and on the size of its value, where `variable` gives the size of each free variable, and `pattern`
/// the compiled size of a pattern that is written down.
pub(crate) fn estimate(
    node: &IdedExpr,
    variable: &dyn Fn(&str) -> Size,
    pattern: &dyn Fn(&str) -> Option<usize>,
) -> Cost {
    Estimate { variable, pattern, bound: Vec::new() }.of(node)
}

struct Estimate<'e> {
    variable: &'e dyn Fn(&str) -> Size,
    pattern: &'e dyn Fn(&str) -> Option<usize>,
    /// Variables of the comprehensions around, innermost last.
    bound: Vec<(&'e str, Size)>,
}

impl<'e> Estimate<'e> {
    fn of(&mut self, node: &'e IdedExpr) -> Cost {
        match &node.expr {
            Ast::Unspecified => Cost::new(1.0, Size::SCALAR),
            Ast::Literal(LiteralValue::String(text)) => Cost::new(1.0, Size::text(text.inner().len())),
            Ast::Literal(LiteralValue::Bytes(bytes)) => Cost::new(1.0, Size::text(bytes.inner().len())),
            Ast::Literal(_) => Cost::new(1.0, Size::SCALAR),
            Ast::Ident(name) => {
                let inner = self.bound.iter().rev().find(|(known, _)| *known == name.as_str());
                Cost::new(1.0, inner.map_or_else(|| (self.variable)(name), |(_, size)| *size))
            }
            Ast::Select(select) => {
                let operand = self.of(&select.operand);
                let size = if select.test { Size::SCALAR } else { operand.size.element() };
                Cost::new(1.0 + operand.work, size)
            }
            Ast::List(_) | Ast::Map(_) | Ast::Struct(_) => {
                let parts: Vec<Cost> = children(node).into_iter().map(|child| self.of(child)).collect();
                let size = Size::list(parts.iter().map(|part| part.size));
                let work: f64 = parts.iter().map(|part| part.work).sum();
                Cost::new(1.0 + work + size.bytes / UNIT_BYTES, size)
            }
            Ast::Call(call) => self.call(call),
            Ast::Comprehension(comprehension) => self.comprehension(comprehension),
        }
    }

    fn call(&mut self, call: &'e CallExpr) -> Cost {
        let operands: Vec<&'e IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
        let costs: Vec<Cost> = operands.iter().map(|operand| self.of(operand)).collect();
        let work: f64 = costs.iter().map(|cost| cost.work).sum();
        let sizes: Vec<Size> = costs.iter().map(|cost| cost.size).collect();
        let seen: f64 = sizes.iter().map(|size| size.bytes).sum();
        let at = |index: usize| sizes.get(index).copied().unwrap_or(Size::SCALAR);
        let (mut extra, size) = match call.func_name.as_str() {
            operators::CONDITIONAL => (0.0, at(1).max(at(2))),
            operators::ADD => (0.0, at(0).plus(at(1))),
            operators::INDEX | operators::OPT_INDEX | operators::OPT_SELECT => (0.0, at(0).element()),
            "replace" => (0.0, replaced(at(0), operands.get(1).copied(), at(2))),
            "split" => (0.0, split(at(0), operands.get(1).copied())),
            "join" => (0.0, Size::any(at(0).bytes + at(0).items * at(1).bytes)),
            "format" => (0.0, Size::any(at(0).bytes + 32.0 * at(1).bytes + TEXT_OF_SCALAR * at(1).items)),
            // The longest that a character becomes is twice, or three times its bytes.
            "lower" => (0.0, Size::any(2.0 * seen)),
            "nfc" => (0.0, Size::any(3.0 * seen)),
            "email" | "domain" => (0.0, Size::text(functions::RESULT_MAX)),
            "quote" | "string" => (0.0, Size::any(TEXT_OF_SCALAR + 8.0 * seen)),
            // They compare at every place of the text.
            "indexOf" | "lastIndexOf" => (at(0).bytes * at(1).bytes / UNIT_BYTES, Size::SCALAR),
            "matches" => (self.matching(at(0), operands.last().copied()), Size::SCALAR),
            name if name.starts_with(['_', '!', '-', '@']) => (0.0, Size::SCALAR),
            // No other function gives more than it is given.
            _ => (0.0, sizes.iter().fold(Size::any(seen), |most, size| most.max(*size))),
        };
        extra += (seen + size.bytes) / UNIT_BYTES;
        Cost::new(1.0 + work + extra, size)
    }

    /// A pattern is compiled anew for each text, and may look at each of its states for every byte.
    fn matching(&self, text: Size, pattern: Option<&IdedExpr>) -> f64 {
        let known = pattern.and_then(literal_text).and_then(|text| (self.pattern)(text));
        let kilobytes = known.map_or(PATTERN_UNKNOWN, |bytes| bytes as f64) / 1024.0;
        kilobytes * (100.0 + text.bytes)
    }

    /// A loop: its body once for each element. What the body costs grows at least in proportion with the size of its
    /// element, so the elements cost no more together than if as many as fit were of the largest size and the others empty.
    fn comprehension(&mut self, c: &'e ComprehensionExpr) -> Cost {
        let range = self.of(&c.iter_range);
        let init = self.of(&c.accu_init);
        let collects = matches!(&c.accu_init.expr, Ast::List(list) if list.elements.is_empty());
        let largest = range.size.largest.max(VALUE_BYTES);
        let full = self.body(c, range.size.element(), init.size);
        let empty = self.body(c, Size::any(0.0), init.size);
        let full_ones = (range.size.bytes / largest).min(range.size.items);
        let sum = |of_empty: f64, of_full: f64| {
            let more = of_full - of_empty;
            times(range.size.items, of_empty) + if more > 0.0 { times(full_ones, more) } else { 0.0 }
        };
        let work = sum(empty.work, full.work);
        // What `map` and `filter` add in one round is what their step makes of the empty list.
        let size = if collects {
            Size {
                bytes: sum(empty.size.bytes, full.size.bytes),
                items: times(range.size.items, full.size.items),
                largest: full.size.largest,
            }
        } else {
            init.size.max(full.size)
        };
        self.bound.push((&c.accu_var, size));
        let result = self.of(&c.result);
        self.bound.pop();
        Cost::new(1.0 + range.work + init.work + work + result.work, result.size)
    }

    fn body(&mut self, c: &'e ComprehensionExpr, element: Size, accumulated: Size) -> Cost {
        let around = self.bound.len();
        self.bound.push((&c.accu_var, accumulated));
        self.bound.push((&c.iter_var, element));
        self.bound.extend(c.iter_var2.as_deref().map(|name| (name, element)));
        let (condition, step) = (self.of(&c.loop_cond), self.of(&c.loop_step));
        self.bound.truncate(around);
        // The element is copied into the scope of the loop.
        Cost::new(2.0 + condition.work + step.work + element.bytes / UNIT_BYTES, step.size)
    }
}

/// A product in which nothing times too much is nothing.
fn times(count: f64, each: f64) -> f64 {
    if count == 0.0 || each == 0.0 { 0.0 } else { count * each }
}

fn literal_text(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Ast::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

/// How often a text can occur in another: an unknown one may be empty, and that occurs everywhere.
fn occurrences(text: Size, wanted: Option<&IdedExpr>) -> f64 {
    let length = wanted.and_then(literal_text).map_or(0, str::len);
    text.bytes / (length.max(1) as f64) + 1.0
}

fn replaced(text: Size, wanted: Option<&IdedExpr>, with: Size) -> Size {
    Size::any(text.bytes + times(occurrences(text, wanted), (with.bytes - VALUE_BYTES).max(0.0)))
}

fn split(text: Size, separator: Option<&IdedExpr>) -> Size {
    let items = occurrences(text, separator);
    Size { bytes: text.bytes + items * VALUE_BYTES, items, largest: text.bytes }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::{expr::Expr, value::Value};

    fn record(name: &str) -> Value<'static> {
        let texts = |n: usize| Value::List((0..n).map(|i| Value::Text("ab,c".repeat(i).into())).collect());
        match name {
            "text" => Value::Text("some, text, with commas".into()),
            "list" => texts(5),
            "lists" => Value::List(vec![texts(2), texts(3)]),
            _ => Value::Int64(7),
        }
    }

    fn texts() -> impl Strategy<Value = String> + Clone {
        let leaf = prop::sample::select(vec!["text", "'a'", "''", "','", "string(number)"]);
        leaf.prop_map(str::to_owned).prop_recursive(4, 24, 3, |inner| {
            let list = lists(inner.clone());
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} + {b})")),
                (inner.clone(), inner.clone(), inner.clone())
                    .prop_map(|(a, b, c)| format!("{a}.replace({b}, {c})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} < {b} ? {a} : {b})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("'%s%%%s'.format([{a}, {b}])")),
                (list.clone(), inner).prop_map(|(l, s)| format!("{l}.join({s})")),
                list.prop_map(|l| format!("{l}[0]")),
            ]
        })
    }

    fn lists(of: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = String> + Clone {
        prop_oneof![
            Just("list".to_owned()),
            prop::collection::vec(of.clone(), 0..4).prop_map(|all| format!("[{}]", all.join(", "))),
            (of.clone(), of.clone()).prop_map(|(a, b)| format!("{a}.split({b})")),
            (of.clone(), of.clone()).prop_map(|(a, b)| format!("{a}.split({b}).map(x, x + {a} + x)")),
            of.clone().prop_map(|a| format!("lists[1].map(x, x + {a})")),
            of.clone().prop_map(|a| format!("list.filter(x, x != {a})")),
            of.prop_map(|a| format!("(list + [{a}])")),
        ]
    }

    /// Each makes as much as it can, so that an estimate that forgets a factor is too small.
    #[test]
    fn functions_that_make_more_than_they_are_given() {
        for source in [
            "text.replace('', text)",
            "lower('ȺȺȺȺ' + text)",
            "nfc('\u{1D160}\u{1D160}\u{1D160}\u{1D160}\u{1D160}' + text)",
            "text.replace('e', text + text)",
            "text.replace(string(number), text) + text",
            "text.split('').join(text)",
            "list.join(text)",
            "text.split('').map(x, text)",
            "text.split(',').map(x, x + x + text)",
            "list.map(x, list)",
            "lists[1].map(x, lists[1].map(y, x + y))",
            "list.map(x, x.replace('', x))",
            "'%s%s'.format([list, lists])",
            "'%.100f'.format([1e300])",
            "string(1e300)",
            "[text, text].map(x, [x, x])",
            "list + list + list",
            "list.filter(x, true)",
        ] {
            let expr = Expr::compile(source).unwrap();
            let (made, bound) = (crate::expr::size(&expr.evaluate(record).unwrap()), expr.cost(&record));
            assert!(made.bytes <= bound.size.bytes, "{source}: {made:?}, estimate {bound:?}");
            assert!(made.items <= bound.size.items, "{source}: {made:?}, estimate {bound:?}");
            assert!(made.bytes / super::UNIT_BYTES <= bound.work, "{source}: {made:?}, estimate {bound:?}");
            assert!(
                bound.size.bytes <= 20_000.0 + 30.0 * made.bytes,
                "{source}: {made:?}, far above: {bound:?}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        /// What comes out has been counted: no expression makes more than its estimate says.
        #[test]
        fn no_result_is_larger_than_its_estimate(text in texts(), list in lists(texts())) {
            for source in [text, list] {
                let Ok(expr) = Expr::compile(&source) else { continue };
                let Ok(result) = expr.evaluate(record) else { continue };
                let (made, bound) = (crate::expr::size(&result), expr.cost(&record).size);
                prop_assert!(made.bytes <= bound.bytes, "{source}: {made:?}, estimate {bound:?}");
                prop_assert!(made.items <= bound.items, "{source}: {made:?}, estimate {bound:?}");
                prop_assert!(made.largest <= bound.largest, "{source}: {made:?}, estimate {bound:?}");
            }
        }
    }
}
