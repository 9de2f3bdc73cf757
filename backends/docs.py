"""How the documents of an object change. Pure; the same for every backend."""

from collections.abc import Mapping

from backends.base import Copy, Doc
from gateway.errors import PreconditionFailed


def with_doc(docs: Mapping[Doc, str], doc: Doc, content: str | None) -> dict[Doc, str]:
    """The documents with one replaced, or (None) removed."""
    kept = {name: text for name, text in docs.items() if name is not doc}
    return kept if content is None else {**kept, doc: content}


def check_expected(docs: Mapping[Doc, str], doc: Doc, expected: str | None) -> None:
    """Raise PreconditionFailed if another content was expected than there is; None expects nothing."""
    if expected is not None and docs.get(doc) != expected:
        raise PreconditionFailed()


def copied_docs(source: Mapping[Doc, str], how: Copy) -> dict[Doc, str]:
    """The documents of a copy: those of the request, what says how the bytes are encrypted, the tags if wanted."""
    kept = (Doc.SSE, Doc.TAGGING) if how.copy_tags else (Doc.SSE,)
    docs = {doc: text for doc, text in how.write.docs.items() if doc not in kept}
    return docs | {doc: source[doc] for doc in kept if doc in source}
