//! Layout of each type of `data` in a frame.
//!
//! Fields follow each other in the order of declaration. `docs/stream.md` describes the format.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use super::wire::{Malformed, Put, Take, Wire};
use crate::data::kernel_symbol::KernelSymbol;
use crate::data::kernel_type::{Enumerator, KernelType, TypeKind, TypeMember};
use crate::data::listing::{Attributes, ListedProbe, MOST_ARGUMENTS, ProbeDetails};
use crate::data::loss::{DropKind, DropReport, Fault};
use crate::data::outcome::CommandOutcome;
use crate::data::probe::Probe;
use crate::data::record::{Action, RecordDescription};
use crate::data::session_info::{
    Admission, ByteOrder, OmittedLibrary, OptionChange, Platform, ProcessEvent, ProgramInfo,
    SessionInfo,
};
use crate::data::warning::{Warning, WarningKind};

impl Wire<'_> for Probe {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_u32(self.id);
        for part in [&self.provider, &self.module, &self.function, &self.name] {
            b.put_str(part);
        }
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(Probe {
            id: t.u32("probe id")?,
            provider: t.string("provider")?,
            module: t.string("module")?,
            function: t.string("function")?,
            name: t.string("probe name")?,
        })
    }
}

impl Wire<'_> for RecordDescription {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_u16(self.action.number());
        b.put_u32(self.offset);
        b.put_u32(self.size);
        b.put_u16(self.alignment);
        b.put_u64(self.argument);
        b.put_option(self.format.as_deref(), |b, v| b.put_str(v));
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(RecordDescription {
            action: Action::from_number(t.u16("action")?),
            offset: t.u32("record offset")?,
            size: t.u32("record size")?,
            alignment: t.u16("record alignment")?,
            argument: t.u64("record argument")?,
            format: t.option("format", |t| t.string("format"))?,
        })
    }
}

impl Wire<'_> for DropReport {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_i32(self.kind.number());
        b.put_option(self.cpu, |b, v| b.put_u32(v));
        b.put_u64(self.drops);
        b.put_u64(self.total);
        b.put_str(&self.message);
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(DropReport {
            kind: DropKind::from_number(t.i32("drop kind")?),
            cpu: t.option("cpu", |t| t.u32("cpu"))?,
            drops: t.u64("drops")?,
            total: t.u64("total drops")?,
            message: t.string("drop message")?,
        })
    }
}

impl Wire<'_> for Fault {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_option(self.probe.as_ref(), |b, p| p.put(b));
        b.put_u32(self.cpu);
        b.put_str(&self.kind);
        b.put_i32(self.code);
        b.put_u64(self.address);
        b.put_i32(self.action);
        b.put_i32(self.offset);
        b.put_str(&self.message);
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(Fault {
            probe: t.option("probe", Probe::take)?,
            cpu: t.u32("cpu")?,
            kind: t.string("fault kind")?,
            code: t.i32("fault code")?,
            address: t.u64("address")?,
            action: t.i32("action")?,
            offset: t.i32("offset")?,
            message: t.string("fault message")?,
        })
    }
}

impl Wire<'_> for OmittedLibrary {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_str(&self.file);
        b.put_str(&self.reason);
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(OmittedLibrary { file: t.string("library file")?, reason: t.string("reason")? })
    }
}

impl Wire<'_> for SessionInfo {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_str(&self.library_version);
        b.put_str(&self.library);
        b.put_u8(self.platform as u8 + 1);
        b.put_str(&self.kernel);
        b.put_str(&self.machine);
        b.put_list(self.omitted_libraries.iter(), |b, o| o.put(b));
        b.put_u8(self.byte_order as u8);
        b.put_u8(self.admission as u8);
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(SessionInfo {
            library_version: t.string("library version")?,
            library: t.string("library")?,
            platform: Platform::from_number(t.u8("platform")?)
                .ok_or(Malformed::new("platform", "unknown to this version"))?,
            kernel: t.string("kernel")?,
            machine: t.string("machine")?,
            omitted_libraries: t.list("omitted libraries", OmittedLibrary::take)?,
            byte_order: ByteOrder::from_number(t.u8("byte order")?)
                .ok_or(Malformed::new("byte order", "unknown to this version"))?,
            admission: Admission::from_number(t.u8("admission")?)
                .ok_or(Malformed::new("admission", "unknown to this version"))?,
        })
    }
}

impl Wire<'_> for ProgramInfo {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_u32(self.matches);
        b.put_u32(self.record_generators);
        self.description_stability.put(b);
        self.statement_stability.put(b);
        b.put_list(self.clauses.iter(), |b, clause| clause.put(b));
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(ProgramInfo {
            matches: t.u32("matches")?,
            record_generators: t.u32("generators")?,
            description_stability: Attributes::take(t)?,
            statement_stability: Attributes::take(t)?,
            clauses: t.list("clauses", ListedProbe::take)?,
        })
    }
}

