"""An engine that hangs is told from one that has much to do."""

import pytest

from gateway.backends.progress import TRY_AGAIN_AFTER, Progress
from gateway.backends.vllm_metrics import Figures

LIMIT = 30.0
BUSY = Figures(running=8, waiting=40, generated=1000, prompted=5000, finished=7)


class Watching:
    """A `Progress` that is shown the same figures every so many seconds, until a test says otherwise."""

    def __init__(self, figures: Figures | None = BUSY, *, ours: int = 1, alive_at: float = 0.0) -> None:
        self.progress = Progress(LIMIT, now=0.0)
        self.now = 0.0
        self.figures, self.ours, self.alive_at = figures, ours, alive_at
        self.answers = 0
        self.look()

    def look(self) -> bool:
        return self.progress.observe(
            self.figures, ours=self.ours, answers=self.answers, alive_at=self.alive_at, now=self.now
        )

    def after(self, seconds: float, *, each: float = 1.0) -> bool:
        """Whether it is stalled when that time is over."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + each, end)
            self.look()
        return self.progress.stalled(self.now)


def test_what_stands_still_with_a_request_of_ours_is_stalled_after_the_limit_and_no_sooner() -> None:
    watching = Watching()
    assert not watching.after(LIMIT - 1)
    assert watching.after(1)


@pytest.mark.parametrize(
    "moved",
    [
        BUSY._replace(generated=1001),
        BUSY._replace(prompted=5001),
        BUSY._replace(finished=8),
        BUSY._replace(generated=0),
    ],
    ids=["a token", "a prompt", "an end", "a new process"],
)
def test_any_movement_takes_it_back(moved: Figures) -> None:
    watching = Watching()
    assert watching.after(LIMIT + 5)
    watching.figures = moved
    assert not watching.after(1)
    assert not watching.after(LIMIT - 1)
    assert watching.after(1)


def test_a_saturated_engine_that_makes_one_token_now_and_then_is_never_stalled() -> None:
    watching = Watching()
    for number in range(100):
        watching.figures = BUSY._replace(generated=1001 + number)
        assert not watching.after(LIMIT - 2)


IDLE = BUSY._replace(running=0, waiting=0)


class Listing(Watching):
    """The same, where the page tells how often it was asked for models: once more at each look, unless it is old."""

    old = False

    def look(self) -> bool:
        if self.figures is not None and not self.old:
            self.figures = self.figures._replace(listed=(self.figures.listed or 0.0) + 1)
        return super().look()


def test_an_engine_that_hung_while_it_was_idle_is_found_by_a_request_of_ours() -> None:
    watching = Listing(IDLE)
    assert not watching.after(LIMIT - 1)
    assert watching.after(2)


def test_what_waits_in_vain_for_an_engine_is_work_too() -> None:
    watching = Listing(IDLE._replace(waiting=1))
    assert watching.after(LIMIT + 1)


def test_nothing_is_concluded_from_a_page_that_is_seen_to_be_old() -> None:
    watching = Listing(BUSY)
    watching.old = True
    assert not watching.after(100 * LIMIT, each=10)


def test_an_idle_engine_without_a_request_of_ours_is_well() -> None:
    assert not Listing(IDLE, ours=0).after(100 * LIMIT, each=10)


def test_an_engine_that_drops_all_it_ran_has_moved() -> None:
    watching = Listing(BUSY)
    assert watching.after(LIMIT + 1)
    watching.figures = IDLE._replace(listed=1000.0)
    assert not watching.after(1)


def test_one_that_hung_idle_is_tried_again_when_our_requests_have_left() -> None:
    watching = Listing(IDLE)
    assert watching.after(LIMIT + 1)
    watching.ours = 0
    assert not watching.after(1)


def test_an_engine_that_runs_nothing_is_never_stalled() -> None:
    watching = Watching(BUSY._replace(running=0, waiting=0))
    assert not watching.after(10 * LIMIT)


def test_the_limit_counts_from_the_moment_at_which_it_has_something_to_do() -> None:
    watching = Watching(BUSY._replace(running=0, waiting=0))
    watching.after(10 * LIMIT)
    watching.figures = BUSY
    assert not watching.after(LIMIT - 1)
    assert watching.after(2)


def test_a_sign_of_life_of_our_own_streams_outweighs_old_figures() -> None:
    watching = Watching()
    for _ in range(10):
        watching.alive_at = watching.now
        assert not watching.after(LIMIT - 2)


def test_an_answer_to_us_outweighs_old_figures() -> None:
    watching = Watching()
    for _ in range(10):
        watching.answers += 1
        assert not watching.after(LIMIT - 2)


def test_figures_alone_take_nothing_out_however_long_they_stand_still() -> None:
    assert not Watching(ours=0).after(100 * LIMIT, each=10)


def test_the_limit_counts_from_our_own_request_not_from_the_last_movement() -> None:
    watching = Watching(ours=0)
    watching.after(10 * LIMIT)
    watching.ours = 1
    assert not watching.after(LIMIT)
    assert watching.after(1)


def test_it_stays_stalled_when_our_requests_have_left_and_is_tried_again_much_later() -> None:
    watching = Watching()
    assert watching.after(LIMIT)
    watching.ours = 0
    assert watching.after((TRY_AGAIN_AFTER - 1) * LIMIT)
    assert not watching.after(LIMIT)
    watching.ours = 1
    assert not watching.after(LIMIT)
    assert watching.after(1)


def test_without_figures_nothing_is_concluded() -> None:
    assert not Watching(None).after(10 * LIMIT)


def test_figures_that_are_missing_once_do_not_begin_the_count_anew() -> None:
    watching = Watching()
    watching.after(LIMIT - 2)
    watching.figures = None
    assert not watching.after(1)
    watching.figures = BUSY
    assert watching.after(1)


def test_it_says_whether_something_was_done() -> None:
    watching = Watching()
    assert not watching.look()
    watching.answers += 1
    assert watching.look()
    assert not watching.look()
    watching.figures = BUSY._replace(generated=1001)
    assert watching.look()
    watching.figures = None
    assert not watching.look()


def test_it_is_doubtful_as_soon_as_it_did_not_move_between_two_looks() -> None:
    watching = Watching()
    assert not watching.progress.doubtful(watching.now)
    watching.after(1)
    assert watching.progress.doubtful(watching.now)
    watching.figures = BUSY._replace(generated=1001)
    watching.after(1)
    assert not watching.progress.doubtful(watching.now)


def test_a_worker_that_ends_and_takes_its_count_of_answers_with_it_is_no_sign_of_life() -> None:
    watching = Watching()
    watching.answers = 7
    watching.look()
    assert watching.after(LIMIT + 1)
    watching.answers = 2
    assert watching.after(1)
    watching.answers = 3
    assert not watching.after(1)


def test_a_copy_has_seen_the_same_and_goes_its_own_way() -> None:
    watching = Watching()
    watching.after(LIMIT - 1)
    other = Watching()
    other.progress, other.now = watching.progress.copy(LIMIT + 10), watching.now
    assert watching.after(1)
    assert not other.after(10)
    assert other.after(1)
