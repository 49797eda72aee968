//! Listing items: filter, index rule, pages (facts §2.7, §1.5).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::answer::{Refusal, Reply};
use crate::column::Facet;
use crate::filter::{Filter, Operand, OrderBy};
use crate::item::Item;
use crate::json_out::JsonOut;
use crate::list::List;
use crate::query::{FieldsShape, Query, without_option};
use crate::show::{self, Place};
use crate::switches::{OversizeTop, Switches};

/// The header that lifts the index rule (facts §2.7 \[O\]).
pub(crate) const HONOR_NON_INDEXED: &str = "HonorNonIndexedQueriesWarningMayFailRandomly";

/// What a listing needs to know of its request.
pub(crate) struct ListingRequest<'a> {
    pub(crate) query: &'a Query,
    pub(crate) prefer: Option<&'a str>,
    /// Path below `/v1.0`, decoded.
    pub(crate) path: &'a str,
    pub(crate) raw_query: &'a str,
    pub(crate) now_ms: i64,
}

/// Where a page starts. The text inside follows the form callers report (facts §2.7 \[K\]); it is opaque to clients.
#[derive(Debug, Clone, Copy, Default)]
struct SkipToken {
    after_id: u64,
    offset: usize,
    /// The first page had the `Prefer` header: page 2 must not fail for lack of it (facts §1.5 \[L\]).
    honored: bool,
}

impl SkipToken {
    fn encode(self) -> String {
        URL_SAFE_NO_PAD.encode(format!(
            "Paged=TRUE&p_ID={}&p_Offset={}&p_Honor={}",
            self.after_id, self.offset, self.honored
        ))
    }

    fn decode(text: &str) -> Result<Self, Refusal> {
        let broken = || Refusal::invalid("The skiptoken is not valid").with_inner("invalidQueryOption");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| broken())?;
        let text = String::from_utf8(bytes).map_err(|_| broken())?;
        let part = |name: &str| text.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        Ok(Self {
            after_id: part("p_ID").and_then(|v| v.parse().ok()).ok_or_else(broken)?,
            offset: part("p_Offset").and_then(|v| v.parse().ok()).ok_or_else(broken)?,
            honored: part("p_Honor") == Some("true"),
        })
    }
}

/// Page size under the switches (facts §2.7).
pub(crate) fn page_size(top: Option<usize>, rules: &Switches) -> Result<usize, Refusal> {
    let most = rules.max_page_size.max(1);
    let size = match (top, rules.oversize_top) {
        (None, _) => rules.default_page_size,
        (Some(top), _) if top <= most => top,
        (Some(_), OversizeTop::Clamp) => most,
        (Some(_), OversizeTop::Ignore) => rules.default_page_size,
        (Some(_), OversizeTop::Refuse) => {
            return Err(Refusal::invalid(format!("The value of $top must not exceed {most}"))
                .with_inner("invalidQueryOption"));
        }
    };
    Ok(size.clamp(1, most))
}

/// Answers `GET …/items`.
pub(crate) fn list_items(
    place: &Place<'_>,
    request: &ListingRequest<'_>,
    rules: &Switches,
) -> Result<Reply, Refusal> {
    let (list, query) = (place.list, request.query);
    if query.skip {
        return Err(Refusal::invalid("$skip is not supported on this API").with_inner("invalidQueryOption"));
    }
    check_lookups(list, &query.shape.fields, rules)?;
    let size = page_size(query.top, rules)?;
    let mut start = query.skip_token.as_deref().map(SkipToken::decode).transpose()?.unwrap_or_default();
    start.honored |= request.prefer.is_some_and(|prefer| prefer.contains(HONOR_NON_INDEXED));
    let filter = query.filter.as_deref().map(|text| Filter::parse(text, list)).transpose()?;
    let order = query.order_by.as_deref().map(|text| OrderBy::parse(text, list)).transpose()?;
    check_indexes(list, filter.as_ref(), order.as_ref(), start.honored, rules)?;

    let visible_until = request.now_ms - i64::try_from(rules.search_visibility_delay_ms).unwrap_or(i64::MAX);
    let matches = |item: &Item| match &filter {
        None => true,
        Some(filter) => item.created_ms <= visible_until && filter.matches(item, rules),
    };
    let (page, next) = match order {
        Some(order) => ordered_page(list, &order, start, size, rules, &matches),
        None => page_by_id(list, filter.as_ref(), start, size, rules, &matches),
    };
    Ok(Reply::json(200, write_page(place, request, &page, next)))
}

fn write_page(
    place: &Place<'_>,
    request: &ListingRequest<'_>,
    page: &[&Item],
    next: Option<SkipToken>,
) -> Vec<u8> {
    let mut out = JsonOut::with_capacity(256 + page.len() * 1024);
    out.open();
    let site = place.site.id.replace(',', "%2C");
    out.text_field(
        "@odata.context",
        &format!("{}/v1.0/$metadata#sites('{site}')/lists('{}')/items", place.base, place.list.id),
    );
    out.key("value");
    out.open_array();
    for item in page {
        show::item(&mut out, place, item, &request.query.shape, false);
    }
    out.close_array();
    if let Some(next) = next {
        let kept = without_option(request.raw_query, "skiptoken");
        let joint = if kept.is_empty() { "" } else { "&" };
        let path = crate::route::encoded(request.path);
        let link = format!("{}/v1.0{path}?{kept}{joint}$skiptoken={}", place.base, next.encode());
        out.text_field("@odata.nextLink", &link);
    }
    out.close();
    out.into_bytes()
}

