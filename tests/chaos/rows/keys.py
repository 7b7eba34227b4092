"""Rows: Keys and input."""

from tests.chaos.row import Row, Section

KEYS = Section(
    "Keys and input",
    (
        Row(
            "a key that is missing, unknown or malformed",
            "one and the same 401",
            (
                "e2e/test_paths.py::test_without_a_key_there_is_one_and_the_same_401",
                "auth/test_keyring.py::test_every_wrong_key_gets_the_same_answer",
            ),
        ),
        Row(
            "a key with quotes, NUL, 100 KB of it",
            "401, or 400 or 431 for the head; never 500",
            ("e2e/test_hostile_input.py::test_no_key_however_it_is_made_is_a_500",),
        ),
        Row(
            "a key, a prompt, a backend's address or key",
            "in no answer, log line or metric",
            (
                "e2e/test_hostile_input.py::test_a_canary_key_is_found_in_no_answer_log_or_metric",
                "e2e/test_backend_failures.py::test_nothing_of_a_backend_or_a_key_stands_in_answers_or_logs",
                "api/test_probes.py::test_no_answer_holds_a_backends_address",
                "settings/test_values.py::test_nothing_of_a_user_name_or_password_in_a_url_is_shown",
            ),
        ),
        Row(
            "a thousand wrong keys from one address",
            "429 for them; others notice nothing, memory stays",
            (
                "e2e/test_hostile_input.py::test_a_thousand_wrong_keys_lock_out_their_sender_alone_and_cost_no_memory",
                "middleware/test_authenticate.py::test_wrong_keys_get_429_at_last_and_lock_nobody_else_out",
            ),
        ),
        Row(
            "JSON that is deep, broken, NaN, or half a surrogate pair",
            "400 `invalid_json`",
            (
                "e2e/test_paths.py::test_a_body_that_is_no_json_object_is_400",
                "payload/test_peek.py::test_what_is_no_json_object_is_refused",
            ),
        ),
        Row(
            "a number of a million digits, a body made to be slow to read",
            "400 where the field decides; reading it holds the loop no longer than any body of its size",
            (
                "e2e/test_hostile_input.py::test_a_number_of_a_million_digits_holds_nobody_up",
                "payload/test_peek.py::test_a_wrong_type_names_its_field",
                "payload/test_peek.py::test_no_body_costs_much_more_than_the_dearest_costs_to_be_gone_through",
            ),
        ),
        Row(
            "a wrong type in any field",
            "400 with `param` where the field decides, else vLLM's own refusal; never 500",
            (
                "e2e/test_hostile_input.py::test_no_type_in_any_documented_field_is_a_500",
                "e2e/test_hostile_input.py::test_a_field_that_decides_is_refused_by_its_name_and_goes_nowhere",
            ),
        ),
        Row(
            "`n` of 16,384, `max_tokens` over the context, 10,000 prompts",
            "400, nothing is reserved or sent",
            (
                "e2e/test_hostile_input.py::test_a_field_that_decides_is_refused_by_its_name_and_goes_nowhere",
                "payload/test_checks.py::test_one_request_may_not_multiply_itself",
            ),
        ),
        Row(
            "images and other media for a model that reads text",
            "400, no packet leaves",
            (
                "e2e/test_sdks.py::test_an_image_for_a_text_model_never_leaves_the_house",
                "payload/test_lists.py::test_parts_that_are_no_text_are_found",
            ),
        ),
        Row(
            "a body that names another server, or headers",
            "no effect; the backends' key goes to the backends alone",
            ("e2e/test_hostile_input.py::test_no_field_of_a_body_sends_a_request_or_the_backends_key_elsewhere",),
        ),
        Row(
            "made-up models, paths, keys and addresses by the thousand",
            "404 or 401, and no metric series more",
            (
                "e2e/test_bounded_figures.py::test_what_strangers_make_up_adds_no_series",
                "e2e/test_paths.py::test_made_up_paths_and_models_add_no_metric_series",
                "observability/test_recorder.py::test_ten_thousand_made_up_paths_are_one_series",
            ),
        ),
        Row(
            "a backend URL that points at a metadata service, in any disguise",
            "the start is refused; a name that resolves to one is not followed",
            (
                "settings/test_values.py::test_a_backend_that_is_no_server_or_a_metadata_service_is_refused",
                "upstream/test_address.py::test_a_metadata_address_is_refused_in_every_disguise",
                "upstream/test_resolver.py::test_a_name_that_leads_to_a_metadata_service_is_not_followed",
            ),
        ),
        Row(
            "whatever bytes are sent as key, head, body or answer",
            "every parser reads what the library beside it reads, or refuses; the documented answers alone",
            (
                "fuzz/test_keys.py::test_a_key_opens_the_door_where_it_stands_alone_in_its_place_whoever_came_before",
                "fuzz/test_requests.py::test_a_request_that_is_run_is_the_one_that_aiohttp_reads",
                "fuzz/test_bodies.py::test_what_is_peeked_is_what_vllm_will_read",
                "fuzz/test_answers.py::test_a_whole_answer_is_one_to_aiohttp_too_and_says_the_same",
                "fuzz/test_streams.py::test_nothing_raises_and_a_stream_without_its_end_is_never_a_success",
                "fuzz/test_api.py::test_every_answer_is_a_documented_one_and_no_failure_of_the_gateway",
            ),
        ),
        Row(
            "a key that was revoked, all caches being warm",
            "401 on every worker within a second",
            (
                "e2e/test_control_plane_seen.py::test_a_revocation_is_seen_by_all_workers_within_a_second_under_load",
                "e2e/test_keys.py::test_a_revocation_holds_at_every_worker_from_the_next_request_on_under_load",
            ),
        ),
        Row(
            "a canary key, in the database and in traces",
            "found nowhere",
            ("e2e/test_traced.py::test_a_canary_is_found_in_no_span_and_no_file_of_the_gateways",),
        ),
    ),
)
