// Tables that scroll can be focused and scrolled with the keyboard.
addEventListener("load", () => {
  for (const table of document.querySelectorAll(".md-typeset__scrollwrap")) {
    table.tabIndex = 0;
    table.role = "region";
    table.ariaLabel = "Table";
  }
});
