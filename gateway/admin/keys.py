"""Which API keys are there, who may use them for what, and how does one take another's place?"""

from functools import partial

from fastapi import APIRouter, Response, status
from msgspec.structs import replace

from gateway.admin.asking import Actor, House
from gateway.admin.names import NamedOrganization
from gateway.admin.paging import After, Limit, Page, page_of
from gateway.admin.schemas.keys import Key, KeyWishes, NewKey, Rotation, shown
from gateway.admin.versions import IfMatch, state_version, unchanged
from gateway.auth.api_key import digest, mint, prefix_of
from gateway.core.errors import BadRequestError, UnavailableError
from gateway.database.rows import ApiKey, KeyProperties


class KeysUnavailableError(UnavailableError):
    """There is no secret to hash keys with."""

    code = "keys_unavailable"


class KeyRoutes:
    """`/admin/v1/keys`."""

    def __init__(self, house: House) -> None:
        self._keys = house.database.keys
        self._clock = house.clock
        self._secret = house.settings.key_hash_secret.get_secret_value().encode()

    def router(self) -> APIRouter:
        """The routes."""
        router = APIRouter(prefix="/admin/v1/keys", tags=["Keys"])
        router.add_api_route("", self.create_key, methods=["POST"], status_code=status.HTTP_201_CREATED)
        router.add_api_route("", self.list_keys, methods=["GET"])
        router.add_api_route("/{key_id}", self.read_key, methods=["GET"])
        router.add_api_route("/{key_id}", self.update_key, methods=["PATCH"])
        router.add_api_route("/{key_id}/revoke", self.revoke_key, methods=["POST"])
        router.add_api_route("/{key_id}/rotate", self.rotate_key, methods=["POST"], status_code=status.HTTP_201_CREATED)
        return router

    async def create_key(self, wishes: KeyWishes, actor: Actor, response: Response) -> NewKey:
        """Make a key. This answer alone shows it; the gateway keeps a hash."""
        properties = wishes.properties()
        self._refuse_past(properties)
        key, hashed = self._mint()
        made = await self._keys.create(properties, digest=hashed, prefix=prefix_of(key), actor=actor)
        return self._shown_once(made, key, response)

    async def list_keys(
        self, limit: Limit = 100, after: After = "", organization: NamedOrganization | None = None
    ) -> Page[Key]:
        """All keys, oldest first, those that are revoked or expired too."""
        found = await self._keys.list(organization=organization, after=after, most=limit + 1)
        return page_of(found, limit, partial(shown, now=self._clock.wall()), lambda key: key.id)

    async def read_key(self, key_id: str, response: Response) -> Key:
        """One key, without its secret."""
        return self._shown(await self._keys.get(key_id), response)

    async def update_key(
        self, key_id: str, wishes: KeyWishes, actor: Actor, response: Response, if_match: IfMatch = None
    ) -> Key:
        """Change what is stated, and nothing else; in force from the next request on."""
        async with unchanged(partial(self._keys.get, key_id), if_match) as before:
            after = wishes.over(before.properties)
            if after.expires != before.properties.expires:
                self._refuse_past(after)
            if after == before.properties:
                return self._shown(before, response)
            return self._shown(await self._keys.update(key_id, before.version, after, actor=actor), response)

    async def revoke_key(self, key_id: str, actor: Actor, response: Response) -> Key:
        """Refuse the key from the next request on, for ever. To revoke it again changes nothing."""
        return self._shown(await self._keys.revoke(key_id, actor=actor), response)

    async def rotate_key(
        self, key_id: str, rotation: Rotation, actor: Actor, response: Response, if_match: IfMatch = None
    ) -> NewKey:
        """Make a key like this one, which ends when the overlap is over; its limits count apart from the new one's."""
        key, hashed = self._mint()
        async with unchanged(partial(self._keys.get, key_id), if_match) as before:
            made = await self._keys.rotate(
                key_id,
                before.version,
                digest=hashed,
                prefix=prefix_of(key),
                overlap=rotation.overlap_seconds,
                actor=actor,
            )
            return self._shown_once(made, key, response)

    def _mint(self) -> tuple[str, bytes]:
        if not self._secret:
            raise KeysUnavailableError(
                "Keys cannot be hashed: KEY_HASH_SECRET is not set, and DATA_PATH cannot be used."
            )
        key = mint()
        return key, digest(key.encode(), self._secret)

    def _refuse_past(self, properties: KeyProperties) -> None:
        if properties.expires is not None and properties.expires <= self._clock.wall():
            raise BadRequestError("expires_at: must be in the future; revoke a key to end it.", param="expires_at")

    def _shown(self, key: ApiKey, response: Response) -> Key:
        state_version(response, key)
        return shown(key, self._clock.wall())

    def _shown_once(self, row: ApiKey, key: str, response: Response) -> NewKey:
        response.headers["location"] = f"/admin/v1/keys/{row.id}"
        return NewKey(**dict(self._shown(replace(row), response)), key=key)
