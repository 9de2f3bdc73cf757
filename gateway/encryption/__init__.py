"""Encryption at rest: SSE-S3, SSE-KMS with a local key ring, SSE-C.

    headers, document   what a request or a bucket asks for: pure, no cryptography
    record              `Doc.SSE` of an object: how its bytes are encrypted, with its wrapped data key
    keyring             master keys and KMS keys: a file, or the environment
    frames, reading     the bytes: encrypted while they are spooled, decrypted while they are sent
    service             the three together, for handlers
    rotation            a new master key for a whole store

A master key (or a KMS key, or the customer's) protects an object's data key, and the data key protects its bytes. So a
rotation of the master key touches documents, never bodies. The library behind it is loaded at the first use.

Whoever can write to the store cannot change or shorten a body unnoticed; they can put a whole object (its bytes with
its document), or one of two equally long parts of an object, in the place of the other.
"""
