//! What happens when libdtrace fails, dies or delivers what cannot be?
//!
//! A stand-in for libdtrace (`stand-in/`) does what the real one cannot be made to do. Every session
//! ends with an error that says what failed or with the right data, what was delivered before has
//! arrived, and nothing is left behind. `.ci/run` runs these tests under AddressSanitizer, too.

mod admission;
mod calls;
mod closing;
mod delivered;
mod elevated;
mod extents;
mod order;
mod stage;
mod statements;
mod tracer;
mod types;
mod warned;

use admission::*;
use calls::*;
use closing::*;
use delivered::*;
use dtrace_test_support::live_tests;
use elevated::*;
use extents::*;
use order::*;
use stage::*;
use statements::*;
use tracer::*;
use types::*;
use warned::*;

live_tests! {
    needs: [Check(the_stand_in_can_be_loaded)],
    tests: [
        the_stand_in_is_taken_for_libdtrace,
        a_library_that_answers_otherwise_is_refused,
        a_library_that_crashes_in_its_check_is_refused,
        firings_that_cannot_be_are_refused_and_those_before_them_arrive,
        drops_of_every_kind_are_counted,
        macro_variables_that_are_not_this_programs_are_warned_of,
        entries_that_cannot_be_are_refused_and_what_was_before_them_arrives,
        values_by_cpu_are_read_as_far_as_their_list_reaches,
        a_list_by_cpu_of_unknown_length_is_not_read,
        members_and_constants_are_read_to_their_end,
        types_that_cannot_be_are_answered,
        what_a_session_does_comes_in_the_order_that_libdtrace_needs,
        a_stop_is_heard_though_records_wait,
        a_device_is_needed_only_to_trace,
        changes_of_options_and_faults_arrive_whole,
        strings_and_numbers_and_memory_are_told_apart,
        each_call_has_its_own_format_and_arguments,
        what_the_consumer_carries_out_the_library_only_formats,
        records_whose_statement_cannot_be_arrive_as_they_are,
        a_warning_arrives_though_the_next_call_ends_the_process,
        a_warning_that_another_attempt_repeats_is_shown_once,
        records_that_cannot_wait_are_warned_of_where_they_may,
    ],
    long: [
        each_call_that_fails_is_an_error_that_names_it_or_does_no_harm,
        answers_that_mean_nothing_do_no_harm,
        a_death_in_each_call_is_an_error_with_the_last_words,
        an_exit_or_a_signal_is_told_with_its_number,
        a_walk_in_any_order_that_goes_wrong_is_told,
        what_goes_wrong_while_a_command_waits_at_its_end_is_told,
        records_that_lie_outside_of_their_data_are_refused,
        odd_firings_that_can_be_arrive,
        a_firing_that_was_interrupted_and_comes_again_arrives_once,
        a_signal_during_the_wait_is_no_failure,
        the_end_of_a_process_that_libdtrace_misses_ends_the_session,
        drops_that_are_told_while_a_firing_is_printed_are_counted,
        entries_of_which_something_is_missing_arrive_or_are_damaged,
        descriptions_of_probes_and_programs_that_cannot_be_are_refused,
        a_description_without_its_parts_is_not_handed_back_to_the_library,
        the_sanitizer_sees_a_read_beyond_an_end,
        values_of_every_size_are_read_to_their_end,
        records_of_every_kind_end_with_their_data,
        texts_of_every_length_arrive,
        memory_has_the_length_that_a_record_gives,
        an_elevated_worker_traces_and_controls_only_what_its_user_may,
        what_a_command_did_arrives_before_it_ends_though_records_wait,
        stacks_have_their_process_and_frames,
        a_printa_has_the_entries_of_all_its_aggregations,
        keys_of_every_kind_arrive,
        a_statement_makes_no_record_longer_than_it_is,
        a_worker_lives_until_its_library_has_let_go_of_processes,
        a_worker_whose_library_never_lets_go_of_a_process_ends,
    ],
}
