//! Faults and bad input: a numbered list of cases, and the tests of each case.
//!
//! Names of tests and comments in this repository cite the numbers (`s2_…`, `C3`). Paths are below `tests/`, or begin
//! with `src/`. A test in tests/architecture.rs checks that every named test exists. A case without a test has a reason
//! instead.
//!
//! # Server: input
//!
//! | # | case and right outcome | tests |
//! |---|---|---|
//! | S1 | The original's client sends every command: the replies are the original's, byte for byte. | `server/framing.rs::the_exchange_of_the_original_is_unchanged`, `protocol/server_rules.rs::clients_of_the_original_get_the_replies_of_the_original`, `python/test_server.py::test_the_original_client_gets_its_replies` |
//! | S2 | A command arrives byte by byte: one reply. | `server/faults.rs::s2_a_command_byte_by_byte` |
//! | S3 | Lines with all terminators in one segment: replies in order, each with the terminator of its line; no command after `quit` is executed. | `server/faults.rs::s3_lines_of_all_kinds_in_one_segment`, `protocol/server_rules.rs::rule_9_after_quit_nothing_more_is_executed` |
//! | S4 | Endless commands, and the client never reads: reading pauses, the write timeout closes, memory stays flat. | `server/faults.rs::s4_clients_that_send_endlessly_and_never_read` |
//! | S5 | Endless input without a line end: one error, the rest is discarded, memory stays flat. | `server/faults.rs::s5_64_mib_without_a_line_end`, `protocol/server_rules.rs::rule_7_a_longer_command_is_discarded` |
//! | S6 | Commands of the greatest length, one byte less and one more, cut at every edge: the limit is exact. | `server/faults.rs::s6_the_longest_command`, `protocol/server_rules.rs::rule_7_a_command_may_have_1024_bytes` |
//! | S7 | Bytes that are not text, escape sequences, other encodings: an error text; the connection lives, and the log has no control characters. | `server/faults.rs::s7_bytes_that_are_not_text`, `protocol/server_rules.rs::rule_8_a_command_with_control_bytes_or_invalid_utf_8_is_an_error` |
//! | S8 | Other protocols (TLS, HTTP, SSH, PROXY): error texts. | `server/faults.rs::s8_other_protocols` |
//! | S9 | Empty and blank lines: the reply to each is its terminator. | `server/faults.rs::s9_blank_lines`, `protocol/server_rules.rs::rule_5_an_empty_line_gives_one_terminator_in_all` |
//! | S10 | Letters that fold to ASCII in Unicode only: an error, since names fold in ASCII. | `server/faults.rs::s10_names_fold_in_ascii_only`, `protocol/server_rules.rs::rule_8_names_fold_in_ascii_only` |
//! | S11 | Zone names that are paths: "unknown time zone", and no file outside the zone database is opened. | `server/faults.rs::s11_zone_names_open_only_files_of_the_database`, `server/clock_and_zones.rs::commands_accept_known_zones`, `protocol/formats.rs::zones_of_the_core_are_utc_and_offsets` |
//! | S12 | Bad formats (`%Q`, `%`, empty, too long): rejected when they are set. | `protocol/formats.rs::invalid_formats_are_rejected_when_they_are_set`, `protocol/properties.rs::an_accepted_format_gives_a_reply_at_every_moment`, `cli/arguments.rs::errors_name_the_bad_argument` |
//!
//! # Server: connections
//!
//! | # | case and right outcome | tests |
//! |---|---|---|
//! | S13 | Connections that close or reset before the greeting: the descriptors are released. | `server/faults.rs::s13_connections_that_end_before_the_greeting` |
//! | S14 | A half-close after a command: the reply, then the end. | `server/framing.rs::original_fault_flood_at_half_close`, `server/unix_sockets.rs::a_half_closed_unix_client_gets_every_reply` |
//! | S15 | A reset in the middle of a reply: the descriptor is released, and no SIGPIPE is raised. | `server/faults.rs::s15_resets_in_the_middle_of_a_reply`, `server/unix_sockets.rs::a_unix_client_that_vanishes_raises_no_signal`, `c/host.c::vanishing_peers` |
//! | S16 | Very slow clients, and clients that flood: timeouts close them, and other clients are not delayed. | `server/limits.rs::slow_clients_delay_no_other_client`, `server/limits.rs::timeouts_close_silent_clients_with_a_reason`, `server/faults.rs::s16_a_flood_that_is_faster_than_reading`, `server/faults.rs::s16_a_trickle_that_is_faster_than_reading` |
//! | S17 | Many idle clients: almost no processor time, little memory. | `server/lifecycle.rs::an_idle_server_uses_no_processor_time`, `scale.rs::nine_thousand_clients_at_once`, `src/server/worker/connection.rs::an_idle_connection_is_small` |
//! | S18 | The server is full, then a client leaves: the refusal is delivered, and the next client is accepted. | `server/limits.rs::a_full_server_rejects_clients_until_one_leaves`, `src/server/admission.rs::a_client_that_leaves_makes_room` |
//! | S19 | No descriptors left: accepting pauses with one event that has the errno, clients are served, accepting resumes. | `server/faults.rs::s19_no_descriptors_left` |
//! | S20 | Each error of accept4: a retry at once or a pause; the server never ends. | `server/faults.rs::s20_errors_of_accept` |
//! | S21 | A thread cannot be started: a clear error, and nothing is left behind. | `server/faults.rs::s21_a_thread_cannot_be_started`, `server/unix_sockets.rs::the_file_is_removed_when_the_server_cannot_start` |
//! | S22 | Interrupted calls, and a stopped process: no reply is lost or doubled. | `server/faults.rs::s22_interrupted_calls`, `server/faults.rs::s22_stopped_and_continued` |
//! | S23 | Short writes and reads: every byte arrives once. | `server/faults.rs::s23_short_writes` |
//! | S24 | SIGTERM with busy, idle, new and waiting clients: owed replies are sent, new clients are answered, the exit code is 0; a second signal ends at once. | `server/faults.rs::s24_terminated_with_clients`, `server/faults.rs::s24_a_client_that_does_not_read_does_not_delay_the_end`, `cli/signals.rs::a_second_signal_ends_the_server_at_once`, `cli/signals.rs::a_restart_under_load_resets_no_client`, `server/lifecycle.rs::draining_answers_clients_that_were_just_accepted_or_wait`, `server/lifecycle.rs::draining_gives_new_clients_a_second_for_their_first_command` |
//! | S25 | `stop` twice, from two threads, from a handler, during the start: idempotent, without a deadlock. | `server/lifecycle.rs::stop_may_be_called_twice_and_from_two_threads`, `server/handlers.rs::a_handler_may_stop_its_server`, `c/lifecycle.c::many_threads`, `c/lifecycle.c::stop_during_the_start` |
//! | S26 | Addresses that cannot be bound (in use, privileged, malformed, too long, not a socket): a clear error; only a stale socket file is removed. | `server/faults.rs::s26_addresses_that_cannot_be_bound`, `server/faults.rs::s26_an_address_in_use_is_retried`, `server/unix_sockets.rs::a_stale_socket_file_is_replaced`, `server/unix_sockets.rs::a_file_that_is_not_a_socket_is_left_alone` |
//! | S27 | A restart while sockets are in TIME_WAIT: the address is bound. | `server/lifecycle.rs::a_server_restarts_at_once` |
//! | S28 | Socket activation with none, several, or wrong sockets, or for another process: used, or rejected with a message. | `cli/systemd.rs::sockets_of_a_service_manager_are_served_by_their_names`, `cli/systemd.rs::errors_name_the_sockets_that_cannot_be_served`, `cli/systemd.rs::sockets_for_another_process_are_left_alone` |
//! | S29 | A notification socket that is missing, abstract or full: notified, or one message. A worker that does not respond: no watchdog message. | `cli/systemd.rs::the_server_notifies_systemd_when_it_serves_and_when_it_stops`, `cli/systemd.rs::the_watchdog_is_not_pinged_while_a_worker_does_not_respond`, `cli/signals.rs::a_signal_is_heard_while_systemd_does_not_listen` |
//! | S30 | Output that is closed, full or not read: the server continues to serve, hears signals, and counts dropped lines. | `server/faults.rs::s30_output_that_is_closed_or_full`, `server/faults.rs::s30_output_that_is_not_read`, `server/faults.rs::s30_lines_that_are_dropped_are_counted`, `server/faults.rs::s30_output_to_a_closed_pipe`, `cli/signals.rs::a_signal_is_heard_while_nobody_reads_the_output` |
//! | S31 | A panic in a handler: `The command failed`, an event, and the connection lives. | `server/handlers.rs::a_failing_handler_is_answered_and_reported_and_the_connection_lives` |
//! | S32 | The limit by source with IPv4-mapped addresses and IPv6 networks: normalised; the table is bounded. | `src/server/admission.rs::a_source_is_an_ipv4_address_or_an_ipv6_network_of_64_bits`, `src/server/admission.rs::the_table_is_empty_once_all_clients_have_left` |
//! | S33 | Networks that overlap, and 100,000 of them: the longest prefix decides. | `server/networks.rs::networks_decide_like_a_scan_of_every_entry`, `src/networks.rs::a_hundred_thousand_networks_are_each_found` |
//! | S34 | PROXY headers: late, cut, invalid, forged, or for a listener that is not behind a proxy. | `protocol/proxy.rs::an_invalid_header_is_rejected_at_its_first_wrong_byte`, `server/proxied.rs::an_invalid_header_closes_the_connection_at_once`, `server/proxied.rs::a_header_that_does_not_come_in_time_closes_the_connection`, `server/proxied.rs::only_the_first_header_counts_and_only_on_its_listener` |
//! | S35 | Twelve hours of mixed load. | Too long for a test: `cargo run --release --example soak -- --seconds 43200` does it by hand. S4, S5 and S13 bound memory and descriptors, as does `server/events.rs::counters_are_exact_and_return_to_zero_after_a_storm`. |
//! | S36, S37 | (These numbers are not used.) | |
//! | S38 | Urgent data (MSG_OOB) within a burst of commands: every command is answered. | `server/faults.rs::s38_urgent_data_within_a_burst`, `server/faults.rs::s39_descriptors_and_urgent_data_over_a_unix_socket` |
//! | S39 | Descriptors (SCM_RIGHTS) within a burst over a Unix socket: every command is answered, and the server keeps no descriptor. | `server/faults.rs::s39_descriptors_and_urgent_data_over_a_unix_socket` |
//! | S40 | A worker cannot be woken: a second try, and then the server ends with an error. | `server/faults.rs::s40_a_worker_that_cannot_be_woken` |
//! | S41 | Many clients pipeline expensive commands: each of them gets a short turn, and then the others. | `server/faults.rs::s41_many_pipelines_of_expensive_commands`, `protocol/commands.rs::a_session_yields_after_many_commands` |
//! | S42 | Signals that are ignored or blocked when the program starts, and a kernel that refuses a write: the signals are heard. | `cli/signals.rs::ignored_and_blocked_signals_are_heard`, `cli/signals.rs::the_program_has_no_signal_handler` |
//! | S43 | A configuration file that never ends, or becomes invalid while the server serves: an error, and the former settings stay. | `cli/config_file.rs::a_file_is_text_of_at_most_1_mib`, `cli/signals.rs::sighup_reads_regular_files_only`, `cli/signals.rs::sighup_reloads_networks` |
//! | S44 | Handlers that are slow, or become slow: other commands and built-in ones are not delayed. | `server/handlers.rs::handlers_overlap_and_delay_nobody_else`, `server/handlers.rs::a_slow_command_leaves_threads_for_others`, `server/handlers.rs::a_quick_handler_that_turns_slow_holds_up_no_other_client`, `src/server/models.rs::a_slow_handler_delays_its_own_client_alone` |
//! | S45 | More clients than a full server tells so: the others are closed without a line, and cost no descriptor. | `server/limits.rs::rejected_clients_keep_a_limited_number_of_connections` |
//! | S46 | The server stops just when a handler thread ends: each departure is completed, and every thread ends. | `src/server/models.rs::a_stop_ends_every_thread_and_completes_departures`, `server/handlers.rs::a_stop_calls_the_hook_for_each_client_and_drops_each_state` |
//! | S47 | The clock is set while clients are served: each later reply shows the new time. | `src/server/models.rs::once_set_clock_has_returned_each_later_reply_shows_the_new_time`, `server/clock_and_zones.rs::the_clock_is_set_while_clients_are_served` |
//! | S48 | A system call of UDP fails: that question is lost, and the next one is answered. | `server/faults.rs::s48_errors_of_udp` |
//! | S49 | Forged datagrams: one answer at most, of at most three times the size; two servers never answer each other. | `server/udp.rs::a_forged_question_between_two_servers_ends_after_one_answer`, `server/udp.rs::a_server_without_guards_cannot_loop_with_this_one`, `server/udp.rs::an_answer_is_at_most_three_times_its_question`, `src/server/datagrams/budget.rs::forged_sources_share_the_budget_of_all` |
//! | S50 | A flood of datagrams: TCP clients are not delayed. | `server/udp.rs::a_flood_delays_no_client_of_tcp` |
//! | S51 | Scrapers that are slow, many, or no HTTP clients: they cost 32 connections at most, and no client's seat. | `server/metrics.rs::a_trickled_request_ends_after_five_seconds`, `server/metrics.rs::at_most_32_scrapers_are_served_at_a_time`, `server/metrics.rs::metrics_are_served_where_no_client_is_accepted` |
//! | S52 | A client resets its connection while the reply to its custom command is sent: nothing of it stays. | `src/server/shared.rs::a_client_that_resets_its_connection_during_a_command_is_forgotten` |
//!
//! # Clocks and zones
//!
//! | # | case and right outcome | tests |
//! |---|---|---|
//! | C1 | The clock jumps while clients are served: replies follow it, timeouts do not. | `server/faults.rs::c1_a_clock_that_jumps_changes_no_timeout` |
//! | C2 | A clock before 1970, and the ends of time: a sane text, no panic. | `server/faults.rs::c2_a_clock_before_1970`, `protocol/formats.rs::the_ends_of_time_have_texts_in_every_zone` |
//! | C3 | Daylight saving time begins or ends, a zone changes its rules or skips a day: the text is right at each second. | `server/faults.rs::c3_offsets_that_change`, `src/protocol/formatted_time.rs::zones_with_rules_are_right_at_their_boundary_seconds` |
//! | C4 | The zone files are replaced, or TZ is odd: read again on request; UTC and a warning for nonsense. | `server/faults.rs::c4_the_zone_of_the_environment`, `server/clock_and_zones.rs::every_worker_reloads_zones`, `cli/signals.rs::sighup_reloads_zones`, `src/clock.rs::zone_files_that_are_replaced_are_read_again` |
//! | C5 | No zone database: UTC and one warning; an error if a zone was named; the database is found when it comes back. | `server/faults.rs::c5_a_machine_without_zones`, `src/clock.rs::a_database_that_is_missing_at_the_start_comes_back`, `src/clock.rs::a_zone_that_was_named_and_cannot_be_read_is_an_error` |
//! | C6 | Midnight within a pipeline: the replies to one read are of one moment. | `server/clock_and_zones.rs::one_read_is_answered_from_one_reading`, `client/original_server.rs::a_midnight_between_date_and_time_of_the_original_is_noticed` |
//! | C7 | A leap second: never in a text. | `protocol/formats.rs::formatted_times_are_right_at_every_edge_of_time` |
//! | C8 | RFC 868 in 2036: the counter wraps around, and readers know that. | `server/rfc.rs::the_replies_of_rfc_867_and_rfc_868_are_exact`, `protocol/rfc.rs::bytes_of_rfc_868_mean_a_time_about_2036` |
//! | C9 | The host calls `setenv("TZ")` on another thread. | None: the library reads TZ once, through std, and never calls localtime_r or setenv. `src/clock.rs::tz_is_read_as_tzset_does` shows how TZ is read. |
//! | C10 | The file of a zone cannot be opened for a moment: an error line, and the right reply at once afterwards. | `server/clock_and_zones.rs::a_zone_whose_file_cannot_be_opened_for_a_moment_is_right_again_at_once` |
//! | C11 | Rules that a POSIX TZ string cannot say, or a zone file that changes between two reads: `tz` is the present offset alone, right until `next`. | `server/clock_and_zones.rs::tz_and_next_are_right_for_every_zone_for_two_years`, `src/protocol/zone.rs::a_footer_is_the_answer_if_the_next_two_years_follow_it`, `src/clock.rs::the_footer_is_read_again_with_its_file` |
//!
//! # Client
//!
//! | # | case and right outcome | tests |
//! |---|---|---|
//! | K1 | A server that is silent, greets in pieces, or sends endlessly: a timeout, the right greeting, a bounded read. | `client/misbehaving_server.rs::a_silent_server_times_out`, `client/misbehaving_server.rs::a_greeting_may_arrive_in_pieces`, `client/misbehaving_server.rs::an_endless_greeting_is_bounded` |
//! | K2 | Addresses that refuse or do not answer, names with several addresses: typed errors, all addresses within one deadline. | `client/addresses.rs::every_address_of_a_name_is_tried`, `client/addresses.rs::a_dead_address_before_a_live_one_takes_its_share_of_the_timeout`, `cli/client.rs::a_name_with_a_dead_address_before_a_live_one_connects` |
//! | K3 | The server ends between a command and its reply: the client is closed; it never reconnects. | `client/misbehaving_server.rs::a_server_that_ends_before_its_reply_closes_the_client` |
//! | K4 | A reply arrives after the timeout: it is never the reply to a later command. | `client/misbehaving_server.rs::a_late_reply_is_never_returned`, `client/misbehaving_server.rs::unexpected_bytes_break_the_client`, `python/test_client.py::test_a_late_reply_is_never_returned` |
//! | K5 | A reply with control characters, or characters that hide or reverse text: a terminal shows them escaped. | `cli/terminal.rs::control_characters_of_a_server_are_escaped_on_a_terminal`, `src/escape.rs::text_stays_and_what_hides_text_is_escaped` |
//! | K6 | The end of input, Ctrl-C, Ctrl-D, a resized or dumb terminal, a closed pipe: clean exit codes. | `cli/terminal.rs::control_keys_end_the_client`, `cli/terminal.rs::the_client_survives_a_resized_or_stopped_terminal`, `cli/client.rs::a_reader_that_closes_early_is_not_an_error` |
//! | K7 | A history file that is missing, huge, not writable or not a file, and two clients at once: at most one message; the file is its owner's only. | `cli/terminal.rs::the_history_is_kept_for_the_next_session`, `cli/terminal.rs::a_history_that_cannot_be_kept_is_reported_once`, `cli/terminal.rs::two_sessions_at_once_share_a_history` |
//!
//! # C
//!
//! | # | case and right outcome | tests |
//! |---|---|---|
//! | A1 | NULL, wrong states, a freed handle in another state: an error code. | `c/arguments.c::main`, `c/lifecycle.c::orders`, `capi.rs::every_declared_function_is_exported_and_called_with_null` |
//! | A2 | Strings that are not UTF-8, buffers of every size: always NUL-terminated, and the connection stays in step. | `c/strings.c::buffers`, `c/strings.c::refusals` |
//! | A3 | A panic within a function: a status. | `src/capi/mod.rs::a_panic_becomes_a_status_and_a_message` |
//! | A4 | A handler calls the API of its server: no deadlock. | `c/commands.c::from_inside` |
//! | A5 | A handler throws a C++ exception: the process ends. | `capi.rs::an_exception_in_a_handler_ends_the_process` |
//! | A6 | fork() with a running server: every handle is dead in the child, the parent is unaffected. | `c/fork.c::child`, `server/fork.rs::a_child_process_inherits_no_descriptor`, `src/server/listen/unix.rs::a_forked_child_removes_no_file` |
//! | A7 | dlclose with running threads, the library twice in one process, exit with a running server: no crash. | `c/unload.c::main`, `capi.rs::the_library_works_as_a_plug_in` |
//! | A8 | The host's signals, limits and small stacks: unchanged and enough; every thread of the library blocks all signals. | `c/host.c::threads`, `c/host.c::signals_and_descriptors`, `c/host.c::small_stack`, `server/lifecycle.rs::the_host_process_stays_unchanged` |
//! | A9 | Structs of an older or newer header: the known part is written, the rest is zero. | `c/events.c::sizes` |
//! | A10 | Descriptors: all close on exec. | `c/host.c::descriptors`, `server/fork.rs::a_child_process_inherits_no_descriptor` |
//! | A11 | malloc fails. | None: Rust aborts the process. S4 and S5 bound what a client can make the server allocate. |
//! | A12 | Locale, floating-point mode and errno: unchanged. | `c/host.c::mood` |
//!
//! # Python
//!
//! | # | case and right outcome | tests |
//! |---|---|---|
//! | P1 | Ctrl-C in a blocking call: KeyboardInterrupt within 200 ms. | `python/test_process.py::test_ctrl_c_ends_a_blocking_call_within_200_ms` |
//! | P2 | The interpreter ends with a running server: no hang, no crash. | `python/test_process.py::test_the_interpreter_ends_50_times_of_50`, `python/test_process.py::test_the_interpreter_ends_with_a_pending_reply` |
//! | P3 | A handler raises, blocks, or returns a wrong type: an error line, and only its client waits. | `python/test_handlers.py::test_raising`, `python/test_handlers.py::test_wrong_returns`, `python/test_handlers.py::test_a_sleeping_handler_delays_its_own_client_alone`, `python/test_handlers.py::test_deferred_failures`, `python/test_loop.py::test_failures_of_async_handlers` |
//! | P4 | fork and multiprocessing: the child cannot use its parent's server. | `python/test_process.py::test_a_forked_child_uses_nothing_of_its_parent_and_closes_the_listeners`, `python/test_process.py::test_a_fork_in_a_handler_and_beside_pending_replies`, `python/test_process.py::test_multiprocessing` |
//! | P5 | Fifty threads share a client: no replies are mixed up. | `python/test_client.py::test_fifty_threads_on_one_client` |
//! | P6 | An exception in a `with` block, closing twice, no closing at all: closed once, or a ResourceWarning. | `python/test_server.py::test_an_exception_in_the_with_block_stops_the_server_and_propagates`, `python/test_client.py::test_close_twice_and_use_after`, `python/test_server.py::test_a_server_that_was_not_stopped_warns_and_stops` |
//! | P7 | A cycle through a handler or a client's state: collected. | `python/test_server.py::test_a_cycle_through_a_handler_is_collected`, `python/test_handlers.py::test_states_are_dropped_without_a_hook_and_seen_by_the_garbage_collector` |
//! | P8 | Pickling, copying, subclassing: TypeError. | `python/test_server.py::test_pickling_copying_and_subclassing_fail` |
//! | P9 | (This number is not used.) | |
//! | P10 | Huge, negative and odd numbers: ValueError or OverflowError. | `python/test_numbers.py::test_durations`, `python/test_numbers.py::test_counts`, `python/test_numbers.py::test_clocks` |
//! | P11 | asyncio: a cancelled call, a closed loop. | `python/test_async.py::test_a_cancellation_never_shifts_answers`, `python/test_async.py::test_the_loop_ends_while_a_client_is_open`, `python/test_loop.py::test_a_closed_loop`, `python/test_loop.py::test_a_loop_that_is_closed_before_its_tasks_end` |
//! | P12 | Another package with the name `daytime`: a test shows which one is imported. | `python/test_package.py::test_the_imported_package_is_this_one` |

