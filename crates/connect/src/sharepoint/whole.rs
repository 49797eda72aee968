//! Reading a whole list, page by page (facts §2.7), with the place from which its changes can be told afterwards.

use std::sync::Arc;

use async_trait::async_trait;
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions},
    cursor::Position,
    seen::Seen,
};

use super::{
    COST_OTHER, COST_SINGLE,
    changes::{self, Place},
    columns::Shape,
    doing,
    item::Item,
    listing::{PAGE_ITEMS, PAGES_MAX, Page},
};
use crate::{
    Error,
    error::Kind,
    graph::{
        client::{Address, Answer, Call, nonsense},
        paging::{self, Trail},
    },
    source::Reader,
};

/// Numbers of items below this are looked at for being shown twice: one bit each, and far more than a list can have.
const NUMBERS_MAX: u64 = 1 << 28;

/// How much a batch holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// Most records.
    pub(super) rows: usize,
    /// About how many bytes.
    pub(super) bytes: usize,
}

impl Size {
    /// Whether a batch is to end here.
    pub(super) fn is_reached(self, batch: &BatchBuilder) -> bool {
        batch.len() >= self.rows || batch.bytes() >= self.bytes
    }
}

/// What comes next.
enum Next {
    /// The position, then the first page.
    Begin,
    /// The first page, in the service's own size where it refuses ours.
    First {
        plain: bool,
    },
    Link(String),
    End,
    Failed,
}

/// An open listing of everything.
pub(super) struct Whole {
    place: Place,
    shape: Shape,
    size: Size,
    next: Next,
    trail: Trail,
    /// Items of the present page that are not handed out yet: JSON, in the page's order.
    page: std::vec::IntoIter<Box<serde_json::value::RawValue>>,
    request: String,
    shown: Seen,
    resume: Option<Position>,
}

impl Whole {
    /// Opens a listing; nothing is sent yet.
    pub(super) fn open(place: Place, shape: Shape, size: Size) -> Self {
        Self {
            place,
            shape,
            size,
            next: Next::Begin,
            trail: Trail::of(PAGES_MAX),
            page: Vec::new().into_iter(),
            request: String::new(),
            shown: Seen::default(),
            resume: None,
        }
    }

    async fn batch(&mut self) -> Result<Option<Batch>, Error> {
        let mut batch = BatchBuilder::new(Arc::clone(self.shape.fields()));
        loop {
            while let Some(json) = self.page.next() {
                self.put(json.get(), &mut batch)?;
                if self.size.is_reached(&batch) {
                    return Ok(Some(batch.finish(Positions::None)));
                }
            }
            if !self.turn().await? {
                return Ok((!batch.is_empty()).then(|| batch.finish(Positions::None)));
            }
        }
    }

    fn put(&mut self, json: &str, batch: &mut BatchBuilder) -> Result<(), Error> {
        let item = Item::parse(json).map_err(|e| nonsense(&self.request, &e))?;
        let row = self.shape.read(&item);
        let row = row.ok_or_else(|| nonsense(&self.request, &"an item without a number or columns"))?;
        let number = row.id.unsigned_abs();
        // Shown twice, because it changed meanwhile: the changes since the position tell what it became.
        if number < NUMBERS_MAX && !self.shown.insert(number) {
            return Ok(());
        }
        self.shape.push(&row, batch)
    }

    /// Goes on to the next page; false at the end.
    async fn turn(&mut self) -> Result<bool, Error> {
        let plain = match &self.next {
            Next::End => return Ok(false),
            Next::Failed => return Err(Error::new(Kind::Protocol, "the listing failed before")),
            Next::Begin => {
                // Before the first page: whatever changes while the pages are read is told after it.
                self.resume = self.latest().await?;
                self.next = Next::First { plain: false };
                false
            }
            Next::First { plain } => *plain,
            Next::Link(_) => false,
        };
        let answer = match &self.next {
            Next::Link(link) => self.fetch(Address::Link(link), COST_OTHER).await?,
            _ => {
                let size = if plain { String::new() } else { format!("&$top={PAGE_ITEMS}") };
                let path = format!("{}/items?{}{size}", self.place.list, self.shape.expand());
                self.fetch(Address::Path(&path), COST_OTHER).await?
            }
        };
        match (answer.status, &self.next) {
            (200, _) => {}
            // Refusing a page size is one of the documented ways (facts §1.5).
            (400, Next::First { plain: false }) => {
                self.next = Next::First { plain: true };
                return Ok(true);
            }
            _ => return Err(answer.refusal(doing::READ)),
        }
        let page: Page<'_> =
            serde_json::from_slice(&answer.body).map_err(|e| nonsense(&answer.request, &e))?;
        self.next = match page.next {
            Some(link) => {
                self.trail.follow(&link)?;
                Next::Link(link)
            }
            None => Next::End,
        };
        self.page = page.value.into_iter().map(ToOwned::to_owned).collect::<Vec<_>>().into_iter();
        self.request = answer.request;
        Ok(true)
    }

    /// Where the list stands now; `None` where the service tells no changes of it.
    async fn latest(&self) -> Result<Option<Position>, Error> {
        // Options are encoded in the token (facts §2.9). All columns: the token outlives this choice of them.
        let path = format!("{}/items/delta?token=latest&$expand=fields", self.place.list);
        let sized = format!("{path}&$top={PAGE_ITEMS}");
        let mut answer = self.fetch(Address::Path(&sized), COST_SINGLE).await?;
        if answer.status == 400 {
            // Perhaps the page size alone is refused.
            answer = self.fetch(Address::Path(&path), COST_SINGLE).await?;
        }
        let mut trail = Trail::of(PAGES_MAX);
        loop {
            match answer.status {
                200 => {}
                400 | 501 => return Ok(None),
                _ => return Err(answer.refusal(doing::READ)),
            }
            let page: Page<'_> =
                serde_json::from_slice(&answer.body).map_err(|e| nonsense(&answer.request, &e))?;
            match (page.delta, page.next) {
                (Some(link), _) => return Ok(Some(changes::position(link))),
                (None, Some(link)) => {
                    trail.follow(&link)?;
                    answer = self.fetch(Address::Link(&link), COST_SINGLE).await?;
                }
                (None, None) => {
                    return Err(nonsense(&answer.request, &"a delta page without a link to go on"));
                }
            }
        }
    }

    async fn fetch(&self, address: Address<'_>, cost: u64) -> Result<Answer, Error> {
        let call = Call::get(address, cost).of_list(&self.place.id);
        paging::fetch(&self.place.client, call, doing::READ).await
    }
}

#[async_trait]
impl Reader for Whole {
    async fn next(&mut self) -> Result<Option<Batch>, Error> {
        let batch = self.batch().await;
        if batch.is_err() {
            self.next = Next::Failed;
        }
        batch.map_err(|e| e.context(format_args!("list {:?}", self.place.name)))
    }

    fn resume(&self) -> Option<Position> {
        self.resume.clone()
    }
}
