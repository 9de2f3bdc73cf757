"""Carrying out lifecycle rules: `evaluation` decides (pure), `worker` walks the buckets, `task` makes it recur."""
