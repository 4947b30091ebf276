//! Does a command that is held until its functions are traced keep its code and constants?
//!
//! The command itself compares what is mapped of its file and of the C library with the files. Function tracing
//! writes breakpoints: only the traced function may differ, for a few bytes.

use dtrace_consumer::run_synchronous;
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::programs::compile;

live_tests! {
    needs: [Tracing, Command("cc")],
    tests: [code_and_constants_of_a_command_are_its_own_with_code_in_its_own_segment_or_not],
}

/// Its constants fill the last page of the segment that they are in, and the gate would fit there.
const PROGRAM: &str = r#"
#define _GNU_SOURCE
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The longest page that a kernel may have. */
#define PAGE 65536
__attribute__((section(".exception_ranges"), aligned(PAGE))) const unsigned char zeros[PAGE] = { 0 };

__attribute__((noinline)) int traced(int number) {
    __asm__ volatile("" ::: "memory");
    return number + 1;
}

static FILE *report;

static int compare(struct dl_phdr_info *info, size_t size, void *nothing) {
    const char *name = info->dlpi_name[0] ? info->dlpi_name : "/proc/self/exe";
    int is_own = !info->dlpi_name[0];
    if (!is_own && !strstr(name, "/libc.so"))
        return 0;
    FILE *file = fopen(name, "r");
    if (!file) {
        fprintf(report, "cannot open %s\n", name);
        return 0;
    }
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || segment->p_flags & PF_W)
            continue;
        unsigned char *original = malloc(segment->p_filesz);
        const unsigned char *mapped = (const unsigned char *)(info->dlpi_addr + segment->p_vaddr);
        fseek(file, segment->p_offset, SEEK_SET);
        if (fread(original, 1, segment->p_filesz, file) != segment->p_filesz)
            fprintf(report, "cannot read %s\n", name);
        for (size_t at = 0; at < segment->p_filesz; at++) {
            size_t in_traced = mapped + at - (const unsigned char *)traced;
            if (mapped[at] != original[at] && in_traced > 16)
                fprintf(report, "%s differs at %zx\n", name, segment->p_offset + at);
        }
        free(original);
    }
    fclose(file);
    return 0;
}

int main(int argc, char **argv) {
    report = fopen(argv[1], "w");
    int sum = 0;
    for (int i = 0; i < 5; i++)
        sum += traced(i);
    for (size_t i = 0; i < sizeof zeros; i++)
        sum += *(volatile const unsigned char *)&zeros[i];
    dl_iterate_phdr(compare, NULL);
    fprintf(report, "sum %d\n", sum);
    fclose(report);
    return 0;
}
"#;

fn code_and_constants_of_a_command_are_its_own_with_code_in_its_own_segment_or_not() {
    let (_alone, guard) = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let cases = [
        ["-pie", "-fPIE", "-Wl,-z,separate-code"],
        ["-pie", "-fPIE", "-Wl,-z,noseparate-code"],
        ["-no-pie", "-fno-pie", "-Wl,-z,separate-code"],
        ["-no-pie", "-fno-pie", "-Wl,-z,noseparate-code"],
    ];
    for (index, options) in cases.iter().enumerate() {
        let program = directory.path().join(format!("program{index}"));
        let report = directory.path().join(format!("report{index}"));
        compile(PROGRAM, &[&["-O1"], &options[..]].concat(), &program);
        let mut calls = 0;
        run_synchronous("pid$target::traced:entry { @ = count(); }", [&program, &report])
            .walk(|entry| {
                calls = entry.number()?;
                Ok(())
            })
            .run()
            .unwrap_or_else(|failure| panic!("{options:?}: {failure}"));
        let report = std::fs::read_to_string(&report).expect("the program has written it");
        assert_eq!((report.as_str(), calls), ("sum 15\n", 5), "{options:?}");
    }
    guard.check();
}
