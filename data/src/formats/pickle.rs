//! Python's pickles, read as data: nothing of them is executed.
//!
//! A pickle is a program for a small machine with a stack and a memory. Here its values stand in one
//! list and refer to each other by their [`Place`]s, so that one that is referred to a thousand times is
//! there once, and everything together takes memory in proportion to the file. What python would
//! construct by calling something is an [`Object`](Value::Object) with the state it would be given.
//!
//! Protocols 0 to 5, as far as lists, dictionaries, numbers, texts and numpy's arrays need them.

use std::borrow::Cow;
use std::collections::HashMap;

/// A value, by its place in a [`Pickle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place(usize);

/// What a pickle holds.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Bool(bool),
    Whole(i64),
    /// Bytes, or text of python 2.
    Bytes(Cow<'a, [u8]>),
    Text(Cow<'a, str>),
    List(Vec<Place>),
    Tuple(Vec<Place>),
    Dict(Vec<(Place, Place)>),
    /// What python would construct, with the state it would be given.
    Object(Option<Place>),
    /// The function `_codecs.encode`, by which python 3 spells bytes in protocol 2.
    Encode,
    /// None, a fraction, a large number, a class, another function.
    Other,
}

/// A pickle that was read.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    values: Vec<Value<'a>>,
    root: Place,
}

/// What is wrong with a pickle, and at which byte.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) offset: usize,
    pub(super) found: String,
}

impl<'a> Pickle<'a> {
    /// Reads a pickle; what follows its end is passed over.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Broken> {
        let mut machine = Machine {
            bytes,
            at: 0,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memory: HashMap::new(),
            encoded: 0,
        };
        loop {
            let offset = machine.at;
            let step = machine.step().map_err(|found| Broken { offset, found })?;
            if let Some(root) = step {
                return Ok(Pickle {
                    values: machine.values,
                    root,
                });
            }
        }
    }

    /// The value that was pickled.
    pub(super) fn root(&self) -> &Value<'a> {
        &self[self.root]
    }

    /// The values of a numpy array's state: version, shape, type, whether in columns, bytes.
    pub(super) fn array(&self, value: &Value<'a>) -> Option<[&Value<'a>; 5]> {
        let Value::Object(Some(state)) = value else {
            return None;
        };
        let Value::Tuple(parts) = &self[*state] else {
            return None;
        };
        Some(<[Place; 5]>::try_from(&parts[..]).ok()?.map(|at| &self[at]))
    }
}

impl<'a> std::ops::Index<Place> for Pickle<'a> {
    type Output = Value<'a>;

    fn index(&self, place: Place) -> &Value<'a> {
        &self.values[place.0]
    }
}

/// Places come from the list itself, which only grows.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Place>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memory: HashMap<u32, Place>,
    /// Bytes made of texts.
    encoded: usize,
}

type Step<T> = Result<T, String>;

