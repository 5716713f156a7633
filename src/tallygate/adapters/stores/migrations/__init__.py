"""
How a ledger database comes to be: numbered migrations, one list for each kind of database.

`runner` applies what is missing, whichever list it is. What is in a list has run on somebody's
ledger: append, never edit.
"""
