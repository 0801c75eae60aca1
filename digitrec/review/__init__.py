"""Local web application: what arrives and was answered, reports, and pages to confirm or correct the answers.

    queries          select and order answers in the ledgers
    page_images      open originals, and cut, scale and cache the images that a browser shows
    json_api         convert records to JSON and check incoming JSON
    auth             one-time links, sessions, checks of Host, Origin and cookie, security headers
    service          list answers, save and undo judgements, write corrected tables
    tryout           read an uploaded picture without storing it
    home             collect what the home page shows
    uploads          store uploaded files in the inbox
    search           find answers by file name, text, sha256 or batch
    workspace_files  open tables and reports, export tables
    workspace_pages  routes of all pages but the review
    pages            render pages in a theme, add the bar to reports
    connections      limit connections and the time of a request header
    server           routes of the review, login; templates/ and static/ hold the pages

`digitrec.app.review` starts the server and chooses the model.
"""
