"""Rows: The edge."""

from tests.chaos.row import Row, Section

EDGE = Section(
    "The edge",
    (
        Row(
            "`Content-Length` beside `Transfer-Encoding`, either of them twice or disguised",
            "400, the connection ends, what follows in it never runs",
            (
                "nginx/test_framing.py::test_an_ambiguous_body_is_refused_and_what_follows_never_runs",
                "server/test_refusal.py::test_a_malformed_request_is_answered_400_and_closed",
                "server/test_head.py::test_an_encoding_other_than_chunked_is_refused",
            ),
        ),
        Row(
            "bare line feeds, folded fields, NUL in the head",
            "400 and closed; nginx turns bare line feeds into plain form",
            (
                "nginx/test_framing.py::test_a_malformed_head_is_refused_and_the_connection_closed",
                "nginx/test_framing.py::test_bare_line_feeds_reach_the_gateway_as_one_request_in_plain_form",
                "server/test_refusal.py::test_a_malformed_request_is_answered_400_and_closed",
            ),
        ),
        Row(
            "no `Host`, two of them, one that is none",
            "400; it opens nothing",
            (
                "server/test_head.py::test_one_host_is_needed_and_one_only",
                "server/test_head.py::test_a_host_that_is_none_is_refused",
                "nginx/test_framing.py::test_a_malformed_head_is_refused_and_the_connection_closed",
            ),
        ),
        Row(
            "a head that trickles in",
            "408 and closed when the time for heads is over, however often a byte comes",
            (
                "server/test_connection.py::test_half_a_head_is_answered_408_when_its_time_is_over",
                "nginx/test_slow_clients.py::test_a_byte_now_and_then_does_not_prolong_the_head",
            ),
        ),
        Row(
            "a body that stalls",
            "408; no slot is held, others are served meanwhile",
            (
                "e2e/test_hostile_input.py::test_bodies_that_stall_are_408_and_hold_no_slot",
                "nginx/test_slow_clients.py::test_a_body_that_stalls_closes_the_connection_and_never_reaches_the_gateway",
                "nginx/test_slow_clients.py::test_stalled_clients_do_not_delay_others",
            ),
        ),
        Row(
            "a body that drips, or many large ones at once",
            "408 when the time for a whole body is over; 503 when a worker holds as much as it may",
            (
                "middleware/test_read_body.py::test_a_body_that_drips_for_ever_is_cut_when_its_whole_time_is_over",
                "middleware/test_read_body.py::test_the_body_that_goes_beyond_what_is_held_is_refused_with_503",
            ),
        ),
        Row(
            "a client that hardly reads its stream",
            "little is held for it, its backend is slowed down, and its own cap ends it",
            (
                "e2e/test_streaming.py::test_a_slow_reader_slows_the_backend_down_and_is_cut_by_its_own_cap",
                "upstream/test_flow.py::test_a_reader_that_does_not_read_stops_the_backend",
                "nginx/test_slow_clients.py::test_a_reader_that_stops_makes_nginx_hold_little_and_then_is_cut",
            ),
        ),
        Row(
            "a client that never reads, in any phase, the gateway's own paths among them",
            "reset after CLIENT_WRITE_TIMEOUT_SECS; one that reads slowly is not",
            (
                "server/test_untaken_answers.py::test_a_client_that_takes_nothing_is_reset_in_every_phase",
                "server/test_untaken_answers.py::test_a_slow_but_steady_reader_gets_all_of_its_answer",
                "server/test_untaken_answers.py::test_a_reader_that_takes_less_than_our_kernel_asks_for_at_a_time_is_steady_too",
            ),
        ),
        Row(
            "a trailer or a chunk's extension without end, chunks of a byte",
            "400 when the framing passes the bound of a head; little is parsed before",
            (
                "server/test_refusal.py::test_a_body_of_framing_alone_is_broken_off_when_it_passes_the_bound_of_a_head",
                "server/test_refusal.py::test_little_is_looked_at_before_a_body_of_framing_is_broken_off",
            ),
        ),
        Row(
            "a head of 1 MB, 100,000 fields",
            "400 or 431 at nginx, 431 at the gateway",
            (
                "nginx/test_framing.py::test_a_head_without_bounds_is_refused",
                "nginx/test_framing.py::test_more_fields_than_a_hundred_are_refused_however_short",
                "server/test_refusal.py::test_headers_beyond_the_bound_are_answered_431",
            ),
        ),
        Row(
            "a body over the limit",
            "413: by its stated length before a byte is read, else when the limit is reached",
            (
                "e2e/test_paths.py::test_a_body_over_the_bound_is_413_before_it_is_read",
                "e2e/test_paths.py::test_a_chunked_body_is_413_at_the_bound",
                "nginx/test_bodies.py::test_a_stated_length_over_the_limit_is_refused_before_a_byte_is_read",
            ),
        ),
        Row(
            "a compressed body",
            "415, and nothing is unpacked",
            (
                "e2e/test_paths.py::test_a_compressed_body_is_415",
                "middleware/test_read_body.py::test_a_compressed_body_is_refused_before_a_byte_is_read",
            ),
        ),
        Row(
            "a client that says in a header where it comes from",
            "only what a trusted proxy says counts",
            (
                "e2e/test_hostile_input.py::test_no_field_of_a_strangers_makes_it_another_organization",
                "e2e/test_tls.py::test_an_organization_is_the_address_that_nginx_saw_whatever_a_client_says",
                "auth/test_address.py::test_the_client_is_who_the_trusted_proxy_saw",
            ),
        ),
        Row(
            "a request id with line breaks, colours, or of 10 KB",
            "the gateway's own id is used; the log has one line",
            (
                "e2e/test_paths.py::test_a_request_id_that_could_forge_a_log_line_is_ignored",
                "middleware/test_request_scope.py::test_a_clients_id_that_could_forge_a_line_is_ignored",
            ),
        ),
        Row(
            "hop-by-hop fields, and those that are the gateway's own",
            "dropped on the way in and on the way out",
            (
                "e2e/test_paths.py::test_the_backend_sees_its_own_key_and_nothing_that_the_client_wrote_in_headers",
                "proxy/test_whole.py::test_only_what_describes_the_body_passes_of_a_backends_fields",
                "nginx/test_headers.py::test_a_hop_by_hop_field_of_an_answer_ends_here",
            ),
        ),
        Row(
            "vLLM's paths that are nobody's business, and spellings of known ones",
            "404, and no backend hears of it",
            (
                "e2e/test_paths.py::test_what_is_not_on_the_list_is_404_and_reaches_no_backend",
                "nginx/test_paths.py::test_a_crooked_path_is_unknown_and_reaches_nobody",
            ),
        ),
        Row(
            "TLS 1.1, weak suites",
            "refused",
            (
                "nginx/test_tls.py::test_old_versions_are_refused_by_the_server",
                "nginx/test_tls.py::test_a_weak_suite_is_refused",
            ),
        ),
    ),
)
