"""A local web page where people look at what was read, and say what is right.

    queue      which answers, in which order: questions to the ledgers
    originals  an original below the outbox, opened without following links
    pictures   originals and previews -> what a browser shows, kept in memory
    wire       records <-> JSON
    guard      who may come in: Host, Origin, cookie, sizes, headers
    sessions   one-time links, and who is there
    desk       the work itself: questions, judgements, undo, corrected tables
    tryout     reads a picture that nobody keeps
    connections  limits on connections, and on the time of a request header
    server     addresses -> the above; templates/ and static/ are what a browser gets

Nothing here starts a server or picks a model: `reviewing.py` does.
"""