type Page<'a> = (Vec<&'a Item>, Option<SkipToken>);

fn page_by_id<'a>(
    list: &'a List,
    filter: Option<&Filter>,
    start: SkipToken,
    size: usize,
    rules: &Switches,
    matches: &dyn Fn(&Item) -> bool,
) -> Page<'a> {
    if let Some(candidate) = filter.and_then(|filter| filter.sole_candidate(list, rules)) {
        let item = candidate.and_then(|id| list.items.get(&id));
        let page = item.filter(|item| item.id > start.after_id && matches(item));
        return (page.into_iter().collect(), None);
    }
    let scan_limit = filter.and(rules.scan_limit).unwrap_or(usize::MAX).max(1);
    let mut page = Vec::with_capacity(size.min(list.items.len()));
    let mut rest = list.items.range(start.after_id + 1..);
    let mut scanned = 0;
    let mut last = start.after_id;
    while page.len() < size && scanned < scan_limit {
        let Some((id, item)) = rest.next() else { break };
        (last, scanned) = (*id, scanned + 1);
        if matches(item) {
            page.push(item);
        }
    }
    let stopped = page.len() >= size || scanned >= scan_limit;
    let more = stopped && (rules.trailing_empty_page || rest.next().is_some());
    (page, more.then_some(SkipToken { after_id: last, ..start }))
}

fn ordered_page<'a>(
    list: &'a List,
    order: &OrderBy,
    start: SkipToken,
    size: usize,
    rules: &Switches,
    matches: &dyn Fn(&Item) -> bool,
) -> Page<'a> {
    let mut all: Vec<&Item> = list.items.values().filter(|item| matches(item)).collect();
    all.sort_by(|a, b| order.compare(a, b, rules));
    let end = start.offset.saturating_add(size).min(all.len());
    let more = end < all.len() || (rules.trailing_empty_page && end == start.offset + size);
    let page = all.get(start.offset.min(end)..end).unwrap_or_default().to_vec();
    (page, more.then_some(SkipToken { offset: end, ..start }))
}

/// The index rule with its exact text (facts §2.7 \[O\]).
fn check_indexes(
    list: &List,
    filter: Option<&Filter>,
    order: Option<&OrderBy>,
    honored: bool,
    rules: &Switches,
) -> Result<(), Refusal> {
    if !rules.index_rule {
        return Ok(());
    }
    let mut indexed: Vec<Operand> = Vec::new();
    let operands = filter.into_iter().flat_map(Filter::operands).chain(order.map(|order| order.operand));
    for operand in operands {
        let (name, is_indexed) = match operand {
            Operand::Id => continue,
            Operand::Created => ("Created", false),
            Operand::Modified => ("Modified", false),
            Operand::Column(number) => match list.column(number) {
                Some(column) => (column.name.as_str(), column.indexed),
                None => continue,
            },
        };
        if is_indexed {
            if !indexed.contains(&operand) {
                indexed.push(operand);
            }
        } else if !honored {
            return Err(Refusal::invalid(format!(
                "Field '{name}' cannot be referenced in filter or orderby as it is not indexed. Provide the \
                 'Prefer: {HONOR_NON_INDEXED}' header to allow this, but be warned that such queries may fail on \
                 large lists."
            )));
        } else if list.items.len() > rules.list_view_threshold {
            return Err(Refusal::new(
                rules.too_many_resources_status,
                "notSupported",
                "The request is unprocessable because it uses too many resources",
            )
            .with_inner("tooManyResources"));
        }
    }
    if rules.one_indexed_field && indexed.len() > 1 {
        return Err(Refusal::invalid("Only one indexed field can be filtered at a time"));
    }
    Ok(())
}

/// At most 12 lookup columns in one query (facts §2.5 \[D\]).
pub(crate) fn check_lookups(list: &List, fields: &FieldsShape, rules: &Switches) -> Result<(), Refusal> {
    let is_lookup = |name: &str| {
        let base = name.strip_suffix("LookupId").unwrap_or(name);
        let column = list.column_number(base).and_then(|n| list.column(n));
        column.is_some_and(|c| c.facet.is_lookup())
    };
    let asked = match fields {
        FieldsShape::Absent => 0,
        FieldsShape::Named(names) => names.iter().filter(|name| is_lookup(name)).count(),
        FieldsShape::All => list
            .columns()
            .filter(|c| !c.read_only && matches!(c.facet, Facet::Lookup { .. } | Facet::Person { .. }))
            .count(),
    };
    if asked > rules.lookup_limit {
        return Err(Refusal::invalid(
            "The query cannot be completed because the number of lookup columns it contains exceeds the lookup column \
             threshold",
        ));
    }
    Ok(())
}
