//! The bytes of a snapshot: a small serde format. Whole numbers little-endian in their own width, lengths as u32,
//! structs and tuples as their fields one after the other, options and enums behind a tag.
//!
//! Promises: floats come back bit for bit; equal values give equal bytes; reading checks every bound, so that a cut or
//! foreign file is an error and never a panic or a huge allocation.
//! Never: describes itself; reader and writer must be the same version, which the snapshot's header says.

use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};
use serde::ser::{self, Serialize};

/// Why bytes cannot be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BinaryError(String);

impl ser::Error for BinaryError {
    fn custom<T: fmt::Display>(message: T) -> BinaryError {
        BinaryError(message.to_string())
    }
}

impl de::Error for BinaryError {
    fn custom<T: fmt::Display>(message: T) -> BinaryError {
        BinaryError(message.to_string())
    }
}

/// Appends `value` to `out`.
pub fn write<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), BinaryError> {
    value.serialize(&mut Writer { out })
}

/// Reads a value that fills `bytes` exactly.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BinaryError> {
    let mut reader = Reader { bytes };
    let value = T::deserialize(&mut reader)?;
    if reader.bytes.is_empty() { Ok(value) } else { Err(BinaryError(format!("{} bytes too many", reader.bytes.len()))) }
}

/// Reads a value off the front of `bytes`.
pub fn take<T: DeserializeOwned>(bytes: &mut &[u8]) -> Result<T, BinaryError> {
    let mut reader = Reader { bytes };
    let value = T::deserialize(&mut reader)?;
    *bytes = reader.bytes;
    Ok(value)
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn length(&mut self, length: usize) -> Result<(), BinaryError> {
        let length = u32::try_from(length).map_err(|_| BinaryError("more than 4 billion items".into()))?;
        self.out.extend_from_slice(&length.to_le_bytes());
        Ok(())
    }
}

macro_rules! write_numbers {
    ($($name:ident $type:ty),*) => {$(
        fn $name(self, v: $type) -> Result<(), BinaryError> {
            self.out.extend_from_slice(&v.to_le_bytes());
            Ok(())
        }
    )*};
}

impl ser::Serializer for &mut Writer<'_> {
    type Ok = ();
    type Error = BinaryError;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    write_numbers! {
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64, serialize_i128 i128,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64, serialize_u128 u128,
        serialize_f32 f32, serialize_f64 f64
    }

    fn serialize_bool(self, v: bool) -> Result<(), BinaryError> {
        self.serialize_u8(u8::from(v))
    }
    fn serialize_char(self, v: char) -> Result<(), BinaryError> {
        self.serialize_u32(v.into())
    }
    fn serialize_str(self, v: &str) -> Result<(), BinaryError> {
        self.serialize_bytes(v.as_bytes())
    }
    fn serialize_bytes(self, v: &[u8]) -> Result<(), BinaryError> {
        self.length(v.len())?;
        self.out.extend_from_slice(v);
        Ok(())
    }
    fn serialize_none(self) -> Result<(), BinaryError> {
        self.serialize_u8(0)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), BinaryError> {
        self.out.push(1);
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), BinaryError> {
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), BinaryError> {
        Ok(())
    }
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), BinaryError> {
        self.serialize_u32(index)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), BinaryError> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), BinaryError> {
        self.out.extend_from_slice(&index.to_le_bytes());
        value.serialize(self)
    }
    fn serialize_seq(self, length: Option<usize>) -> Result<Self, BinaryError> {
        self.length(length.ok_or_else(|| BinaryError("a list of unknown length".into()))?)?;
        Ok(self)
    }
    fn serialize_tuple(self, _: usize) -> Result<Self, BinaryError> {
        Ok(self)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, BinaryError> {
        Ok(self)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, BinaryError> {
        self.out.extend_from_slice(&index.to_le_bytes());
        Ok(self)
    }
    fn serialize_map(self, length: Option<usize>) -> Result<Self, BinaryError> {
        self.serialize_seq(length)
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, BinaryError> {
        Ok(self)
    }
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self, BinaryError> {
        self.serialize_tuple_variant(name, index, variant, length)
    }
    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! write_items {
    ($($trait:ident $method:ident),*) => {$(
        impl ser::$trait for &mut Writer<'_> {
            type Ok = ();
            type Error = BinaryError;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), BinaryError> {
                value.serialize(&mut **self)
            }
            fn end(self) -> Result<(), BinaryError> {
                Ok(())
            }
        }
    )*};
}
write_items! {
    SerializeSeq serialize_element, SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field, SerializeTupleVariant serialize_field
}

macro_rules! write_fields {
    ($($trait:ident),*) => {$(
        impl ser::$trait for &mut Writer<'_> {
            type Ok = ();
            type Error = BinaryError;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Result<(), BinaryError> {
                value.serialize(&mut **self)
            }
            fn end(self) -> Result<(), BinaryError> {
                Ok(())
            }
        }
    )*};
}
write_fields! { SerializeStruct, SerializeStructVariant }

impl ser::SerializeMap for &mut Writer<'_> {
    type Ok = ();
    type Error = BinaryError;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), BinaryError> {
        key.serialize(&mut **self)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), BinaryError> {
        value.serialize(&mut **self)
    }
    fn end(self) -> Result<(), BinaryError> {
        Ok(())
    }
}

struct Reader<'de> {
    bytes: &'de [u8],
}

