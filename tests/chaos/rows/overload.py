"""Rows: Overload."""

from tests.chaos.row import Row, Section

OVERLOAD = Section(
    "Overload",
    (
        Row(
            "one organization floods over its own limits while the fleet has room",
            "another waits at most half as long again for its first token",
            ("chaos/test_floods.py::test_a_flood_of_one_organization_does_not_delay_another",),
        ),
        Row(
            "MAX_INFLIGHT_PER_BACKEND is set and one organization floods",
            "organizations take turns, first come first served inside each; a full queue is told at once",
            (
                "e2e/test_failover.py::test_the_backlog_stays_in_the_gateway_where_places_at_backends_are_limited",
                "e2e/test_failover.py::test_who_waits_for_a_place_for_too_long_is_told_when_to_come_back",
                "store/test_seats.py::test_organizations_take_turns_and_each_is_served_in_order",
                "store/test_seats.py::test_newcomers_without_end_keep_nobody_from_its_turn",
                "proxy/test_seats.py::test_a_full_queue_is_told_at_once_and_when_to_come_back",
                "proxy/test_seats.py::test_the_one_deadline_is_shared_with_the_wait_for_a_slot",
            ),
        ),
        Row(
            "one of two replicas dies at 80 % load while clients come again",
            "no collapse, little is asked twice, and back to normal when it is back",
            ("chaos/test_outages.py::test_one_of_two_dies_at_80_percent_load_and_nothing_collapses",),
        ),
        Row(
            "a hundred requests race for the last of a quota",
            "exactly as many as fit run",
            (
                "e2e/test_quotas.py::test_of_forty_requests_for_the_last_seven_of_a_day_seven_run",
                "store/test_accounts_race.py::test_of_a_hundred_requests_for_the_last_seven_of_a_quota_seven_run",
            ),
        ),
    ),
    promised=("Fallback, overload and balancing",),
)
