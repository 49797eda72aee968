//! Rows into a staging table: `COPY … FROM STDIN` on a session of its own.

use std::pin::Pin;

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use futures::SinkExt;
use syncline_core::batch::{Batch, RecordOp};
use tokio_postgres::CopyInSink;

use super::{
    client::Session,
    encode::{self, Unfit},
    error,
    tuples::{CHUNK_BYTES, HEADER, TRAILER, put_field, put_null},
    types::Codec,
};
use crate::{
    Error,
    database::{Rows, Shape, Writer, dialect::Dialect},
    error::Kind,
};

/// How batches are sent.
enum Form {
    /// Binary, with a codec for each column.
    Binary(Vec<Codec>),
    /// As text, for types whose binary form is their own business.
    Text,
}

/// An open COPY.
pub(super) struct CopyWriter {
    sink: Pin<Box<CopyInSink<Bytes>>>,
    form: Form,
    columns: usize,
    tombstones: bool,
    /// Keeps the session alive, and with it the COPY.
    _session: std::sync::Arc<Session>,
}

impl CopyWriter {
    /// Opens a COPY into `table` (quoted). `binary`: relayed tuples may come.
    pub(super) async fn open(
        session: std::sync::Arc<Session>,
        dialect: &Dialect,
        table: &str,
        shape: &Shape,
    ) -> Result<Self, Error> {
        let codecs: Option<Vec<_>> = shape.columns.iter().map(|c| encode::codec(&c.declared)).collect();
        let form = match (codecs, shape.relayed) {
            (Some(codecs), _) => Form::Binary(codecs),
            // only whole tuples come
            (None, true) => Form::Binary(Vec::new()),
            (None, false) => Form::Text,
        };
        let mut names: Vec<_> = shape.columns.iter().map(|c| dialect.quote(&c.name)).collect();
        if shape.tombstones {
            names.push(dialect.quote(crate::database::dialect::TOMBSTONE));
        }
        let options = if matches!(form, Form::Text) { "" } else { " (FORMAT binary)" };
        let sql = format!("COPY {table} ({}) FROM STDIN{options}", names.join(", "));
        let mut sink = Box::pin(session.copy_in(&sql).await?);
        if matches!(form, Form::Binary(_)) {
            sink.send(Bytes::from_static(HEADER)).await.map_err(|e| error::of(&e))?;
        }
        let (columns, tombstones) = (shape.columns.len(), shape.tombstones);
        Ok(Self { sink, form, columns, tombstones, _session: session })
    }

    async fn send(&mut self, data: Bytes) -> Result<(), Error> {
        self.sink.send(data).await.map_err(|e| error::of(&e))
    }

    fn encode(&self, batch: &Batch, row: usize, out: &mut BytesMut) -> Result<(), Error> {
        let unfit = |column: usize| {
            let name = &batch.fields()[column].name;
            Error::new(Kind::Rejected, format!("column {name:?}: a value does not fit the staging table"))
        };
        let gone = batch.op(row) == RecordOp::Delete;
        match &self.form {
            Form::Binary(codecs) => {
                let count = self.columns + usize::from(self.tombstones);
                out.put_i16(i16::try_from(count).unwrap_or(i16::MAX));
                for (column, codec) in codecs.iter().enumerate() {
                    match batch.value(row, column) {
                        value if value.is_null() => put_null(out),
                        value => put_field(out, |out| encode::binary(codec, &value, out))
                            .map_err(|Unfit| unfit(column))?,
                    }
                }
                if self.tombstones {
                    out.put_i32(1);
                    out.put_u8(u8::from(gone));
                }
            }
            Form::Text => {
                for column in 0..self.columns {
                    if column > 0 {
                        out.put_u8(b'\t');
                    }
                    encode::copy_text(&batch.value(row, column), out).map_err(|Unfit| unfit(column))?;
                }
                if self.tombstones {
                    out.extend_from_slice(if gone { b"\tt" } else { b"\tf" });
                }
                out.put_u8(b'\n');
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Writer for CopyWriter {
    async fn write(&mut self, rows: Rows) -> Result<(), Error> {
        let batch = match rows {
            Rows::Copy(tuples, _) => {
                return if tuples.is_empty() { Ok(()) } else { self.send(tuples).await };
            }
            Rows::Batch(batch) => batch,
        };
        let mut out = BytesMut::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
        for row in 0..batch.len() {
            self.encode(&batch, row, &mut out)?;
            if out.len() >= CHUNK_BYTES {
                self.send(std::mem::replace(&mut out, BytesMut::with_capacity(CHUNK_BYTES)).freeze()).await?;
            }
        }
        if out.is_empty() { Ok(()) } else { self.send(out.freeze()).await }
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, Error> {
        if matches!(self.form, Form::Binary(_)) {
            self.send(Bytes::from_static(TRAILER)).await?;
        }
        self.sink.as_mut().finish().await.map_err(|e| error::of(&e))
    }
}
