"""The bounds that an operator may set."""

from pydantic import BaseModel, ConfigDict, Field

from sleap_rtc.protocol.signaling import MAX_UNPROVEN


class Limits(BaseModel):
    """Bounds on what one stranger can cost. Times are seconds, sizes bytes.

    Attributes:
        message: largest WebSocket message.
        unproven_message: largest one of a worker that has not proven its key.
        queue: outgoing bytes waiting for one peer before it counts as a slow consumer.
        rate: messages a second a socket may send in the long run; faster ones are read later, not lost.
        burst: messages it may send at once before that.
        request_within: how long the head of a request may take to arrive, the handshake of a WebSocket among them.
        register_within: how long a worker may stay connected without having proven its key.
        close_within: how long a closing socket may take to accept what is still queued for it.
        links: links a connection may have in the making or remembered.
        clients_per_user: sockets at once of one client identity.
        sockets_per_address: sockets at once from one address; a campus may be one address.
        tickets_per_login: tickets of one login that wait to open a WebSocket.
        body: largest REST body.
        body_within: how long a REST body may take to arrive.
        addresses: addresses and users remembered by each limit that counts within a time.
        wrong_codes_per_user: wrong codes one user may type within ten minutes.
        wrong_codes_per_address: wrong codes that may come from one address within an hour.
        wrong_passwords_per_account: wrong passwords that may be typed for one account within ten minutes.
        wrong_passwords_per_address: wrong passwords that may come from one address within an hour.
        provider_visits_per_address: logins with a provider that one address may begin within an hour.
        rooms_per_user: rooms one user may own.
        tokens_per_room: worker tokens of one room that can be used at once.
        jobs_per_room: jobs of one room that are remembered; the oldest that are over give way.
        models_per_worker: models that are remembered of one worker.
        models_per_room: models that are remembered of all workers of one room.
        model_names_per_room: names that one room may give to models, those of deleted ones included.
        versions_per_model: versions of one name that may be there at once.
        aliases_per_model: aliases that one name may have.
        deleted_models_per_room: models of one room of which it is remembered that they were deleted.
        waiting_reports: reports of one worker that may wait for the database.
        members_per_room: people who may belong to one room.
        invites_per_room: invites of one room that can be used at once.
        events_per_room: what one room's log keeps; older lines are forgotten within an hour.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    message: int = Field(default=64 * 1024, gt=0, le=1024 * 1024)
    unproven_message: int = Field(default=MAX_UNPROVEN, gt=0)
    queue: int = Field(default=256 * 1024, gt=0)
    rate: float = Field(default=20.0, gt=0)
    burst: int = Field(default=100, gt=0)
    request_within: float = Field(default=5.0, gt=0)
    register_within: float = Field(default=5.0, gt=0)
    close_within: float = Field(default=5.0, gt=0)
    links: int = Field(default=256, gt=0)
    clients_per_user: int = Field(default=8, gt=0)
    sockets_per_address: int = Field(default=50, gt=0)
    tickets_per_login: int = Field(default=8, gt=0)
    body: int = Field(default=64 * 1024, gt=0)
    body_within: float = Field(default=10.0, gt=0)
    addresses: int = Field(default=10_000, gt=0)
    wrong_codes_per_user: int = Field(default=5, gt=0)
    wrong_codes_per_address: int = Field(default=20, gt=0)
    wrong_passwords_per_account: int = Field(default=10, gt=0)
    wrong_passwords_per_address: int = Field(default=50, gt=0)
    provider_visits_per_address: int = Field(default=200, gt=0)
    rooms_per_user: int = Field(default=100, gt=0)
    tokens_per_room: int = Field(default=100, gt=0)
    jobs_per_room: int = Field(default=1000, gt=0)
    models_per_worker: int = Field(default=500, gt=0)
    models_per_room: int = Field(default=5000, gt=0)
    model_names_per_room: int = Field(default=1000, gt=0)
    versions_per_model: int = Field(default=500, gt=0)
    aliases_per_model: int = Field(default=50, gt=0)
    deleted_models_per_room: int = Field(default=5000, gt=0)
    waiting_reports: int = Field(default=2, gt=0)
    members_per_room: int = Field(default=200, gt=0)
    invites_per_room: int = Field(default=50, gt=0)
    events_per_room: int = Field(default=10_000, gt=0)
