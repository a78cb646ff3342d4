"""What an object store or its client refuses, as a sentence with what to do."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from core.errors import CalmtuneError, ProviderError, UsageError
from core.serving.export.place import Kind, Place

KEYS: dict[Kind, str] = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to a profile (`aws configure` makes one)",
    "gs": "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to the file of a key",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and run `az login`, or set AZURE_STORAGE_CONNECTION_STRING",
}
RIGHTS: dict[Kind, str] = {
    "s3": "s3:PutObject, s3:GetObject, s3:ListBucket, s3:ListBucketMultipartUploads, s3:ListMultipartUploadParts, "
    "s3:AbortMultipartUpload and, to replace an older export, s3:DeleteObject",
    "gs": "the role Storage Object User",
    "az": "the role Storage Blob Data Contributor",
}
_NO_KEYS = {
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound", "ConfigParseError", "ConfigNotFound",
    "NoAuthTokenError", "TokenRetrievalError", "MetadataRetrievalError", "SSOError", "LoginError",
    "DefaultCredentialsError", "RefreshError", "CredentialUnavailableError",
}  # fmt: skip
"""Names of what clients raise, so that none of them is imported."""
_NO_LINK = {
    "ConnectionError", "HTTPClientError", "ClientConnectionError", "ClientPayloadError", "ServerTimeoutError", "TimeoutError",
    "TransportError", "ServiceRequestError", "ServiceResponseError", "RequestException",
}  # fmt: skip


@contextlib.contextmanager
def refusals(place: Place, name: str = "") -> Iterator[None]:
    """Raises UsageError for missing or refused credentials and missing buckets, ProviderError for all else that goes wrong."""
    try:
        yield
    except CalmtuneError:
        raise
    except Exception as error:
        raise _sentence(error, place, name) from error


def _sentence(error: Exception, place: Place, name: str) -> CalmtuneError:
    chain = list(_chain(error))
    names = {kind.__name__ for one in chain for kind in type(one).__mro__}
    status = {str(getattr(one, attribute, "")) for one in chain for attribute in ("status_code", "code", "status")}
    where = f"{place.kind}://{place.bucket}"
    if names & _NO_KEYS:
        return UsageError(f"there are no credentials for {where} ({type(error).__name__}): {KEYS[place.kind]}")
    if isinstance(error, ValueError) and place.kind == "az" and "connect to account" in str(error):
        return UsageError(f"there is no account for {where}: {KEYS['az']}")
    if isinstance(error, PermissionError) or status & {"401", "403"} or str(error).startswith("Forbidden"):
        return UsageError(f"{where} refuses these credentials: are they right, and have they {RIGHTS[place.kind]}?")
    if "(NoSuchUpload)" in " ".join(map(str, chain)):
        return ProviderError(f"the upload of {name} to {where} was ended by somebody else; export again")
    if isinstance(error, FileNotFoundError) or "404" in status:
        return UsageError(f"there is no bucket {place.bucket} ({where}) for these credentials; make it first, or name another")
    if names & _NO_LINK:
        return ProviderError(f"{where} cannot be reached ({type(error).__name__}); what is there is kept, and the same export goes on")
    what = re.sub(r"\?\S+", "?…", (str(error).splitlines() or [""])[0])[:200]
    return ProviderError(f"{place}{'/' if name else ''}{name} could not be written or read: {what or type(error).__name__}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
