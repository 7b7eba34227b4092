"""Rows: Limits."""

from tests.chaos.row import Row, Section

LIMITS = Section(
    "Limits",
    (
        Row(
            "one bucket, four workers",
            "as many as one worker would grant",
            (
                "e2e/test_limits.py::test_four_workers_grant_one_bucket",
                "store/test_lmdb_race.py::test_four_processes_racing_for_one_bucket_get_exactly_its_capacity",
            ),
        ),
        Row(
            "an organization at its slots",
            "first come, first served; 429 when its patience ends, at once when the queue is full",
            (
                "e2e/test_limits.py::test_the_queue_is_first_come_first_served_over_all_workers",
                "e2e/test_limits.py::test_two_seconds_in_the_queue_end_with_429",
                "e2e/test_limits.py::test_beyond_the_slots_requests_queue_and_the_queue_is_bounded",
            ),
        ),
        Row(
            "10,000 requests for two replicas, over four workers",
            "5,000 each, exactly",
            (
                "store/test_lmdb_race.py::test_ten_thousand_requests_of_four_processes_are_split_evenly_between_two_replicas",
                "e2e/test_limits.py::test_the_replicas_take_turns_over_all_workers_together",
            ),
        ),
        Row(
            "a flood of made-up organizations",
            "memory stays, and nobody is forgotten who holds a slot or has drained a bucket",
            (
                "store/test_lmdb.py::test_a_flood_of_made_up_organizations_fills_no_map",
                "store/test_contract.py::test_a_drained_bucket_is_not_had_again_by_flooding",
            ),
        ),
        Row(
            "the clock on the wall jumps",
            "no limit changes, nothing is cut, nobody waits longer or shorter; no day's quota fills again",
            (
                "chaos/test_clock_steps.py::test_a_jump_of_the_time_of_day_cuts_and_grants_nothing",
                "store/test_contract.py::test_a_jump_of_the_wall_clock_changes_no_limit",
                "store/test_accounts.py::test_a_clock_that_steps_back_over_midnight_fills_nothing",
            ),
        ),
        Row(
            "the limits' file is cut short or scribbled over",
            "a start replaces it, unless somebody lives on it",
            (
                "store/test_salvage.py::test_a_spoilt_file_is_replaced_with_one_line_in_the_log",
                "store/test_salvage.py::test_a_file_that_somebody_lives_on_is_left_to_them_whatever_is_in_it",
            ),
        ),
    ),
    promised=("Limits and leases under kills",),
)
