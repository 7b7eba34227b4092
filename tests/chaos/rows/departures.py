"""Rows: Clients that leave."""

from tests.chaos.row import Row, Section

DEPARTURES = Section(
    "Clients that leave",
    (
        Row(
            "while it waits in the queue",
            "its place is free, no backend hears of it, 499",
            (
                "e2e/test_departures.py::test_leaving_the_queue_frees_the_place_and_reaches_no_backend",
                "store/test_contract.py::test_a_cancelled_wait_gives_up_its_place",
            ),
        ),
        Row(
            "while it sends its body",
            "nothing is held, 499",
            ("e2e/test_departures.py::test_leaving_in_the_middle_of_the_body_holds_nothing",),
        ),
        Row(
            "before the first token, streamed or not",
            "the backend's connection ends, its engine is idle",
            (
                "e2e/test_departures.py::test_leaving_before_the_first_token_aborts_at_the_backend",
                "e2e/test_tls.py::test_an_agent_that_cancels_a_whole_answer_frees_everything",
                "upstream/test_cancellation.py::test_the_backend_sees_the_close_at_once",
            ),
        ),
        Row(
            "by half, in any phase",
            "it has left, as far as anybody can tell: the same",
            (
                "chaos/test_half_departures.py::test_half_a_departure_before_the_first_token_is_a_whole_one",
                "chaos/test_half_departures.py::test_half_a_departure_in_mid_stream_is_a_whole_one_and_ends_without_an_end",
                "chaos/test_half_departures.py::test_half_a_departure_in_the_body_reaches_no_backend",
            ),
        ),
        Row(
            "by a reset of one stream of an HTTP/2 connection to nginx",
            "that one is freed, its siblings go on",
            ("e2e/test_tls.py::test_a_stream_of_an_http_2_connection_ends_and_its_sibling_goes_on",),
        ),
        Row(
            "in mid-stream",
            "the same, and what was made is booked",
            (
                "e2e/test_departures.py::test_leaving_in_mid_stream_aborts_and_books_what_was_made",
                "e2e/test_tls.py::test_leaving_in_mid_stream_frees_everything",
            ),
        ),
        Row(
            "a byte now and then is taken of a stream, or nothing of a slow one, or of a whole answer",
            "at most 256 KiB are held for it, 320 KiB more in the kernel that reads the backend; cut, as a slow client",
            (
                "chaos/test_slow_readers.py::test_little_is_held_for_a_client_that_takes_a_byte_now_and_then_and_it_is_cut_as_a_slow_one",
                "chaos/test_slow_readers.py::test_a_client_that_takes_nothing_of_a_whole_answer_is_cut_as_a_slow_one",
                "e2e/test_streaming.py::test_a_client_that_takes_nothing_of_a_slow_stream_is_a_slow_one_and_did_not_leave",
            ),
        ),
        Row(
            "a little is taken all the time, less than our kernel asks for in a whole cap",
            "all of the answer arrives",
            ("chaos/test_slow_readers.py::test_a_client_that_takes_a_little_all_the_time_gets_all_of_its_answer",),
        ),
        Row(
            "thousands at random moments",
            "no slot, task, socket or lease is left, and no memory",
            (
                "e2e/test_traces.py::test_departures_at_random_moments_leave_no_socket_and_no_memory",
                "e2e/test_departures.py::test_a_thousand_departures_at_random_moments_leave_nothing_behind",
                "store/test_contract.py::test_ten_thousand_cancellations_leave_nothing_behind",
                "store/test_lmdb_race.py::test_random_cancellations_over_processes_leave_no_claim",
                "upstream/test_cancellation.py::test_a_thousand_cancellations_at_random_moments_leave_nothing",
            ),
        ),
        Row(
            "however a request ends, but with a worker that is killed (SIGKILL), which writes nothing any more",
            "one record in the access log, under its id",
            ("e2e/test_traces.py::test_every_request_has_one_record_however_it_ended",),
        ),
        Row(
            "a fifth of all clients leave and a worker is killed every few seconds, under a mixed load",
            "no slot, lease, task or connection is left; none is lost but the killed workers'; longer: `make soak`",
            ("soak/test_soak.py::test_a_short_soak_loses_nothing_and_leaves_nothing",),
        ),
    ),
    promised=("Clients that leave, and clients that dawdle",),
)