use std::{
    fs,
    io::{self, ErrorKind, IoSlice, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    process::Command,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use daytime::{
    Clock, Event, EventOptions, Framing,
    protocol::{
        GREETING,
        errors::{INVALID, UNKNOWN_ZONE},
    },
};
use nix::sys::{
    signal::Signal,
    socket::{ControlMessage, MsgFlags, sendmsg},
};
use socket2::SockRef;

use crate::common::process::{PLAIN, Program, SERVER, fixed_server, inject, traced};
use crate::common::{
    Folder, HELP, MOMENT, SetOnDrop, TIMEOUT, builder, eventually,
    peer::{PAUSE, Peer, assert_bytes, converse, retry_if_slow},
    proc_fs::{descriptors, memory, processor_time},
    server, skip,
};
use crate::helpers::{connect_unix, unix_address};
use crate::model::model;

const MIB: u64 = 1 << 20;

/// The program without a wrapper.
fn program(args: &[&str]) -> (Program, u16) {
    Program::listening(&mut fixed_server(&PLAIN, args))
}

/// The program, started by a shell that runs this script first.
fn under_shell(script: &str, args: &[&str]) -> Command {
    fixed_server(&["sh", "-c", &format!("{script}; exec \"$@\""), "sh"], args)
}

/// Asserts that a server still serves.
#[track_caller]
fn assert_serves(port: u16) {
    Peer::connect(port).ask("day\n", format!("{GREETING}\nSunday\n"));
}

// ---- Input

#[test]
fn s2_a_command_byte_by_byte() {
    let server = server();
    let mut peer = retry_if_slow(|| {
        let mut peer = Peer::greeted(server.port());
        peer.trickle("day", Duration::from_millis(5));
        peer
    });
    peer.expect("Sunday");
    peer.finish();
    peer.expect_eof();
}

#[test]
fn s3_lines_of_all_kinds_in_one_segment() {
    let received = converse(server().port(), b"day\nDATE\r\ntime\nquit\nday\n");
    assert_bytes(&received, format!("{GREETING}\nSunday\n26-11-22\r\n15:44:57\n").as_bytes());
}

#[test]
fn s4_clients_that_send_endlessly_and_never_read() {
    let (program, port) = program(&["--write-timeout", "1"]);
    let pid = program.id();
    assert_serves(port);
    let before = memory(&pid);
    thread::scope(|scope| {
        let stalled: Vec<_> = (0..8)
            .map(|n| {
                let mut peer = if n % 2 == 0 { Peer::narrow(port) } else { Peer::connect(port) };
                scope.spawn(move || {
                    let commands = b"help\n".repeat(2000);
                    loop {
                        if let Err(error) = peer.0.write_all(&commands) {
                            return error.kind();
                        }
                    }
                })
            })
            .collect();
        let mut other = Peer::greeted(port);
        other.ask("\n", "\n");
        let mut peak = before;
        while !stalled.iter().all(|stalled| stalled.is_finished()) {
            other.ask("time\n", "15:44:57\n");
            peak = peak.max(memory(&pid));
        }
        for stalled in stalled {
            let kind = stalled.join().unwrap();
            assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind}");
        }
        assert!(peak < before + 16 * MIB, "{before} bytes became {peak}");
        other.ask("day\n", "Sunday\n");
    });
}

#[test]
fn s5_64_mib_without_a_line_end() {
    let (program, port) = program(&[]);
    let mut peer = Peer::greeted(port);
    peer.ask("\n", "\n");
    let before = memory(&program.id());
    let mut peak = before;
    for _ in 0..64 {
        peer.send(vec![b'x'; MIB as usize]);
        peak = peak.max(memory(&program.id()));
    }
    peer.ask("\r\nday\n", format!("{INVALID}\r\nSunday\n"));
    assert!(peak < before + 4 * MIB, "{before} bytes became {peak}");
}

#[test]
fn s6_the_longest_command() {
    let server = server();
    let pause = Duration::from_millis(3);
    let check = |length: usize, before: &str, end: &str, cuts: &[usize]| {
        // The reply to a line of blanks is its terminator alone. A first line is not different.
        for (body, reply) in [(format!("{:length$}", "time"), "15:44:57"), (" ".repeat(length), "")] {
            let reply = if length > 1024 { INVALID } else { reply };
            let completion = if before.is_empty() && !reply.is_empty() { end } else { "" };
            let mut peer = retry_if_slow(|| {
                let mut peer = Peer::connect(server.port());
                peer.send(before);
                peer.send_cut(format!("{body}{end}"), cuts, pause);
                peer
            });
            peer.expect(format!("{GREETING}{before}{completion}{reply}{end}"));
            peer.finish();
            peer.expect_eof();
        }
    };
    thread::scope(|scope| {
        for length in [1023, 1024, 1025] {
            // The command is in the first line, or in a later one.
            for (before, end) in [("", "\n"), ("", "\r\n"), ("\n", "\n"), ("\n", "\r\n")] {
                // No cut, a cut within the body, before the terminator, or within the terminator, and all of these.
                for cuts in [&[][..], &[1000], &[length], &[length + 1], &[1000, length, length + 1]] {
                    let cuts = cuts.to_vec();
                    scope.spawn(move || check(length, before, end, &cuts));
                }
            }
        }
    });
}

#[test]
fn s7_bytes_that_are_not_text() {
    let (mut program, port) = program(&[]);
    let bytes: [&[u8]; 14] = [
        b"\xff",
        b"\x80day",
        b"day\0",
        b"\0\0\0\0",
        b"\x1b[2J\x1b]0;owned\x07",
        b"day\x1b",
        b"\x7f",
        b"\xff\xfd\x18\xff\xfb\x1f",
        b"d\0a\0y\0",
        b"\xfe\xff\0d\0a\0y",
        b"\xef\xbb\xbfday",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"time \xf5\x80\x80\x80",
    ];
    let mut peer = Peer::greeted(port);
    peer.ask("\n", "\n");
    for bytes in bytes {
        peer.send(bytes);
        peer.ask("\n", format!("{INVALID}\n"));
        peer.ask("day\n", "Sunday\n");
    }
    // The same bytes as the first input of a client.
    thread::scope(|scope| {
        for bytes in bytes {
            scope.spawn(move || {
                let mut peer = Peer::greeted(port);
                peer.ask(bytes, INVALID);
                peer.ask("day", "Sunday");
            });
        }
    });
    // The log does not contain these bytes.
    for _ in 0..=bytes.len() {
        let line = program.out.line();
        let rest = line.strip_prefix("Connection has been established with client IP 127.0.0.1 and port is ");
        assert!(rest.is_some_and(|port| port.parse::<u16>().is_ok()), "{line:?}");
    }
}

#[test]
fn s8_other_protocols() {
    let server = server();
    let tls =
        [&b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03"[..], &[7; 32], b"\x00\x00\x02\x13\x01\x00\n\x00\r\n\x00\x00"]
            .concat();
    let table: [(&[u8], Option<&str>); 8] = [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Some("\r\nERROR\r\nERROR\r\n\r\n")),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Some("\r\nERROR\r\n")),
        (b"EHLO example\r\nQUIT\r\n", Some("\r\nERROR\r\n")),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nday\r\n", Some("\r\nERROR\r\nSunday\r\n")),
        // The signature of version 2 contains the line QUIT.
        (
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\x00\x50\x00\x51day\n",
            Some("\r\n\r\nERROR\r\n"),
        ),
        (b"*1\r\n$4\r\nPING\r\n", Some("\r\nERROR\r\nERROR\r\nERROR\r\n")),
        (&tls, None),
        (b"\x80\x2e\x01\x00\x02", None),
    ];
    for (input, output) in table {
        let received = converse(server.port(), input);
        assert_bytes(&received, &model(daytime::Framing::Auto, input));
        if let Some(output) = output {
            assert_bytes(&received, format!("{GREETING}{}", output.replace("ERROR", INVALID)).as_bytes());
        }
    }
    // The server does not read a header. Each connection counts as one client.
    assert_eq!(server.stats().accepted, table.len() as u64);
}