impl<'de> Reader<'de> {
    fn take(&mut self, length: usize) -> Result<&'de [u8], BinaryError> {
        if length > self.bytes.len() {
            return Err(BinaryError(format!("{length} bytes expected, {} left", self.bytes.len())));
        }
        let (taken, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BinaryError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn length(&mut self) -> Result<usize, BinaryError> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn tag(&mut self) -> Result<bool, BinaryError> {
        match self.array::<1>()?[0] {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(BinaryError(format!("tag 0 or 1 expected, {other} found"))),
        }
    }

    fn text(&mut self) -> Result<&'de str, BinaryError> {
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| BinaryError("text that is not UTF-8".into()))
    }
}

macro_rules! read_numbers {
    ($($name:ident $visit:ident $type:ty),*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BinaryError> {
            visitor.$visit(<$type>::from_le_bytes(self.array()?))
        }
    )*};
}

impl<'de> de::Deserializer<'de> for &mut Reader<'de> {
    type Error = BinaryError;

    read_numbers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_i128 visit_i128 i128, deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
        deserialize_u128 visit_u128 u128, deserialize_f32 visit_f32 f32, deserialize_f64 visit_f64 f64
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, BinaryError> {
        Err(BinaryError("this format does not describe itself".into()))
    }
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BinaryError> {
        visitor.visit_bool(self.tag()?)
    }
    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BinaryError> {
        let code = u32::from_le_bytes(self.array()?);
        visitor.visit_char(char::from_u32(code).ok_or_else(|| BinaryError("not a character".into()))?)
    }
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BinaryError> {
        visitor.visit_borrowed_str(self.text()?)
    }
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BinaryError> {
        visitor.visit_borrowed_str(self.text()?)
    }
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BinaryError> {
        let length = self.length()?;
        visitor.visit_borrowed_bytes(self.take(length)?)
    }
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BinaryError> {
        self.deserialize_bytes(visitor)
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BinaryError> {
        if self.tag()? { visitor.visit_some(self) } else { visitor.visit_none() }
    }
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BinaryError> {
        visitor.visit_unit()
    }
    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, BinaryError> {
        visitor.visit_unit()
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, BinaryError> {
        visitor.visit_newtype_struct(self)
    }
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BinaryError> {
        let left = self.length()?;
        visitor.visit_seq(Items { reader: self, left })
    }
    fn deserialize_tuple<V: Visitor<'de>>(self, left: usize, visitor: V) -> Result<V::Value, BinaryError> {
        visitor.visit_seq(Items { reader: self, left })
    }
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, BinaryError> {
        visitor.visit_seq(Items { reader: self, left })
    }
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BinaryError> {
        let left = self.length()?;
        visitor.visit_map(Items { reader: self, left })
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, BinaryError> {
        visitor.visit_seq(Items { reader: self, left: fields.len() })
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, BinaryError> {
        visitor.visit_enum(self)
    }
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BinaryError> {
        self.deserialize_str(visitor)
    }
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BinaryError> {
        self.deserialize_any(visitor)
    }
    fn is_human_readable(&self) -> bool {
        false
    }
}

struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'_, 'de> {
    type Error = BinaryError;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, BinaryError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.reader).map(Some)
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> de::MapAccess<'de> for Items<'_, 'de> {
    type Error = BinaryError;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, BinaryError> {
        de::SeqAccess::next_element_seed(self, seed)
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, BinaryError> {
        seed.deserialize(&mut *self.reader)
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> de::EnumAccess<'de> for &mut Reader<'de> {
    type Error = BinaryError;
    type Variant = Self;
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), BinaryError> {
        let index = u32::from_le_bytes(self.array()?);
        let variant = seed.deserialize(index.into_deserializer())?;
        Ok((variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for &mut Reader<'de> {
    type Error = BinaryError;
    fn unit_variant(self) -> Result<(), BinaryError> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, BinaryError> {
        seed.deserialize(self)
    }
    fn tuple_variant<V: Visitor<'de>>(self, left: usize, visitor: V) -> Result<V::Value, BinaryError> {
        visitor.visit_seq(Items { reader: self, left })
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, BinaryError> {
        visitor.visit_seq(Items { reader: self, left: fields.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Point,
        Line(u32, u32),
        Named { name: String, weight: f64 },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        key: u128,
        shapes: Vec<Shape>,
        maybe: Option<i64>,
        flags: [bool; 3],
        map: std::collections::BTreeMap<String, u8>,
    }

    fn sample() -> Sample {
        Sample {
            key: u128::MAX - 7,
            shapes: vec![Shape::Point, Shape::Line(1, 2), Shape::Named { name: "é".into(), weight: 0.1 + 0.2 }],
            maybe: Some(-5),
            flags: [true, false, true],
            map: [("a".to_string(), 1), ("b".to_string(), 2)].into(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut bytes = Vec::new();
        write(&mut bytes, &sample()).unwrap();
        assert_eq!(read::<Sample>(&bytes).unwrap(), sample());
    }

    #[test]
    fn every_cut_is_an_error_and_never_a_panic() {
        let mut bytes = Vec::new();
        write(&mut bytes, &sample()).unwrap();
        for cut in 0..bytes.len() {
            assert!(read::<Sample>(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        bytes.push(0);
        assert_eq!(read::<Sample>(&bytes).unwrap_err().to_string(), "1 bytes too many");
    }

    #[test]
    fn a_length_that_lies_does_not_allocate() {
        let lie = u32::MAX.to_le_bytes();
        assert_eq!(read::<Vec<u64>>(&lie).unwrap_err().to_string(), "8 bytes expected, 0 left");
    }
}
