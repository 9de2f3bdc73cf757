"""The accounts that there are, as far as others need to know them."""

from typing import Protocol

from auth.credential import Credential
from auth.identity import OWNER_ID, OWNER_NAME, account_number


class Accounts(Protocol):
    """Looks up accounts and keys; the credential store is one. No I/O."""

    def lookup(self, access_key: str) -> Credential | None:
        """The enabled credential of an access key; None if there is none."""

    def account_name(self, canonical_id: str) -> str | None:
        """The name of the account with a canonical user id; None if there is none."""

    def account_id(self, name: str) -> str | None:
        """The canonical user id of the account of a name (or e-mail address); None if there is none."""

    def account_of(self, principal: str) -> str | None:
        """The canonical user id of the account of a name, canonical user id, twelve-digit number or access key, or None."""

    def known_account(self, principal: str) -> bool:
        """Whether a name, a canonical user id, a twelve-digit number or an access key is one of ours."""


class OneAccount:
    """`Accounts` where there is only the owner of everything, without keys."""

    def lookup(self, access_key: str) -> Credential | None:
        """See `Accounts`."""
        return None

    def account_name(self, canonical_id: str) -> str | None:
        """See `Accounts`."""
        return OWNER_NAME if canonical_id == OWNER_ID else None

    def account_id(self, name: str) -> str | None:
        """See `Accounts`."""
        return OWNER_ID if name == OWNER_NAME else None

    def account_of(self, principal: str) -> str | None:
        """See `Accounts`."""
        return OWNER_ID if principal in (OWNER_ID, OWNER_NAME, account_number("")) else None

    def known_account(self, principal: str) -> bool:
        """See `Accounts`."""
        return self.account_of(principal) is not None


def number_of(accounts: Accounts, canonical_id: str) -> str:
    """The twelve digits of the account with a canonical user id."""
    return account_number(
        "" if canonical_id == OWNER_ID else accounts.account_name(canonical_id) or canonical_id
    )