#[test]
fn s9_blank_lines() {
    let server = server();
    let table = [
        ("\n", "\n"),
        ("\r\n", "\r\n"),
        ("\r", INVALID),
        ("\r\r\n", "\r\n"),
        (" \n\t\n", "\n\n"),
        ("\n\r", "\n"),
        ("\n \t ", "\n"),
        ("\n\r\n\n", "\n\r\n\n"),
    ];
    for (input, output) in table {
        assert_bytes(&converse(server.port(), input.as_bytes()), format!("{GREETING}{output}").as_bytes());
    }
    let lines = "\n".repeat(200);
    assert_bytes(&converse(server.port(), lines.as_bytes()), format!("{GREETING}{lines}").as_bytes());
    assert_eq!(server.stats().commands, 1, "empty lines do not count as commands");
}

#[test]
fn s10_names_fold_in_ascii_only() {
    let server = server();
    let mut peer = Peer::greeted(server.port());
    peer.ask("\n", "\n");
    for name in [
        "ＤＡＹ",
        "t\u{0131}me",
        "T\u{0130}ME",
        "time\u{017f}tamp",
        "\u{212a}",
        "da\u{0443}",
        "da\u{301}y",
        "day\u{a0}",
    ] {
        peer.ask(format!("{name}\n"), format!("{INVALID}\n"));
    }
    peer.ask("dAy\n", "Sunday\n");
}