impl<'a> Machine<'a> {
    /// Executes one instruction; the last one gives the value that was pickled.
    fn step(&mut self) -> Step<Option<Place>> {
        let [code] = self.array()?;
        match code {
            b'.' => return self.pop().map(Some),
            // The version of the protocol, and the length of a frame.
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' if self.marks.last() == Some(&self.stack.len()) => drop(self.marks.pop()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.marked()?),

            b'p' => self.keep(|machine| machine.index())?,
            b'q' => self.keep(|machine| Ok(machine.array::<1>()?[0].into()))?,
            b'r' => self.keep(|machine| machine.array().map(u32::from_le_bytes))?,
            0x94 => self.keep(|machine| Ok(machine.memory.len() as u32))?,
            b'g' => self.recall(|machine| machine.index())?,
            b'h' => self.recall(|machine| Ok(machine.array::<1>()?[0].into()))?,
            b'j' => self.recall(|machine| machine.array().map(u32::from_le_bytes))?,

            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'K' => self.whole(|[byte]| byte.into())?,
            b'M' => self.whole(|bytes| u16::from_le_bytes(bytes).into())?,
            b'J' => self.whole(|bytes| i32::from_le_bytes(bytes).into())?,
            b'I' | b'L' => {
                let number = match self.line()? {
                    b"00" => Value::Bool(false),
                    b"01" => Value::Bool(true),
                    line => whole(line),
                };
                self.push(number);
            }
            0x8a => {
                let bytes = self.sized::<1>()?;
                self.push(whole_of_bytes(bytes));
            }
            b'N' => self.push(Value::Other),
            b'F' => {
                self.line()?;
                self.push(Value::Other);
            }
            b'G' => {
                self.take(8)?;
                self.push(Value::Other);
            }

            b'U' | b'C' => self.bytes::<1>()?,
            b'T' | b'B' => self.bytes::<4>()?,
            0x8e | 0x96 => self.bytes::<8>()?,
            b'S' => {
                let bytes = unquoted(self.line()?)?;
                self.push(Value::Bytes(bytes.into()));
            }
            0x8c => self.text::<1>()?,
            b'X' => self.text::<4>()?,
            0x8d => self.text::<8>()?,
            b'V' => {
                let text = unescaped(self.line()?)?;
                self.push(Value::Text(text.into()));
            }

            b']' => self.push(Value::List(Vec::new())),
            b'l' => {
                let items = self.marked()?;
                self.push(Value::List(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.marked()?;
                self.append(items)?;
            }
            b')' => self.push(Value::Tuple(Vec::new())),
            b't' => {
                let items = self.marked()?;
                self.push(Value::Tuple(items));
            }
            0x85..=0x87 => {
                let mut items = Vec::new();
                for _ in 0x85..=code {
                    items.insert(0, self.pop()?);
                }
                self.push(Value::Tuple(items));
            }
            b'}' => self.push(Value::Dict(Vec::new())),
            b'd' => {
                let items = self.marked()?;
                self.push(Value::Dict(Vec::new()));
                self.insert(&items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.insert(&[key, value])?;
            }
            b'u' => {
                let items = self.marked()?;
                self.insert(&items)?;
            }

            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name);
            }
            0x93 => {
                let [name, module] = [self.pop()?, self.pop()?];
                let is = |at: Place, text: &str| matches!(&self.values[at.0], Value::Text(t) if t == text);
                match is(module, "_codecs") && is(name, "encode") {
                    true => self.push(Value::Encode),
                    false => self.push(Value::Other),
                }
            }
            b'R' | 0x81 => {
                let [arguments, called] = [self.pop()?, self.pop()?];
                let value = self.called(called, arguments)?;
                self.push(value);
            }
            b'b' => {
                let state = self.pop()?;
                match self.top()? {
                    Value::Object(given) => *given = Some(state),
                    _ => return Err("a state for what is no object".into()),
                }
            }
            _ => return Err(format!("the instruction {:?}", char::from(code))),
        }
        Ok(None)
    }

    fn take(&mut self, count: usize) -> Step<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or("the end of the file")?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("as many as were taken"))
    }

    /// As many bytes as a number of `N` bytes says.
    fn sized<const N: usize>(&mut self) -> Step<&'a [u8]> {
        let mut size = [0; 8];
        size[..N].copy_from_slice(&self.array::<N>()?);
        let size = usize::try_from(u64::from_le_bytes(size));
        self.take(size.map_err(|_| "the end of the file")?)
    }

    fn line(&mut self) -> Step<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&byte| byte == b'\n');
        let line = self.take(end.ok_or("the end of the file")?)?;
        self.at += 1;
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    fn index(&mut self) -> Step<u32> {
        let line = str::from_utf8(self.line()?).ok();
        let index = line.and_then(|line| line.parse().ok());
        index.ok_or_else(|| "no number of a place in memory".into())
    }

    fn push(&mut self, value: Value<'a>) {
        self.stack.push(Place(self.values.len()));
        self.values.push(value);
    }

    fn pop(&mut self) -> Step<Place> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        match self.stack.len() > bottom {
            true => Ok(self.stack.pop().expect("it is higher than its bottom")),
            false => Err("an instruction without its values".into()),
        }
    }

    /// What stands on the stack above the last mark.
    fn marked(&mut self) -> Step<Vec<Place>> {
        let mark = self.marks.pop().ok_or("an instruction without its mark")?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&mut self) -> Step<&mut Value<'a>> {
        let top = self.pop()?;
        self.stack.push(top);
        Ok(&mut self.values[top.0])
    }

    fn keep(&mut self, index: impl Fn(&mut Self) -> Step<u32>) -> Step<()> {
        let index = index(self)?;
        let top = self.pop()?;
        self.stack.push(top);
        self.memory.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, index: impl Fn(&mut Self) -> Step<u32>) -> Step<()> {
        let index = index(self)?;
        let kept = self.memory.get(&index);
        self.stack
            .push(*kept.ok_or("a place in memory that is empty")?);
        Ok(())
    }

    fn whole<const N: usize>(&mut self, number: fn([u8; N]) -> i64) -> Step<()> {
        let number = number(self.array()?);
        self.push(Value::Whole(number));
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> Step<()> {
        let bytes = self.sized::<N>()?;
        self.push(Value::Bytes(bytes.into()));
        Ok(())
    }

    fn text<const N: usize>(&mut self) -> Step<()> {
        let text = str::from_utf8(self.sized::<N>()?).map_err(|_| "text that is not UTF-8")?;
        self.push(Value::Text(text.into()));
        Ok(())
    }

    fn append(&mut self, items: Vec<Place>) -> Step<()> {
        match self.top()? {
            Value::List(list) => list.extend(items),
            _ => return Err("items for what is no list".into()),
        }
        Ok(())
    }

    fn insert(&mut self, items: &[Place]) -> Step<()> {
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err("a key without a value".into());
        };
        match self.top()? {
            Value::Dict(dict) => dict.extend(pairs.iter().map(|&[key, value]| (key, value))),
            _ => return Err("keys for what is no dictionary".into()),
        }
        Ok(())
    }

    fn global(&mut self, module: &[u8], name: &[u8]) {
        self.push(match (module, name) {
            (b"_codecs", b"encode") => Value::Encode,
            _ => Value::Other,
        });
    }

    /// What a call gives: bytes of a text, each character being one, or an object.
    fn called(&mut self, called: Place, arguments: Place) -> Step<Value<'a>> {
        let Value::Encode = self.values[called.0] else {
            return Ok(Value::Object(None));
        };
        let text = match &self.values[arguments.0] {
            Value::Tuple(arguments) => arguments.first().map(|at| &self.values[at.0]),
            _ => None,
        };
        let Some(Value::Text(text)) = text else {
            return Err("a call of `_codecs.encode` without a text".into());
        };
        // One text may stand for many calls, but not for more than the file could hold.
        self.encoded += text.len();
        if self.encoded > self.bytes.len() {
            return Err("one text encoded again and again".into());
        }
        let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
        let bytes = bytes.ok_or("a character that is not in Latin-1")?;
        Ok(Value::Bytes(bytes.into()))
    }
}

