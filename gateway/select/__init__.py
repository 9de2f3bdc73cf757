"""SelectObjectContent: one SELECT over the records of one object, evaluated by DuckDB in a process of its own.

    request   the XML of the request → plain values                                   pure
    sql       S3 Select's SQL → a tree; a tree → DuckDB's SQL                          pure
    events    the framing of the answer                                               pure
    child     the process that reads the object and evaluates: limits, DuckDB, output
    runner    starts it, feeds it, reads what it says, ends it

DuckDB takes SQL for code that it may trust. Hence no text of a client ever reaches it: what it runs is written by `sql`
from a tree that has nothing but columns of the object, literals, and functions of a table.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/selecting-content-from-objects.html
"""