#[test]
fn s11_zone_names_open_only_files_of_the_database() {
    let folder = Folder::new();
    let trace = folder.at("trace");
    let Some(tracer) = traced("open,openat,openat2,readlink,readlinkat", trace.to_str().unwrap()) else { return };
    let (mut program, port) = Program::listening(&mut fixed_server(&tracer, &["--timezone", "Asia/Tokyo", "--quiet"]));
    let started = fs::read_to_string(&trace).unwrap().len();
    let mut peer = Peer::greeted(port);
    peer.ask("\n", "\n");
    for zone in
        ["../../etc/passwd", "/etc/passwd", ".", "..", "tzdata.zi", "etc/passwd", "passwd", "localtime", "No/Where"]
    {
        peer.ask(format!("time {zone}\ntz {zone}\n"), format!("{UNKNOWN_ZONE}\n{UNKNOWN_ZONE}\n"));
    }
    peer.ask("day Europe/Berlin\n", "Sunday\n");
    peer.ask("tz Europe/Berlin\n", "CET-1CEST,M3.5.0,M10.5.0/3\n");
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait(), (Some(0), String::new()));
    let text = fs::read_to_string(&trace).unwrap();
    let served = &text[started..];
    assert!(served.contains("/Europe/Berlin"), "the trace is empty:\n{served}");
    for line in served.lines().filter(|line| line.contains("open") || line.contains("readlink")) {
        assert!(line.contains("/zoneinfo/Europe/Berlin\""), "{line}");
    }
}

