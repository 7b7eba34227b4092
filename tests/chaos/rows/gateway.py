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
    ),
)
