//! The wire format: fields of numbers, each a whole number or a run of bytes.
//! Source: protobuf.dev/programming-guides/encoding.

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held<'a> {
    /// A variable-length number.
    Number(u64),
    /// A text, bytes, a message, or several numbers.
    Bytes(&'a [u8]),
    /// A number of four or eight bytes: no field of Kubernetes' has one.
    Fixed,
}

/// The fields of one message, in the order in which they stand.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Held<'a>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            // Nothing can be read behind what cannot be read.
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u64, Held<'a>), String> {
        let tag = number(&mut self.0)?;
        let held = match tag & 7 {
            0 => Held::Number(number(&mut self.0)?),
            1 => self.take(8).map(|_| Held::Fixed)?,
            2 => {
                let length = number(&mut self.0)?;
                Held::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => self.take(4).map(|_| Held::Fixed)?,
            kind => return Err(format!("proto: illegal wireType {kind}")),
        };
        match tag >> 3 {
            0 => Err("proto: illegal tag 0".into()),
            number => Ok((number, held)),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(cut)?;
        self.0 = rest;
        Ok(taken)
    }
}

fn cut() -> String {
    "unexpected EOF".into()
}

/// Takes a variable-length number from the front.
pub fn number(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or_else(cut)?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("proto: integer overflow".into())
}