// ---- Connections

#[test]
fn s13_connections_that_end_before_the_greeting() {
    let (mut program, port) = program(&[]);
    assert_serves(port);
    program.out.close();
    let idle = descriptors(&program.id());
    thread::scope(|scope| {
        for n in 0..4 {
            scope.spawn(move || {
                for round in 0..1000 {
                    let peer = Peer::connect(port);
                    if (round + n) % 4 > 0 {
                        peer.reset();
                    }
                }
            });
        }
    });
    assert_serves(port);
    eventually("the server has closed every descriptor", || descriptors(&program.id()) <= idle);
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait(), (Some(0), String::new()));
}

/// Writes fail with EPIPE or ECONNRESET. They never raise SIGPIPE, because a C program does not ignore that signal.
#[test]
fn s15_resets_in_the_middle_of_a_reply() {
    let folder = Folder::new();
    let trace = folder.at("trace");
    let tracer = traced("write,writev,sendto,sendmsg", trace.to_str().unwrap());
    let (program, port) = Program::listening(&mut fixed_server(tracer.as_deref().unwrap_or_default(), &["--quiet"]));
    let idle = descriptors(&program.id());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let mut peer = Peer::narrow(port);
                    peer.send("help\n".repeat(3000));
                    peer.expect(GREETING);
                    peer.reset();
                }
            });
        }
    });
    assert_serves(port);
    eventually("the server has closed every descriptor", || descriptors(&program.id()) == idle);
    drop(program);
    if tracer.is_some() {
        let text = fs::read_to_string(&trace).unwrap();
        let to_sockets: Vec<_> =
            text.lines().filter(|line| line.contains("<socket:") || line.contains("<TCP")).collect();
        assert!(to_sockets.iter().any(|line| line.contains(GREETING)), "the trace is empty");
        for line in to_sockets {
            assert!(line.contains("sendto(") && line.contains("MSG_NOSIGNAL"), "{line}");
        }
    }
}

/// Rule 9 of `src/protocol/protocol.md` on a machine that is slower than its network. The server closes a client that
/// floods it after `quit`, and serves other clients meanwhile.
#[test]
fn s16_a_flood_that_is_faster_than_reading() {
    let Some(wrapper) = inject(&["recvfrom:delay_exit=3000"]) else { return };
    let (_program, port) = Program::listening(&mut fixed_server(&wrapper, &["--workers", "1"]));
    for quits in [false, true] {
        let mut flooding = Peer::greeted(port);
        if quits {
            flooding.send("quit");
            flooding.expect_eof();
        }
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let flood = scope.spawn(|| {
                let began = Instant::now();
                while !stop.load(Relaxed) && began.elapsed() < TIMEOUT {
                    flooding.0.write_all(&[b'x'; 65536])?;
                }
                Ok::<_, io::Error>(())
            });
            for _ in 0..10 {
                assert_serves(port);
            }
            // The server does not close a client that has not sent `quit`.
            stop.store(!quits, Relaxed);
            while !flood.is_finished() {
                assert_serves(port);
            }
            let flooded = flood.join().unwrap();
            assert_eq!(flooded.is_err(), quits, "{flooded:?}");
        });
    }
}

/// The server reads on after each short read from a Unix socket, and there is always more.
#[test]
fn s16_a_trickle_that_is_faster_than_reading() {
    let Some(wrapper) = inject(&["recvfrom:delay_exit=3000"]) else { return };
    let folder = Folder::new();
    let path = folder.at("socket");
    let arguments = ["--workers", "1", "--listen", &unix_address(&path)];
    let (_program, port) = Program::listening(&mut fixed_server(&wrapper, &arguments));
    let mut trickling = connect_unix(&path);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = SetOnDrop(&stop);
        scope.spawn(|| {
            while !stop.load(Relaxed) && trickling.try_send(b"x") {
                thread::sleep(Duration::from_micros(200));
            }
        });
        (0..10).for_each(|_| assert_serves(port));
    });
}

#[test]
fn s19_no_descriptors_left() {
    let (mut program, port) =
        Program::listening(&mut under_shell("ulimit -n 24", &["--workers", "1", "--max-clients", "1000"]));
    let mut peers: Vec<Peer> = (0..60).map(|_| Peer::connect(port)).collect();
    let mut served = 0;
    let paused = loop {
        let line = program.out.line();
        if !line.starts_with("Connection has been established") {
            break line;
        }
        served += 1;
    };
    let words = "the system lacks file descriptors or memory: Too many open files (os error 24)";
    assert_eq!(paused, format!("Accepting clients is paused, {words}"));
    assert!((4..24).contains(&served), "{served} of 60 clients were accepted with 24 descriptors");
    for peer in &mut peers[..served] {
        peer.ask("day\n", format!("{GREETING}\nSunday\n"));
    }
    let before = processor_time(&program.id());
    thread::sleep(PAUSE);
    let used = processor_time(&program.id()) - before;
    assert!(used < 25, "{used} hundredths of a second of processor time in half a second");
    // The server prints the pause once. The next line is about a client.
    drop(peers.drain(..served));
    assert!(program.out.line().starts_with("Connection has been established"));
    // The server accepts another client whenever one leaves.
    for mut peer in peers {
        peer.ask("time\nquit\n", format!("{GREETING}\n15:44:57\n"));
        peer.expect_eof();
    }
    assert_serves(port);
}

