//! Answers queries that need no tracing.

use super::encode::encoder::Encoder;
use super::failed::Failed;
use super::libdtrace::Compiling;
use crate::stream::frame::Frame;
use crate::stream::job::Purpose;

/// Sends the answer of a session that does not trace.
pub(super) fn answer(
    compiling: &Compiling,
    encoder: &mut Encoder,
    purpose: &Purpose,
) -> Result<(), Failed> {
    match purpose {
        Purpose::Trace => {}
        Purpose::Check => {
            for info in compiling.programs(true)? {
                encoder.send(&Frame::Program(info));
            }
        }
        Purpose::List { patterns, describe } => list(compiling, encoder, patterns, *describe)?,
        Purpose::Lookup { names, addresses } => {
            let by_name = names.iter().map(|name| compiling.symbol_named(name));
            for found in by_name.chain(addresses.iter().map(|a| compiling.symbol_at(*a))) {
                encoder.send(&Frame::Found(found));
            }
        }
        Purpose::Types { names } => {
            for name in names {
                encoder.send(&Frame::FoundType(compiling.type_named(name)));
            }
        }
        Purpose::Header { name } => encoder.send(&Frame::Report(&compiling.header(name)?)),
        Purpose::Link { output, objects } => compiling.link(output, objects)?,
    }
    encoder.flush();
    Ok(())
}

/// Lists the probes that match the patterns or the scripts' clauses, or all probes.
fn list(
    compiling: &Compiling,
    encoder: &mut Encoder,
    patterns: &[String],
    describe: bool,
) -> Result<(), Failed> {
    let mut send = |probe| encoder.send(&Frame::Listed(probe));
    let clauses: Vec<_> = compiling.programs(false)?.into_iter().flat_map(|p| p.clauses).collect();
    if patterns.is_empty() && clauses.is_empty() {
        compiling.list(None, describe, &mut send)?;
    }
    for pattern in patterns {
        compiling.list(Some(pattern), describe, &mut send)?;
    }
    for clause in &clauses {
        compiling.list(Some(&clause.probe.to_string()), describe, &mut send)?;
    }
    Ok(())
}
