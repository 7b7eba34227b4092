"""Rows: Backends that fail."""

from tests.chaos.row import Row, Section

BACKENDS = Section(
    "Backends that fail",
    (
        Row(
            "the connection is refused",
            "the other replica answers",
            ("e2e/test_backend_failures.py::test_a_refused_connection_is_taken_to_the_other_replica",),
        ),
        Row(
            "packets vanish on the way",
            "the connect time-out, then the other replica; in mid-stream the cap on silence",
            (
                "e2e/test_silent_hosts.py::test_a_backend_whose_host_swallows_packets_is_left_for_the_other_replica",
                "e2e/test_backend_failures.py::test_a_stream_that_stands_still_is_cut_with_its_own_code",
            ),
        ),
        Row(
            "a kept-alive connection that had died",
            "a fresh one; nothing runs twice",
            (
                "e2e/test_backend_failures.py::test_a_kept_alive_connection_that_died_is_replaced_and_nothing_runs_twice",
                "upstream/test_retry.py::test_the_idle_close_race_is_never_sent_and_the_next_attempt_is_fresh",
            ),
        ),
        Row(
            "a reset after the request was taken",
            "502, not sent again",
            (
                "e2e/test_backend_failures.py::test_a_reset_before_the_headers_is_502_and_is_not_replayed",
                "upstream/test_retry.py::test_accept_then_reset_is_never_replayed_here",
            ),
        ),
        Row(
            "an answer that ends inside a chunk: by a reset, a close, half a close, or nonsense",
            "an error event, or 502; nothing of the half is shown, and its connection carries nothing more",
            (
                "chaos/test_crooked_answers.py::test_a_stream_that_ends_inside_a_chunk_ends_with_an_error_and_shows_nothing_of_the_half",
                "chaos/test_crooked_answers.py::test_a_whole_answer_that_ends_inside_a_chunk_is_502",
                "chaos/test_crooked_answers.py::test_an_answer_that_ends_with_its_connection_is_believed_where_it_is_whole_json",
            ),
        ),
        Row(
            "1xx before or instead of an answer; two lengths; a length beside chunks; no HTTP; FIN and no answer",
            "interim answers are passed over; all else is 502, sent once",
            (
                "chaos/test_crooked_answers.py::test_interim_answers_are_passed_over",
                "chaos/test_crooked_answers.py::test_what_is_no_answer_is_502_and_its_connection_is_closed",
            ),
        ),
        Row(
            "trailers behind a chunked answer",
            "they go nowhere and frame nothing",
            ("chaos/test_crooked_answers.py::test_trailers_go_nowhere_and_frame_nothing",),
        ),
        Row(
            "a backend answers, or resets, before it has read the body",
            "its answer, or 502; sent once, and the next request gets its own",
            (
                "chaos/test_crooked_answers.py::test_an_answer_before_the_body_was_read_is_that_requests_alone_and_nothing_is_sent_again",
                "chaos/test_crooked_answers.py::test_a_reset_before_the_body_was_read_is_502_and_is_not_sent_again",
            ),
        ),
        Row(
            "a stream that breaks off, is aborted, or states an error",
            "an error event and no `[DONE]`; what was made is booked",
            (
                "e2e/test_backend_failures.py::test_a_stream_that_fails_ends_with_an_error_and_never_with_done",
                "e2e/test_backend_failures.py::test_a_clean_end_of_file_without_done_is_a_failure_too",
                "e2e/test_backend_failures.py::test_vllms_own_error_event_is_passed_on_once",
            ),
        ),
        Row(
            "a whole answer that was cut short",
            "502",
            (
                "e2e/test_backend_failures.py::test_a_whole_answer_that_vllm_cut_short_is_502",
                "e2e/test_backend_failures.py::test_a_truncated_whole_answer_is_502",
            ),
        ),
        Row(
            "a second answer that nobody asked for",
            "the connection is thrown away; no other request sees it",
            (
                "e2e/test_backend_failures.py::test_a_stray_second_answer_never_reaches_another_request",
                "e2e/test_backend_failures.py::test_a_late_stray_answer_is_shown_to_nobody",
                "chaos/test_crooked_answers.py::test_more_than_the_stated_length_reaches_nobody",
            ),
        ),
        Row(
            "HTML or broken JSON under a 200",
            "an error; the text is not shown",
            (
                "e2e/test_backend_failures.py::test_html_instead_of_an_answer_is_502_and_is_not_shown",
                "e2e/test_backend_failures.py::test_a_stream_that_fails_ends_with_an_error_and_never_with_done",
                "streaming/test_relay.py::test_what_is_no_event_is_not_shown",
            ),
        ),
        Row(
            "no first token",
            "nothing but the lifetime's cap, unless one is set: then 504, or an event behind a ping",
            (
                "e2e/test_backend_failures.py::test_no_first_token_is_504_only_where_a_cap_for_it_is_set",
                "e2e/test_streaming.py::test_a_failure_after_a_ping_is_told_inside_the_stream",
            ),
        ),
        Row(
            "silence in mid-stream, comments alone, a token now and then for ever",
            "the cap on silence, which comments do not stop; the cap on a lifetime",
            (
                "e2e/test_backend_failures.py::test_a_stream_that_stands_still_is_cut_with_its_own_code",
                "proxy/test_watchdog.py::test_tokens_for_ever_are_ended_by_the_lifetime",
            ),
        ),
        Row(
            "a backend refuses the request itself",
            "passed on as it is",
            ("e2e/test_backend_failures.py::test_a_backends_4xx_is_passed_on",),
        ),
        Row(
            "a backend that is busy or draining",
            "the other replica; when all are, 503 and when to come back",
            (
                "e2e/test_backend_failures.py::test_a_stated_refusal_is_taken_to_the_other_replica",
                "e2e/test_backend_failures.py::test_when_every_replica_refuses_it_is_the_fleets_503_not_the_callers_429",
            ),
        ),
        Row(
            "no replica can be reached",
            "503 and when to come back",
            (
                "e2e/test_backend_failures.py::test_no_replica_at_all_is_503_and_says_when_to_come_back",
                "e2e/test_silent_hosts.py::test_where_every_host_swallows_packets_the_fleet_is_unavailable",
            ),
        ),
        Row(
            "a backend's name gets another address",
            "requests and probes follow, though the old one still answers",
            (
                "chaos/test_names.py::test_requests_follow_a_backend_to_its_new_address_though_the_old_one_still_answers",
                "upstream/test_resolver.py::test_new_connections_follow_a_backend_that_moved",
            ),
        ),
        Row(
            "a backend's name leads nowhere, or to a metadata service",
            "503, and shown; forgotten as soon as it leads somewhere",
            (
                "chaos/test_names.py::test_a_name_that_leads_nowhere_is_said_at_once_and_forgotten_when_it_leads_somewhere",
            ),
        ),
        Row(
            "a thousand refusals of requests themselves: 400, 404, 422",
            "passed on; no circuit opens, every replica keeps its turns",
            (
                "e2e/test_failover.py::test_a_thousand_mistakes_of_clients_open_no_circuit",
                "proxy/test_signals.py::test_statuses",
            ),
        ),
        Row(
            "an engine that stands still while `/health` says 200",
            "out of rotation in the stated time, back when it goes on",
            (
                "e2e/test_health.py::test_an_engine_that_hangs_leaves_rotation_in_the_stated_time_and_is_back_when_it_goes_on",
                "e2e/test_health.py::test_a_process_that_stands_still_leaves_rotation_and_is_back_when_it_goes_on",
                "backends/test_prober_stalls.py::test_the_stall_is_found_in_the_limit_one_interval_and_a_second",
            ),
        ),
        Row(
            "the last one of a group seems to hang, its circuit open; so does whoever stands in for it",
            "it is asked all the same, after a fallback that is well, and shown with the reason; a proof counts",
            (
                "chaos/test_suspicions.py::test_the_last_backend_is_asked_while_it_is_suspected_to_hang_and_its_circuit_is_open",
                "chaos/test_suspicions.py::test_where_both_a_group_and_the_one_that_stands_in_for_it_are_suspected_an_answer_is_still_possible",
                "chaos/test_suspicions.py::test_what_is_proven_is_believed_of_the_last_one_too",
                "proxy/test_fallback.py::test_where_no_fallback_answers_those_are_asked_that_are_only_suspected_to_hang",
            ),
        ),
        Row(
            "a saturated engine that makes progress, for longer than the limit",
            "never taken out, though it is too busy to answer a probe",
            (
                "e2e/test_health.py::test_a_saturated_engine_that_makes_progress_is_never_ejected",
                "e2e/test_health.py::test_probes_that_time_out_while_tokens_flow_leave_a_backend_in_rotation",
                "backends/test_progress.py::test_a_saturated_engine_that_makes_one_token_now_and_then_is_never_stalled",
            ),
        ),
        Row(
            "metrics that are missing, stale, garbage, huge or without end",
            "requests go on",
            (
                "e2e/test_health.py::test_senseless_metrics_never_stop_dispatch",
                "e2e/test_health.py::test_old_figures_stop_no_dispatch_to_a_backend_that_answers",
                "backends/test_prober_stalls.py::test_missing_huge_or_senseless_figures_change_nothing",
            ),
        ),
        Row(
            "every replica is dead",
            "503 in 50 ms with the time to come back; over as soon as one is back",
            (
                "chaos/test_outages.py::test_when_every_replica_is_dead_it_is_said_at_once_and_over_as_soon_as_one_is_back",
                "e2e/test_failover.py::test_when_every_replica_is_down_it_is_said_without_asking_any",
                "backends/test_availability.py::test_nobody_is_said_with_the_reason_and_when_the_next_probe_is_due",
            ),
        ),
        Row(
            "every replica fails, though its `/health` says 200",
            "the last one is kept in rotation",
            (
                "e2e/test_failover.py::test_the_last_backend_stays_in_rotation_and_answers_as_soon_as_it_can",
                "backends/test_availability_circuits.py::test_when_all_circuits_are_open_everybody_is_asked_and_the_first_trial_is_of_who_waited_longest",
                "backends/test_availability_circuits.py::test_the_only_replica_of_a_group_is_not_taken_out_by_its_circuit",
            ),
        ),
        Row(
            "five failures in a row, seen by different workers",
            "the circuit opens for all; a success of any begins the row anew",
            (
                "backends/test_breaker.py::test_the_fifth_failure_in_a_row_opens_whichever_workers_saw_them",
                "backends/test_breaker.py::test_a_success_of_any_worker_begins_the_row_anew",
                "backends/test_breaker_processes.py::test_no_failure_that_was_counted_is_lost_between_processes",
            ),
        ),
        Row(
            "a circuit is half-open and two hundred requests wait",
            "exactly one tries, over all workers; another only when that one has died",
            (
                "e2e/test_failover.py::test_of_two_hundred_that_wait_one_tries_a_half_open_backend",
                "backends/test_breaker_processes.py::test_of_eight_processes_with_two_hundred_requests_one_gets_the_trial",
                "backends/test_breaker_processes.py::test_a_killed_process_s_trial_is_granted_to_another_in_time",
                "proxy/test_trials.py::test_a_half_open_backend_is_asked_first_by_the_one_request_that_may",
            ),
        ),
        Row(
            "a worker dies or stands still while it changes a circuit",
            "the circuit works for the others",
            (
                "backends/test_breaker_processes.py::test_a_process_that_dies_between_two_stores_leaves_a_circuit_that_works",
                "backends/test_breaker_processes.py::test_while_a_holder_of_the_lock_is_stopped_failures_are_dropped_and_no_trial_is_granted",
            ),
        ),
        Row(
            "a vLLM server drains: `/health` says 200, requests get a 500",
            "the other replica at once; it is shown to drain",
            (
                "e2e/test_health.py::test_a_server_that_drains_is_left_at_once_and_shown_to_drain",
                "proxy/test_dispatcher.py::test_a_server_that_says_that_it_drains_is_left_at_once",
            ),
        ),
        Row(
            "a replica that fails fast",
            "attracts no traffic, whatever the policy",
            (
                "e2e/test_failover.py::test_a_replica_that_fails_fast_attracts_nothing",
                "routing/policies/test_by_load.py::test_a_replica_that_fails_everything_at_once_attracts_nothing",
            ),
        ),
        Row(
            "a group is down or full, and names another",
            "the other answers under the name that was asked for, and a header says so",
            (
                "e2e/test_failover.py::test_a_group_that_is_down_is_stood_in_for_and_one_that_returns_answers_itself",
                "e2e/test_failover.py::test_a_group_that_refuses_is_stood_in_for_too",
                "proxy/test_fallback.py::test_a_group_that_takes_nothing_is_stood_in_for",
                "proxy/test_fallback.py::test_where_both_take_nothing_the_clients_own_group_is_what_is_spoken_of",
            ),
        ),
        Row(
            "a backend has several addresses, of which some refuse or swallow packets",
            "the next is tried within the time to connect",
            (
                "chaos/test_names.py::test_of_several_addresses_one_that_answers_is_enough",
                "upstream/test_resolver.py::test_every_address_is_tried_before_the_name_is_given_up",
                "upstream/test_resolver.py::test_an_address_that_swallows_packets_leaves_time_for_the_next",
            ),
        ),
        Row(
            "a request finds a backend dead",
            "all workers know within a second",
            ("e2e/test_health.py::test_a_backend_that_a_request_finds_dead_is_known_to_be_by_all_within_a_second",),
        ),
        Row(
            "a worker dies",
            "probing goes on, verdicts and circuits stay",
            (
                "e2e/test_health.py::test_the_death_of_a_worker_changes_nothing_about_the_probing",
                "test_companion.py::test_a_new_generation_knows_which_circuits_are_open",
            ),
        ),
        Row(
            "two replicas are dead and clients of the real SDK come again",
            "at most 1.1 attempts for a call",
            ("e2e/test_failover.py::test_two_dead_replicas_see_few_more_attempts_than_there_are_calls",),
        ),
        Row(
            "whatever fails",
            "no request is answered twice",
            ("e2e/test_failover.py::test_whatever_fails_no_request_is_answered_twice",),
        ),
        Row(
            "a replica is full: 429 or 503",
            "back-pressure and no failure; the other one answers",
            ("e2e/test_failover.py::test_a_full_replica_costs_nobody_an_answer",),
        ),
        Row(
            "clients that leave, by the hundred",
            "open no circuit",
            ("e2e/test_failover.py::test_clients_that_leave_open_no_circuit",),
        ),
    ),
    promised=("When a backend fails", "What is repeated, and what never", "Health", "Circuit breaker"),
)