#[test]
fn s20_errors_of_accept() {
    let one = ["ECONNABORTED", "EPROTO", "EPERM", "EINTR", "ENETDOWN", "EHOSTUNREACH"];
    let all = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"];
    let whens = ["1", "2", "3", "1..3", "2+2"];
    let runs: Vec<_> = one.iter().chain(&all).flat_map(|errno| whens.map(|when| (*errno, when))).collect();
    if inject(&[]).is_none() {
        return;
    }
    thread::scope(|scope| {
        for runs in runs.chunks(runs.len().div_ceil(4)) {
            scope.spawn(move || {
                for (errno, when) in runs {
                    let fault = format!("accept4:error={errno}:when={when}");
                    let wrapper = inject(&[&fault]).unwrap();
                    let (mut program, port) = Program::listening(&mut fixed_server(&wrapper, &[]));
                    for _ in 0..4 {
                        assert_serves(port);
                    }
                    let paused = (0..4).any(|_| program.out.line().starts_with("Accepting clients is paused"));
                    assert_eq!(paused, all.contains(errno), "{fault}");
                    program.signal(Signal::SIGTERM);
                    assert_eq!(program.wait(), (Some(0), String::new()), "{fault}");
                }
            });
        }
    });
}

#[test]
fn s21_a_thread_cannot_be_started() {
    for when in 1.. {
        let Some(wrapper) = inject(&[&format!("clone3:error=EAGAIN:when={when}")]) else { return };
        let mut program = Program::start(&mut fixed_server(&wrapper, &["--workers", "2"]));
        if program.out.next_line().is_some() {
            assert!(when > 2, "two workers need two threads");
            break;
        }
        let (code, stderr) = program.wait();
        assert_eq!(code, Some(1), "thread {when}: {stderr}");
        let clear = stderr.starts_with("daytime-server: start the thread ") && stderr.lines().count() == 1;
        assert!(clear, "thread {when}: {stderr}");
    }
}

#[test]
fn s22_interrupted_calls() {
    let faults = ["epoll_wait", "accept4", "recvfrom", "sendto"].map(|call| format!("{call}:error=EINTR:when=1+2"));
    let Some(wrapper) = inject(&faults.each_ref().map(String::as_str)) else { return };
    let (_program, port) = Program::listening(&mut fixed_server(&wrapper, &[]));
    for _ in 0..4 {
        let mut peer = Peer::greeted(port);
        peer.ask("da", INVALID);
        peer.ask("\n", "\n");
        for _ in 0..100 {
            peer.ask("day\ntime\n", "Sunday\n15:44:57\n");
        }
        peer.ask("help\n".repeat(5000), format!("{HELP}\n").repeat(5000));
        peer.send("quit\n");
        peer.expect_eof();
    }
}

#[test]
fn s22_stopped_and_continued() {
    let (program, port) = program(&["--workers", "1", "--write-timeout", "30"]);
    let mut stalled = Peer::narrow(port);
    stalled.send("help\n".repeat(3000));
    stalled.expect(GREETING);
    let [mut typing, mut other] = [(); 2].map(|()| Peer::greeted(port));
    typing.send("da");
    // The only worker has read the first half of the command when it sends this reply.
    other.ask("time\n", "\n15:44:57\n");
    program.signal(Signal::SIGSTOP);
    // The second half arrives before the worker looks at the time.
    typing.send("y\n");
    other.send("day\n".repeat(100));
    thread::sleep(Duration::from_secs(1));
    program.signal(Signal::SIGCONT);
    typing.expect("\nSunday\n");
    other.expect("Sunday\n".repeat(100));
    stalled.finish();
    assert_bytes(&stalled.rest(), ("\n".to_owned() + &format!("{HELP}\n").repeat(3000)).as_bytes());
    for mut peer in [typing, other] {
        peer.finish();
        peer.expect_eof();
    }
}

/// The kernel takes few bytes at a time, because the peer has a small window and reads slowly.
#[test]
fn s23_short_writes() {
    let (_program, port) = program(&[]);
    let commands = 5000;
    let mut peer = Peer::narrow(port);
    let mut writer = peer.again();
    thread::scope(|scope| {
        scope.spawn(move || {
            for command in ["help\n", "time\r\n"].iter().cycle().take(commands) {
                writer.send(command);
            }
            writer.finish();
        });
        peer.expect(format!("{GREETING}\n"));
        for reply in [&format!("{HELP}\n"), "15:44:57\r\n"].iter().cycle().take(commands) {
            peer.expect(reply);
        }
        peer.expect_eof();
    });
}

#[test]
fn s24_terminated_with_clients() {
    let (mut program, port) = program(&["--drain", "30"]);
    let mut idle: Vec<Peer> = (0..200).map(|_| Peer::greeted(port)).collect();
    let mut busy: Vec<Peer> = (0..100).map(|_| Peer::narrow(port)).collect();
    for peer in &mut busy {
        peer.send("help\n".repeat(3000));
        peer.expect(format!("{GREETING}\n{HELP}\n"));
    }
    program.signal(Signal::SIGTERM);
    idle.iter_mut().for_each(Peer::expect_eof);
    drop(idle);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    for mut peer in busy {
        // The client gets whole replies to the commands that the server has read, and more than the kernel buffers.
        let rest = peer.rest();
        let replies = rest.len() / (HELP.len() + 1);
        assert_bytes(&rest, format!("{HELP}\n").repeat(replies).as_bytes());
        assert!(rest.len() > 65536, "{}", rest.len());
    }
    assert_eq!(program.wait(), (Some(0), String::new()));
}

#[test]
fn s24_a_client_that_does_not_read_does_not_delay_the_end() {
    for (drain, second, code) in [("0.3", false, 0), ("600", true, 1)] {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let (mut program, port) = program(&["--drain", drain, "--write-timeout", "600"]);
            let mut stalled = Peer::narrow(port);
            stalled.send("help\n".repeat(3000));
            stalled.expect(GREETING);
            let mut idle = Peer::greeted(port);
            program.signal(signal);
            idle.expect_eof();
            if second {
                program.signal(Signal::SIGTERM);
            }
            assert_eq!(program.wait(), (Some(code), String::new()), "{signal}");
            stalled.wait_closed();
        }
    }
}

#[test]
fn s26_addresses_that_cannot_be_bound() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let table = [
        (taken.as_str(), 1, "Address already in use"),
        ("192.0.2.1:0", 1, "Cannot assign requested address"),
        ("localhost:x", 2, "localhost:x"),
        ("127.0.0.1:65536", 2, "65536"),
    ];
    for (address, code, reason) in table {
        let (actual, stderr) =
            Program::start(&mut fixed_server(&PLAIN, &["--bind-timeout", "0", "--listen", address])).wait();
        assert_eq!(actual, Some(code), "{address}: {stderr}");
        assert!(stderr.contains(address) && stderr.contains(reason), "{stderr}");
    }
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    let as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let output = Command::new(as_nobody[0]).args(&as_nobody[1..]).args([SERVER, "--version"]).output();
    if first.trim() == "0" || !output.is_ok_and(|output| output.status.success()) {
        return skip("every port is unprivileged, or this user cannot become another");
    }
    let (code, stderr) = Program::start(&mut fixed_server(&as_nobody, &["--listen", "127.0.0.1:1"])).wait();
    assert_eq!((code, stderr.as_str()), (Some(1), "daytime-server: bind 127.0.0.1:1: Permission denied (os error 13)"));
}

#[test]
fn s26_an_address_in_use_is_retried() {
    let taken = TcpListener::bind("127.0.0.26:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut program =
        Program::start(&mut fixed_server(&PLAIN, &["--bind-timeout", "600", "--listen", &address.to_string()]));
    let error = format!("Server socket binding threw an error: bind {address}: Address already in use (os error 98)");
    assert_eq!([program.err.line(), program.err.line()], [error, "Retrying ....".to_owned()]);
    drop(taken);
    assert!(program.out.line().starts_with("Server is listening"));
    Peer::connect_to(address).expect(GREETING);
}

#[test]
fn s30_output_that_is_closed_or_full() {
    for redirection in [">&-", "2>&-", ">&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>/dev/full"] {
        let mut command = under_shell(&format!("exec {redirection}"), &[]);
        // An invalid zone makes the server print a warning.
        command.env("TZ", "No/Where");
        let (mut program, port) = Program::listening(&mut command);
        for _ in 0..10 {
            assert_serves(port);
        }
        program.signal(Signal::SIGTERM);
        let (code, stderr) = program.wait();
        assert_eq!(code, Some(0), "{redirection}: {stderr}");
        assert!(!stderr.contains("panic"), "{redirection}: {stderr}");
    }
}

#[test]
fn s30_output_that_is_not_read() {
    // The server prints a line for each client, together more than the 64 KiB of a pipe.
    let (mut program, port) = program(&[]);
    for _ in 0..1500 {
        drop(Peer::connect(port));
    }
    assert_serves(port);
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait(), (Some(0), String::new()));
}

