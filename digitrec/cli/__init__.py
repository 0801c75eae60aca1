"""Commands: parse the arguments, call one function of `app`, print."""
