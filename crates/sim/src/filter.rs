//! `$filter` and `$orderby` on items (facts §2.7): comparisons and `startswith`, joined by `and`.

use std::cmp::Ordering;

use crate::answer::Refusal;
use crate::column::Facet;
use crate::item::Item;
use crate::list::List;
use crate::switches::Switches;
use crate::value::{FieldValue, filter_time};

/// What a term looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operand {
    Column(u32),
    Id,
    Created,
    Modified,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Eq,
    Ne,
    Lt,
    Gt,
    Le,
    Ge,
    StartsWith,
}

#[derive(Debug, Clone)]
struct Term {
    operand: Operand,
    comparison: Comparison,
    /// `None` is the literal `null`.
    literal: Option<FieldValue>,
}

/// A parsed filter, bound to the columns of its list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    terms: Vec<Term>,
}

impl Filter {
    pub(crate) fn parse(text: &str, list: &List) -> Result<Self, Refusal> {
        let tokens = tokens(text)?;
        let mut reader = Reader { tokens: &tokens, at: 0, list };
        let mut terms = Vec::new();
        reader.conjunction(&mut terms, 0)?;
        if reader.at != tokens.len() {
            return Err(invalid("unexpected text after the expression"));
        }
        Ok(Self { terms })
    }

    pub(crate) fn operands(&self) -> impl Iterator<Item = Operand> {
        self.terms.iter().map(|term| term.operand)
    }

    /// The only items that can match, when an equality on a unique column or on the id decides that.
    pub(crate) fn sole_candidate(&self, list: &List, rules: &Switches) -> Option<Option<u64>> {
        self.terms.iter().filter(|term| term.comparison == Comparison::Eq).find_map(|term| {
            match (term.operand, &term.literal) {
                (Operand::Column(column), Some(value)) => list.holder(column, value, rules),
                (Operand::Id, Some(FieldValue::Number(id))) => Some(Some(*id as u64)),
                _ => None,
            }
        })
    }

    pub(crate) fn matches(&self, item: &Item, rules: &Switches) -> bool {
        self.terms.iter().all(|term| term.matches(item, rules))
    }
}

impl Term {
    fn matches(&self, item: &Item, rules: &Switches) -> bool {
        let held = held_value(item, self.operand);
        let (Some(held), Some(literal)) = (&held, &self.literal) else {
            // An empty column equals only null, and is ordered against nothing.
            let equal = held.is_none() && self.literal.is_none();
            return match self.comparison {
                Comparison::Eq => equal,
                Comparison::Ne => !equal,
                _ => false,
            };
        };
        if self.comparison == Comparison::StartsWith {
            return starts_with(held, literal, rules);
        }
        let order = compare(held, literal, rules);
        match self.comparison {
            Comparison::Eq => order == Some(Ordering::Equal),
            Comparison::Ne => order != Some(Ordering::Equal),
            Comparison::Lt => order == Some(Ordering::Less),
            Comparison::Gt => order == Some(Ordering::Greater),
            Comparison::Le => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Comparison::Ge => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            Comparison::StartsWith => false,
        }
    }
}

/// `$orderby` of one operand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OrderBy {
    pub(crate) operand: Operand,
    descending: bool,
}

impl OrderBy {
    pub(crate) fn parse(text: &str, list: &List) -> Result<Self, Refusal> {
        let mut words = text.split_whitespace();
        let name = words.next().ok_or_else(|| invalid("$orderby is empty"))?;
        let descending = match words.next() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(invalid("$orderby takes asc or desc")),
        };
        if words.next().is_some() || name.contains(',') {
            return Err(invalid("$orderby takes one field"));
        }
        Ok(Self { operand: operand(name, list)?, descending })
    }

    pub(crate) fn compare(&self, a: &Item, b: &Item, rules: &Switches) -> Ordering {
        let (x, y) = (held_value(a, self.operand), held_value(b, self.operand));
        let order = match (&x, &y) {
            (Some(x), Some(y)) => compare(x, y, rules).unwrap_or(Ordering::Equal),
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        };
        let order = if self.descending { order.reverse() } else { order };
        order.then(a.id.cmp(&b.id))
    }
}

