"""The configurations of a bucket, each a module: the values, `read` for the body of a PUT, `load` for what is kept.

What `read` returns is stored and is what GET answers. `load` never meets anything but that, and is cached by its text.
Pure: what a configuration does is done elsewhere, where it is loaded.
"""
