/* What does a libdtrace look like that has one field elsewhere?
 *
 * This library needs the real one, and comes between it and whoever calls. It passes on what the real one delivers,
 * except for one field of one structure (STRUCTURE, where CHANGED): FIELD has the bytes at the place of OTHER. All
 * other functions are found in the real library.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

const char *const _dtrace_version = "D 2.0.8";

enum structure {
    NOTHING,
    FIRING, CLAUSE, RECORD, PROBE, HEADER,
    ENTRY, AGGREGATION, KEY, VALUE,
    DROP, FAULT, OPTION,
    STATEMENT, STATEMENT_CLAUSE, PROGRAM,
    LISTED, PROBE_INFO, TYPE, SYMBOL, SYMBOL_NAMES
};

struct probe { uint32_t id; const char *parts[4]; };
struct record { uint16_t action; uint32_t size, offset; uint16_t alignment; void *format; uint64_t arg; };
struct clause { uint64_t uarg; uint32_t size; int number; struct record *records; int references; };
struct firing {
    void *handle; uint32_t statement; struct clause *clause; struct probe *probe; uint32_t cpu;
    char *data; int flow; const char *prefix; int indent;
};
struct aggregation {
    char *name; uint32_t id; int flags; uint64_t signature, normal; uint32_t key_size, data_size, keys, index;
    struct record *key_records, *data_records;
};
struct entry { void *handle; struct aggregation *aggregation; char *key, *data; char **by_cpu; };
struct drop { void *handle; uint32_t cpu; int kind; uint64_t drops, total; const char *message; };
struct fault {
    void *handle; struct clause *clause; struct probe *probe; uint32_t cpu; int action, offset, fault;
    uint64_t address; const char *message;
};
struct header { uint32_t size, speculation, probe, statement; };
struct option { void *handle; struct firing *firing; const char *name; int64_t old, new; };
struct statement_clause { struct probe probe; int references; };
struct statement {
    struct statement_clause *clause; void *identifier, *format; uint8_t attributes[6]; int flags, id;
};
struct program { uint8_t attributes[6]; uint32_t aggregates, generators, matches, speculations; };
struct probe_info { uint8_t attributes[6]; const void *types; int number; };
struct type { const char *object; void *container; long type; };
struct symbol { uint32_t name; uint8_t info, other; uint16_t section; uint64_t value, size; };
struct symbol_names { const char *object, *name; unsigned long id; };

/* Returns a copy that stays at the same address for the same original. */
static void *copied(const void *real, size_t size)
{
    static struct { const void *real; size_t size; void *copy; } known[4096];
    size_t i = 0;

    while (i < 4095 && known[i].real != NULL && (known[i].real != real || known[i].size != size))
        i++;
    if (known[i].copy == NULL) {
        known[i].real = real;
        known[i].size = size;
        known[i].copy = malloc(size);
    }
    return memcpy(known[i].copy, real, size);
}

static void change(enum structure which, void *place)
{
    struct STRUCTURE *given = place;
    unsigned char bytes[sizeof given->FIELD] = { 0 };
    size_t room = sizeof *given - offsetof(struct STRUCTURE, OTHER);

    if (which != CHANGED)
        return;
    memcpy(bytes, &given->OTHER, room < sizeof bytes ? room : sizeof bytes);
    memcpy(&given->FIELD, bytes, sizeof bytes);
}

static void *changed(enum structure which, const void *real, size_t size)
{
    void *copy;

    if (real == NULL)
        return NULL;
    copy = copied(real, size);
    change(which, copy);
    return copy;
}

static struct record *changed_records(enum structure which, const struct record *real, size_t number)
{
    struct record *copy = copied(real, (number + 1) * sizeof *real);

    for (size_t i = 0; i < number; i++)
        change(which, copy + i);
    return copy;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

typedef int probe_f(const struct firing *, void *);
typedef int record_f(const struct firing *, const struct record *, void *);

struct consumer { probe_f *probe; record_f *record; void *arg; struct firing *given; char *data; };

static struct firing *changed_firing(struct consumer *consumer, const struct firing *real, int begins)
{
    struct firing *firing = copied(real, sizeof *real);
    struct clause *clause = copied(real->clause, sizeof *real->clause);
    uint32_t size;