/// A number in digits, with an `L` behind it or not.
fn whole(line: &[u8]) -> Value<'static> {
    let digits = str::from_utf8(line.strip_suffix(b"L").unwrap_or(line));
    let number = digits.ok().and_then(|digits| digits.parse().ok());
    number.map_or(Value::Other, Value::Whole)
}

/// A number in two's complement, the lowest byte first.
fn whole_of_bytes(bytes: &[u8]) -> Value<'static> {
    let sign = bytes.last().is_some_and(|&byte| byte >= 0x80);
    let mut number = [if sign { 0xff } else { 0 }; 8];
    match number.get_mut(..bytes.len()) {
        Some(low) => low.copy_from_slice(bytes),
        None => return Value::Other,
    }
    Value::Whole(i64::from_le_bytes(number))
}

/// The bytes of a string of python 2 in quotes.
fn unquoted(line: &[u8]) -> Step<Vec<u8>> {
    const WRONG: &str = "a string without its quotes";
    let [quote @ (b'\'' | b'"'), inside @ .., last] = line else {
        return Err(WRONG.into());
    };
    let mut bytes = Vec::new();
    let mut rest = inside.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'x') => {
                let digits = [rest.next(), rest.next()].map(Option::unwrap_or_default);
                let digits = str::from_utf8(&digits).ok();
                let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                byte.ok_or("a broken escape in a string")?
            }
            Some(byte @ (b'\\' | b'\'' | b'"')) => byte,
            _ => return Err("a broken escape in a string".into()),
        });
    }
    match quote == last {
        true => Ok(bytes),
        false => Err(WRONG.into()),
    }
}

/// A text of protocol 0: Latin-1, and all else as `\u` or `\U` with four or eight digits.
fn unescaped(line: &[u8]) -> Step<String> {
    let mut text = String::new();
    let mut rest = line;
    while let [byte, after @ ..] = rest {
        let digits = match rest {
            [b'\\', b'u', ..] => 4,
            [b'\\', b'U', ..] => 8,
            _ => {
                text.push(char::from(*byte));
                rest = after;
                continue;
            }
        };
        let code = rest.get(2..2 + digits).and_then(|d| str::from_utf8(d).ok());
        let code = code.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let character = code.and_then(char::from_u32);
        text.push(character.ok_or("a broken escape in a text")?);
        rest = &rest[2 + digits..];
    }
    Ok(text)
}

#[cfg(test)]
#[path = "pickle_tests.rs"]
mod tests;