/// The line after them says how many lines were dropped.
#[test]
fn s30_lines_that_are_dropped_are_counted() {
    let (mut program, port) = program(&["--drain", "0"]);
    // More than the kernel and the program buffer.
    let clients = 4000;
    for _ in 0..clients {
        assert_serves(port);
    }
    let (mut printed, mut missing) = (0, 0);
    while printed + missing <= clients {
        let line = program.out.line();
        let lost = line.strip_prefix("daytime-server: ").and_then(|line| line.split_once(" lines were dropped here"));
        match lost {
            Some((lost, _)) => {
                missing += lost.parse::<u32>().unwrap();
                // Its line follows all that are dropped until now.
                assert_serves(port);
            }
            None => printed += u32::from(line.starts_with("Connection has been established")),
        }
    }
    assert!(missing > 0 && printed > 0, "{printed} lines, and {missing} are missing");
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait(), (Some(0), String::new()));
}

#[test]
fn s30_output_to_a_closed_pipe() {
    let (mut program, port) = program(&[]);
    program.out.close();
    for _ in 0..10 {
        assert_serves(port);
    }
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait(), (Some(0), String::new()));
}

/// A read ends at urgent data, and the poller reports the whole burst once.
#[test]
fn s38_urgent_data_within_a_burst() {
    let (program, port) = program(&["--workers", "1"]);
    let mut fresh = Peer::greeted(port);
    fresh.ask("\n", "\n");
    // The server has also watched for writes since it could not send to this client.
    let mut blocked = Peer::narrow(port);
    blocked.send("help\n".repeat(3000));
    blocked.expect(format!("{GREETING}\n") + &format!("{HELP}\n").repeat(3000));
    for mut peer in [fresh, blocked] {
        for _ in 0..2 {
            program.stop();
            peer.send("day\n");
            SockRef::from(&peer.0).send_out_of_band(b"X").unwrap();
            peer.send("\ntime\n");
            program.signal(Signal::SIGCONT);
            peer.expect("Sunday\n\n15:44:57\n");
        }
        peer.finish();
        peer.expect_eof();
    }
}

#[test]
fn s39_descriptors_and_urgent_data_over_a_unix_socket() {
    let folder = Folder::new();
    let path = folder.at("socket");
    let (program, _) = program(&["--workers", "1", "--listen", &unix_address(&path)]);
    let mut peer = connect_unix(&path);
    peer.ask("\n", format!("{GREETING}\n"));
    let open = descriptors(&program.id());
    for _ in 0..2 {
        program.stop();
        let passed = [peer.0.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&passed)];
        let line = [IoSlice::new(b"day\n")];
        sendmsg::<()>(peer.0.as_raw_fd(), &line, &rights, MsgFlags::empty(), None).unwrap();
        peer.send("time\ndate\n");
        program.signal(Signal::SIGCONT);
        peer.expect("Sunday\n15:44:57\n26-11-22\n");

        program.stop();
        peer.send("day\n");
        SockRef::from(&peer.0).send_out_of_band(b"X").unwrap();
        peer.send("\ntime\n");
        program.signal(Signal::SIGCONT);
        peer.expect("Sunday\n\n15:44:57\n");
    }
    assert_eq!(descriptors(&program.id()), open, "the kernel closes passed descriptors that nobody takes");
    peer.finish();
    peer.expect_eof();
}

/// The events tell what the worker executed before the polite client's command, in its order.
#[test]
fn s41_many_pipelines_of_expensive_commands() {
    const CLIENTS: usize = 16;
    /// They fit into one read of the server.
    const COMMANDS: usize = 900;
    /// What a session executes in one turn.
    const TURN: usize = 32;
    let bound = builder().workers(1).framing(Framing::Line).bind().unwrap();
    let events = bound.events_with(EventOptions::new().capacity(2 * CLIENTS * COMMANDS).commands(true));
    let offsets = |n: usize| format!("time +{:02}:{:02}\n", n / 60 % 24, n % 60);
    let mut flood: Vec<Peer> = (0..CLIENTS).map(|_| Peer::connect(bound.port())).collect();
    for (n, peer) in flood.iter_mut().enumerate() {
        peer.send((0..COMMANDS).map(|i| offsets(n * COMMANDS + i)).collect::<String>());
    }
    // The last in the queue of the listener, so that everyone else may come first.
    let mut polite = Peer::connect(bound.port());
    polite.send("day\n");
    let server = bound.start().unwrap();
    polite.expect(format!("{GREETING}\nSunday\n"));
    let commands = events.iter().filter_map(|event| match event {
        Event::CommandServed { command, .. } => Some(command),
        _ => None,
    });
    let before = commands.take_while(|command| command != "day").count();
    assert!(before <= 2 * CLIENTS * TURN, "{before} commands came before that of the polite client");
    for peer in &mut flood {
        (0..COMMANDS).for_each(|_| drop(peer.line()));
    }
    drop(server);
}

/// Each thread has its own count of writes: the first one prints the address. The first worker wakes the other one for every
/// second client.
#[test]
fn s40_a_worker_that_cannot_be_woken() {
    for (when, ends) in [("2", false), ("2+3", false), ("2..3", true)] {
        let Some(wrapper) = inject(&[&format!("write:error=EIO:when={when}")]) else { return };
        let (mut program, port) = Program::listening(&mut fixed_server(&wrapper, &["--workers", "2"]));
        if ends {
            // Until the server has ended, its clients are greeted.
            let is_greeted = |mut stream: TcpStream| stream.read_exact(&mut [0; GREETING.len()]).is_ok();
            while TcpStream::connect(("127.0.0.1", port)).is_ok_and(is_greeted) {}
        } else {
            for _ in 0..12 {
                assert_serves(port);
            }
            program.signal(Signal::SIGTERM);
        }
        let error = "daytime-server: the server ended by itself; this is a bug or a failure of the system";
        let expected = if ends { (Some(1), error.to_owned()) } else { (Some(0), String::new()) };
        assert_eq!(program.wait(), expected, "{when}");
    }
}

#[test]
fn s48_errors_of_udp() {
    let faults = ["sendmsg:error=ENOBUFS", "sendmsg:error=EPERM", "sendmsg:error=EAGAIN", "recvmsg:error=ENOMEM"];
    for fault in faults {
        // The first question of each client is lost, or only read later.
        let Some(wrapper) = inject(&[&format!("{fault}:when=1+4")]) else { return };
        let (mut program, port) =
            Program::listening(&mut fixed_server(&wrapper, &["--listen-rfc868-udp", "127.0.0.1:0"]));
        let line = program.out.line();
        let address = line.strip_prefix("Server is listening on ").and_then(|line| line.split(' ').next()).unwrap();
        for _ in 0..2 {
            daytime::rfc868_udp(address).unwrap_or_else(|error| panic!("{fault}: {error}"));
        }
        assert_serves(port);
        program.signal(Signal::SIGTERM);
        assert_eq!(program.wait(), (Some(0), String::new()), "{fault}");
    }
}

// ---- Clocks and zones

