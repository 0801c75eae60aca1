// For keyboards and screen readers: tables that scroll can be focused, and the buttons of each code block have a name.
addEventListener("load", () => setTimeout(() => {
  for (const table of document.querySelectorAll(".md-typeset__scrollwrap")) table.tabIndex = 0;
  document.querySelectorAll(".md-code__nav").forEach((nav, index) => { nav.ariaLabel = `Code block ${index + 1}`; });
}));