    clause->records = changed_records(RECORD, clause->records, clause->number);
    change(CLAUSE, clause);
    firing->clause = clause;
    firing->probe = changed(PROBE, real->probe, sizeof *real->probe);
    if (begins) {
        memcpy(&size, real->data, sizeof size);
        consumer->data = malloc(size + sizeof size);
        memcpy(consumer->data, real->data, size + sizeof size);
        change(HEADER, consumer->data);
    }
    firing->data = consumer->data;
    change(FIRING, firing);
    return firing;
}

static int probe_callback(const struct firing *real, void *arg)
{
    struct consumer *consumer = arg;

    return consumer->probe(changed_firing(consumer, real, 1), consumer->arg);
}

static int record_callback(const struct firing *real, const struct record *record, void *arg)
{
    struct consumer *consumer = arg;
    struct record *copy = NULL;
    struct firing *firing = changed_firing(consumer, real, 0);

    if (record != NULL)
        copy = changed_records(RECORD, real->clause->records, real->clause->number)
            + (record - real->clause->records);
    return consumer->record(firing, copy, consumer->arg);
}

int dtrace_work(void *handle, void *file, probe_f *probe, record_f *record, void *arg)
{
    struct consumer consumer = { probe, record, arg, NULL, NULL };
    int (*real)(void *, void *, probe_f *, record_f *, void *) = dlsym(RTLD_NEXT, "dtrace_work");

    return real(handle, file, probe_callback, record_callback, &consumer);
}

typedef int entry_f(const struct entry *, void *);
typedef int walk_f(void *, entry_f *, void *);

struct walk { entry_f *function; void *arg; };

static int entry_callback(const struct entry *real, void *arg)
{
    struct walk *walk = arg;
    struct entry *entry = copied(real, sizeof *real);
    struct aggregation *aggregation = copied(real->aggregation, sizeof *real->aggregation);

    aggregation->key_records = changed_records(KEY, aggregation->key_records, aggregation->keys);
    aggregation->data_records = changed_records(VALUE, aggregation->data_records, 2);
    change(AGGREGATION, aggregation);
    entry->aggregation = aggregation;
    change(ENTRY, entry);
    return walk->function(entry, walk->arg);
}

#define WALK(name)                                                \
    int name(void *handle, entry_f *function, void *arg)          \
    {                                                             \
        struct walk walk = { function, arg };                     \
        return REAL(name)(handle, entry_callback, &walk);         \
    }

WALK(dtrace_aggregate_walk)
WALK(dtrace_aggregate_walk_keysorted)
WALK(dtrace_aggregate_walk_valsorted)
WALK(dtrace_aggregate_walk_keyvarsorted)
WALK(dtrace_aggregate_walk_valvarsorted)
WALK(dtrace_aggregate_walk_keyrevsorted)
WALK(dtrace_aggregate_walk_valrevsorted)
WALK(dtrace_aggregate_walk_keyvarrevsorted)
WALK(dtrace_aggregate_walk_valvarrevsorted)

#define HANDLER(name, type, which, extra)                                   \
    typedef int name##_f(const struct type *, void *);                      \
    static name##_f *name##_function;                                       \
    static int name##_callback(const struct type *real, void *arg)          \
    {                                                                       \
        struct type *copy = copied(real, sizeof *real);                     \
        extra;                                                              \
        change(which, copy);                                                \
        return name##_function(copy, arg);                                  \
    }                                                                       \
    int name(void *handle, name##_f *function, void *arg)                   \
    {                                                                       \
        name##_function = function;                                         \
        return REAL(name)(handle, name##_callback, arg);                    \
    }

HANDLER(dtrace_handle_drop, drop, DROP, )
HANDLER(dtrace_handle_err, fault, FAULT, )
HANDLER(dtrace_handle_setopt, option, OPTION, )

typedef int statement_f(void *, void *, struct statement *, void *);

struct statements { statement_f *function; void *arg; };

static int statement_callback(void *handle, void *program, struct statement *real, void *arg)
{
    struct statements *statements = arg;
    struct statement *statement = copied(real, sizeof *real);

    statement->clause = changed(STATEMENT_CLAUSE, real->clause, sizeof *real->clause);
    change(STATEMENT, statement);
    return statements->function(handle, program, statement, statements->arg);
}

int dtrace_stmt_iter(void *handle, void *program, statement_f *function, void *arg)
{
    struct statements statements = { function, arg };

    return REAL(dtrace_stmt_iter)(handle, program, statement_callback, &statements);
}

int dtrace_program_exec(void *handle, void *program, struct program *info)
{
    int result = REAL(dtrace_program_exec)(handle, program, info);

    if (info != NULL)
        change(PROGRAM, info);
    return result;
}

void dtrace_program_info(void *handle, void *program, struct program *info)
{
    REAL(dtrace_program_info)(handle, program, info);
    /* The real dtrace_program_exec() passes on what it is given. */
    if (info != NULL)
        change(PROGRAM, info);
}

typedef int listed_f(void *, const struct probe *, void *);

struct listing { listed_f *function; void *arg; };

static const struct probe *listed;
static const struct probe *listed_copy;

static int listed_callback(void *handle, const struct probe *real, void *arg)
{
    struct listing *listing = arg;

    listed = real;
    listed_copy = changed(LISTED, real, sizeof *real);
    return listing->function(handle, listed_copy, listing->arg);
}

int dtrace_probe_iter(void *handle, const struct probe *pattern, listed_f *function, void *arg)
{
    struct listing listing = { function, arg };

    return REAL(dtrace_probe_iter)(handle, pattern, listed_callback, &listing);
}

int dtrace_probe_info(void *handle, const struct probe *probe, struct probe_info *info)
{
    int result = REAL(dtrace_probe_info)(handle, probe == listed_copy ? listed : probe, info);

    if (result == 0)
        change(PROBE_INFO, info);
    return result;
}

int dtrace_lookup_by_type(void *handle, const char *object, const char *name, struct type *type)
{
    int result = REAL(dtrace_lookup_by_type)(handle, object, name, type);

    if (result == 0)
        change(TYPE, type);
    return result;
}

int dtrace_lookup_by_name(void *handle, const char *object, const char *name, struct symbol *symbol,
                          struct symbol_names *names)
{
    int result = REAL(dtrace_lookup_by_name)(handle, object, name, symbol, names);

    if (result == 0) {
        change(SYMBOL, symbol);
        change(SYMBOL_NAMES, names);
    }
    return result;
}
