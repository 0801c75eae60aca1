"""Scripts of the repository: reference pages, licences, site, release, container, fonts, pictures."""
