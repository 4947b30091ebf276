//! Which BPF programs and maps are in the kernel, and which does a process have?
//!
//! The kernel does not say who loaded one. But whoever uses one has a descriptor of it, or of a program or map
//! that belongs together with it: a program that is attached to a perf event needs no descriptor, but its maps
//! have some.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use aya::maps::loaded_maps;
use aya::programs::loaded_programs;

/// A program or map, with its number, which is not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Object {
    Program(u32),
    Map(u32),
}

/// Programs and maps in the kernel, with their names. Without the privilege to ask there are none.
pub(crate) fn all() -> BTreeMap<Object, String> {
    let programs = loaded_programs()
        .flatten()
        .map(|it| (Object::Program(it.id()), it.name_as_str().unwrap_or_default().to_owned()));
    let maps = loaded_maps().flatten();
    let maps =
        maps.map(|it| (Object::Map(it.id()), it.name_as_str().unwrap_or_default().to_owned()));
    programs.chain(maps).collect()
}

/// Returns the programs and maps, and everything that belongs together with them.
pub(crate) fn together_with(objects: BTreeSet<Object>) -> BTreeSet<Object> {
    with_what_belongs_to_it(objects, &maps_of_programs())
}

/// Adds the programs that use one of the maps, and the maps that one of the programs uses, until there are no more.
fn with_what_belongs_to_it(
    mut objects: BTreeSet<Object>,
    maps_of: &BTreeMap<Object, Vec<Object>>,
) -> BTreeSet<Object> {
    loop {
        let before = objects.len();
        for (program, maps) in maps_of {
            if objects.contains(program) || maps.iter().any(|map| objects.contains(map)) {
                objects.insert(*program);
                objects.extend(maps);
            }
        }
        if objects.len() == before {
            return objects;
        }
    }
}

/// What the descriptors of a process refer to.
pub(crate) fn held_by(pid: u32) -> BTreeSet<Object> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    let texts = descriptors.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let object = |line: &str| {
        let (name, number) = line.split_once(':')?;
        let number = number.trim().parse().ok()?;
        match name {
            // Of a link, it is the program's number.
            "prog_id" => Some(Object::Program(number)),
            "map_id" => Some(Object::Map(number)),
            _ => None,
        }
    };
    texts.flat_map(|text| text.lines().filter_map(object).collect::<Vec<_>>()).collect()
}

/// The maps that each program uses.
fn maps_of_programs() -> BTreeMap<Object, Vec<Object>> {
    loaded_programs()
        .flatten()
        .map(|program| {
            let maps = program.map_ids().ok().flatten().unwrap_or_default();
            (Object::Program(program.id()), maps.into_iter().map(Object::Map).collect())
        })
        .collect()
}
