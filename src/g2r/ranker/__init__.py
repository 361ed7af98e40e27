"""The ranker: a second stage that sees vectors alone, so that it costs a fraction of a millisecond."""