#[test]
fn c1_a_clock_that_jumps_changes_no_timeout() {
    let server = builder().write_timeout(Duration::from_secs(600)).start().unwrap();
    let mut stalled = Peer::narrow(server.port());
    stalled.send("help\n".repeat(3000));
    stalled.expect(GREETING);
    let mut peer = Peer::greeted(server.port());
    for seconds in [MOMENT + 31_536_000, MOMENT - 3600, i64::MAX, i64::MIN, MOMENT] {
        server.set_clock(Clock::fixed_unix(seconds));
        // A command with a blank waits for the quiet time, which the clock does not change.
        peer.ask(" timestamp", Clock::fixed_unix(seconds).unix_seconds().to_string());
    }
    stalled.finish();
    assert_bytes(&stalled.rest(), ("\n".to_owned() + &format!("{HELP}\n").repeat(3000)).as_bytes());
}

#[test]
fn c2_a_clock_before_1970() {
    // faketime(1) sets environment variables. The test sets them itself, because a killed faketime leaves its child.
    let Ok(output) = Command::new("faketime").args(["1969-12-31 23:59:00", "env"]).output() else {
        return skip("faketime is not installed");
    };
    let variables = String::from_utf8(output.stdout).unwrap();
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let mut command = fixed_server(&PLAIN, &["--timezone", "UTC"]);
    command.envs(variables.filter(|(name, _)| ["LD_PRELOAD", "FAKETIME"].contains(name)));
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("TZ", "UTC");
    let (_program, port) = Program::listening(&mut command);
    let mut peer = Peer::greeted(port);
    peer.ask("\n", "\n");
    peer.send("timestamp\ndatetime\n");
    let seconds: i64 = peer.line().parse().unwrap();
    assert!((-60..0).contains(&seconds), "{seconds}");
    assert!(peer.line().starts_with("1969-12-31T23:59:"));
    // Timeouts do not use the wall clock.
    Peer::greeted(port).ask("da", INVALID);
}

#[test]
fn c3_offsets_that_change() {
    // The second before each change, its second, and the second after. The texts agree with Python's zoneinfo.
    let table = [
        (
            "Europe/Berlin",
            1_774_746_000,
            [
                "Sunday 2026-03-29T01:59:59+01:00",
                "Sunday 2026-03-29T03:00:00+02:00",
                "Sunday 2026-03-29T03:00:01+02:00",
            ],
        ),
        (
            "Europe/Berlin",
            1_792_890_000,
            [
                "Sunday 2026-10-25T02:59:59+02:00",
                "Sunday 2026-10-25T02:00:00+01:00",
                "Sunday 2026-10-25T02:00:01+01:00",
            ],
        ),
        (
            "Australia/Lord_Howe",
            1_791_041_400,
            [
                "Sunday 2026-10-04T01:59:59+10:30",
                "Sunday 2026-10-04T02:30:00+11:00",
                "Sunday 2026-10-04T02:30:01+11:00",
            ],
        ),
        (
            "Australia/Lord_Howe",
            1_775_314_800,
            [
                "Sunday 2026-04-05T01:59:59+11:00",
                "Sunday 2026-04-05T01:30:00+10:30",
                "Sunday 2026-04-05T01:30:01+10:30",
            ],
        ),
        (
            "Pacific/Apia",
            1_325_239_200,
            [
                "Thursday 2011-12-29T23:59:59-10:00",
                "Saturday 2011-12-31T00:00:00+14:00",
                "Saturday 2011-12-31T00:00:01+14:00",
            ],
        ),
        (
            "Europe/Moscow",
            1_414_274_400,
            [
                "Sunday 2014-10-26T01:59:59+04:00",
                "Sunday 2014-10-26T01:00:00+03:00",
                "Sunday 2014-10-26T01:00:01+03:00",
            ],
        ),
        (
            "Asia/Kathmandu",
            504_901_800,
            [
                "Tuesday 1985-12-31T23:59:59+05:30",
                "Wednesday 1986-01-01T00:15:00+05:45",
                "Wednesday 1986-01-01T00:15:01+05:45",
            ],
        ),
    ];
    for (zone, change, texts) in table {
        let (home, away) = (builder().timezone(zone).start().unwrap(), server());
        let mut peers = [&home, &away].map(|server| Peer::greeted(server.port()));
        peers.iter_mut().for_each(|peer| peer.ask("\n", "\n"));
        // The clock goes forward and back.
        for index in [0, 1, 2, 1, 0] {
            let (day, moment) = texts[index].split_once(' ').unwrap();
            let (date, time) = (&moment[2..10], &moment[11..19]);
            let expected = [day, date, time, moment].join("\n") + "\n";
            for (server, zone, peer) in [(&home, String::new(), 0), (&away, format!(" {zone}"), 1)] {
                server.set_clock(Clock::fixed_unix(change - 1 + index as i64));
                peers[peer].ask(format!("day{zone}\ndate{zone}\ntime{zone}\ndatetime{zone}\n"), &expected);
            }
        }
    }
}

/// The offset of a server's default zone, and its standard error. " alone" marks a server without a zone database.
fn zone_of(mut command: Command) -> (String, String) {
    let (mut program, port) = Program::listening(&mut command);
    let mut peer = Peer::greeted(port);
    peer.ask("\n", "\n");
    peer.send("datetime\n");
    let moment = peer.line();
    peer.send("time Asia/Tokyo\n");
    let tokyo = peer.line();
    assert!([UNKNOWN_ZONE, "15:44:57"].contains(&tokyo.as_str()), "{tokyo}");
    // UTC and offsets do not need a database.
    peer.ask("time UTC\ntime +05:30\n", "15:44:57\n15:44:57\n");
    drop(peer);
    program.signal(Signal::SIGTERM);
    let (code, stderr) = program.wait();
    assert_eq!(code, Some(0));
    (moment[19..].to_owned() + if tokyo == UNKNOWN_ZONE { " alone" } else { "" }, stderr)
}

#[test]
fn c4_the_zone_of_the_environment() {
    let utc = ["+00:00"];
    let new_york = ["-05:00", "-04:00"];
    let table: [(&str, &[&str], bool); 12] = [
        ("", &utc, false),
        (":", &utc, false),
        ("UTC", &utc, false),
        ("UTC0", &utc, false),
        ("America/New_York", &new_york, false),
        (":America/New_York", &new_york, false),
        (":/usr/share/zoneinfo/America/New_York", &new_york, false),
        ("IST-5:30", &["+05:30"], false),
        ("junk", &utc, true),
        ("No/Where", &utc, true),
        ("../../etc/passwd", &utc, true),
        ("/etc/passwd", &utc, true),
    ];
    for (tz, offsets, warned) in table {
        let mut command = fixed_server(&PLAIN, &[]);
        command.env("TZ", tz);
        let (offset, stderr) = zone_of(command);
        assert!(offsets.contains(&offset.as_str()), "TZ={tz}: {offset}");
        assert_eq!(stderr.lines().count(), usize::from(warned), "TZ={tz}: {stderr}");
        assert!(!warned || stderr.starts_with("daytime-server: the time zone is UTC: "), "TZ={tz}: {stderr}");
    }
}

#[test]
fn c5_a_machine_without_zones() {
    let hide = "for d in /usr/share/zoneinfo /usr/share/lib/zoneinfo /etc/zoneinfo; do test ! -d $d || mount -t tmpfs none $d || exit 9; done";
    let apart = ["unshare", "-m", "sh", "-c", &format!("{hide}; exec \"$@\""), "sh"];
    if !Command::new(apart[0]).args(&apart[1..]).arg("true").output().is_ok_and(|output| output.status.success()) {
        return skip("this user may not mount anything");
    }
    for tz in [None, Some("UTC"), Some("Asia/Tokyo")] {
        let mut command = fixed_server(&apart, &[]);
        command.env_remove("TZ").env_remove("TZDIR").envs(tz.map(|tz| ("TZ", tz)));
        let (offset, stderr) = zone_of(command);
        assert_eq!(offset, "+00:00 alone");
        assert_eq!(stderr.lines().count(), 1, "TZ={tz:?}:\n{stderr}");
    }
    let mut program = Program::start(&mut fixed_server(&apart, &["--timezone", "Europe/Berlin"]));
    let error = "daytime-server: read the time zone \"Europe/Berlin\": the time zone database is missing";
    assert_eq!(program.wait(), (Some(1), error.to_owned()));
}
