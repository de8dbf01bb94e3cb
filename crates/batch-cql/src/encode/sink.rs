//! Where the bytes of a value go.

use std::fmt;

use scylla::cluster::metadata::{CollectionType, ColumnType};
use serde::de;

use super::{
    misfit::Misfit,
    scalar::{self, Scalar},
};
use crate::row::Written;

/// Where bytes go, and the misfit that ends the writing.
pub(super) struct Sink<'o> {
    pub(super) out: &'o mut Vec<u8>,
    pub(super) misfit: &'o mut Option<Box<Misfit>>,
    /// Whether integers too are read from their digits. The parser gives `-0`, `-0.0` and `-1e-400`
    /// alike, and few digits of others, so what has one of them for an integer is read once more.
    pub(super) careful: bool,
}

impl Sink<'_> {
    #[inline]
    pub(super) fn reborrow(&mut self) -> Sink<'_> {
        Sink { out: self.out, misfit: self.misfit, careful: self.careful }
    }

    /// Keeps the misfit and gives the parser an error to stop with.
    pub(super) fn refuse<E: de::Error>(&mut self, misfit: Box<Misfit>) -> E {
        *self.misfit = Some(misfit);
        E::custom("a value that does not fit")
    }

    /// Adds a place to the misfit that an error stopped the parser for.
    pub(super) fn inside<E>(&mut self, place: impl fmt::Display, error: E) -> E {
        if let Some(misfit) = &mut self.misfit {
            misfit.inside(place);
        }
        error
    }

    pub(super) fn scalar<E: de::Error>(
        &mut self,
        typ: &ColumnType<'_>,
        scalar: Scalar<'_>,
    ) -> Result<Written, E> {
        let result = match typ {
            ColumnType::Native(native) => scalar::write(native, scalar, self.out),
            typ => Err(wants(typ)),
        };
        match result {
            Ok(()) => Ok(Written::Value),
            Err(wants) => Err(self.refuse(Misfit::new(typ, wants, scalar))),
        }
    }

    /// Writes a value, if there is one, behind its length.
    #[inline]
    pub(super) fn sized<E: de::Error>(
        &mut self,
        write: impl FnOnce(Sink<'_>) -> Result<Option<Written>, E>,
    ) -> Result<Option<Written>, E> {
        let start = self.out.len();
        self.out.extend_from_slice(&NULL);
        let written = write(self.reborrow())?;
        match written {
            Some(Written::Value) => {
                let length = self.out.len() - start - NULL.len();
                self.set_number(start, length)?;
            }
            Some(Written::Null) => {}
            None => self.out.truncate(start),
        }
        Ok(written)
    }

    #[inline]
    pub(super) fn set_number<E: de::Error>(
        &mut self,
        start: usize,
        number: usize,
    ) -> Result<(), E> {
        let number = i32::try_from(number).map_err(|_| E::custom("a value of 2 GiB or more"))?;
        if let Some(place) = self.out.get_mut(start..start + NULL.len()) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        Ok(())
    }
}

pub(super) const NO_NULL: &str = "no null here";

/// The length that means null.
pub(super) const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// What a type that is no scalar takes.
pub(super) fn wants(typ: &ColumnType<'_>) -> &'static str {
    match typ {
        ColumnType::Native(native) => scalar::wants(native),
        ColumnType::Collection { typ: CollectionType::Map(..), .. }
        | ColumnType::UserDefinedType { .. } => "an object",
        _ => "an array",
    }
}
