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
            "new connections follow",
            ("upstream/test_resolver.py::test_new_connections_follow_a_backend_that_moved",),
        ),
    ),
)
