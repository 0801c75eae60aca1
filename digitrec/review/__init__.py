"""Local web application in which people confirm or correct the answers.

    queries      select and order answers in the ledgers
    page_images  open originals, and cut, scale and cache the images that a browser shows
    json_api     convert records to JSON and check incoming JSON
    auth         one-time links, sessions, checks of Host, Origin and cookie, security headers
    service      list answers, save and undo judgements, write corrected tables
    tryout       read an uploaded picture without storing it
    connections  limit connections and the time of a request header
    server       routes; templates/ and static/ hold the pages

`digitrec.app.review` starts the server and chooses the model.
"""
