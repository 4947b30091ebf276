//! How are probes listed, and programs checked, without tracing?

use std::io::{self, Write};

use dtrace_consumer::preflight;
use dtrace_consumer::query::{Attributes, ListedProbe, ProbeDetails, ProbeQuery};
use dtrace_consumer::session::ProgramInfo;

use crate::arguments::Arguments;
use crate::output;

pub(crate) fn version() -> Result<u8, String> {
    let library = preflight(None).library().cloned().ok_or("libdtrace was not found")?;
    println!("dtrace: D {}", library.version.unwrap_or_default());
    Ok(0)
}

pub(crate) fn probes(arguments: Arguments) -> Result<u8, String> {
    let query = if arguments.programs.is_empty() {
        ProbeQuery::new()
    } else {
        arguments.session()?.matched_probes()
    };
    let query = if arguments.verbose { query.describe() } else { query };
    let probes = query.list().map_err(|e| arguments.message(&e))?;
    if probes.is_empty() {
        let infos = arguments.session()?.check().map_err(|e| arguments.message(&e))?;
        for clause in infos.iter().flat_map(|info| &info.clauses) {
            let reason = "No probe matches description";
            eprintln!("dtrace: failed to match {}: {reason}", clause.probe);
        }
    }
    let mut out = output::open(arguments.output.as_deref())?;
    write_listing(&mut out, &probes).map_err(|e| e.to_string())?;
    Ok(0)
}

fn write_listing(out: &mut impl Write, probes: &[ListedProbe]) -> io::Result<()> {
    let columns = ["ID", "PROVIDER", "MODULE", "FUNCTION", "NAME"];
    let [id, provider, module, function, name] = columns;
    writeln!(out, "{id:>5} {provider:>10} {module:>17} {function:>33} {name}")?;
    for ListedProbe { probe: p, details, .. } in probes {
        let (id, provider, module) = (p.id, &p.provider, &p.module);
        writeln!(out, "{id:>5} {provider:>10} {module:>17} {:>33} {}", p.function, p.name)?;
        if let Some(details) = details {
            write_details(out, details)?;
        }
    }
    out.flush()
}

fn write_details(out: &mut impl Write, details: &ProbeDetails) -> io::Result<()> {
    write_attributes(out, "Probe Description Attributes", details.stability)?;
    write_attributes(out, "Argument Attributes", details.argument_stability)?;
    writeln!(out, "\n\tArgument Types")?;
    for (i, type_) in details.arguments.iter().enumerate() {
        writeln!(out, "\t\targs[{i}]: {}", type_.as_deref().unwrap_or("(unknown)"))?;
    }
    if details.arguments.is_empty() {
        writeln!(out, "\t\tNone")?;
    }
    writeln!(out)
}

fn write_attributes(out: &mut impl Write, title: &str, a: Attributes) -> io::Result<()> {
    writeln!(out, "\n\t{title}")?;
    writeln!(out, "\t\tIdentifier Names: {}", a.names)?;
    writeln!(out, "\t\tData Semantics:   {}", a.data)?;
    writeln!(out, "\t\tDependency Class: {}", a.class)
}

/// Compiles the programs; with `-v` also prints their stability.
pub(crate) fn check(arguments: Arguments) -> Result<u8, String> {
    // dtrace(1) has nothing to compile then, and reports no error.
    if arguments.programs.is_empty() {
        return Ok(0);
    }
    let infos = arguments.session()?.check().map_err(|e| arguments.message(&e))?;
    let mut out = output::open(arguments.output.as_deref())?;
    if arguments.verbose {
        write_stability(&mut out, &arguments, &infos).map_err(|e| e.to_string())?;
    }
    Ok(0)
}

/// Writes the stability of each program, and that of its probes unless tracing follows.
pub(crate) fn write_stability(
    out: &mut impl Write,
    arguments: &Arguments,
    infos: &[ProgramInfo],
) -> io::Result<()> {
    for (program, info) in arguments.programs.iter().zip(infos) {
        writeln!(out, "\nStability attributes for {} {}:", program.kind(), program.name())?;
        write_attributes(out, "Minimum Probe Description Attributes", info.description_stability)?;
        write_attributes(out, "Minimum Statement Attributes", info.statement_stability)?;
        if !arguments.check_only {
            writeln!(out)?;
            continue;
        }
        for clause in &info.clauses {
            writeln!(out, "\n{}", clause.probe)?;
            if let Some(details) = &clause.details {
                write_details(out, details)?;
            }
        }
    }
    out.flush()
}
