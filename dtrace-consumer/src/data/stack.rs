//! Stacks of the kernel and of processes.

use std::fmt;

use serde::{Serialize, Serializer};

use super::addresses::Addresses;
use super::symbol::{Symbol, SymbolRef, Symbols, lookup};

/// The frames of a stack.
#[derive(Clone, Copy)]
pub struct StackRef<'a>(Frames<'a>);

#[derive(Clone, Copy)]
enum Frames<'a> {
    /// Addresses in a record, and the table that resolves their symbols.
    Recorded(Addresses<'a>, &'a Symbols),
    Owned(&'a Stack),
}

impl<'a> StackRef<'a> {
    pub(crate) fn new(addresses: Addresses<'a>, symbols: &'a Symbols) -> StackRef<'a> {
        StackRef(Frames::Recorded(addresses, symbols))
    }

    fn raw_pid(&self) -> u32 {
        match self.0 {
            Frames::Recorded(addresses, _) => addresses.pid,
            Frames::Owned(stack) => stack.pid,
        }
    }

    /// Returns the process of the stack; `None` for the kernel.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        Some(self.raw_pid()).filter(|pid| *pid != 0)
    }

    /// Returns the frames, innermost first. Those without a symbol have their address only.
    pub fn frames(&self) -> impl Iterator<Item = SymbolRef<'a>> + use<'a> {
        let pid = self.raw_pid();
        let (recorded, owned) = match self.0 {
            Frames::Recorded(addresses, symbols) => (Some((addresses, symbols)), None),
            Frames::Owned(stack) => (None, Some(stack)),
        };
        let recorded = recorded.into_iter().flat_map(move |(addresses, symbols)| {
            addresses.iter().map(move |address| lookup(symbols, pid, address, false))
        });
        recorded.chain(owned.into_iter().flat_map(|stack| stack.frames.iter().map(Symbol::as_ref)))
    }

    /// Copies the stack.
    #[must_use]
    pub fn to_owned(&self) -> Stack {
        let frames = self.frames().map(|frame| frame.to_owned()).collect();
        Stack { pid: self.raw_pid(), frames }
    }
}

/// Stacks are equal if they have the same process and the same addresses.
impl PartialEq for StackRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        let addresses =
            |stack: &Self| stack.frames().map(|frame| frame.address).collect::<Vec<_>>();
        self.raw_pid() == other.raw_pid() && addresses(self) == addresses(other)
    }
}

/// Formats the frames, innermost first, one a line.
impl fmt::Display for StackRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for frame in self.frames() {
            write!(f, "{separator}{frame}")?;
            separator = "\n";
        }
        Ok(())
    }
}

impl fmt::Debug for StackRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.frames()).finish()
    }
}

/// Serializes as a list of texts, one for each frame.
impl Serialize for StackRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.frames())
    }
}

/// The frames of a stack, owned.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Stack {
    pid: u32,
    frames: Vec<Symbol>,
}

impl Stack {
    /// Borrows the stack.
    #[must_use]
    pub fn as_ref(&self) -> StackRef<'_> {
        StackRef(Frames::Owned(self))
    }

    /// Returns the process of the stack; `None` for the kernel.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.as_ref().pid()
    }

    /// Returns the frames, innermost first.
    pub fn frames(&self) -> impl Iterator<Item = SymbolRef<'_>> {
        self.as_ref().frames()
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_ref(), f)
    }
}

impl Serialize for Stack {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().serialize(serializer)
    }
}
