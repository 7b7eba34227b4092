"""Rows: The gateway itself."""

from tests.chaos.row import Row, Section

GATEWAY = Section(
    "The gateway itself",
    (
        Row(
            "a worker is killed in mid-stream",
            "its clients see an incomplete body, others nothing",
            (
                "e2e/test_workers.py::test_a_worker_killed_in_mid_stream_takes_only_its_own_clients_along",
                "server/test_supervisor.py::test_the_streams_of_a_killed_worker_are_seen_as_incomplete",
            ),
        ),
        Row(
            "a worker is killed that holds all slots",
            "free within 2 s, and never more than the limit run",
            (
                "e2e/test_workers.py::test_what_a_killed_worker_held_is_free_within_two_seconds_and_never_too_much_runs",
                "store/test_lmdb_race.py::test_what_a_killed_worker_held_is_handed_on_within_two_seconds",
            ),
        ),
        Row(
            "a worker is killed before it answers",
            "502 through nginx, not sent again; the next request is served",
            (
                "e2e/test_workers.py::test_a_request_on_a_killed_worker_is_not_replayed",
                "e2e/test_tls.py::test_a_gateway_that_is_killed_is_502_without_a_replay_and_is_back_at_once",
            ),
        ),
        Row(
            "a worker is killed in any phase of a request: head, body, queue, wait for a seat, first token, answer",
            "its clients see no end that looks good; nothing stays held or is sent again; others go on",
            ("chaos/test_kills.py::test_what_a_worker_held_that_is_killed_is_free_and_nothing_is_sent_again",),
        ),
        Row(
            "a worker is killed in the midst of ten thousand mixed requests",
            "figures, log, ledger and backends agree to the last token; what it ran is booked as `worker_died`",
            ("e2e/test_totals.py::test_figures_log_ledger_and_backends_agree_though_a_worker_is_killed",),
        ),
        Row(
            "a worker is killed whose request runs for identical ones, in the midst of its answer",
            "one of those who wait runs in its stead, the others get what that one gets; nobody gets half an answer",
            (
                "chaos/test_kills_of_leaders.py::test_a_leader_killed_in_the_midst_of_an_answer_leaves_half_of_it_to_nobody",
            ),
        ),
        Row(
            "a worker's application fails between its start and its end",
            "streams finish, nobody else is let in, another worker takes its place",
            ("server/test_supervisor.py::test_a_worker_whose_application_fails_lets_streams_finish_and_is_replaced",),
        ),
        Row(
            "a worker is killed while it writes the shared state",
            "nothing is wedged, nothing granted twice",
            ("store/test_lmdb_race.py::test_fifty_kills_in_the_midst_of_writing_neither_wedge_nor_corrupt",),
        ),
        Row(
            "SIGTERM",
            "new connections are refused at once; what runs may finish, or is told `server_shutting_down`; exit 0",
            (
                "e2e/test_workers.py::test_sigterm_refuses_at_once_and_lets_requests_finish",
                "e2e/test_workers.py::test_what_outlives_the_drain_is_told_that_the_server_shuts_down",
                "server/test_supervisor.py::test_a_stop_refuses_even_while_a_worker_is_stuck",
            ),
        ),
        Row(
            "nobody reads the log",
            "requests go on; what was dropped is counted",
            (
                "observability/test_log_writer.py::test_a_reader_that_does_not_read_blocks_nobody_and_what_is_lost_is_counted",
            ),
        ),
        Row(
            "SIGTERM with a hundred streams",
            "`/ready` says 503, connections are refused, no stream is cut, exit 0",
            ("chaos/test_endings.py::test_a_stop_with_a_hundred_streams_cuts_none",),
        ),
        Row(
            "SIGTERM while a start hangs",
            "nobody is waited for: there is nobody to be drained",
            (
                "server/test_supervisor.py::test_a_worker_that_hangs_in_its_start_is_not_waited_for",
                "server/test_supervisor.py::test_one_whose_loop_stands_still_in_its_start_is_killed_soon",
            ),
        ),
        Row(
            "Ctrl-C, or SIGINT and SIGHUP to a worker or the control process itself",
            "a drain by the supervisor, and an end at once at the second; nothing, and no stream is cut",
            (
                "server/test_supervisor.py::test_a_terminals_ctrl_c_is_the_supervisors_alone_to_answer",
                "server/test_supervisor.py::test_a_second_signal_does_not_wait",
                "server/test_supervisor.py::test_a_terminals_signal_to_a_worker_itself_cuts_no_stream",
                "e2e/test_control_plane.py::test_a_terminals_signal_to_a_control_process_is_nothing",
            ),
        ),
        Row(
            "SIGHUP under load",
            "new workers serve; the streams of the old ones go on to their end; no connection is lost that waits",
            (
                "e2e/test_reload.py::test_three_reloads_under_load_lose_nothing",
                "e2e/test_reload.py::test_three_reloads_under_load_behind_nginx_lose_no_post_of_a_kept_connection",
                "server/test_reload.py::test_new_workers_serve_and_the_streams_of_the_old_ones_go_on_to_their_end",
                "server/test_reload.py::test_no_connection_is_lost_that_waits_to_be_taken",
                "server/test_reload.py::test_figures_are_exact_over_a_reload_under_requests",
            ),
        ),
        Row(
            "SIGHUP with settings or code that will not do",
            "the old workers serve on",
            (
                "server/test_reload_faults.py::test_settings_that_will_not_do_leave_the_workers_as_they_are",
                "server/test_reload_faults.py::test_new_workers_that_do_not_come_up_leave_the_old_ones_as_they_are",
            ),
        ),
        Row(
            "SIGTERM, or a death, in the midst of a reload",
            "all of it ends; the reload goes on",
            (
                "server/test_reload.py::test_a_stop_in_the_midst_of_a_reload_ends_all_of_it",
                "server/test_reload_faults.py::test_old_workers_that_die_in_the_midst_of_a_reload_stop_it_in_nothing",
            ),
        ),
        Row(
            "the disk under the log is full",
            "requests go on; what was dropped is counted",
            ("chaos/test_endings.py::test_with_a_full_disk_under_the_log_requests_go_on_and_what_is_lost_is_counted",),
        ),
        Row(
            "every disk is full",
            "limits stay exact, lines are counted as dropped, usage is written later; a start is refused in words",
            (
                "chaos/test_scarcity.py::test_with_every_disk_full_limits_are_exact_lines_are_counted_and_usage_is_written_later",
                "chaos/test_scarcity.py::test_a_start_without_room_for_the_shared_state_is_refused_in_words",
            ),
        ),
        Row(
            "a worker has no descriptor left",
            "503 and when to come back, newcomers wait, no backend is blamed; all goes on when there are some",
            (
                "chaos/test_scarcity.py::test_a_worker_without_descriptors_says_so_blames_no_backend_and_goes_on_when_it_has_some",
                "server/test_accepting.py::test_a_worker_without_descriptors_leaves_who_waits_to_the_others_and_rests",
            ),
        ),
        Row(
            "nginx reloads, with a renewed certificate",
            "new connections get it, running streams go on to their end",
            (
                "nginx/test_certificates.py::test_a_renewed_certificate_is_served_after_a_reload_and_a_running_stream_goes_on",
            ),
        ),
        Row(
            "Valkey is gone, slow, flushed, failed over",
            "the stated policy of each limit, within 100 ms; nothing granted twice afterwards",
            (
                "e2e/test_several_hosts.py::test_a_server_that_is_gone_stops_nobody_and_is_seen_in_the_figures",
                "store/valkey/test_accounts.py::test_nobody_waits_a_tenth_of_a_second_while_the_server_stands_still",
                "store/valkey/test_accounts.py::test_what_is_used_while_the_server_stands_still_is_added_once",
                "store/valkey/test_hosts.py::test_what_runs_is_entered_again_after_a_flush",
                "store/valkey/test_hosts.py::test_what_a_replica_did_not_hear_of_is_entered_when_it_takes_over",
            ),
        ),
        Row(
            "the database is gone",
            "known keys work on, then 503 and never 401; usage is kept and written later",
            (
                "e2e/test_keys.py::test_a_silent_database_ends_no_known_key_until_it_was_silent_for_long",
                "e2e/test_control_plane.py::test_a_database_that_is_away_keeps_no_request_waiting_and_all_is_booked_afterwards",
                "e2e/test_control_plane.py::test_a_postgresql_server_that_dies_and_comes_back_misses_nothing",
            ),
        ),
        Row(
            "the control process stands still, before its loop first turns or later",
            "it is killed and replaced",
            (
                "server/test_control.py::test_one_that_never_begins_is_killed_and_replaced",
                "server/test_control.py::test_one_that_hangs_is_killed_and_replaced",
            ),
        ),
        Row(
            "a loop that stands still for five seconds",
            "reported once with its stack; the worker lives on",
            ("server/test_watchman.py::test_a_loop_that_stands_still_is_reported_once_with_its_stack_and_lives_on",),
        ),
    ),
    promised=("Stop, reload, crash", "Several hosts"),
)