impl Wire<'_> for OptionChange {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_str(&self.name);
        b.put_option(self.old, |b, v| b.put_u64(v));
        b.put_option(self.new, |b, v| b.put_u64(v));
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(OptionChange {
            name: t.string("option")?,
            old: t.option("old value", |t| t.u64("old value"))?,
            new: t.option("new value", |t| t.u64("new value"))?,
        })
    }
}

impl Wire<'_> for ProcessEvent {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_i32(self.pid);
        b.put_bool(self.gone);
        b.put_option(self.message.as_deref(), |b, v| b.put_str(v));
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(ProcessEvent {
            pid: t.i32("pid")?,
            gone: t.bool("gone")?,
            message: t.option("message", |t| t.string("message"))?,
        })
    }
}

impl Wire<'_> for Warning {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_u8(self.kind.number());
        b.put_str(&self.subject);
        b.put_str(&self.message);
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(Warning {
            kind: WarningKind::from_number(t.u8("warning kind")?),
            subject: t.string("subject")?,
            message: t.string("message")?,
        })
    }
}

impl Wire<'_> for Attributes {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_u8(self.names as u8);
        b.put_u8(self.data as u8);
        b.put_u8(self.class as u8);
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(Attributes::from_numbers(
            t.u8("name stability")?,
            t.u8("data stability")?,
            t.u8("dependency class")?,
        ))
    }
}

impl Wire<'_> for ListedProbe {
    fn put(&self, b: &mut Vec<u8>) {
        self.probe.put(b);
        b.put_option(self.details.as_ref(), |b, d| {
            d.stability.put(b);
            d.argument_stability.put(b);
            b.put_list(d.arguments.iter(), |b, a| {
                b.put_option(a.as_deref(), |b, a| b.put_str(a));
            });
        });
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(ListedProbe {
            probe: Probe::take(t)?,
            details: t.option("details", |t| {
                Ok(ProbeDetails {
                    stability: Attributes::take(t)?,
                    argument_stability: Attributes::take(t)?,
                    arguments: arguments(t)?,
                })
            })?,
        })
    }
}

fn arguments(t: &mut Take<'_>) -> Result<Vec<Option<String>>, Malformed> {
    let mut number = 0;
    t.list("arguments", |t| {
        number += 1;
        if number > MOST_ARGUMENTS {
            return Err(Malformed::new("arguments", "more than any probe has"));
        }
        t.option("argument", |t| t.string("argument"))
    })
}

impl Wire<'_> for KernelSymbol {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_str(&self.module);
        b.put_str(&self.name);
        b.put_u64(self.address);
        b.put_u64(self.size);
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(KernelSymbol {
            module: t.string("module")?,
            name: t.string("symbol")?,
            address: t.u64("address")?,
            size: t.u64("size")?,
        })
    }
}

impl Wire<'_> for KernelType {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_str(&self.module);
        b.put_str(&self.name);
        self.kind.put(b);
        b.put_option(self.size, |b, size| b.put_u64(size));
        b.put_list(self.members.iter(), |b, member| {
            b.put_str(&member.name);
            b.put_str(&member.type_name);
            member.kind.put(b);
            b.put_u64(member.offset);
            b.put_u64(member.width);
        });
        b.put_list(self.enumerators.iter(), |b, constant| {
            b.put_str(&constant.name);
            b.put_i32(constant.value);
        });
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(KernelType {
            module: t.string("module")?,
            name: t.string("type")?,
            kind: TypeKind::take(t)?,
            size: t.option("size", |t| t.u64("size"))?,
            members: t.list("members", |t| {
                Ok(TypeMember {
                    name: t.string("member")?,
                    type_name: t.string("type of a member")?,
                    kind: TypeKind::take(t)?,
                    offset: t.u64("offset")?,
                    width: t.u64("width")?,
                })
            })?,
            enumerators: t.list("enumerators", |t| {
                Ok(Enumerator { name: t.string("enumerator")?, value: t.i32("value")? })
            })?,
        })
    }
}

impl Wire<'_> for TypeKind {
    fn put(&self, b: &mut Vec<u8>) {
        let place = TypeKind::ALL.iter().position(|kind| kind == self);
        b.put_u8(place.and_then(|n| u8::try_from(n).ok()).unwrap_or(0));
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        let kind = TypeKind::ALL.get(usize::from(t.u8("kind")?));
        kind.copied().ok_or(Malformed::new("kind", "unknown to this version"))
    }
}

impl Wire<'_> for CommandOutcome {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_i32(self.status.into_raw());
        b.put_u64(u64::try_from(self.ran.as_nanos()).unwrap_or(u64::MAX));
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(CommandOutcome {
            status: ExitStatus::from_raw(t.i32("wait status")?),
            ran: Duration::from_nanos(t.u64("run time")?),
        })
    }
}