fn invalid(why: &str) -> Refusal {
    Refusal::invalid(format!("Invalid filter clause: {why}")).with_inner("invalidQueryOption")
}

fn held_value(item: &Item, operand: Operand) -> Option<FieldValue> {
    match operand {
        Operand::Column(column) => item.value(column).cloned(),
        Operand::Id => Some(FieldValue::Number(item.id as f64)),
        Operand::Created => Some(FieldValue::Time(item.created_ms.div_euclid(1000))),
        Operand::Modified => Some(FieldValue::Time(item.modified_ms.div_euclid(1000))),
    }
}

fn compare(a: &FieldValue, b: &FieldValue, rules: &Switches) -> Option<Ordering> {
    match (a, b) {
        (FieldValue::Text(a), FieldValue::Text(b)) if rules.text_ignores_case => {
            Some(a.to_lowercase().cmp(&b.to_lowercase()))
        }
        (FieldValue::Text(a), FieldValue::Text(b)) => Some(a.cmp(b)),
        (FieldValue::Number(a), FieldValue::Number(b)) => a.partial_cmp(b),
        (FieldValue::Boolean(a), FieldValue::Boolean(b)) => Some(a.cmp(b)),
        (FieldValue::Time(a), FieldValue::Time(b)) => Some(a.cmp(b)),
        (FieldValue::Lookup(a), FieldValue::Lookup(b)) => Some(a.cmp(b)),
        // A multi-valued column equals each of its values.
        (FieldValue::Choices(all), FieldValue::Text(b)) => {
            Some(if all.contains(b) { Ordering::Equal } else { Ordering::Less })
        }
        _ => None,
    }
}

