//! Lists as a source. A list is read whole, page by page; after that the service tells its changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions},
    schema::Stream,
    value::Value,
};

use super::{
    Site,
    changes::{Changes, Place},
    columns::{self, KEY, Shape},
    describe,
    item::Item,
    read,
    whole::{Size, Whole},
};
use crate::{
    Error, Source,
    error::Kind,
    graph::client::nonsense,
    source::{FETCH_MAX, Fetch, Read, Reader},
};

/// The lists of a site, to be read.
pub(super) struct Lists {
    site: Site,
    /// Lists that were described, as for writing: a run asks for the same one again and again, and each time would cost two
    /// requests. Bounded by the lists that a run reads.
    described: Mutex<BTreeMap<String, Arc<Stream>>>,
}

impl Lists {
    pub(super) fn of(site: Site) -> Self {
        Self { site, described: Mutex::default() }
    }

    async fn look(&self, stream: &str) -> Result<Arc<Stream>, Error> {
        let site = self.site.path().await?;
        let list = Arc::new(describe::readable(&self.site.client, &site, stream).await?);
        let mut described = self.described.lock().unwrap_or_else(PoisonError::into_inner);
        described.insert(stream.to_owned(), Arc::clone(&list));
        Ok(list)
    }

    async fn list(&self, stream: &str) -> Result<Arc<Stream>, Error> {
        let known = self.described.lock().unwrap_or_else(PoisonError::into_inner).get(stream).cloned();
        match known {
            Some(list) => Ok(list),
            None => self.look(stream).await,
        }
    }

    async fn place(&self, list: &Stream) -> Result<Place, Error> {
        Ok(Place {
            client: Arc::clone(&self.site.client),
            list: self.site.list_path(list).await?,
            id: list.id.clone(),
            name: list.name.clone(),
            broken: Arc::clone(&self.site.broken_deltas),
        })
    }
}

#[async_trait]
impl Source for Lists {
    async fn describe(&self, stream: &str) -> Result<Stream, Error> {
        Ok(columns::as_source((*self.look(stream).await?).clone()))
    }

    async fn streams(&self) -> Result<Vec<String>, Error> {
        let site = self.site.path().await?;
        describe::names(&self.site.client, &site).await
    }

    async fn read(&self, request: Read) -> Result<Box<dyn Reader>, Error> {
        let named = |e: Error| e.context(format_args!("list {:?}", request.stream));
        known_by_number(&request.key).map_err(named)?;
        if let Some(cursor) = &request.cursor {
            let message =
                format!("the cursor column {cursor:?} is not used: the service itself tells changes");
            return Err(named(Error::new(Kind::Definition, message).hint("leave from.cursor out")));
        }
        let list = self.list(&request.stream).await?;
        let shape = Shape::of(&list, &request.columns, request.tombstone.as_deref())?;
        let size = Size { rows: request.batch_rows.max(1), bytes: request.batch_bytes };
        let place = self.place(&list).await?;
        Ok(match request.from {
            None => Box::new(Whole::open(place, shape, size)),
            Some(from) => Box::new(Changes::open(place, shape, size, from)),
        })
    }

    async fn fetch(&self, request: Fetch) -> Result<Batch, Error> {
        let named = |e: Error| e.context(format_args!("list {:?}", request.stream));
        known_by_number(&request.key).map_err(named)?;
        if request.keys.len() > FETCH_MAX {
            let message = format!("at most {FETCH_MAX} items are fetched at once");
            return Err(named(Error::new(Kind::Definition, message)));
        }
        let list = self.list(&request.stream).await?;
        let shape = Shape::of(&list, &request.columns, request.tombstone.as_deref())?;
        let ids: BTreeSet<i64> = request.keys.iter().filter_map(|key| number(key)).collect();
        let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
        let place = self.place(&list).await?;
        let answers = read::items(&place.client, &place.list, &list, &shape.expand(), &ids).await?;
        let mut batch = BatchBuilder::new(Arc::clone(shape.fields()));
        for answer in answers.into_iter().flatten() {
            let broken = |why: &dyn std::fmt::Display| named(nonsense(answer.request(), why));
            let text = std::str::from_utf8(&answer.body).map_err(|e| broken(&e))?;
            let item = Item::parse(text).map_err(|e| broken(&e))?;
            let row = shape.read(&item).ok_or_else(|| broken(&"an item without a number or columns"))?;
            shape.push(&row, &mut batch)?;
        }
        Ok(batch.finish(Positions::None))
    }

    /// None: the service gives no number twice.
    async fn duplicate_keys(
        &self,
        stream: &str,
        key: &[String],
        _limit: usize,
    ) -> Result<Vec<Vec<Value<'static>>>, Error> {
        known_by_number(key).map_err(|e| e.context(format_args!("list {stream:?}")))?;
        Ok(Vec::new())
    }
}

/// Deleted items are told, and single ones asked for, by their number alone (facts §2.9).
fn known_by_number(key: &[String]) -> Result<(), Error> {
    if key.is_empty() || key == [KEY] {
        return Ok(());
    }
    let message = format!("the key of a list is {KEY:?}, not {}", key.join(", "));
    Err(Error::new(Kind::Definition, message)
        .hint("leave from.key out; other columns can be matched on by to.match"))
}

fn number(key: &[Value<'static>]) -> Option<i64> {
    match key {
        [Value::Int64(n)] => Some(*n).filter(|n| *n > 0),
        _ => None,
    }
}
