"""What is the matter with a backend, in one word, and what is to be done about it, in a sentence?"""

from enum import StrEnum

from gateway.backends.circuit import Standing, Why


class Reason(StrEnum):
    """Why a backend is in its state, as a word for programs; `EXPLANATIONS` has the sentence for people."""

    OK = "ok"
    NOT_PROBED = "not_probed"
    RECOVERING = "recovering"
    QUEUEING = "queueing"
    STALLED = "stalled"
    DRAINING = "draining"
    DRAINED = "drained"
    UNREACHABLE = "unreachable"
    UNRESOLVED = "unresolved"
    NO_ROUTE = "no_route"
    TLS_FAILED = "tls_failed"
    TIMEOUT = "timeout"
    UNHEALTHY = "unhealthy"
    WRONG_URL = "wrong_url"
    WRONG_KEY = "wrong_key"
    MODEL_MISSING = "model_missing"
    BAD_ANSWER = "bad_answer"
    NOT_WATCHED = "not_watched"


EXPLANATIONS = {
    Reason.OK: "The backend answers and serves its model.",
    Reason.NOT_PROBED: "The first probe has not ended yet: ask again in a few seconds.",
    Reason.RECOVERING: (
        "The backend answers again. Wait: it takes its full share when BACKEND_UP_AFTER probes in a row were good, and "
        "until then only what no other replica can take."
    ),
    Reason.QUEUEING: (
        "The backend works at its limit, and requests wait inside it. Nothing is broken: look at the load, and give "
        "the group another replica when it lasts."
    ),
    Reason.STALLED: (
        "GET /health answers 200, but the engine hangs: requests of ours wait there, or it says that some run, and "
        "nothing has moved for BACKEND_STALL_SECS. It gets only what nobody else can take. Look at the server's log; "
        "restart it if it does not go on by itself."
    ),
    Reason.DRAINING: (
        "The server is shutting down: it finishes what runs and takes nothing new. Wait until it is back, or start it "
        "again when nobody does."
    ),
    Reason.DRAINED: (
        "An operator drains it: it finishes what runs and gets nothing new. Wait until nothing is in flight there, or "
        "give it its share back (POST /admin/v1/backends/{id}/undrain)."
    ),
    Reason.UNREACHABLE: (
        "The connection is refused: the server is not up, or still loads its model with the port closed. "
        "Wait while it loads; otherwise look at its log, and compare the URL's port with the server's --port."
    ),
    Reason.UNRESOLVED: (
        "The URL's host name does not resolve: correct it in the backend's setting, or start the container of that "
        "name (Compose knows a name only while its container runs)."
    ),
    Reason.NO_ROUTE: (
        "No connection could be made to the host: see that it is up and that no firewall or separate network stands "
        "between it and the gateway."
    ),
    Reason.TLS_FAILED: (
        "The TLS handshake failed: see that the server speaks https on that port, that its certificate is valid for "
        "the URL's host, and that UPSTREAM_CA_FILE names the authority that signed it."
    ),
    Reason.TIMEOUT: (
        "The backend took the connection and did not answer within BACKEND_PROBE_TIMEOUT_SECS: look at its log and "
        "load, and restart it when it hangs."
    ),
    Reason.UNHEALTHY: (
        "GET /health did not answer 200: the engine is dead or shutting down. Look at the server's log; restart it "
        "when it does not come back by itself."
    ),
    Reason.WRONG_URL: (
        "GET /health or /v1/models answered 404: what listens there is no vLLM server, or the URL has a path too many. "
        "Give scheme, host and port alone, as http://chat0:8000."
    ),
    Reason.WRONG_KEY: (
        "The backend refuses BACKEND_API_KEY: give the gateway the key that the server was started with "
        "(VLLM_API_KEY or --api-key), and restart whichever was changed."
    ),
    Reason.MODEL_MISSING: (
        "The backend is up, but the configured model is not in its list: set the group's _MODEL (CHAT_MODEL, ...) to "
        "a name that the server lists, or start the server with that --served-model-name."
    ),
    Reason.BAD_ANSWER: (
        "The answer was broken, or GET /v1/models did not answer with a list of models: see that a vLLM server "
        "listens at the URL, and that http and https are not mixed up."
    ),
    Reason.NOT_WATCHED: (
        "The gateway's own prober, in its supervisor, has said nothing for a while: the state is the last that was "
        "known, and requests try every backend. Look at the gateway's log, and restart it when it does not go on."
    ),
}
"""What is the matter and what to do about it, for operators."""

_BROUGHT_THERE = {
    Why.FAILURES: "CIRCUIT_FAILURE_THRESHOLD requests in a row failed there",
    Why.TRIAL_FAILED: "the request that tried it again failed too",
    Why.DRAINING: "it told a request that it shuts down",
    Why.RESTARTED: "it was down and answers again",
    Why.TRIAL_SUCCEEDED: "the request that tried it succeeded",
}


def explain_circuit(standing: Standing, why: Why) -> str:
    """What a circuit that is not closed means for requests, as a sentence for operators."""
    stands = f"Its circuit is {standing.replace('_', '-')}, as {_BROUGHT_THERE[why]}:"
    if standing is Standing.HALF_OPEN:
        return f"{stands} a single request goes there first, and decides."
    if why is Why.DRAINING:
        return f"{stands} it gets no requests until one tries it in retry_in_secs."
    return (
        f"{stands} until one tries it in retry_in_secs, it gets only requests for which its group has no other "
        "backend. Look at the access lines with this `backend`, and at the server's log."
    )