fn starts_with(held: &FieldValue, literal: &FieldValue, rules: &Switches) -> bool {
    match (held, literal) {
        (FieldValue::Text(held), FieldValue::Text(start)) if rules.text_ignores_case => {
            held.to_lowercase().starts_with(&start.to_lowercase())
        }
        (FieldValue::Text(held), FieldValue::Text(start)) => held.starts_with(&**start),
        _ => false,
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Open,
    Close,
    Comma,
}

fn tokens(text: &str) -> Result<Vec<Token>, Refusal> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&c) = chars.peek() {
        match c {
            c if c.is_whitespace() => drop(chars.next()),
            '(' | ')' | ',' => {
                chars.next();
                tokens.push(match c {
                    '(' => Token::Open,
                    ')' => Token::Close,
                    _ => Token::Comma,
                });
            }
            '\'' => {
                chars.next();
                let mut value = String::new();
                loop {
                    match chars.next() {
                        // Quotes in literals are doubled (facts §1.6).
                        Some('\'') if chars.peek() == Some(&'\'') => {
                            chars.next();
                            value.push('\'');
                        }
                        Some('\'') => break,
                        Some(c) => value.push(c),
                        None => return Err(invalid("a text literal is not closed")),
                    }
                }
                tokens.push(Token::Text(value));
            }
            _ => {
                let mut word = String::new();
                while let Some(&c) = chars.peek() {
                    if c.is_whitespace() || matches!(c, '(' | ')' | ',' | '\'') {
                        break;
                    }
                    word.push(c);
                    chars.next();
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Ok(tokens)
}

/// Brackets in a filter nest no deeper than this.
const DEPTH_MAX: usize = 32;

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    list: &'a List,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<&Token> {
        let token = self.tokens.get(self.at);
        self.at += 1;
        token
    }

    fn peek_word(&self) -> Option<&str> {
        match self.tokens.get(self.at) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn expect(&mut self, token: &Token, why: &str) -> Result<(), Refusal> {
        if self.next() == Some(token) { Ok(()) } else { Err(invalid(why)) }
    }

    fn conjunction(&mut self, terms: &mut Vec<Term>, depth: usize) -> Result<(), Refusal> {
        loop {
            self.term(terms, depth)?;
            match self.peek_word() {
                Some("and") => self.at += 1,
                Some("or" | "not") => return Err(invalid("only 'and' is supported")),
                _ => return Ok(()),
            }
        }
    }

    fn term(&mut self, terms: &mut Vec<Term>, depth: usize) -> Result<(), Refusal> {
        if self.tokens.get(self.at) == Some(&Token::Open) {
            if depth >= DEPTH_MAX {
                return Err(invalid("too many brackets"));
            }
            self.at += 1;
            self.conjunction(terms, depth + 1)?;
            return self.expect(&Token::Close, "a bracket is not closed");
        }
        let Some(Token::Word(word)) = self.next().cloned() else {
            return Err(invalid("a field is expected"));
        };
        if word == "startswith" {
            self.expect(&Token::Open, "startswith takes two arguments")?;
            let Some(Token::Word(name)) = self.next().cloned() else {
                return Err(invalid("startswith takes a field first"));
            };
            let operand = operand(&name, self.list)?;
            self.expect(&Token::Comma, "startswith takes two arguments")?;
            let Some(Token::Text(start)) = self.next().cloned() else {
                return Err(invalid("startswith takes a text second"));
            };
            self.expect(&Token::Close, "a bracket is not closed")?;
            let literal = Some(FieldValue::Text(start.into()));
            terms.push(Term { operand, comparison: Comparison::StartsWith, literal });
            return Ok(());
        }
        let operand = operand(&word, self.list)?;
        let comparison = match self.next() {
            Some(Token::Word(op)) => match op.as_str() {
                "eq" => Comparison::Eq,
                "ne" => Comparison::Ne,
                "lt" => Comparison::Lt,
                "gt" => Comparison::Gt,
                "le" => Comparison::Le,
                "ge" => Comparison::Ge,
                _ => return Err(invalid("an unknown operator")),
            },
            _ => return Err(invalid("an operator is expected")),
        };
        let token = self.next().cloned().ok_or_else(|| invalid("a value is expected"))?;
        let literal = literal(&token, operand, self.list)?;
        terms.push(Term { operand, comparison, literal });
        Ok(())
    }
}

fn operand(name: &str, list: &List) -> Result<Operand, Refusal> {
    let unknown = || Refusal::invalid(format!("Field '{name}' is not recognized"));
    let Some(field) = name.strip_prefix("fields/") else {
        return match name {
            "id" => Ok(Operand::Id),
            "createdDateTime" => Ok(Operand::Created),
            "lastModifiedDateTime" => Ok(Operand::Modified),
            _ => Err(unknown()),
        };
    };
    match field {
        "id" | "ID" => return Ok(Operand::Id),
        "Created" => return Ok(Operand::Created),
        "Modified" => return Ok(Operand::Modified),
        _ => {}
    }
    let unknown = || Refusal::invalid(format!("Field '{field}' is not recognized"));
    let by_lookup = field.strip_suffix("LookupId").and_then(|base| list.column_number(base));
    let number = by_lookup.or_else(|| list.column_number(field)).ok_or_else(unknown)?;
    Ok(Operand::Column(number))
}

fn literal(token: &Token, operand: Operand, list: &List) -> Result<Option<FieldValue>, Refusal> {
    let text = match token {
        Token::Word(word) if word == "null" => return Ok(None),
        Token::Word(word) | Token::Text(word) => word.as_str(),
        _ => return Err(invalid("a value is expected")),
    };
    let quoted = matches!(token, Token::Text(_));
    let mismatch = || invalid("the value does not fit the type of the field");
    let time = || filter_time(text).map(FieldValue::Time).ok_or_else(mismatch);
    let number = || text.parse().map(FieldValue::Number).map_err(|_| mismatch());
    let facet = match operand {
        Operand::Id => return number().map(Some),
        Operand::Created | Operand::Modified => return time().map(Some),
        Operand::Column(column) => list.column(column).map(|c| &c.facet),
    };
    let value = match facet {
        Some(Facet::Number { .. } | Facet::Currency) if !quoted => number()?,
        Some(Facet::DateTime { .. }) => time()?,
        Some(Facet::Boolean) => match text {
            "true" | "1" => FieldValue::Boolean(true),
            "false" | "0" => FieldValue::Boolean(false),
            _ => return Err(mismatch()),
        },
        Some(Facet::Lookup { .. } | Facet::Person { .. }) => {
            FieldValue::Lookup(text.parse().map_err(|_| mismatch())?)
        }
        Some(Facet::Text { .. } | Facet::Choice { .. }) if quoted => FieldValue::Text(text.into()),
        _ => return Err(mismatch()),
    };
    Ok(Some(value))
}
